"""One state of a hub: the files that a single symbolic link makes current, all at once.

A state holds `catalogue.json`, `index.html` and `models/`, and beside them what is signed about the versions:
`metadata/` (TUF), `status/<owner>/<name>/` and `advisories/`; and what publishers attest about them,
`attestations/<owner>/<name>/`.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from weighbridge.checkpoint.manifest import relative_path
from weighbridge.dossier.publisher import PUBLISHER_NAME
from weighbridge.errors import HubError, UnsafePathError
from weighbridge.hub.blob import sync_folder, write_synced
from weighbridge.hub.catalogue import PublishedVersion, write_catalogue
from weighbridge.hub.port import Further

CATALOGUE, PAGE, MODELS = "catalogue.json", "index.html", "models"
FURTHER_FOLDERS = ("advisories", "attestations", "metadata", "status")
"""Where the further files of a state lie."""

_MAX_FILE_BYTES = 256 * 1024 * 1024
FRESH_COPY = "Bring the hub folder back from a copy that nobody altered, or publish again into a new one."


def attestation_path(name: str) -> str:
    """Return where a state keeps what the publisher of `owner/name` attests about the version that has this name."""
    return f"attestations/{name}/{PUBLISHER_NAME}"


def state_files(
    catalogue: Mapping[str, PublishedVersion],
    before: Mapping[str, bytes],
    attested: Mapping[str, bytes],
    *,
    page: Callable[[Mapping[str, PublishedVersion]], str],
    further: Further | None,
) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Return every file of a new state but the models, and those of them that are further files.

    Args:
        catalogue: what is published, by name in order.
        before: the further files of the state before.
        attested: what publishers attest about the versions that are new, by path.
        page: makes `index.html`.
        further: makes the further files; without it they stay.

    Raises:
        HubError: if a further file does not belong where its name puts it.
    """
    attestations = {**before, **attested}
    made = before if further is None else further(catalogue, before)
    said = {path: attestations.get(path, b"") for path in map(attestation_path, catalogue)}
    kept = {path: data for path, data in made.items() if not path.startswith("attestations/")}
    kept |= {path: data for path, data in said.items() if data}
    check_further(kept)
    return {CATALOGUE: write_catalogue(catalogue), PAGE: page(catalogue).encode(), **kept}, kept


def state_id(files: Mapping[str, bytes]) -> str:
    """Return the id of a state with these files.

    A state without further files has the id that it had before there were any: it binds the two fixed ones in order.
    """
    state = hashlib.sha256()
    for name in (CATALOGUE, PAGE):
        state.update(b"%d\n%s" % (len(files.get(name, b"")), files.get(name, b"")))
    for name in sorted(set(files) - {CATALOGUE, PAGE}):
        state.update(b"%s\n%d\n%s" % (os.fsencode(name), len(files[name]), files[name]))
    return state.hexdigest()[:32]


def check_state(folder: Path, files: Mapping[str, bytes]) -> None:
    """Return if the files of a state are those that its name states.

    Raises:
        HubError: if one was altered, added or taken away since.
    """
    if state_id(files) != folder.name:
        raise HubError(
            f"{CATALOGUE}, {PAGE} or what is signed was altered since it was published; nothing is signed over that",
            place=str(folder),
            hint=FRESH_COPY,
        )


def check_further(files: Mapping[str, bytes]) -> None:
    """Raise a `HubError` for a further file that does not belong where its name puts it."""
    for name in files:
        try:
            parts = relative_path(name).parts
        except UnsafePathError as error:
            raise HubError(f"a state cannot hold this file: {error.message}") from error
        if len(parts) < 2 or parts[0] not in FURTHER_FOLDERS:
            raise HubError(f"a state holds further files below {', '.join(FURTHER_FOLDERS)}, and not {name!r}")
        if any("/".join(parts[:count]) in files for count in range(2, len(parts))):
            raise HubError(f"a state cannot hold the file {name!r} below another file")


def read_state(folder: Path) -> dict[str, bytes]:
    """Return every file of a state but those of the models.

    Raises:
        FileNotFoundError: if the state is gone, or goes while it is read.
        HubError: if one of its files is too large.
    """
    return {name: read_bounded(folder / name) for name in _names(folder)}


def _names(folder: Path) -> list[str]:
    names: list[str] = []

    def fail(error: OSError) -> None:
        # Without this a folder that vanishes half-way would read as one with fewer files.
        raise error

    for place, folders, files in os.walk(folder, onerror=fail):
        here = Path(place)
        if here == folder and MODELS in folders:
            folders.remove(MODELS)
        names.extend((here / file).relative_to(folder).as_posix() for file in files)
    return sorted(names)


def read_bounded(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        OSError: if there is none, or it cannot be read.
        HubError: if it is no regular file, or larger than any file of a state or manifest is.
    """
    # A pipe without a writer would wait for ever.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise HubError("this is no regular file", place=str(path), hint=FRESH_COPY)
        # `read` sets aside as much memory as it is asked for.
        data = file.read(min(os.fstat(file.fileno()).st_size, _MAX_FILE_BYTES) + 1)
    if len(data) > _MAX_FILE_BYTES:
        raise HubError(f"the file is larger than {_MAX_FILE_BYTES} bytes", place=str(path))
    return data


def write_state(
    folder: Path,
    files: Mapping[str, bytes],
    catalogue: Mapping[str, PublishedVersion],
    *,
    before: Path | None = None,
    unchanged: frozenset[str] = frozenset(),
) -> None:
    """Write a new state and bring it to the disk.

    Args:
        folder: must not exist.
        files: every file of it but the models.
        catalogue: the versions that `models/` leads to.
        before: the current state.
        unchanged: files that are the same there; they get a second name in place of a second copy.
    """
    folder.mkdir()
    made = {folder}
    for name, data in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        made.update(parent for parent in target.parents if parent.is_relative_to(folder))
        if before is None or name not in unchanged or not _linked(before / name, target):
            write_synced(target, data)
    models = folder / MODELS
    models.mkdir()
    for name, version in catalogue.items():
        link = models / name
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(f"../../../../versions/{version.digest}")
    for path in (*models.iterdir(), models, *made):
        sync_folder(path)


def _linked(source: Path, target: Path) -> bool:
    try:
        os.link(source, target)
    except OSError:
        return False
    return True
