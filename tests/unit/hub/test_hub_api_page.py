"""The page of the API, the routes and the calls of huggingface_hub must agree."""

import inspect
import re
from pathlib import Path

from aiohttp import web
from huggingface_hub import hf_api

from weighbridge.hub.http.features import ROUTES
from weighbridge.hub.http.unsupported import ROUTES as REFUSED
from weighbridge.hub.http.unsupported import UNSUPPORTED

_PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "hub-api.md"
_PATTERN = re.compile(r"\{(\w+):(?:[^{}]|\{\d+\})*\}")
# What HfApi writes into its addresses, as a user would fill it in.
_FILLED = {
    "repo_type": "model",
    "src_repo_type": "model",
    "repo_id": "alice/m",
    "src_repo_id": "alice/m",
    "from_id": "alice/m",
    "api_prefix": "models",
    "bucket_id": "alice/b",
    "encoded_path_in_repo": "/a/b",
    "encoded_prefix": "/a",
    "discussion_num": "1",
    "status": "pending",
    "log_type": "run",
    "collection_slug": "alice/mine-0",
    "resource": "comment",
}
# Addresses of pages, which HfApi makes and never asks for.
_PAGES = {"collections/x", "alice/m", "models/alice/m", "buckets/alice/b", "xalice/m"}


def test_every_route_stands_in_the_page_and_the_other_way_round() -> None:
    there, _, refused = _PAGE.read_text().partition("## What is not there")
    listed = set(re.findall(r"`((?:GET|POST|PUT|DELETE) /[^`]*)`", there))
    assert listed == {f"{route.method} {_plain(route.path)}" for route in ROUTES if route not in REFUSED}
    assert {(part.what, part.why) for part in UNSUPPORTED} == {
        (row[0], row[2])
        for line in refused.splitlines()
        if line.startswith("| ") and len(row := [cell.strip() for cell in line.strip("|").split(" | ")]) == 3
        if "`/" in row[1]
    }


def test_every_address_that_the_client_can_ask_for_is_answered_or_refused_with_a_reason() -> None:
    source = inspect.getsource(hf_api)
    written = set(re.findall(r"""f"\{self\.endpoint\}/([^"]+)["]""", source))
    # Here `repo_id` has the kind in front of it already.
    written = {template.replace("api/{repo_id}/", "api/models/{repo_id}/") for template in written}
    asked = {_filled(template) for template in written} - _PAGES
    assert len(asked) > 90, "the client writes its addresses in another way"
    assert {path for path in asked if not _answered("/" + path)} == set()


def test_what_is_refused_hides_nothing_that_is_there() -> None:
    for route in ROUTES:
        if route not in REFUSED and not route.path.startswith("/{"):
            path = re.sub(r"\{[^{}]*\}", "x", _PATTERN.sub(r"{\1}", route.path))
            assert not any(_matches(refused.path, path) for refused in REFUSED), route.path


def _plain(path: str) -> str:
    path = _PATTERN.sub(r"{\1}", path)
    path = re.sub(r"^/api/(models|datasets|spaces)(?=/|$)", "/api/{T}", path)
    return re.sub(r"^/(datasets|spaces)(?=/\{owner\})", "", path)


def _filled(template: str) -> str:
    return re.sub(r"\{([^{}]*(?:\{[^{}]*\})?[^{}]*)\}", lambda found: _FILLED.get(found.group(1), "x"), template)


def _answered(path: str) -> bool:
    return any(_matches(route.path, path) for route in ROUTES)


def _matches(pattern: str, path: str) -> bool:
    if "{" not in pattern:
        return pattern == path
    info = web.DynamicResource(pattern).get_info()
    return info["pattern"].fullmatch(path) is not None
