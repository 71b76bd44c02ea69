"""Two hubs: a source with a repository, behind a proxy, and one that pulls from it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from filled_repository import commit
from flipping_proxy import FlippingProxy, flipping_proxy
from huggingface_hub import HfApi
from running_hub import RunningHub, Silent, running_hub
from sqlalchemy import func, select

from weighbridge.hub.database.schema import ref
from weighbridge.shell.hub import mirror_chunks, mirror_files, mirror_http
from weighbridge.shell.hub.mirror_pull import Pulled, PullWish, pull

BIG = 3 * 2**20
WEIGHTS = Random(1).randbytes(BIG)
CARD = b"---\nlicense: mit\n---\n# A card\n"
NO_XET = "xet-read-token"


@dataclass(frozen=True, slots=True, kw_only=True)
class Two:
    """A source behind a proxy, and the hub that pulls from it; `alice` is on both."""

    source: RunningHub
    here: RunningHub
    proxy: FlippingProxy
    api: HfApi
    mine: HfApi
    token: str

    def pull(self, name: str = "alice/m", **wish: Any) -> Pulled:
        token = wish.pop("token", self.token)
        wish = {"address": self.proxy.endpoint, "kind": "model", "full_name": name, "target": name, **wish}
        return pull(self.here.hub, PullWish(**wish), token=token, progress=Silent())

    def without_xet(self) -> None:
        """Let the source speak no Xet: large files come whole."""
        self.proxy.refused.append(NO_XET)

    def heads(self, api: HfApi, name: str = "alice/m") -> dict[str, str]:
        listed = api.list_repo_refs(name)
        return {each.ref: each.target_commit for each in (*listed.branches, *listed.tags)}


@pytest.fixture
def two(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Two]:
    """On SQLite; tests that name `database` run on PostgreSQL too."""
    database = request.getfixturevalue("database") if "database" in request.fixturenames else ""
    monkeypatch.setattr(mirror_chunks, "pause", lambda attempt: None)
    monkeypatch.setattr(mirror_files, "pause", lambda attempt: None)
    monkeypatch.setattr(mirror_http, "pause", lambda attempt: None)
    with (
        running_hub(tmp_path / "source") as source,
        running_hub(tmp_path / "here", database=database) as here,
        flipping_proxy(source.endpoint) as proxy,
    ):
        token = source.user("alice")
        yield Two(
            source=source,
            here=here,
            proxy=proxy,
            api=HfApi(endpoint=source.endpoint, token=token),
            mine=HfApi(endpoint=here.endpoint, token=here.user("alice")),
            token=token,
        )


@pytest.fixture
def filled(two: Two) -> Two:
    """The repository `alice/m`: four commits, a second branch, a tag with a message, a large file in a folder."""
    two.api.create_repo("alice/m")
    commit(two.source, "alice/m", {"README.md": CARD}, title="A card")
    two.api.upload_file(
        path_or_fileobj=WEIGHTS,
        path_in_repo="deep/w.bin",
        repo_id="alice/m",
        commit_message="Weights",
        commit_description="Trained for long.",
    )
    two.api.create_tag("alice/m", tag="v1", tag_message="the first")
    two.api.create_branch("alice/m", branch="dev")
    commit(two.source, "alice/m", {"note.txt": b"other"}, title="Note", ref="refs/heads/dev")
    return two


def refs_here(hub: RunningHub) -> int:
    with hub.hub.database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(ref)).scalar_one())


def downloaded(api: HfApi, folder: Path, path: str = "deep/w.bin", revision: str = "main") -> bytes:
    return Path(api.hf_hub_download("alice/m", path, revision=revision, local_dir=folder)).read_bytes()


def flipped(part: str) -> Callable[[str, bytes], bytes]:
    def change(path: str, body: bytes) -> bytes:
        at = len(body) // 2
        return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :] if part in path and body else body

    return change


def nothing_is_visible(two: Two) -> None:
    assert refs_here(two.here) == 0
