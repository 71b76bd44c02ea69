"""A publisher whose hub is signed, and an adopter: what the tests of its metadata act on."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tuf.ngclient import Updater

from weighbridge.dossier.status import Status
from weighbridge.gate.stage import Stage
from weighbridge.hub.folder import LocalHub
from weighbridge.hub.recall import Notice, advisories, recall
from weighbridge.hub.state import read_state, state_id
from weighbridge.shell.trust.client import TrustedHub, trusted_hub
from weighbridge.shell.trust.repository import signed_files

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "hub"))

from hub_child import page as page
from hub_child import stage as stage

NOW = datetime.now(UTC).replace(microsecond=0)
RECALL = Notice(stage=Stage.RECALLED, reason="It repeats private data.", successor="acme/two")


@dataclass(frozen=True)
class World:
    """A publisher with a hub, and an adopter with a home of their own."""

    root: Path

    @property
    def hub(self) -> LocalHub:
        return LocalHub(self.root / "hub")

    @property
    def publisher(self) -> Path:
        return self.root / "publisher"

    @property
    def pinned(self) -> bytes:
        return (self.hub.root / "metadata" / "1.root.json").read_bytes()

    def publish(self, name: str = "one", generation: int = 1, now: datetime = NOW, **settings: Any) -> str:
        staged = stage(self.root / f"{name}{generation}", f"acme/{name}", generation)
        further = signed_files(self.publisher, now=now, documents=advisories(), **settings)
        return self.hub.publish([staged], page=page, further=further)

    def renew(self, now: datetime = NOW, **settings: Any) -> str:
        further = signed_files(self.publisher, now=now, **settings)
        return self.hub.amend(lambda catalogue: catalogue, page=lambda _, page: page, further=further)

    def recall(self, name: str = "one", now: datetime = NOW) -> Status:
        further = signed_files(self.publisher, now=now, documents=advisories())
        return recall(self.hub, name, RECALL, now=now, further=further)[0]

    def look(self, name: str = "acme/one", hub: Path | str = "", digest: str = "", root: bytes = b"") -> Status | None:
        with self.client(hub, root) as client:
            return client.status(name, digest)

    @contextmanager
    def client(self, hub: Path | str = "", root: bytes = b"") -> Iterator[TrustedHub]:
        with trusted_hub(str(hub or self.hub.root), self.root / "adopter", root=root or self.pinned) as client:
            yield client

    def copy(self, name: str) -> Path:
        target = self.root / name
        shutil.copytree(self.hub.root, target, symlinks=True)
        return target


def unmodified(served: str, folder: Path, pinned: bytes) -> Updater:
    folder.mkdir(exist_ok=True)
    return Updater(
        str(folder), f"{served}/metadata/", target_dir=str(folder), target_base_url=f"{served}/", bootstrap=pinned
    )


def newest(world: World, role: str) -> bytes:
    files = {path: data for path, data in world.hub.files().items() if path.endswith(f".{role}.json")}
    return files[max(files, key=lambda path: int(path[len("metadata/") :].split(".")[0]))]


def restate(world: World) -> None:
    """Give the current state the id that its altered files have, as somebody who knows the format would."""
    current = world.hub.root / "current"
    state = current.resolve()
    made = state.rename(state.with_name(state_id(read_state(state))))
    current.unlink()
    current.symlink_to(f"states/{made.name}")
