"""Fetching a model from a hub that speaks the Hugging Face protocol, with its own client (extra `hub`)."""

import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from weighbridge.errors import HubError, InputError, MissingExtraError, WorkspaceError
from weighbridge.hub.blob import hub_errors, make_folder
from weighbridge.shell.check.gather import Place
from weighbridge.shell.check.patience import bounded_client, check_address

_REFERENCE = re.compile(r"(?P<name>[\w.-]{1,96}/[\w.-]{1,96})(@(?P<revision>[\w./-]{1,255}))?\Z", re.ASCII)
_HINT = "Check the name, and the hub's address in --hub, --endpoint or HF_ENDPOINT."


def is_reference(text: str) -> bool:
    """Say whether a text reads `owner/name` or `owner/name@revision`."""
    return _REFERENCE.match(text) is not None


def fetch(
    reference: str,
    endpoint: str,
    cache: Path,
    environment: Mapping[str, str],
    *,
    token: str | Literal[False] | None = None,
    hub_cache: Path | None = None,
) -> Place:
    """Download a model and return where its files lie: plain files, and no links out of their folder.

    Args:
        reference: `owner/name`, or `owner/name@revision`.
        endpoint: address of the hub.
        cache: folder that keeps what was downloaded, so that a second time downloads only what changed.
        environment: a token for the hub is only sent where the person's own `HF_ENDPOINT` leads.
        token: the token to send in place of that one; False for none.
        hub_cache: the client's cache; None for one below `cache`.

    Raises:
        InputError: if the reference or the address is none.
        HubError: if the hub does not have it, does not give it, or cannot be reached.
        MissingExtraError: if the client is not installed.
    """
    match = _REFERENCE.match(reference)
    if match is None:
        raise InputError(f"{reference!r} is no name on a hub", hint="Give owner/name, or owner/name@revision.")
    name, revision = match["name"], match["revision"]
    check_address(endpoint)
    with hub_errors(cache):
        own = environment.get("HF_ENDPOINT", "").rstrip("/") == endpoint.rstrip("/")
        sent = token if token is not None else None if own else False
        snapshot = _download(name, revision, endpoint, hub_cache or cache / "hub", sent)
    digest = hashlib.sha256(endpoint.rstrip("/").encode()).hexdigest()[:16]
    folder = cache / "plain" / digest / name.replace("/", "--") / snapshot.name
    with hub_errors(cache):
        as_plain_files(snapshot, folder)
    return Place(folder=folder, reference=f"{reference} on {endpoint}", name=name, revision=snapshot.name)


def _download(name: str, revision: str | None, endpoint: str, cache: Path, token: str | Literal[False] | None) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import (
            GatedRepoError,
            HfHubHTTPError,
            HFValidationError,
            LocalEntryNotFoundError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )
    except ImportError as error:
        raise MissingExtraError("huggingface_hub", extra="hub") from error
    place = f"{endpoint}/{name}"
    try:
        with bounded_client(place) as failures:
            try:
                return Path(
                    snapshot_download(
                        name,
                        revision=revision,
                        cache_dir=cache,
                        endpoint=endpoint.rstrip("/"),
                        library_name="weighbridge",
                        token=token,
                        # The hub's own file, which no publisher signs: it says what Git LFS keeps.
                        ignore_patterns=[".gitattributes"],
                    )
                )
            except HfHubHTTPError:
                raise
            except failures as error:
                raise HubError(f"it cannot be fetched: {_first_line(error)}", place=place, hint=_HINT) from error
    except GatedRepoError as error:
        hint = (
            "Agree to its conditions on the hub, and give your token in HF_TOKEN (with HF_ENDPOINT). "
            "What was recalled is closed, too: name the publisher's hub with --hub to be told."
        )
        raise HubError("the hub does not give it to you: it is gated", place=place, hint=hint) from error
    except RevisionNotFoundError as error:
        raise HubError(f"the hub has no revision {revision!r} of it", place=place, hint=_HINT) from error
    except RepositoryNotFoundError as error:
        raise HubError("the hub has no such model, or does not show it to you", place=place, hint=_HINT) from error
    except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError) as error:
        raise HubError(f"it cannot be fetched: {_first_line(error)}", place=place, hint=_HINT) from error
    except (ValueError, TypeError, AttributeError, LookupError, AssertionError, RecursionError) as error:
        # Files that are not what the hub said they are; and answers of a shape that the client does not expect.
        raise HubError(f"what the hub sends is not sound: {_first_line(error)}", place=place, hint=_HINT) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def as_plain_files(snapshot: Path, folder: Path) -> None:
    """Give every file of the client's cache, where it is a link, a place of its own in `folder`; nothing is copied."""
    if folder.is_dir():
        shutil.rmtree(folder)
    make_folder(folder.parent)
    making = folder.with_name(f".{secrets.token_hex(8)}")
    making.mkdir()
    for path in sorted(snapshot.rglob("*")):
        if path.is_dir():
            continue
        target = making / path.relative_to(snapshot)
        target.parent.mkdir(parents=True, exist_ok=True)
        real = path.resolve(strict=True)
        # What came by Xet lies beside the repositories, where they share it.
        if not real.is_relative_to(snapshot.parents[2].resolve()) or not real.is_file():
            raise WorkspaceError("a link leads out of the cache", place=str(path), hint="Remove the cache folder.")
        try:
            os.link(real, target)
        except OSError:
            shutil.copyfile(real, target)
    making.rename(folder)
