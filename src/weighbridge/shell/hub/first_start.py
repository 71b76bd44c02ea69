"""A hub's first start: it makes itself an administrator, whose token only its owner can read."""

import os
from pathlib import Path

from weighbridge.errors import HubError
from weighbridge.hub.accounts.register import add_account, add_token, any_user
from weighbridge.hub.server import HubServer

ADMIN = "operator"
TOKEN_FILE = "operator-token"  # noqa: S105 - the name of a file


def first_start(hub: HubServer, folder: Path) -> Path | None:
    """Make the first user if there is none, and return the file that holds their token; None if there are users.

    Raises:
        HubError: if the file cannot be written; no user is made then.
    """
    place = folder / TOKEN_FILE
    with hub.database.write() as connection:
        if any_user(connection):
            return None
        now = hub.now_ms()
        add_account(connection, ADMIN, "user", now_ms=now, full_name="The hub's operator", is_admin=True)
        _write_private(place, add_token(connection, ADMIN, "first start", "write", now_ms=now))
    return place


def _write_private(place: Path, secret: str) -> None:
    try:
        place.unlink(missing_ok=True)
        with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(secret + "\n")
    except OSError as error:
        raise HubError(
            f"the first token cannot be kept: {error.strerror}",
            place=str(place),
            hint="Give yourself write permission to the hub's folder and start it again.",
        ) from error
