"""What the tests of the hub folder run in processes of their own. `python hub_child.py MODE ROOT ...`."""

import json
import os
import resource
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from weighbridge.checkpoint.read import read_folder
from weighbridge.errors import HubError
from weighbridge.hub.folder import LocalHub, PublishedVersion, StagedVersion

MODELS = ("acme/one", "acme/two")


def page(catalogue: Mapping[str, PublishedVersion]) -> str:
    return json.dumps({name: version.record["generation"] for name, version in catalogue.items()})


def stage(folder: Path, name: str, generation: int, *, size: int = 3000) -> StagedVersion:
    """A version with one file that all generations share, and others of its own."""
    (folder / "sub").mkdir(parents=True, exist_ok=True)
    (folder / "shared").write_bytes(b"shared" * 100)
    (folder / "weights").write_bytes(f"{name} {generation} ".encode() * (size // 10))
    (folder / "sub" / "config").write_text(str(generation))
    return StagedVersion(
        name=name,
        folder=folder,
        manifest=read_folder(folder, threads=1),
        stage="open",
        record={"generation": generation},
    )


def publish(root: Path, work: Path, generation: int, *, size: int = 3000) -> str:
    staged = [stage(work / str(generation) / name, name, generation, size=size) for name in MODELS]
    return LocalHub(root).publish(staged, page=page)


def check(root: Path) -> int:
    """Return which generation is published, whole; -1 for none. Fails if anything is torn."""
    hub = LocalHub(root)
    catalogue = hub.catalogue()
    if not catalogue:
        assert not os.path.lexists(root / "current")
        return -1
    assert hub.verify() == ()
    assert tuple(catalogue) == MODELS
    generations = {version.record["generation"] for version in catalogue.values()}
    assert len(generations) == 1, generations
    (generation,) = generations
    assert json.loads((root / "index.html").read_text()) == dict.fromkeys(MODELS, generation)
    for name in MODELS:
        for folder in (hub.path_of(name), root / "models" / name):
            assert (folder / "sub" / "config").read_text() == str(generation)
            assert (folder / "weights").read_text().startswith(f"{name} {generation} ")
    return int(generation)


def forever(root: Path, work: Path, start: int) -> None:
    """Publish one generation after the other, saying which, until killed."""
    generation = start
    while True:
        print(generation, flush=True)
        publish(root, work, generation)
        generation += 1


def die_at(root: Path, work: Path, generation: int, event: int) -> bool:
    """Publish in a forked process that is killed at its n-th touch of the disk. Say whether it lived to the end."""
    staged = [stage(work / str(generation) / name, name, generation) for name in MODELS]
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    left = event

    def count(name: str, _: object) -> None:
        nonlocal left
        if name.startswith(("os.", "open", "shutil.", "pathlib.", "fcntl.")):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    LocalHub(root).publish(staged, page=page)
    os._exit(0)


def every_step(root: Path, work: Path) -> None:
    """Kill a publish at its first touch of the disk, then its second, and so on until one gets through."""
    publish(root, work, 0)
    outcomes, event, lived = {"old": 0, "new": 0}, 0, False
    while not lived:
        event += 1
        before = check(root)
        lived = die_at(root, work, event, event)
        after = check(root)
        assert after in (before, event), (before, after, event)
        outcomes["new" if after == event else "old"] += 1
        assert not lived or after == event
    publish(root, work, event + 1)
    assert check(root) == event + 1
    assert list((root / ".incoming").iterdir()) == []
    assert len(list((root / "states").iterdir())) <= 2
    print(json.dumps({"steps": event, **outcomes}))


def limited(root: Path, work: Path, limit: int, size: int, page_bytes: int) -> None:
    """Publish where no file may grow beyond `limit` bytes."""
    staged = [stage(work / name, name, 1, size=size) for name in MODELS]
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    _report(root, staged, page_bytes)


def unprivileged(root: Path, work: Path) -> None:
    """Publish as a user who owns nothing (or, where the tests do not run as root, as oneself)."""
    staged = [stage(work / name, name, 1) for name in MODELS]
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    _report(root, staged, 0)


def _report(root: Path, staged: list[StagedVersion], page_bytes: int) -> None:
    try:
        LocalHub(root).publish(staged, page=lambda catalogue: page(catalogue) + " " * page_bytes)
    except HubError as error:
        print(json.dumps({"message": error.message, "place": error.place, "hint": error.hint}))


def many(root: Path, work: Path, owner: str, count: int) -> None:
    """Publish `count` models of one owner, one at a time."""
    for number in range(count):
        name = f"{owner}/m{number}"
        LocalHub(root).publish([stage(work / name, name, number)], page=page)


if __name__ == "__main__":
    mode, root, work = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    rest = sys.argv[4:]
    if mode == "forever":
        forever(root, work, int(rest[0]))
    elif mode == "every_step":
        every_step(root, work)
    elif mode == "limited":
        limited(root, work, *map(int, rest))
    elif mode == "unprivileged":
        unprivileged(root, work)
    elif mode == "many":
        many(root, work, rest[0], int(rest[1]))
    else:
        raise SystemExit(f"unknown mode {mode}")
