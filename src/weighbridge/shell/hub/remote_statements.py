"""The dataset repository `OWNER/weighbridge`: what a hub in a folder keeps beside its models.

`catalogue.json`, `index.html`, `metadata/` (TUF), `status/`, `advisories/` and `attestations/`, each state one commit.
A new commit names the one that it builds upon, so that of two people who publish at once only one succeeds.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from weighbridge.errors import HubError
from weighbridge.hub.catalogue import PublishedVersion, read_catalogue
from weighbridge.hub.state import CATALOGUE, FURTHER_FOLDERS, PAGE, read_bounded, state_id
from weighbridge.shell.hub.quiet import quiet
from weighbridge.shell.hub.remote_address import STATEMENTS, RemoteAddress
from weighbridge.shell.hub.remote_errors import NotThereError, remote_errors

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_MAX_FILES = 50_000
_MAX_BYTES = 1 << 30
_CARD = "README.md"
_CARD_TEXT = """\
---
pretty_name: Signed statements about the models of {owner}
---

# What {owner} says about its models

Each commit is one state: `catalogue.json` lists the versions that are published, `status/` says of each whether it is
still good, `advisories/` holds advisories in the OSV format, `attestations/` what the publisher attests about each
version, and `metadata/` (The Update Framework) signs statuses and advisories, with dates of expiry.

    weighbridge status {owner}/NAME --hub {url} --root ROOT.json

`ROOT.json` is `metadata/root.json`. Take it from a source that you trust, and not from this hub.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statements:
    """A state of the repository.

    Attributes:
        commit: its commit; empty if there is no repository yet.
        private: whether only the owner sees it.
        catalogue: what is published.
        files: every file of the state by path.
    """

    commit: str = ""
    private: bool = True
    catalogue: Mapping[str, PublishedVersion] = field(default_factory=lambda: MappingProxyType({}))
    files: Mapping[str, bytes] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def further(self) -> Mapping[str, bytes]:
        """Metadata, statuses, advisories and attestations by path."""
        return {path: data for path, data in self.files.items() if path not in (CATALOGUE, PAGE)}

    @property
    def page(self) -> str:
        """The hub's page."""
        return self.files.get(PAGE, b"").decode("utf-8", "replace")


class StatementRepository:
    """`OWNER/weighbridge` on a hub."""

    def __init__(self, api: "HfApi", address: RemoteAddress, owner: str) -> None:
        self._api, self._address, self._owner = api, address, owner
        self.name = f"{owner}/{STATEMENTS}"
        self.place = f"{address.url}/datasets/{self.name}"

    def catalogue(self) -> Mapping[str, PublishedVersion]:
        """Return what is published; nothing if the repository is not there.

        Raises:
            HubError: if it cannot be read.
        """
        return self._read(patterns=(CATALOGUE,)).catalogue

    def read(self) -> Statements:
        """Return the state that is current.

        Raises:
            HubError: if it cannot be read.
        """
        return self._read(patterns=())

    def write(self, before: Statements, files: Mapping[str, bytes]) -> str:
        """Make the files of a state current in one commit; return the state's id.

        Args:
            before: what the state builds upon.
            files: every file of the state.

        Raises:
            ConflictError: if somebody else wrote since `before` was read.
            HubError: if the repository cannot be written to.
        """
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        with remote_errors(self.place):
            commit = before.commit or self._create()
            changed = {path: data for path, data in files.items() if before.files.get(path) != data}
            additions = [CommitOperationAdd(path, data) for path, data in sorted(changed.items())]
            if not before.files:
                card = _CARD_TEXT.format(owner=self._owner, url=self._address.url)
                additions.append(CommitOperationAdd(_CARD, card.encode()))
            gone = [CommitOperationDelete(path) for path in sorted(before.files.keys() - files.keys())]
            self._api.create_commit(
                self.name,
                [*additions, *gone],
                commit_message=f"State {state_id(files)}",
                repo_type="dataset",
                parent_commit=commit,
            )
        return state_id(files)

    def show(self) -> None:
        """Let everybody find and read it.

        Raises:
            HubError: if the hub does not allow it.
        """
        with remote_errors(self.place):
            self._api.update_repo_settings(self.name, repo_type="dataset", private=False)

    def _create(self) -> str:
        self._api.create_repo(self.name, repo_type="dataset", private=True, exist_ok=True)
        return str(self._api.dataset_info(self.name).sha)

    def _read(self, patterns: tuple[str, ...]) -> Statements:
        try:
            with remote_errors(self.place):
                info = self._api.dataset_info(self.name, files_metadata=True)
                commit, private = str(info.sha), bool(info.private)
                there = {item.rfilename: item.size or 0 for item in info.siblings or ()}
                self._check_bounds(there.values())
                if CATALOGUE not in there:
                    return Statements(commit=commit, private=private)
                folder = self._download(commit, patterns)
        except NotThereError:
            return Statements()
        files = {name: read_bounded(folder / name) for name in self._names(folder)}
        catalogue = read_catalogue(files[CATALOGUE], place=f"{self.place}/{CATALOGUE}")
        return Statements(commit=commit, private=private, catalogue=catalogue, files=MappingProxyType(files))

    def _download(self, commit: str, patterns: tuple[str, ...]) -> Path:
        wanted = list(patterns) or [CATALOGUE, PAGE, *(f"{name}/**" for name in FURTHER_FOLDERS)]
        with quiet():
            found = self._api.snapshot_download(self.name, repo_type="dataset", revision=commit, allow_patterns=wanted)
        return Path(found)

    def _check_bounds(self, sizes: Collection[int]) -> None:
        if len(sizes) > _MAX_FILES or sum(sizes) > _MAX_BYTES:
            raise HubError(
                f"it holds {len(sizes):,} files of {sum(sizes):,} bytes, more than statements about models are",
                place=self.place,
                hint="Look at what lies in this repository; somebody put other files there.",
            )

    @staticmethod
    def _names(folder: Path) -> list[str]:
        below = (path for name in FURTHER_FOLDERS for path in (folder / name).rglob("*") if path.is_file())
        fixed = (path for path in (folder / CATALOGUE, folder / PAGE) if path.is_file())
        return sorted(path.relative_to(folder).as_posix() for path in (*fixed, *below))
