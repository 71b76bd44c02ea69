"""A hub that limits requests, and real clients that are told so: those that wait come through, the others say why."""

import json
import logging
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import httpx2
import pytest
from hub_client import noise, read
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import _xet
from running_hub import RunningHub, running_hub

from weighbridge.hub.server import HubSettings

REQUESTS = 10
WINDOW_SECONDS = 4
BYTE_REQUESTS = 10 * REQUESTS


class Seen(logging.Handler):
    """The log lines of requests: when each was written, and what it says."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[tuple[float, str, int]] = []

    def emit(self, record: logging.LogRecord) -> None:
        told = json.loads(record.getMessage())
        self._lines.append((record.created, f"{told['method']} {told['path']}", told["status"]))

    def waited(self, what: str) -> float:
        """Return the seconds between the first refusal of requests that hold `what`, and the first answer after it."""
        lines = [line for line in self._lines if what in line[1]]
        refused = next(at for at, (_, _, status) in enumerate(lines) if status == 429)
        answered = next(line for line in lines[refused:] if line[2] < 400)
        return answered[0] - lines[refused][0]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningHub]:
    monkeypatch.setenv("HF_XET_CACHE", str(tmp_path / "xet"))
    monkeypatch.setenv("HF_XET_CLIENT_RETRY_BASE_DELAY", "2s")
    monkeypatch.setattr(_xet, "_GLOBAL_XET_HOLDER", _xet.XetSessionHolder())
    settings = HubSettings(requests_per_window=REQUESTS, window_seconds=WINDOW_SECONDS)
    with running_hub(tmp_path / "hub", settings=settings) as running:
        yield running


@pytest.fixture
def seen() -> Iterator[Seen]:
    handler, log = Seen(), logging.getLogger("weighbridge.hub.request")
    before = log.level
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    yield handler
    log.removeHandler(handler)
    log.setLevel(before)


@pytest.fixture
def api(hub: RunningHub) -> HfApi:
    api = HfApi(endpoint=hub.endpoint, token=hub.user("alice"))
    api.create_repo("alice/m")
    return api


def exhausted(api: HfApi) -> HfHubHTTPError:
    """Ask until nothing is left, by a call that does not wait, and return what it raised."""
    for _ in range(10 * REQUESTS):
        try:
            api.model_info("alice/m")
        except HfHubHTTPError as error:
            return error
    raise AssertionError("there is no limit")


def test_a_call_that_does_not_wait_says_what_the_limit_is(api: HfApi) -> None:
    error = exhausted(api)
    assert error.response.status_code == 429
    assert "you have reached your 'api' rate limit" in str(error)
    assert f"(0/{REQUESTS} requests remaining in current {WINDOW_SECONDS}s window)" in str(error)
    assert 0 < int(error.response.headers["Retry-After"]) <= WINDOW_SECONDS
    assert f"Retry after {error.response.headers['Retry-After']} seconds" in str(error)


def test_a_listing_waits_for_as_long_as_it_is_told(api: HfApi, seen: Seen) -> None:
    told = int(exhausted(api).response.headers["Retry-After"])
    assert [entry.path for entry in api.list_repo_tree("alice/m")] == [".gitattributes"]
    # The client adds a second to what it is told; the one before may have been told in the second before.
    assert told <= seen.waited("/api/models/alice/m/tree/") < told + 3


def test_an_upload_and_a_download_wait_and_come_through(api: HfApi, seen: Seen, tmp_path: Path) -> None:
    data = noise(300_000)
    exhausted(api)
    api.upload_file(path_or_fileobj=data, path_in_repo="w.bin", repo_id="alice/m")
    assert seen.waited("/preupload/") >= 1
    exhausted(api)
    assert read(api, "alice/m", "w.bin", tmp_path / "cache") == data
    assert seen.waited("HEAD /alice/m/resolve/") >= 1


def test_what_goes_to_the_byte_server_is_counted_apart(hub: RunningHub, api: HfApi, seen: Seen, tmp_path: Path) -> None:
    data = noise(3_000_000)
    with httpx2.Client(base_url=hub.endpoint) as client:
        for _ in range(BYTE_REQUESTS):
            last = client.get("/cas/bytes/nothing")
            assert last.status_code == 403
    assert last.headers["RateLimit"].startswith('"bytes";r=0;')
    # hf_xet reads none of these headers: it tries again at moments of its own.
    api.upload_file(path_or_fileobj=data, path_in_repo="w.bin", repo_id="alice/m")
    assert seen.waited("/cas/") > 0
    assert read(api, "alice/m", "w.bin", tmp_path / "cache") == data


def left(hub: RunningHub, *hops: str) -> int:
    """Ask as a stranger, by way of `hops`, and return how many requests are left."""
    headers = [("X-Forwarded-For", hop) for hop in hops]
    answer = httpx2.get(f"{hub.endpoint}/api/models", headers=headers)
    return int(answer.headers["RateLimit"].split(";")[1].removeprefix("r="))


def test_who_asks_by_way_of_a_believed_proxy_is_counted_for_himself(tmp_path: Path) -> None:
    proxies = (ip_network("127.0.0.1"), ip_network("10.0.0.0/8"))
    settings = HubSettings(requests_per_window=100, proxies=proxies)
    with running_hub(tmp_path / "hub", settings=settings) as hub:
        assert [left(hub, "203.0.113.7") for _ in range(3)] == [99, 98, 97]
        assert left(hub, "203.0.113.8") == 99
        # What the caller wrote himself stands before what the proxy saw.
        assert left(hub, "198.51.100.1, 203.0.113.7") == 96
        assert left(hub, "198.51.100.2", "203.0.113.7, 10.1.2.3") == 95
        # All of a home's IPv6 addresses are one caller.
        assert [left(hub, "2001:db8::1"), left(hub, "2001:db8::2:3"), left(hub, "2001:db8:0:1::1")] == [99, 98, 99]
        # No address at all: the proxy itself is the caller.
        assert [left(hub, hop) for hop in ("unknown", "203.0.113.9, nonsense", "")] == [99, 98, 97]
        assert left(hub) == 96


def test_nobody_else_is_believed(tmp_path: Path) -> None:
    for proxies in ((), (ip_network("10.0.0.0/8"),)):
        settings = HubSettings(requests_per_window=100, proxies=proxies)
        with running_hub(tmp_path / f"hub{len(proxies)}", settings=settings) as hub:
            assert [left(hub, f"203.0.113.{number}") for number in range(3)] == [99, 98, 97]
