"""Rereads everything that the hub keeps, and says of each damage which repositories, revisions and paths it touches."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import func, select

from weighbridge.hub.content.content import Content, ContentError, many
from weighbridge.hub.content.progress import Progress, Silent
from weighbridge.hub.content.read import blocks
from weighbridge.hub.content.verify_repository import Bad, Touched, bucket_touches, repository_damage
from weighbridge.hub.database.schema import content, content_xorb, repository, xorb
from weighbridge.hub.server import HubServer
from weighbridge.hub.store.port import ByteStoreError
from weighbridge.hub.xet.errors import XetError
from weighbridge.hub.xet.merkle import from_hex
from weighbridge.hub.xet.xorb import read_xorb

MAX_TOUCHED: Final = 1000
"""So many places of one damage are named."""

_PAGE: Final = 500
_NO_KEY = "probe/verify"


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """Something that is not as it was acknowledged.

    Attributes:
        what: `xorb HASH`, `file SHA256`, `git object OID` or `ref NAME`.
        problem: what is wrong with it.
        place: where it is kept.
        touched: which files of which revisions cannot be trusted or read; none if nothing uses it.
    """

    what: str
    problem: str
    place: str
    touched: tuple[Touched, ...]

    def __str__(self) -> str:
        lines = [f"{self.what} {self.problem} ({self.place})", *(f"  touches {place}" for place in self.touched)]
        return "\n".join(lines) if self.touched else f"{lines[0]}: nothing uses it"


@dataclass(slots=True, kw_only=True)
class _Found:
    what: str
    problem: str
    place: str
    touched: list[Touched] = field(default_factory=list)

    def damage(self) -> Damage:
        touched = tuple(dict.fromkeys(self.touched))[:MAX_TOUCHED]
        return Damage(what=self.what, problem=self.problem, place=self.place, touched=touched)


def verify(hub: HubServer, progress: Progress | None = None) -> Iterator[Damage]:
    """Yield every damage, once all has been read.

    Every xorb is read and its chunks hashed; every file is put together and its SHA-256 computed; every Git object is
    hashed, and every ref followed. Uploads may go on meanwhile: what is new is not looked at, what goes is passed over.

    Raises:
        HubError: if the database or the store cannot be read at all.
    """
    work = _Verification(hub, progress or Silent())
    work.xorbs()
    work.files()
    work.repositories()
    yield from (found.damage() for found in work.found)


class _Verification:
    def __init__(self, hub: HubServer, progress: Progress) -> None:
        self.found: list[_Found] = []
        self._hub = hub
        self._progress = progress
        self._by_sha: dict[str, list[_Found]] = {}

    def xorbs(self) -> None:
        """Read every xorb."""
        total = self._scalar(select(func.coalesce(func.sum(xorb.c.size_bytes), 0)))
        advance = self._progress.begin("Reading xorbs", int(total))
        for row in self._rows(select(xorb.c.hash, xorb.c.key, xorb.c.size_bytes, xorb.c.chunks), xorb.c.hash):
            problem = self._xorb_problem(row)
            advance(row.size_bytes)
            if problem and self._is_there(xorb.c.hash, row.hash):
                found = _Found(what=f"xorb {row.hash}", problem=problem, place=f"{self._hub.store.place}/{row.key}")
                self.found.append(found)
                users = select(content_xorb.c.sha256).where(content_xorb.c.xorb == row.hash)
                for sha256 in self._scalars(users):
                    self._by_sha.setdefault(sha256, []).append(found)

    def _xorb_problem(self, row: Any) -> str:
        try:
            stored = self._hub.store.open_blocks(row.key, end=row.size_bytes)
            index = read_xorb(stored, expected=from_hex(row.hash))
        except XetError as error:
            return f"is damaged: {error.message}"
        except ByteStoreError as error:
            self._must_answer()
            return f"cannot be read: {error.message}"
        return "" if index.to_bytes() == row.chunks else "has an index that is not its own"

    def files(self) -> None:
        """Put every file together, but for those whose xorbs are known to be damaged."""
        total = self._scalar(select(func.coalesce(func.sum(content.c.size_bytes), 0)))
        advance = self._progress.begin("Reading files", int(total))
        for row in self._rows(select(content.c.sha256, content.c.size_bytes), content.c.sha256):
            if row.sha256 not in self._by_sha:
                problem = self._file_problem(row.sha256)
                if problem and self._is_there(content.c.sha256, row.sha256):
                    found = _Found(what=f"file {row.sha256}", problem=problem, place="table content")
                    self.found.append(found)
                    self._by_sha[row.sha256] = [found]
            advance(row.size_bytes)

    def _file_problem(self, sha256: str) -> str:
        state, size = hashlib.sha256(), 0
        try:
            with self._hub.database.read() as connection:
                stored: Content | None = many(connection, (sha256,)).get(sha256)
            if stored is None:
                return ""
            for block in blocks(self._hub, stored):
                state.update(block)
                size += len(block)
        except (XetError, ContentError, ByteStoreError) as error:
            self._must_answer()
            return f"cannot be put together: {error.message}"
        if (state.hexdigest(), size) == (sha256, stored.size_bytes):
            return ""
        return f"puts together to {size} bytes with the SHA-256 {state.hexdigest()}"

    def _must_answer(self) -> None:
        """Raise a `ByteStoreError` if the store answers nothing at all: what it holds is not damaged by that."""
        self._hub.store.size(_NO_KEY)

    def repositories(self) -> None:
        """Hash the Git objects of every repository, follow its refs, and find what each damage touches."""
        statement = select(repository.c.id, repository.c.kind, repository.c.full_name)
        total = self._scalar(select(func.count()).select_from(repository))
        advance = self._progress.begin("Following refs", int(total), unit="repositories")
        for row in self._rows(statement, repository.c.id, start=0):
            name = f"{row.kind} {row.full_name}"
            problems = {sha256: [found.what for found in founds] for sha256, founds in self._by_sha.items()}
            self._enter(name, repository_damage(self._hub, row.id, name, frozenset(problems)))
            for sha256, touched in bucket_touches(self._hub, row.id, name, frozenset(problems)):
                self._touch(sha256, touched)
            advance(1)

    def _enter(self, name: str, bad: Iterable[Bad]) -> None:
        for item in bad:
            if item.sha256 and item.sha256 in self._by_sha:
                for touched in item.touched:
                    self._touch(item.sha256, touched)
            else:
                found = _Found(what=item.what, problem=item.problem, place=name, touched=list(item.touched))
                self.found.append(found)

    def _touch(self, sha256: str, touched: Touched) -> None:
        for found in self._by_sha[sha256]:
            if len(found.touched) < MAX_TOUCHED:
                found.touched.append(touched)

    # ---- reading in pages, each in a transaction of its own

    def _rows(self, statement: Any, key: Any, start: Any = "") -> Iterator[Any]:
        last = start
        while True:
            with self._hub.database.read() as connection:
                page = connection.execute(statement.where(key > last).order_by(key).limit(_PAGE)).all()
            if not page:
                return
            yield from page
            last = getattr(page[-1], key.name)

    def _scalars(self, statement: Any) -> Sequence[str]:
        with self._hub.database.read() as connection:
            return list(connection.execute(statement).scalars())

    def _scalar(self, statement: Any) -> Any:
        with self._hub.database.read() as connection:
            return connection.execute(statement).scalar_one()

    def _is_there(self, key: Any, name: str) -> bool:
        """Say whether the row is still there: garbage collection may go on meanwhile."""
        return bool(self._scalars(select(key).where(key == name)))
