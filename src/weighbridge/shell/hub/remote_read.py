"""Reading versions from a hub by their reference: `owner/name`, or `owner/name@revision`."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from weighbridge.dossier.status import State
from weighbridge.errors import InputError
from weighbridge.hub.blob import hub_errors
from weighbridge.hub.standing import caution, check_offered, recalled
from weighbridge.shell.hub.quiet import quiet
from weighbridge.shell.hub.remote_address import RemoteAddress
from weighbridge.shell.hub.remote_errors import NotThereError, remote_errors

if TYPE_CHECKING:
    from weighbridge.shell.check.gather import Place
    from weighbridge.shell.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A version that was downloaded.

    Attributes:
        folder: its files, plain and whole.
        name: `owner/name`.
        revision: the commit.
        standing: what is known of its standing, in a sentence; empty if its publisher says nothing against it.
    """

    folder: Path
    name: str
    revision: str
    standing: str


def fetch_version(
    reference: str,
    address: RemoteAddress,
    progress: "Progress",
    *,
    root: Path | None = None,
    to: Path | None = None,
) -> Fetched:
    """Download a version, once its publisher's catalogue and signed status do not speak against it.

    Without a revision it is the version that the catalogue lists, by the tag that is its digest; `main` where the
    owner keeps no catalogue. Whether the files are what their publisher signed is for the caller to verify.

    Args:
        reference: `owner/name`, or `owner/name@revision`.
        address: the hub.
        progress: told what is done.
        root: the publisher's `root.json`; None for the one that was given before.
        to: folder for the files, new or empty; None for one beside the client's cache.

    Raises:
        InputError: if the reference is none, or `to` holds something.
        RecalledError: if the version is recalled.
        TrustError: if the signed metadata is not what was promised.
        HubError: if the hub does not have it, does not give it, or cannot be reached.
    """
    from weighbridge.shell.check.fetch import is_reference

    if not is_reference(reference):
        raise InputError(f"{reference!r} is no name on a hub", hint="Give owner/name, or owner/name@revision.")
    if to is not None and to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise InputError("there is something here already", place=str(to), hint="Give a folder that is new or empty.")
    name, _, revision = reference.partition("@")
    progress.begin(f"asking {address.url} about {name}")
    digest = "" if revision else _listed(name, address)
    standing = _standing(name, digest, address, root)
    progress.begin(f"fetching {reference} from {address.url}")
    place = download(address, name, revision or digest)
    return Fetched(folder=_placed(place.folder, to), name=name, revision=place.revision, standing=standing)


def download(address: RemoteAddress, name: str, revision: str) -> "Place":
    """Download a revision (empty for `main`) into the client's own cache; return where its plain files lie.

    Raises:
        HubError: if the hub does not have it, does not give it, or cannot be reached.
    """
    from weighbridge.shell.check.fetch import fetch

    with remote_errors(address.url):
        from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    reference = f"{name}@{revision}" if revision else name
    with quiet():
        return fetch(reference, address.url, _plain(), os.environ, token=address.token or False, hub_cache=cache)


def _listed(name: str, address: RemoteAddress) -> str:
    """Return the digest that the owner's catalogue lists for a name; empty if there is no such catalogue or name.

    Raises:
        RecalledError: if the catalogue says so.
    """
    from weighbridge.shell.hub.remote import RemoteHub

    try:
        version = RemoteHub(address, name.partition("/")[0]).catalogue().get(name)
    except NotThereError:
        return ""
    if version is None:
        return ""
    check_offered(version)
    return version.digest


def _standing(name: str, digest: str, address: RemoteAddress, root: Path | None) -> str:
    from weighbridge.shell.hub.remote_trust import signed_status
    from weighbridge.shell.trust.errors import NoMetadataError

    try:
        status = signed_status(address, name, digest, root=root)
    except NoMetadataError as error:
        return f"whether {name} is still good is not known: {error.message}"
    if status is not None and status.state == State.RECALLED:
        raise recalled(name, status)
    return caution(status) if status else f"its publisher's signed statements do not name {name}"


def _placed(folder: Path, to: Path | None) -> Path:
    if to is None:
        return folder
    with hub_errors(to):
        # Copies: what a person edits there must not change the client's cache.
        shutil.copytree(folder, to, dirs_exist_ok=True)
    return to


def _plain() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "weighbridge" / "fetched"
