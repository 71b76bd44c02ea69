"""Large files from another hub, several at once: by their chunks where the source speaks Xet, whole where it does not.

Each is entered as soon as it is verified, whatever becomes of the others: a pull that is run again leaves it alone.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from weighbridge.hub.content.content import owned_among
from weighbridge.hub.database.batch import batches
from weighbridge.hub.mirror.errors import LyingSourceError, SourceError
from weighbridge.hub.mirror.held_files import WantedFile
from weighbridge.hub.server import HubServer
from weighbridge.shell.hub.mirror_chunks import BaseOf, ChunkFetch, Planned, Told
from weighbridge.shell.hub.mirror_files import Locate, Place, fetch_whole
from weighbridge.shell.hub.mirror_http import Remote
from weighbridge.shell.hub.mirror_xet import XetSource

FILES_AT_ONCE: Final = 4
RANGES_AT_ONCE: Final = 4
"""Each holds up to one xorb, 64 MiB."""

MAX_ASKED: Final = 50
# So many files are begun: enough that nobody waits, and few enough that what is known of them stays small.
_PLANNED: Final = 2 * FILES_AT_ONCE
# A file may come by chunks in vain, then whole, and a part of it several times.
_SLACK_BYTES: Final = 64 * 1024 * 1024


@dataclass(slots=True, kw_only=True)
class Fetched:
    """What came over the network so far: files, and bytes of them."""

    files: int = 0
    size_bytes: int = 0


class LargeFiles:
    """The large files of one repository."""

    def __init__(self, hub: HubServer, repository_id: int, remote: Remote, source: XetSource, base_of: BaseOf) -> None:
        self._hub = hub
        self._repository_id = repository_id
        self._remote = remote
        self._source = source
        self._stop = threading.Event()
        self._chunks = ChunkFetch(hub, repository_id, source, base_of, stop=self._stop)
        self._lock = threading.Lock()
        self.fetched = Fetched()

    def fetch(self, wanted: Sequence[WantedFile], locate: Locate, *, advance: Callable[[int], None]) -> tuple[str, ...]:
        """Bring those that the repository does not hold yet; return the SHA-256 of what the source lacks.

        `locate` tells where files are that must come whole.

        Raises:
            LyingSourceError: if a file is not what its SHA-256, its size or its Xet hash say; nothing of it is taken.
            SourceError: if it cannot be had.
        """
        with self._hub.database.read() as connection:
            held = owned_among(connection, self._repository_id, (file.sha256 for file in wanted))
        for file in wanted:
            if held.get(file.sha256, file.size_bytes) != file.size_bytes:
                message = f"a file of {held[file.sha256]} bytes is said to have {file.size_bytes}"
                raise LyingSourceError(message, place=file.sha256)
        lacking = [file for file in wanted if file.sha256 not in held]
        for file in lacking:
            self._check_size(file)
        missing: list[str] = []
        with self._at_once() as (files, ranges):
            running: deque[Future[str]] = deque()
            for part in batches(lacking, MAX_ASKED):
                for job in self._begun(part, locate, files, ranges, advance):
                    running.append(job)
                    while len(running) > _PLANNED:
                        missing.append(running.popleft().result())
            missing += (job.result() for job in running)
        return tuple(filter(None, missing))

    @contextmanager
    def _at_once(self) -> Iterator[tuple[ThreadPoolExecutor, ThreadPoolExecutor]]:
        files = ThreadPoolExecutor(FILES_AT_ONCE, thread_name_prefix="pull-file")
        ranges = ThreadPoolExecutor(RANGES_AT_ONCE, thread_name_prefix="pull-range")
        try:
            yield files, ranges
        except BaseException:
            self._stop.set()
            ranges.shutdown(cancel_futures=True)
            raise
        finally:
            files.shutdown(cancel_futures=True)
            ranges.shutdown()

    def _begun(
        self,
        part: Sequence[WantedFile],
        locate: Locate,
        files: ThreadPoolExecutor,
        ranges: ThreadPoolExecutor,
        advance: Callable[[int], None],
    ) -> Iterator[Future[str]]:
        """Begin with some files; what each yields is its SHA-256 if the source lacks it, or nothing."""
        whole: list[WantedFile] = []
        for file in part:
            meter = self._meter(file, advance)
            planned = self._planned(file, ranges, meter.told)
            if planned is None:
                whole.append(file)
            else:
                yield files.submit(self._by_chunks, planned, locate, meter)
        places = locate({file.sha256: file.size_bytes for file in whole}) if whole else {}
        for file in whole:
            yield files.submit(self._whole, file, places, locate, self._meter(file, advance))

    def _planned(self, file: WantedFile, ranges: ThreadPoolExecutor, told: Told) -> Planned | None:
        if not file.xet_hash or not file.size_bytes or self._source.is_given_up:
            return None
        try:
            return self._chunks.plan(file, ranges, told)
        except SourceError:
            self._source.note_fault()
            return None

    def _by_chunks(self, planned: Planned, locate: Locate, meter: "_Meter") -> str:
        file = planned.file
        try:
            self._chunks.finish(planned)
        except SourceError:
            if self._stop.is_set():
                raise
            # The chunks may lie on a host that cannot be reached from here; the hub itself can.
            self._source.note_fault()
            return self._whole(file, locate({file.sha256: file.size_bytes}), locate, meter)
        self._done(meter)
        return ""

    def _whole(self, file: WantedFile, places: Mapping[str, Place], locate: Locate, meter: "_Meter") -> str:
        place = places.get(file.sha256)
        if place is None:
            return file.sha256
        fetch_whole(
            self._hub,
            self._repository_id,
            self._remote,
            file.sha256,
            file.size_bytes,
            place,
            locate,
            lambda count: self._told_whole(meter, count),
        )
        self._done(meter)
        return ""

    def _told_whole(self, meter: "_Meter", count: int) -> None:
        if self._stop.is_set():
            raise SourceError("the pull is being given up")
        meter.told(count, count)

    def _done(self, meter: "_Meter") -> None:
        meter.finish()
        with self._lock:
            self.fetched.files += 1

    def _meter(self, file: WantedFile, advance: Callable[[int], None]) -> "_Meter":
        return _Meter(self.fetched, self._lock, file.size_bytes, advance)

    def _check_size(self, file: WantedFile) -> None:
        limit = self._hub.settings.max_file_bytes
        if file.size_bytes > limit:
            raise SourceError(f"a file of {file.size_bytes:,} bytes; this hub takes {limit:,}", place=file.sha256)


class _Meter:
    """Counts what came of one file, and moves the progress by no more than its size."""

    def __init__(self, fetched: Fetched, lock: threading.Lock, size_bytes: int, advance: Callable[[int], None]) -> None:
        self._fetched = fetched
        self._lock = lock
        self._most = 4 * size_bytes + _SLACK_BYTES
        self._left = size_bytes
        self._advance = advance

    def told(self, fetched: int, arrived: int) -> None:
        """Say how many bytes came over the network, and of how many bytes of the file that was."""
        with self._lock:
            self._fetched.size_bytes += fetched
            self._most -= arrived
            if self._most < 0:
                raise LyingSourceError("its chunks unpack to far more than the file that they belong to")
            step = min(arrived, self._left)
            self._left -= step
            self._advance(step)

    def finish(self) -> None:
        """Say that all of the file is here."""
        self.told(0, self._left)
