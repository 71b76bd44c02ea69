"""Folders that `hf download` and other clients of the Hugging Face API leave, seen as the versions that they hold."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from weighbridge.adopt.verify import Problem, Verification
from weighbridge.hub.blob import hub_errors, remove

_CLIENT_FOLDER = ".cache/huggingface/"
_ATTRIBUTES = ".gitattributes"


@contextmanager
def plain(folder: Path) -> Iterator[Path]:
    """Yield a folder of plain files for a snapshot in the client's cache, whose files are links; or the folder itself.

    Nothing is copied where the file system has hard links.

    Raises:
        WorkspaceError: if a link leads out of the cache.
        HubError: if the cache cannot be read.
    """
    if not _is_snapshot(folder):
        yield folder
        return
    from weighbridge.shell.check.fetch import as_plain_files

    repository = folder.resolve().parents[1]
    with hub_errors(repository):
        try:
            beside = Path(tempfile.mkdtemp(prefix=".weighbridge-", dir=repository))
        except PermissionError:
            beside = Path(tempfile.mkdtemp(prefix="weighbridge-"))
    try:
        with hub_errors(repository):
            as_plain_files(folder.resolve(), beside / folder.name)
        yield beside / folder.name
    finally:
        with suppress(OSError):
            remove(beside)


def without_leftovers(found: Verification, root: Path) -> Verification:
    """Return what was found without the files that the hub and its client leave beside those of a version.

    That is `.gitattributes`, which the hub writes into each repository, and `.cache/huggingface/`, where the client
    notes what it fetched. Nothing loads a model from them.

    Args:
        found: what was found.
        root: the folder as it was named.
    """
    return replace(found, root=root, problems=tuple(item for item in found.problems if not _is_leftover(item)))


def _is_leftover(problem: Problem) -> bool:
    return problem.kind == "extra" and (problem.path == _ATTRIBUTES or problem.path.startswith(_CLIENT_FOLDER))


def _is_snapshot(folder: Path) -> bool:
    real = folder.resolve()
    return real.is_dir() and real.parent.name == "snapshots" and (real.parents[1] / "blobs").is_dir()
