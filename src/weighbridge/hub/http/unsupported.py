"""Calls of the Hugging Face API that this hub knows and does not have, so that clients show a reason.

They are answered with 501 (RFC 9110, section 15.6.2), which no client takes for a repository that is not there.
"""

from dataclasses import dataclass
from functools import partial

from weighbridge.hub.http.refusal import Refusal
from weighbridge.hub.http.route import Call, Reply, Route


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsupported:
    """A part of the Hugging Face API that is not here.

    Attributes:
        what: its name there.
        why: one sentence for whoever asked for it.
        paths: of aiohttp, all methods.
    """

    what: str
    why: str
    paths: tuple[str, ...]


_SPACE = "/api/spaces/{owner}/{name}/"
_RUNTIME = (
    "runtime|hardware|sleeptime|pause|restart|dev-mode|hot-reload|secrets|variables|volumes|events|logs/[a-z]+|metrics"
)

UNSUPPORTED = (
    Unsupported(
        what="running spaces",
        why="This hub keeps the files of a space and does not run it.",
        paths=(
            *(f"{_SPACE}{{part:{part}}}{{rest:.*}}" for part in _RUNTIME.split("|")),
            "/api/spaces/hardware",
            "/api/spaces/templates",
            "/api/spaces/zero-gpu/{rest:.*}",
        ),
    ),
    Unsupported(
        what="semantic search",
        why="This hub has no semantic search: `search` matches the names of repositories.",
        paths=("/api/spaces/semantic-search",),
    ),
    Unsupported(
        what="jobs and sandboxes",
        why="This hub runs no jobs.",
        paths=("/api/jobs/{rest:.*}", "/api/scheduled-jobs/{rest:.*}"),
    ),
    Unsupported(
        what="collections",
        why="This hub has no collections.",
        paths=("/api/collections", "/api/collections/{rest:.*}"),
    ),
    Unsupported(
        what="webhooks",
        why="This hub has no webhooks: follow `refs` or `commits` of a repository instead.",
        paths=("/api/settings/webhooks", "/api/settings/webhooks/{rest:.*}"),
    ),
    Unsupported(
        what="papers",
        why="This hub has no papers.",
        paths=("/api/papers/{rest:.*}", "/api/daily_papers", "/papers/{id}.md"),
    ),
    Unsupported(
        what="kernels",
        why="This hub has models, datasets, spaces and buckets; it has no kernels.",
        paths=("/api/kernels", "/api/kernels/{rest:.*}", "/kernels/{owner}/{name}/resolve/{rest:.*}"),
    ),
    Unsupported(
        what="leaderboards and converted datasets",
        why="This hub keeps datasets as they were pushed: it has no leaderboards and converts nothing.",
        paths=("/api/datasets/{owner}/{name}/leaderboard", "/api/datasets/{owner}/{name}/parquet{rest:.*}"),
    ),
    Unsupported(
        what="attachments of discussions",
        why="This hub takes no attachments: upload the file to the repository and link to it.",
        paths=("/uploads",),
    ),
    Unsupported(
        what="logging in by a browser",
        why="This hub has no log-in by a browser: its operator makes a token, then run `hf auth login --token hf_...`.",
        paths=("/oauth/{step}",),
    ),
    Unsupported(
        what="resource groups and billing",
        why="This hub has no resource groups and no bills.",
        paths=("/api/organizations/{org}/resource-groups{rest:.*}", "/api/settings/billing{rest:.*}"),
    ),
)
"""All that is answered with 501."""


def refuse(call: Call, why: str) -> Reply:
    """Refuse a call of something that is not here."""
    raise Refusal(501, why)


# Whatever a client sends with such a call is read within this limit and thrown away.
ROUTES = tuple(
    Route(method="*", path=path, answer=partial(refuse, why=part.why), max_body_bytes=1024 * 1024)
    for part in UNSUPPORTED
    for path in part.paths
)
