"""The audit `file-security`: one pass over a version's bytes, then every file by its kind."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from weighbridge.checkpoint.manifest import Manifest
from weighbridge.checkpoint.read import read_folder
from weighbridge.checkpoint.tensor import TensorEntry, quoted
from weighbridge.checkpoint.walk import list_files
from weighbridge.errors import CheckpointError, UnsafePathError
from weighbridge.evidence.audit.files.inspect import inspect_file
from weighbridge.evidence.audit.files.kind import Kind, kind_of
from weighbridge.evidence.audit.files.seen import Seen, Standing, hostile, suspect, unknown
from weighbridge.evidence.audit.files.tally import Tally
from weighbridge.evidence.audit.files.view import DiskView, FileView, on_disk
from weighbridge.evidence.audit.files.weights import read_header
from weighbridge.evidence.audit.files.weights_search import HiddenSearch, Hit, Regions, identify, is_caller
from weighbridge.evidence.record import Audit, Finding, Severity

if TYPE_CHECKING:
    from weighbridge.evidence.probe import Bench, Subject

PROBE = "file-security"
PROBE_VERSION = "1"

MAX_LISTED = 100
"""Findings of one file that are listed, the worst first; the rest is counted."""

_ARCHIVES = frozenset({Kind.ZIP, Kind.TAR, Kind.PICKLE})
_WEIGHTS = frozenset({Kind.SAFETENSORS, Kind.GGUF})


class FileSecurity:
    """Audits the security of the files of a version: a `FileProbe`."""

    name = PROBE
    version = PROBE_VERSION

    def begin(self, subject: "Subject", bench: "Bench") -> "FileSecurityAudit":
        """Get ready for one pass over the files of `subject`."""
        return FileSecurityAudit(subject.folder, subject.digest)


def audit_folder(root: Path, digest: str, *, threads: int | None = None) -> Audit:
    """Audit a folder in a pass of its own.

    Args:
        root: the folder.
        digest: of its manifest; the findings are about it. Empty to take that of the bytes that are read.
        threads: to read with; None for one a core.

    Raises:
        CheckpointError: if a file changes or cannot be read while it is hashed.
    """
    audit = FileSecurityAudit(root, digest)
    return audit.finish(read_folder(root, audit.files, visitors=[audit], threads=threads))


class FileSecurityAudit:
    """One audit at work: a `FileAudit`.

    Args:
        root: the folder.
        subject: digest that findings are about; empty for that of the manifest.
    """

    def __init__(self, root: Path, subject: str) -> None:
        self._root = root
        self._subject = subject
        self._problems: list[tuple[str, Seen]] = []
        self.files = list_files(root, report=self._problem)
        self._folder = on_disk(root, self.files)
        self._before = {file: _identity(root, file) for file in self.files}
        self._tensors: dict[str, tuple[TensorEntry, ...]] = {}
        self._data: dict[str, int] = {}
        self._kinds: dict[str, Kind] = {}
        for file in self.files:
            self._sniff(file)
        skipped = frozenset(file for file, kind in self._kinds.items() if kind in (Kind.TEXT, Kind.EMPTY))
        archives = frozenset(file for file, kind in self._kinds.items() if kind in _ARCHIVES)
        regions = {file: Regions(found) for file, found in self._tensors.items()}
        self._search = HiddenSearch(regions, skipped, archives)

    def visit(self, file: str, offset: int, block: memoryview, overlap: memoryview) -> None:
        """Search one block for what is hidden among weights; see `BlockVisitor`."""
        self._search.visit(file, offset, block, overlap)

    def finish(self, manifest: Manifest) -> Audit:
        """Look at every file by its kind, and say what was found."""
        subject = self._subject or manifest.digest
        tally = Tally()
        findings: list[Finding] = []
        standings: Counter[str] = Counter()
        not_listed = 0
        for file, seen in self._problems:
            findings.append(_finding(file, seen, subject))
        for entry in manifest:
            file = str(entry.path)
            found = self._file(file, entry.size_bytes, tally)
            standings.update(str(standing) for standing in {seen.standing for seen in found})
            not_listed += max(len(found) - MAX_LISTED, 0)
            findings += [_finding(file, seen, subject) for seen in found[:MAX_LISTED]]
        coverage = {
            "files": len(manifest.entries),
            "bytes": manifest.size_bytes,
            "kinds": {str(kind): count for kind, count in sorted(tally.kinds.items())},
            **{name: tally.counts[name] for name in ("members", "expanded_bytes", "pickles", "opcodes", "tensors")},
            "files_by_standing": {str(standing): standings[str(standing)] for standing in Standing},
            "files_not_understood": standings[str(Standing.NOT_UNDERSTOOD)],
            "findings_not_listed": not_listed,
        }
        return Audit(
            probe=PROBE, probe_version=PROBE_VERSION, subject=subject, findings=tuple(findings), coverage=coverage
        )

    def _problem(self, problem: CheckpointError) -> None:
        place = problem.place or "(folder)"
        if isinstance(problem, UnsafePathError):
            self._problems.append((place, hostile("link", problem.message, severity=Severity.HIGH)))
        else:
            self._problems.append((place, unknown("unreadable", problem.message, severity=Severity.HIGH)))

    def _sniff(self, file: str) -> None:
        try:
            with DiskView(self._root, file) as view:
                kind = self._kinds[file] = kind_of(view)
                if kind in _WEIGHTS:
                    _, tensors, self._data[file] = read_header(view, is_gguf=kind is Kind.GGUF)
                    self._tensors[file] = tensors
        except CheckpointError:
            # What is wrong with it is said when it is looked at.
            self._kinds.setdefault(file, Kind.BINARY)

    def _file(self, file: str, size_bytes: int, tally: Tally) -> list[Seen]:
        """Return what there is to say of a file, the worst first, nothing twice."""
        found: dict[Seen, None] = {}
        try:
            with DiskView(self._root, file) as view:
                if view.size_bytes != size_bytes or _identity(self._root, file) != self._before.get(file):
                    found[unknown("changed", "the file changed while it was audited", severity=Severity.HIGH)] = None
                found.update(dict.fromkeys(inspect_file(view, self._folder, tally)))
                found.update(dict.fromkeys(self._hidden(file, view)))
        except CheckpointError as error:
            found[unknown("unreadable", error.message[:300], severity=Severity.HIGH)] = None
        return sorted(found, key=lambda seen: -seen.severity)

    def _hidden(self, file: str, view: FileView) -> Iterator[Seen]:
        kind = self._kinds.get(file, Kind.BINARY)
        starts = {tensor.offset for tensor in self._tensors.get(file, ())}
        for hit in self._search.hits.get(file, ()):
            if not self._worth_checking(file, kind, hit):
                continue
            what = identify(view, hit)
            if what is not None:
                yield hostile("hidden-content", f"{what} lies inside the file", self._where(file, hit))
            elif hit.offset in starts and not is_caller(hit):
                # By chance one tensor in four thousand million starts so: that much is no chance, whatever follows.
                message = "a tensor starts with the first bytes of a program or archive"
                yield suspect("hidden-start", message, self._where(file, hit))
        if self._search.not_kept.get(file):
            message = f"at least {self._search.not_kept[file]:,} places that may start a program were not looked at"
            yield unknown("search-incomplete", message, severity=Severity.HIGH)

    def _worth_checking(self, file: str, kind: Kind, hit: Hit) -> bool:
        """Leave out what is told by the file's own structure: its start and its header."""
        return hit.offset > 0 and kind is not Kind.PROGRAM and hit.offset >= self._data.get(file, 0)

    def _where(self, file: str, hit: Hit) -> str:
        for tensor in self._tensors.get(file, ()):
            if tensor.offset <= hit.offset < tensor.end:
                return f"tensor {quoted(tensor.name)}, byte {hit.offset:,}"
        return f"byte {hit.offset:,}"


def _identity(root: Path, file: str) -> tuple[int, int, int]:
    try:
        status = os.stat(root / file)  # noqa: PTH116
    except OSError:
        return (0, 0, 0)
    return status.st_ino, status.st_size, status.st_mtime_ns


def _finding(file: str, seen: Seen, subject: str) -> Finding:
    return Finding(
        rule=f"{PROBE}/{seen.standing}/{seen.rule}",
        severity=seen.severity,
        message=seen.message,
        subject=subject,
        place=f"{file}, {seen.where}" if seen.where else file,
        probe=PROBE,
        probe_version=PROBE_VERSION,
    )
