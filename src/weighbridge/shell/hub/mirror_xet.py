"""Large files of another hub chunk by chunk, as hf_xet reads them: how a file is put together, and ranges of xorbs.

Protocol: xet-core `openapi/cas.openapi.yaml`, version 1 of reconstructions. hf_xet itself is not asked to fetch: it
gives whole files, and knows nothing of the chunks that are here.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from weighbridge.hub.database.batch import batches
from weighbridge.hub.mirror.errors import LyingSourceError, SourceError
from weighbridge.hub.mirror.held_files import WantedFile
from weighbridge.hub.mirror.source_plan import SourcePlan, SourceRange, read_plan
from weighbridge.shell.hub.mirror_api import SourceApi, XetAccess
from weighbridge.shell.hub.mirror_http import AbsentError, Remote

MAX_FAULTS: Final = 3
"""After so many files that could not be had this way, the source is not asked any more."""


class XetSource:
    """The chunks of one repository of another hub. For several threads at once."""

    def __init__(self, remote: Remote, api: SourceApi) -> None:
        self._remote = remote
        self._api = api
        self._lock = threading.Lock()
        self._access: dict[str, XetAccess] = {}
        self._faults = 0

    @property
    def is_given_up(self) -> bool:
        """Whether it is not worth asking."""
        return self._faults >= MAX_FAULTS

    def note_fault(self) -> None:
        """Count a file that could not be had this way."""
        with self._lock:
            self._faults += 1

    def plan(self, commit: str, xet_hash: str, size_bytes: int) -> SourcePlan:
        """Return how a file of a commit is put together.

        Raises:
            SourceError: if the source does not say, or says what makes no sense.
        """
        access = self._of(commit)
        try:
            stated, place = self._asked(access, xet_hash)
        except AbsentError:
            # The token may have expired: a new one, once.
            with self._lock:
                if self._access.get(commit) is access:
                    del self._access[commit]
            stated, place = self._asked(self._of(commit), xet_hash)
        return read_plan(stated, size_bytes=size_bytes, place=place)

    def blocks(self, wanted: SourceRange, *, skip: int) -> Iterator[bytes]:
        """Yield the bytes of a range, less the first `skip`.

        The whole range is asked for every time: its address is signed for that, and may lie on another host.

        Raises:
            SourceError: if it cannot be had; see `Remote.open`.
            LyingSourceError: if more comes.
        """
        length = wanted.stop - wanted.start
        headers = {"Range": f"bytes={wanted.start}-{wanted.stop - 1}"}
        with self._remote.open(wanted.url, headers=headers, authorization="") as answer:
            stated = answer.headers.get("Content-Range", "")
            if answer.status != 206 or not stated.startswith(f"bytes {wanted.start}-{wanted.stop - 1}/"):
                raise SourceError("it sends another part of a xorb than was asked for", place=answer.url)
            left = length - skip
            for block in answer.blocks(skip=skip):
                left -= len(block)
                if left < 0:
                    raise LyingSourceError("more came than was asked for", place=answer.url)
                yield block

    def _of(self, commit: str) -> XetAccess:
        with self._lock:
            found = self._access.get(commit)
        if found is None:
            found = self._api.xet_access(commit)
            with self._lock:
                self._access[commit] = found
        return found

    def _asked(self, access: XetAccess, xet_hash: str) -> tuple[object, str]:
        url = f"{access.address}/v1/reconstructions/{xet_hash}"
        stated, _ = self._remote.json(url, authorization=f"Bearer {access.token}")
        return stated, url


def with_xet_hashes(api: SourceApi, files: Sequence[WantedFile]) -> tuple[WantedFile, ...]:
    """Return the files, each with its Xet hash where the source states one at the path that is known."""
    by_commit: dict[str, list[WantedFile]] = {}
    for file in files:
        by_commit.setdefault(file.commit, []).append(file)
    stated: dict[str, str | None] = {}
    for commit, there in by_commit.items():
        for part in batches([file.path for file in there if file.path]):
            try:
                stated.update((row.sha256, row.xet_hash) for row in api.files_at(commit, part) if row.sha256)
            except SourceError:
                return tuple(files)  # all of them can come whole
    return tuple(replace(file, xet_hash=stated.get(file.sha256)) for file in files)
