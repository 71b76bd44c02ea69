"""Routes that are alike for models, datasets and spaces."""

from functools import partial
from typing import Protocol

from weighbridge.hub.http.route import Call, Reply, Route
from weighbridge.hub.repositories.find import GIT_KINDS

MAX_BODY_BYTES = 1024 * 1024


class Answer(Protocol):
    """Answers a call about a repository of a kind."""

    def __call__(self, call: Call, kind: str) -> Reply: ...


def for_kinds(method: str, path: str, answer: Answer, *, max_body_bytes: int = MAX_BODY_BYTES) -> tuple[Route, ...]:
    """Return one route for each kind, at `/api/models` + `path` and so on.

    Each kind's routes have their own fixed beginning, because the web framework finds routes by that.
    """
    return tuple(
        Route(
            method=method,
            path=f"/api/{plural}{path}",
            answer=partial(answer, kind=kind),
            max_body_bytes=0 if method == "GET" else max_body_bytes,
        )
        for plural, kind in GIT_KINDS.items()
    )


def name_in(call: Call) -> str:
    """Return the full name of the repository that the path names."""
    return f"{call.parts['owner']}/{call.parts['name']}"
