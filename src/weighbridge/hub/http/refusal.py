"""Refusals, worded so that the clients of the Hugging Face API raise the exception that is meant.

The clients decide by the header `X-Error-Code` and show `X-Error-Message`; see `hf_raise_for_status` of
huggingface_hub.
"""

from collections.abc import Mapping

REPO_NOT_FOUND = "RepoNotFound"
REVISION_NOT_FOUND = "RevisionNotFound"
ENTRY_NOT_FOUND = "EntryNotFound"
GATED_REPO = "GatedRepo"


class Refusal(Exception):  # noqa: N818 - it is an answer, not a fault of the server
    """A request is answered with an error status.

    Attributes:
        status: of HTTP.
        message: one sentence for the person behind the client.
        code: for `X-Error-Code`; empty for none.
        headers: further headers.
        extra: further members of the JSON body.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str = "",
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})


def repo_not_found(*, anonymous: bool) -> Refusal:
    """Return the one answer for what is not there and what the caller may not know of: they must look alike."""
    if anonymous:
        return Refusal(401, "Repository not found, or it is private: log in.", code=REPO_NOT_FOUND)
    return Refusal(404, "Repository not found.", code=REPO_NOT_FOUND)


def revision_not_found(revision: str) -> Refusal:
    """Return the answer for a branch, tag or commit that a repository does not have."""
    return Refusal(404, f"Invalid rev id: {revision}", code=REVISION_NOT_FOUND)


def entry_not_found(path: str, *, commit: str) -> Refusal:
    """Return the answer for a path that a revision does not have."""
    return Refusal(404, f"Entry not found: {path}", code=ENTRY_NOT_FOUND, headers={"X-Repo-Commit": commit})


def forbidden(message: str) -> Refusal:
    """Return the answer for what the caller may know of but not do."""
    return Refusal(403, message)


def unauthenticated(message: str = "Invalid username or password.") -> Refusal:
    """Return the answer for a token that is missing where one is needed, unknown, expired or revoked."""
    return Refusal(401, message, headers={"WWW-Authenticate": 'Bearer realm="hub"'})


def bad_request(message: str) -> Refusal:
    """Return the answer for a request that makes no sense."""
    return Refusal(400, message)


def conflict(message: str, **extra: object) -> Refusal:
    """Return the answer for what exists already, or was changed by somebody else meanwhile."""
    return Refusal(409, message, extra=extra)


def stale(message: str) -> Refusal:
    """Return the answer for a commit whose parent is no longer the head of its branch."""
    return Refusal(412, message)


def too_large(message: str) -> Refusal:
    """Return the answer for a body, file or count beyond its limit."""
    return Refusal(413, message)


def unprocessable(message: str, **extra: object) -> Refusal:
    """Return the answer for a request that is well formed and cannot be done."""
    return Refusal(422, message, extra=extra)
