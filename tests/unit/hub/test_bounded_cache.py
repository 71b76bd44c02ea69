"""A cache holds what fits its budget, and forgets what was not asked for longest."""

import threading

from weighbridge.hub.repositories.bounded_cache import BoundedCache


def test_what_was_used_last_stays() -> None:
    cache: BoundedCache[bytes] = BoundedCache(16_000)
    for number in range(20):
        cache.put(number, b"x", 1000)
        assert cache.get(0) == b"x"
    assert cache.held_bytes <= 16_000
    assert cache.get(19) == b"x"
    assert cache.get(1) is None


def test_what_is_too_large_pushes_nothing_out() -> None:
    cache: BoundedCache[bytes] = BoundedCache(16_000)
    cache.put("small", b"s", 100)
    cache.put("huge", b"h", 9_000)
    assert cache.get("huge") is None
    assert cache.get("small") == b"s"


def test_a_key_put_again_counts_once() -> None:
    cache: BoundedCache[bytes] = BoundedCache(16_000)
    for _ in range(100):
        cache.put("key", b"x", 1000)
    assert cache.held_bytes < 2_000


def test_threads_never_see_it_over_its_budget() -> None:
    cache: BoundedCache[int] = BoundedCache(50_000)

    def work(start: int) -> None:
        for number in range(2000):
            cache.put((start, number % 300), number, 300)
            cache.get((start, (number * 7) % 300))

    threads = [threading.Thread(target=work, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.held_bytes <= 50_000
