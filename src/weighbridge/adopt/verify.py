"""Is a folder exactly what its publisher signed?"""

import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from weighbridge.checkpoint.digest import FileDigests
from weighbridge.checkpoint.manifest import Manifest
from weighbridge.checkpoint.read import BlockVisitor, read_folder
from weighbridge.checkpoint.walk import list_files
from weighbridge.dossier.envelope import unseal
from weighbridge.dossier.publisher import PREDICATE_TYPE, check_publisher
from weighbridge.dossier.signature import MAX_BUNDLE_BYTES, SIGNATURE_NAME, Verifier
from weighbridge.dossier.signature_reader import SignedFiles, read_signature
from weighbridge.errors import CheckpointError, InputError, VerificationError

__all__ = ["SIGNATURE_NAME", "Problem", "Verification", "verify_attestation", "verify_folder"]

_HASH_NAMES = {"sha256": "SHA-256", "blake3": "BLAKE3", "blake2b": "BLAKE2b"}

ProblemKind = Literal["changed", "missing", "extra", "unsafe"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One file that is not as signed."""

    path: str
    kind: ProblemKind
    message: str

    def to_json(self) -> dict[str, str]:
        """Return a JSON form."""
        return {"path": self.path, "kind": self.kind, "message": self.message}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was found in a folder whose signature is good.

    Attributes:
        root: the folder.
        manifest: the signed files that were read, with the digests that were found.
        files: how many files are signed.
        problems: what is not as signed, by path.
    """

    root: Path
    manifest: Manifest
    files: int
    problems: tuple[Problem, ...]

    @property
    def digest(self) -> str:
        """Digest of the manifest."""
        return self.manifest.digest

    @property
    def size_bytes(self) -> int:
        """How many bytes were read."""
        return self.manifest.size_bytes

    @property
    def ok(self) -> bool:
        """Whether the folder holds the signed bytes and nothing else."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """Return a JSON form."""
        return {
            "root": str(self.root),
            "ok": self.ok,
            "digest": self.digest,
            "files": self.files,
            "size_bytes": self.size_bytes,
            "problems": [problem.to_json() for problem in self.problems],
        }


def verify_folder(
    root: Path,
    verifier: Verifier,
    *,
    visitors: Sequence[BlockVisitor] = (),
    on_bytes: Callable[[int], None] | None = None,
    threads: int | None = None,
) -> Verification:
    """Compare every byte of the folder with its `model.sig`.

    Each signed file is read once. Files that are not signed are not read: that they are there is the problem.

    Args:
        root: a folder that holds `model.sig`.
        verifier: whom to trust: a key, root certificates, or an identity.
        visitors: look at the bytes in the same pass.
        on_bytes: told how many more bytes have been read.
        threads: how many files are read at once; all cores by default.

    Raises:
        InputError: if the folder cannot be read.
        VerificationError: if it is not signed, or its signature is not good.
    """
    if not root.is_dir():
        raise InputError("there is no such folder", place=str(root), hint="Name the folder that holds `model.sig`.")
    signed = read_signature(_read_bundle(root / SIGNATURE_NAME), verifier, place=str(root / SIGNATURE_NAME))
    present, unsafe = _survey(root)
    present.discard(SIGNATURE_NAME)
    other = None if signed.hash_type == "sha256" else FileDigests(signed.hash_type)
    looking = [*visitors, other] if other else visitors
    files = sorted(present & signed.digests.keys())
    manifest = read_folder(root, files, visitors=looking, threads=threads, on_bytes=on_bytes)
    seen = {str(e.path): other.hexdigest(str(e.path)) if other else e.sha256 for e in manifest}
    problems = (*unsafe, *_compare(signed, present, seen, {problem.path for problem in unsafe}))
    return Verification(
        root=root,
        manifest=manifest,
        files=len(signed.digests),
        problems=tuple(sorted(problems, key=lambda problem: (problem.path, problem.kind))),
    )


def verify_attestation(found: Verification, attestation: bytes, verifier: Verifier, *, place: str) -> str:
    """Return the package URL under which the publisher released exactly what was found.

    Args:
        found: what `verify_folder` found.
        attestation: the publisher's detached attestation.
        verifier: whom to trust.
        place: the attestation's file, for errors.

    Raises:
        VerificationError: if it is not signed by the publisher, or about other files or another signature.
    """
    stated = unseal(attestation, verifier, predicate_type=PREDICATE_TYPE, place=place)
    return check_publisher(stated, found.manifest, _read_bundle(found.root / SIGNATURE_NAME), place=place)


def _compare(signed: SignedFiles, present: set[str], seen: Mapping[str, str], unsafe: set[str]) -> Iterator[Problem]:
    for path in signed.digests.keys() - present - unsafe:
        yield Problem(path=path, kind="missing", message="is signed but not there")
    for path in present - signed.digests.keys():
        yield Problem(path=path, kind="extra", message="is there but not signed")
    for path, digest in seen.items():
        if digest != (expected := signed.digests[path]):
            message = f"its bytes differ: {_HASH_NAMES[signed.hash_type]} is {digest}, signed was {expected}"
            yield Problem(path=path, kind="changed", message=message)


def _read_bundle(path: Path) -> bytes:
    try:
        # O_NONBLOCK: opening a named pipe must not wait for somebody to write to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise VerificationError("the signature is not a regular file", place=str(path))
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                # `read` sets aside as much memory as it is asked for.
                return file.read(min(found.st_size, MAX_BUNDLE_BYTES) + 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError as error:
        raise VerificationError(
            "the folder is not signed: it holds no model.sig",
            place=str(path.parent),
            hint="Obtain the folder again, with its model.sig; do not use unsigned files as if they were signed.",
        ) from error
    except OSError as error:
        raise VerificationError(f"the signature cannot be read: {error.strerror}", place=str(path)) from error


def _survey(root: Path) -> tuple[set[str], list[Problem]]:
    """List the files below `root`, and what is there but is no file that stays inside it."""
    found: list[CheckpointError] = []
    files = set(list_files(root, report=found.append))
    return files, [_unsafe(root, error) for error in found]


def _unsafe(root: Path, error: CheckpointError) -> Problem:
    # A name that is no text (undecodable bytes) must still be printable.
    place = (error.place.rstrip("/") or str(root)).encode("utf-8", "backslashreplace").decode("utf-8")
    return Problem(path=place, kind="unsafe", message=error.message)
