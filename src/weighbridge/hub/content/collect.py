"""Garbage collection: what no ref, no bucket and no upload under way needs is condemned, and later deleted.

Safe beside uploads, commits and other collections. What a repository's refs reach is found without holding anything;
what is dead by that is deleted in short transactions, each of which holds the repository's row and first makes sure
that no ref has moved since. Bytes go after their rows. Whoever starts it holds the lease `collect`, so that two do not
do the same work twice.
"""

from weighbridge.hub.content.collection import NAMELESS_SECONDS, Collected, Collection
from weighbridge.hub.content.progress import Progress, Silent
from weighbridge.hub.content.release import release
from weighbridge.hub.content.sweep import condemn, nameless, sweep, uploads
from weighbridge.hub.server import HubServer


def collect(
    hub: HubServer,
    *,
    grace_seconds: int,
    dry_run: bool = False,
    progress: Progress | None = None,
    nameless_seconds: int = NAMELESS_SECONDS,
) -> Collected:
    """Free what nothing uses.

    Args:
        hub: the hub.
        grace_seconds: what is younger stays; what was condemned less long ago stays as well.
        dry_run: change nothing, and count what a collection would do now. What it would condemn only because it first
            releases it is not counted.
        progress: is told what is being done.
        nameless_seconds: how old bytes must be that no row names.

    Raises:
        HubError: if the database or the store fails; what was done until then stays done.
    """
    now_ms = hub.now_ms()
    run = Collection(
        hub=hub,
        progress=progress or Silent(),
        dry_run=dry_run,
        grace_seconds=grace_seconds,
        before_ms=now_ms - grace_seconds * 1000,
        nameless_ms=now_ms - max(grace_seconds, nameless_seconds) * 1000,
    )
    release(run)
    condemn(run)
    sweep(run)
    uploads(run)
    nameless(run)
    return run.found
