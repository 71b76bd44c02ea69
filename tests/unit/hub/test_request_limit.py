import pytest
from aiohttp.test_utils import make_mocked_request

from weighbridge.hub.http.limit import RequestLimit
from weighbridge.hub.http.refusal import Refusal


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def refused(limit: RequestLimit, path: str) -> Refusal:
    with pytest.raises(Refusal) as caught:
        limit.take(make_mocked_request("GET", path))
    assert caught.value.status == 429
    return caught.value


def test_whoever_waits_for_as_long_as_told_is_not_too_early() -> None:
    clock = Clock()
    limit = RequestLimit(1, 10, clock=clock)
    assert limit.take(make_mocked_request("GET", "/api/models"))["RateLimit"] == '"api";r=0;t=10'
    clock.now += 0.25
    told = refused(limit, "/api/models").headers
    assert told["Retry-After"] == "10"
    clock.now += 8.5
    told = refused(limit, "/api/models").headers
    assert (told["Retry-After"], told["RateLimit"]) == ("2", '"api";r=0;t=2')
    clock.now += float(told["Retry-After"])
    limit.take(make_mocked_request("GET", "/api/models"))


def test_bytes_are_counted_apart_and_ten_times_as_many_allowed() -> None:
    limit = RequestLimit(2, 10, clock=Clock())
    for path, name, allowed in (("/cas/bytes/xorbs/a", "bytes", 20), ("/api/models", "api", 2)):
        for taken in range(allowed):
            told = limit.take(make_mocked_request("GET", path))
            assert told["RateLimit"] == f'"{name}";r={allowed - taken - 1};t=10'
            assert told["RateLimit-Policy"] == f'"fixed window";"{name}";q={allowed};w=10'
        refused(limit, path)


def test_health_is_never_refused() -> None:
    limit = RequestLimit(1, 10, clock=Clock())
    for _ in range(3):
        assert limit.take(make_mocked_request("GET", "/health/live")) == {}
