"""Kill an amendment of a hub at its first touch of the disk, then its second, and so on. `amend_child.py ROOT WORK`."""

import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from hub_child import MODELS, stage

from weighbridge.dossier.status import State, Status
from weighbridge.hub.folder import LocalHub, PublishedVersion
from weighbridge.hub.standing import signed_statuses, status_path

Catalogue = Mapping[str, PublishedVersion]


def said(version: PublishedVersion, generation: int) -> bytes:
    return Status(
        name=version.name,
        digest=version.digest,
        subject="",
        state=State.DEPRECATED,
        since=datetime(2026, 11, 22, tzinfo=UTC),
        circle="",
        reason=str(generation),
    ).to_bytes()


def amend(root: Path, generation: int) -> None:
    def change(catalogue: Catalogue) -> Catalogue:
        return {name: replace(version, record={"generation": generation}) for name, version in catalogue.items()}

    def further(catalogue: Catalogue, before: Mapping[str, bytes]) -> Mapping[str, bytes]:
        made = {status_path(name): said(version, generation) for name, version in catalogue.items()}
        return {**made, "metadata/timestamp.json": str(generation).encode(), "metadata/1.root.json": b"root"}

    LocalHub(root).amend(change, page=lambda _, page: str(generation), further=further)


def check(root: Path) -> int:
    """Return which generation is published, whole. Fails if anything is torn."""
    hub = LocalHub(root)
    assert hub.verify() == ()
    generations = {version.record["generation"] for version in hub.catalogue().values()}
    files = hub.files()
    generations |= {int(status.reason) for status in signed_statuses(files).values()}
    generations |= {int(data) for path, data in files.items() if path.endswith("timestamp.json")}
    generations.add(int((root / "index.html").read_text()))
    assert len(generations) == 1, generations
    assert tuple(hub.catalogue()) == MODELS
    (generation,) = generations
    if generation:
        assert (root / "metadata" / "1.root.json").read_bytes() == b"root"
    return int(generation)


def die_at(root: Path, generation: int, event: int) -> bool:
    """Amend in a forked process that is killed at its n-th touch of the disk. Say whether it lived to the end."""
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
    amend(root, generation)
    os._exit(0)


def main(root: Path, work: Path) -> None:
    staged = [stage(work / name, name, 0) for name in MODELS]
    LocalHub(root).publish(staged, page=lambda _: "0")
    outcomes, event, lived = {"old": 0, "new": 0}, 0, False
    while not lived:
        event += 1
        before = check(root)
        lived = die_at(root, event, event)
        after = check(root)
        assert after in (before, event), (before, after, event)
        outcomes["new" if after == event else "old"] += 1
    amend(root, event + 1)
    assert check(root) == event + 1
    assert list((root / ".incoming").iterdir()) == []
    assert len(list((root / "states").iterdir())) <= 2
    print(json.dumps({"steps": event, **outcomes}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
