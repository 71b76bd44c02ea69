"""Large files from another hub by their chunks: only those that the repository lacks come over the network.

A file is entered once its chunks make its Xet hash and its bytes have its SHA-256. Chunks are stored as they come, so
that a pull that was killed finds again every xorb that it had brought whole.
"""

import threading
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from sqlalchemy import Connection, select

from weighbridge.hub.content.content import Content, MissingContentError, Term, add_contents
from weighbridge.hub.database.batch import batches
from weighbridge.hub.database.schema import xorb, xorb_owner
from weighbridge.hub.http.refusal import Refusal
from weighbridge.hub.mirror.entering import check_content
from weighbridge.hub.mirror.errors import LyingSourceError, SourceError
from weighbridge.hub.mirror.held_chunks import HeldChunks, Run
from weighbridge.hub.mirror.held_files import Base, WantedFile
from weighbridge.hub.mirror.range_taking import RangeTaking
from weighbridge.hub.mirror.source_plan import SourcePlan, SourceRange, SourceTerm, check_fetched
from weighbridge.hub.server import HubServer
from weighbridge.hub.xet.xorb import XorbIndex
from weighbridge.shell.hub.mirror_http import ATTEMPTS, AbsentError, PassingSourceError, pause
from weighbridge.shell.hub.mirror_xet import XetSource

_KEPT_INDEXES: Final = 64
# A range begins anew after every cut, so one that gets on by less is no nearer to its end.
_PROGRESS_BYTES: Final = 1024 * 1024


BaseOf = Callable[[str], Base | None]
"""Returns the file that is at this path here now."""

Told = Callable[[int, int], None]
"""Is told what arrived: how many bytes of the network, and how many of the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A file whose missing chunks are on their way."""

    file: WantedFile
    terms: tuple[SourceTerm, ...]
    coming: tuple[Future[None], ...]


class ChunkFetch:
    """Brings files into one repository. `plan` from one thread, `finish` from any."""

    def __init__(
        self, hub: HubServer, repository_id: int, source: XetSource, base_of: BaseOf, *, stop: threading.Event
    ) -> None:
        self._hub = hub
        self._repository_id = repository_id
        self._source = source
        self._base_of = base_of
        self._stop = stop
        self._lock = threading.Lock()
        self._held = HeldChunks()
        self._jobs: dict[int, Future[None]] = {}
        self._next_job = 0
        self._asked: set[str] = set()
        self._bases: set[str] = set()
        self._index = lru_cache(maxsize=_KEPT_INDEXES)(self._read_index)

    def plan(self, file: WantedFile, pool: Executor, told: Told) -> Planned:
        """Ask how the file is put together, and begin to fetch what neither is here nor on its way.

        Raises:
            SourceError: if it cannot be fetched in this way.
        """
        assert file.xet_hash is not None, "only files with a Xet hash come by chunks"
        plan = self._source.plan(file.commit, file.xet_hash, file.size_bytes)
        self._learn_names({term.xorb for term in plan.terms})
        if any(self._held.jobs(term.xorb, term.first, term.end) is None for term in plan.terms):
            self._learn_base(file)
        with self._lock:
            wanted, awaited = self._expected(plan, file)
            for number, each in wanted.items():
                self._jobs[number] = pool.submit(self._fetch, number, each, file, told)
            return Planned(file=file, terms=plan.terms, coming=tuple(self._jobs[number] for number in awaited))

    def finish(self, planned: Planned) -> None:
        """Wait for the chunks of a file, verify it whole, and make the repository a holder of it.

        Raises:
            LyingSourceError: if it is not what its hashes say; nothing of it is taken.
            SourceError: if a part of it cannot be had.
        """
        for job in planned.coming:
            job.result()
        file = planned.file
        made = Content(
            sha256=file.sha256,
            xet_hash=file.xet_hash or "",
            size_bytes=file.size_bytes,
            terms=self._terms(planned),
        )
        check_content(self._hub, made, self._index, lambda message: LyingSourceError(message, place=file.sha256))
        try:
            with self._hub.database.write() as connection:
                add_contents(connection, self._repository_id, (made,), now_ms=self._hub.now_ms())
        except (MissingContentError, Refusal) as error:
            raise SourceError("what was here of a file was collected meanwhile", place=file.sha256) from error

    def _expected(self, plan: SourcePlan, file: WantedFile) -> tuple[dict[int, SourceRange], set[int]]:
        """Return the ranges to fetch, by the number of the job, and which jobs the file needs, older ones too."""
        wanted: dict[int, SourceRange] = {}
        awaited: set[int] = set()
        try:
            for term in plan.terms:
                if self._held.jobs(term.xorb, term.first, term.end) is None:
                    found = plan.range_of(term)
                    if found is None:
                        raise SourceError("it does not say where a part of a file can be fetched", place=file.sha256)
                    wanted[self._next_job] = found
                    self._held.expect(found.xorb, found.first, found.end, self._next_job)
                    self._next_job += 1
                jobs = self._held.jobs(term.xorb, term.first, term.end)
                if jobs is None:
                    raise SourceError("more chunks than are kept in mind", place=file.sha256)
                awaited |= jobs
            check_fetched(wanted.values(), size_bytes=file.size_bytes, place=file.sha256)
        except SourceError:
            for number, each in wanted.items():
                self._held.forget(each.xorb, each.first, each.end, number)
            raise
        return wanted, awaited

    def _learn_names(self, names: Collection[str]) -> None:
        new = set(names) - self._asked
        self._asked |= new
        with self._hub.database.read() as connection:
            found = _brought(connection, self._repository_id, new)
        with self._lock:
            for name, count in found:
                self._held.learn(name, 0, (Run(name, 0, count),))

    def _learn_base(self, file: WantedFile) -> None:
        base = self._base_of(file.path)
        if base is None or base.content.sha256 in self._bases:
            return
        self._bases.add(base.content.sha256)
        try:
            plan = self._source.plan(base.commit, base.content.xet_hash, base.content.size_bytes)
        except SourceError:
            return  # it is an advantage, not a need
        with self._lock:
            self._held.learn_file(plan.terms, base.content.terms)

    def _fetch(self, number: int, wanted: SourceRange, file: WantedFile, told: Told) -> None:
        try:
            runs = self._taken(wanted, file, told)
            with self._lock:
                self._held.learn(wanted.xorb, wanted.first, runs)
        finally:
            with self._lock:
                self._held.forget(wanted.xorb, wanted.first, wanted.end, number)
                del self._jobs[number]

    def _taken(self, wanted: SourceRange, file: WantedFile, told: Told) -> tuple[Run, ...]:
        length, attempt = wanted.stop - wanted.start, 0
        place = f"xorb {wanted.xorb} of the source"
        taking = RangeTaking(self._hub, self._repository_id, chunk_count=wanted.end - wanted.first, place=place)
        while taking.fed_bytes < length:
            before = taking.fed_bytes
            try:
                self._pour(wanted, taking, told)
                if taking.fed_bytes < length:
                    raise PassingSourceError("a part of a xorb ends too early", place=place)
            except (PassingSourceError, AbsentError) as error:
                attempt = 0 if taking.fed_bytes > before + _PROGRESS_BYTES else attempt + 1
                if attempt >= ATTEMPTS:
                    raise
                if isinstance(error, AbsentError):
                    wanted = self._again(wanted, file)
                pause(attempt)
        return taking.finish()

    def _pour(self, wanted: SourceRange, taking: RangeTaking, told: Told) -> None:
        for block in self._source.blocks(wanted, skip=taking.fed_bytes):
            if self._stop.is_set():
                raise SourceError("the pull is being given up")
            before = taking.raw_bytes
            taking.feed(block)
            told(len(block), taking.raw_bytes - before)

    def _again(self, wanted: SourceRange, file: WantedFile) -> SourceRange:
        """Return the range at a new address: the time of the old one may be over."""
        assert file.xet_hash is not None, "it was planned by it"
        plan: SourcePlan = self._source.plan(file.commit, file.xet_hash, file.size_bytes)
        found = plan.same_range(wanted)
        if found is None or (found.start, found.stop) != (wanted.start, wanted.stop):
            raise SourceError("it puts a file together in another way than a moment ago", place=file.xet_hash)
        return found

    def _terms(self, planned: Planned) -> tuple[Term, ...]:
        made: list[Term] = []
        for term in planned.terms:
            with self._lock:
                if not self._held.knows(term.xorb, term.first, term.end):
                    raise SourceError("more chunks than are kept in mind", place=planned.file.sha256)
                runs = tuple(self._held.find(term.xorb, term.first, term.end))
            raw_bytes = 0
            for run in runs:
                part = Term(run.xorb, run.first, run.end, self._index(run.xorb).raw_bytes_of(run.first, run.end))
                raw_bytes += part.raw_bytes
                _append(made, part)
            if raw_bytes != term.raw_bytes:
                raise LyingSourceError("a part of it has another length than was said", place=planned.file.sha256)
        return tuple(made)

    def _read_index(self, name: str) -> XorbIndex:
        with self._hub.database.read() as connection:
            packed = connection.execute(select(xorb.c.chunks).where(xorb.c.hash == name)).scalar_one_or_none()
        if packed is None:
            raise SourceError("what was here of a file was collected meanwhile", place=name)
        return XorbIndex.from_bytes(packed)


def _brought(connection: Connection, repository_id: int, names: Iterable[str]) -> list[tuple[str, int]]:
    """Return those of the xorbs that the repository brought with all their bytes, and how many chunks they have."""
    found: list[tuple[str, int]] = []
    for part in batches(sorted(names)):
        rows = connection.execute(
            select(xorb.c.hash, xorb.c.chunk_count)
            .join(xorb_owner, xorb_owner.c.hash == xorb.c.hash)
            .where(xorb_owner.c.repository_id == repository_id, xorb.c.hash.in_(part))
        )
        found += ((name, count) for name, count in rows)
    return found


def _append(made: list[Term], part: Term) -> None:
    last = made[-1] if made else None
    if last is not None and last.xorb == part.xorb and last.end_chunk == part.first_chunk:
        made[-1] = Term(last.xorb, last.first_chunk, part.end_chunk, last.raw_bytes + part.raw_bytes)
    else:
        made.append(part)
