"""Short-lived tokens for the byte server: one repository, one revision, to read or to write.

A token is a statement signed by the hub's secret. It only narrows: the token of the user that it was issued to must be
good, and the user allowed, at every call, so whoever loses access loses it at once.
"""

import base64
import binascii
import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from sqlalchemy import Connection, select

from weighbridge.hub.accounts.caller import Caller
from weighbridge.hub.accounts.identify import caller_of_token, secret_of
from weighbridge.hub.accounts.permission import Access, may
from weighbridge.hub.database.schema import account, repository
from weighbridge.hub.http.refusal import Refusal, forbidden, repo_not_found, unauthenticated
from weighbridge.hub.http.route import Call
from weighbridge.hub.repositories.find import COLUMNS, Repository, of_row

_PREFIX: Final = "xet_"
_PURPOSE: Final = b"weighbridge xet token 1\0"
_MAX_CHARACTERS: Final = 2048


class XetScope(Enum):
    """What a token is for. Whoever may write may read; whoever may propose may upload what a pull request holds."""

    READ = "read"
    WRITE = "write"
    PROPOSE = "propose"

    @property
    def access(self) -> Access:
        """What the user must be allowed in the repository."""
        return {"read": Access.READ, "write": Access.WRITE, "propose": Access.DISCUSS}[self.value]

    @property
    def uploads(self) -> bool:
        """Whether the token is good for uploads."""
        return self is not XetScope.READ


@dataclass(frozen=True, slots=True, kw_only=True)
class XetToken:
    """What a token states.

    Attributes:
        token_id: the token of the hub that its user came with; None for nobody in particular.
        repository_id: the repository.
        commit: the commit that the revision named when the token was issued; empty if it named none.
        scope: what it is for.
        expires_s: when it ends, in seconds since 1970.
    """

    token_id: int | None
    repository_id: int
    commit: str
    scope: XetScope
    expires_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer:
    """Whoever showed a good token, and for what."""

    token: XetToken
    caller: Caller
    repo: Repository


def issue(secret: bytes, token: XetToken) -> str:
    """Return the token as text."""
    facts = [token.token_id, token.repository_id, token.commit, token.scope.value, token.expires_s]
    body = json.dumps(facts, separators=(",", ":")).encode()
    return f"{_PREFIX}{_text(body)}.{_text(_signature(secret, body))}"


def parse(secret: bytes, text: str) -> XetToken:
    """Return what a token states, if the hub signed it.

    Raises:
        Refusal: 401.
    """
    body, _, signature = text.removeprefix(_PREFIX).partition(".")
    try:
        if not text.startswith(_PREFIX) or len(text) > _MAX_CHARACTERS:
            raise ValueError("not of this form")
        signed = _bytes(body)
        if not hmac.compare_digest(_signature(secret, signed), _bytes(signature)):
            raise ValueError("not signed by this hub")
        token_id, repository_id, commit, scope, expires_s = json.loads(signed)
    except (ValueError, binascii.Error) as error:
        raise unauthenticated("This is not an access token for Xet storage.") from error
    return XetToken(
        token_id=token_id,
        repository_id=repository_id,
        commit=commit,
        scope=XetScope(scope),
        expires_s=expires_s,
    )


def admit(connection: Connection, call: Call, *, upload: bool) -> Bearer:
    """Return who calls the byte server: their token is good, and they are still allowed what it is for.

    Raises:
        Refusal: 401 for a token that is missing, forged or expired; 403 for one that does not allow uploads; else as
            `permission.may`.
    """
    token = parse(call.hub.secret, secret_of(call.headers.get("Authorization", "")))
    now_ms = call.hub.now_ms()
    if token.expires_s * 1000 <= now_ms:
        raise unauthenticated("Your access token for Xet storage has expired.")
    if upload and not token.scope.uploads:
        raise forbidden("This access token for Xet storage is for reading only.")
    # What is proposed may refer to what is there, and so says what that is.
    needed = (token.scope.access, *((Access.READ,) if token.scope is XetScope.PROPOSE else ()))
    caller, repo = still_may(
        connection, token.token_id, token.repository_id, needed if upload else (Access.READ,), now_ms=now_ms
    )
    return Bearer(token=token, caller=caller, repo=repo)


def still_may(
    connection: Connection, token_id: int | None, repository_id: int, needed: Iterable[Access], *, now_ms: int
) -> tuple[Caller, Repository]:
    """Return whom something was given to, and for which repository, if they may do all that is `needed` by now.

    Args:
        connection: to the database.
        token_id: the token of the hub by which it was asked for; None for nobody in particular.
        repository_id: the repository.
        needed: what they must be allowed.
        now_ms: the time.

    Raises:
        Refusal: 401 for a token that is revoked or over; else as `permission.may`.
    """
    caller = Caller.anonymous
    if token_id is not None:
        caller = caller_of_token(connection, token_id, now_ms=now_ms)
    repo = repository_of(connection, repository_id)
    if repo is None:
        raise repo_not_found(anonymous=caller.is_anonymous)
    for access in needed:
        may(connection, caller, repo, access)
    return caller, repo


def repository_of(connection: Connection, repository_id: int) -> Repository | None:
    """Return the repository of this id, whoever asks."""
    row = connection.execute(
        select(*COLUMNS).join(account, account.c.id == repository.c.owner_id).where(repository.c.id == repository_id)
    ).one_or_none()
    return None if row is None else of_row(row)


def allowed(connection: Connection, caller: Caller, repo: Repository, access: Access) -> bool:
    """Say whether the caller may do this, as an answer instead of a refusal."""
    try:
        may(connection, caller, repo, access)
    except Refusal:
        return False
    return True


def sign(secret: bytes, purpose: str, *facts: Any) -> str:
    """Return a signature over the facts for an address that carries its own permission."""
    body = json.dumps([purpose, *facts], separators=(",", ":")).encode()
    return _text(_signature(secret, body))


def is_signed(secret: bytes, signature: str, purpose: str, *facts: Any) -> bool:
    """Say whether `sign` made this signature of these facts."""
    return hmac.compare_digest(sign(secret, purpose, *facts).encode(), signature.encode("utf-8", "replace"))


def _signature(secret: bytes, body: bytes) -> bytes:
    return hmac.digest(secret, _PURPOSE + body, "sha256")


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
