"""What a publisher's signed metadata on a hub says of a version now."""

from pathlib import Path

from weighbridge.dossier.status import Status
from weighbridge.shell.home import home
from weighbridge.shell.hub.remote_address import RemoteAddress
from weighbridge.shell.trust.client import pin, read_root, trusted_hub
from weighbridge.shell.trust.errors import NoMetadataError
from weighbridge.shell.trust.fetch import fetcher_of
from weighbridge.shell.trust.keys import hub_id

_PROBE_BYTES = 1 << 20


def signed_status(address: RemoteAddress, name: str, digest: str, *, root: Path | None) -> Status | None:
    """Return what the publisher of `owner/name` says about it; None if nothing.

    Args:
        address: the hub.
        name: `owner/name`.
        digest: of the version; empty for the one that has the name now.
        root: the publisher's `root.json`; None for the one that was given before.

    Raises:
        TrustError: if the metadata is not what was promised.
        NoMetadataError: if there is none, it cannot be reached, or no root is trusted for it.
    """
    given = read_root(root) if root is not None else None
    location = address.statements(name.partition("/")[0])
    try:
        return _asked(location, name, digest, given, address.token)
    except NoMetadataError:
        # A publish in between takes the files of the state before away.
        return _asked(location, name, digest, given, address.token)


def statement_location(address: RemoteAddress, owner: str) -> str:
    """Return where the metadata of an owner's versions lies on a web server.

    That is the owner's repository on a hub that speaks the Hugging Face API; and else the address itself, which then is
    that of a plain copy of a hub folder.
    """
    from tuf.api.exceptions import DownloadError

    location = address.statements(owner)
    fetcher, base = fetcher_of(location, token=address.token)
    try:
        fetcher.download_bytes(f"{base}metadata/timestamp.json", _PROBE_BYTES)
    except DownloadError:
        return address.url
    return location


def trust_own(address: RemoteAddress, owner: str, first_root: bytes) -> None:
    """Remember the root that one's own keys made for a hub; one that is not one's own is not remembered."""
    if not first_root:
        return
    own = home() / "trust" / hub_id(first_root) / "1.root.json"
    if own.is_file() and own.read_bytes() == first_root:
        pin(address.statements(owner), home(), first_root)


def _asked(location: str, name: str, digest: str, root: bytes | None, token: str) -> Status | None:
    with trusted_hub(location, home(), root=root, token=token) as hub:
        return hub.status(name, digest)
