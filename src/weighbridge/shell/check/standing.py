"""What the publisher says about a version and its ancestors now, from the signed metadata of a hub."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from weighbridge.adopt.check.subject import Standing
from weighbridge.dossier.status import State, Status, StatusError, utc_text
from weighbridge.errors import HubError
from weighbridge.shell.trust.errors import NoMetadataError, TrustError
from weighbridge.terms.chain import Chain

if TYPE_CHECKING:
    from weighbridge.shell.trust.client import TrustedHub

_NO_HUB = "there is no hub to ask"
_NO_HUB_HINT = "Name the publisher's hub, or a copy of it, with --hub; and their root.json with --root."


def standing_of(
    location: str,
    home: Path,
    *,
    root: Path | None,
    names: Sequence[str],
    digest: str,
    chain: Chain | None,
    catalogue_says: str = "",
) -> Standing:
    """Return what is said; what is wrong with the metadata is part of the answer.

    Args:
        location: folder or web address of a hub; empty if there is none.
        home: where what was seen earlier is kept.
        root: the publisher's `root.json`; None for the one that was given before.
        names: names that the version may have.
        digest: of the manifest of all its files.
        chain: what it descends from; each work is asked for by its name.
        catalogue_says: what the hub's unsigned catalogue says.

    Raises:
        InputError: if `root` is no root.
    """
    if not location:
        return Standing(missing=_NO_HUB, hint=_NO_HUB_HINT)
    from weighbridge.shell.trust.client import read_root, trusted_hub

    given = read_root(root) if root is not None else None
    try:
        with trusted_hub(location, home, root=given) as hub:
            status = next((s for name in names if (s := _asked(hub, name, digest)) is not None), None)
            ancestors = _ancestors(hub, chain)
            freshness = hub.freshness()
        role, moment = freshness.first_to_expire
        return Standing(
            asked=location,
            fresh=f"{role} expires first, on {utc_text(moment)}",
            status=status,
            ancestors=ancestors,
            catalogue_says=catalogue_says,
            missing="" if status else f"the hub's publisher says nothing about {' or '.join(names)} with these bytes",
            hint="" if status else "Ask its publisher whether these bytes are theirs.",
        )
    except TrustError as error:
        message = _without_dot(error.message)
        return Standing(asked=location, catalogue_says=catalogue_says, distrust=message, hint=error.hint)
    except (NoMetadataError, HubError) as error:
        message = _without_dot(error.message)
        return Standing(asked=location, catalogue_says=catalogue_says, missing=message, hint=error.hint)


def _asked(hub: "TrustedHub", name: str, digest: str) -> Status | None:
    return hub.status(name, digest) if _is_name(name) else None


def _is_name(name: str) -> bool:
    """Say whether a hub could have a version of this name; statuses of other names cannot even be asked for."""
    try:
        Status(name=name, digest="0" * 64, state=State.ACTIVE, since=datetime(2000, 1, 1, tzinfo=UTC))
    except StatusError:
        return False
    return True


def _ancestors(hub: "TrustedHub", chain: Chain | None) -> dict[str, Status]:
    """Return what is said of the very bytes that were used; of other bytes under the same name nothing follows."""
    found = {}
    for work in chain.works if chain else ():
        if chain is not None and work.ref != chain.root and work.digest and _is_name(work.ref):
            status = hub.status(work.ref) or None
            for candidate in (hub.status(work.ref, work.digest), status):
                if candidate is not None and work.digest in (candidate.digest, candidate.subject):
                    found[work.ref] = candidate
                    break
    return found


def _without_dot(text: str) -> str:
    return text.rstrip().removesuffix(".")
