"""The repository of one version on a hub: made privately, filled by one commit, tagged with the version's digest."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from weighbridge.checkpoint.manifest import Manifest
from weighbridge.errors import HubError
from weighbridge.hub.catalogue import StagedVersion
from weighbridge.hub.visibility import Visibility
from weighbridge.shell.hub.quiet import quiet
from weighbridge.shell.hub.remote_errors import NotThereError, remote_errors

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

ATTRIBUTES = ".gitattributes"
"""The hub's own file: it says which files Git LFS keeps, and is no part of a version."""

_BATCH_FILES, _BATCH_BYTES = 64, 1 << 30
_TITLE = "Publish "
Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a hub has under a version's name.

    Attributes:
        visibility: who finds it, and gets its files.
        head: the commit that `main` leads to.
        digests: the digest of each version that was published here, and its commit.
    """

    visibility: Visibility
    head: str
    digests: dict[str, str]


class VersionRepository:
    """`OWNER/NAME` on a hub."""

    def __init__(self, api: "HfApi", url: str, name: str) -> None:
        self._api, self.name = api, name
        self.place = f"{url}/{name}"

    def find(self) -> Found | None:
        """Return what is there; None if nothing is, or nothing that this token is shown."""
        try:
            with remote_errors(self.place):
                info = self._api.model_info(self.name)
                tags = self._api.list_repo_refs(self.name).tags
        except NotThereError:
            return None
        gate: Any = info.gated or None
        return Found(
            visibility=Visibility(private=bool(info.private), gate=gate),
            head=str(info.sha),
            digests={tag.name: tag.target_commit for tag in tags if _is_digest(tag.name)},
        )

    def prepare(self, *, known: bool) -> Found:
        """Return the repository, made if it is not there: private, so that nobody sees it half-filled.

        Args:
            known: whether the catalogue names it. One that the catalogue does not name must be empty, or left behind
                by a run that did not come to its end; it is made private.

        Raises:
            HubError: if it cannot be made, or is somebody's for another purpose.
        """
        found = self.find()
        if found is None:
            with remote_errors(self.place):
                self._api.create_repo(self.name, private=True)
                return Found(visibility=Visibility(private=True), head="", digests={})
        if not known:
            self._check_ours(found)
            if not found.visibility.private:
                self.show(Visibility(private=True))
        return found

    def send(self, staged: StagedVersion, advance: Advance) -> "list[CommitOperationAdd]":
        """Bring the bytes of large files to the hub, where nobody sees them yet; return what a commit needs.

        Files are sent some at a time: what has arrived when a run is killed does not have to be sent again.

        Args:
            staged: the version.
            advance: told how many more bytes are there.

        Raises:
            HubError: if a file is not what the manifest states, or the hub does not take it.
        """
        sent: list[CommitOperationAdd] = []
        with remote_errors(self.place), quiet():
            for batch in _batches(staged.manifest):
                additions = [_addition(staged, path, sha256) for path, _, sha256 in batch]
                self._api.preupload_lfs_files(self.name, additions, free_memory=False)
                sent += additions
                advance(sum(size for _, size, _ in batch))
        return sent

    def commit(self, staged: StagedVersion, additions: "list[CommitOperationAdd]") -> str:
        """Make `main` exactly the version, in one commit, and tag it with the version's digest; return the commit.

        Raises:
            HubError: if the hub does not take it, or holds something else afterwards.
        """
        from huggingface_hub import CommitOperationDelete

        with remote_errors(self.place), quiet():
            wanted = {str(entry.path) for entry in staged.manifest}
            there = {path for path, _, _ in self._files("main")}
            gone = [CommitOperationDelete(path) for path in sorted(there - wanted - {ATTRIBUTES})]
            digest = staged.manifest.digest
            made = self._api.create_commit(self.name, [*additions, *gone], commit_message=f"{_TITLE}{digest}")
            self._check_holds(staged.manifest, staged, str(made.oid))
            self._api.create_tag(self.name, tag=digest, revision=made.oid, exist_ok=True)
        return str(made.oid)

    def show(self, visibility: Visibility) -> None:
        """Say who may find it and get its files.

        Raises:
            HubError: if the hub does not allow it.
        """
        with remote_errors(self.place):
            self._api.update_repo_settings(self.name, private=visibility.private, gated=visibility.gate or False)

    def replace_card(self, change: Callable[[str], str], title: str) -> bool:
        """Change the card on `main`; the tagged commits stay as they are. Say whether there was anything to change."""
        from huggingface_hub import CommitOperationAdd

        with remote_errors(self.place), quiet():
            files = {path: size for path, size, _ in self._files("main")}
            if files.get("README.md", 0) > 4 << 20:
                raise HubError("its card is too large to be one", place=self.place)
            text = ""
            if "README.md" in files:
                with open(self._api.hf_hub_download(self.name, "README.md"), encoding="utf-8") as file:  # noqa: PTH123
                    text = file.read()
            if (changed := change(text)) == text:
                return False
            self._api.create_commit(
                self.name, [CommitOperationAdd("README.md", changed.encode())], commit_message=title
            )
        return True

    def _check_ours(self, found: Found) -> None:
        with remote_errors(self.place):
            empty = not {path for path, _, _ in self._files(found.head)} - {ATTRIBUTES, "README.md"}
            last = "" if empty else next(iter(self._api.list_repo_commits(self.name))).title
        if not empty and not last.startswith(_TITLE):
            raise HubError(
                "there is a repository of this name already, and it holds something else",
                place=self.place,
                hint="Rename or delete it on the hub, or give the version another name in the plan.",
            )

    def _files(self, revision: str) -> Iterator[tuple[str, int, str]]:
        """Yield path, size and digest (SHA-256 of what LFS keeps, Git's own of the rest) of every file."""
        from huggingface_hub import RepoFile

        for item in self._api.list_repo_tree(self.name, recursive=True, revision=revision):
            if isinstance(item, RepoFile):
                yield item.path, item.size, item.lfs.sha256 if item.lfs else item.blob_id

    def _check_holds(self, manifest: Manifest, staged: StagedVersion, commit: str) -> None:
        """Return if the hub holds the files of the manifest and nothing else."""
        held = {path: (size, digest) for path, size, digest in self._files(commit) if path != ATTRIBUTES}
        for entry in manifest:
            path = str(entry.path)
            size, digest = held.pop(path, (-1, ""))
            if size != entry.size_bytes or (digest != entry.sha256 and digest != _git_oid(staged, path, len(digest))):
                raise HubError(
                    f"the hub does not hold {path} as it was sent",
                    place=self.place,
                    hint="Tell who runs the hub; nothing was made visible.",
                )
        if held:
            raise HubError(f"the hub holds {min(held)}, which is no part of the version", place=self.place)


def _git_oid(staged: StagedVersion, path: str, length: int) -> str:
    """Return the id of a file as a Git blob: SHA-1, which says what the hub holds and is not relied on for trust."""
    if length != 40:
        return ""
    data = (staged.folder / path).read_bytes()
    return hashlib.sha1(b"blob %d\0%s" % (len(data), data), usedforsecurity=False).hexdigest()


def _batches(manifest: Manifest) -> Iterator[list[tuple[str, int, str]]]:
    batch: list[tuple[str, int, str]] = []
    for entry in manifest:
        full = len(batch) >= _BATCH_FILES or sum(size for _, size, _ in batch) + entry.size_bytes > _BATCH_BYTES
        if batch and full:
            yield batch
            batch = []
        batch.append((str(entry.path), entry.size_bytes, entry.sha256))
    if batch:
        yield batch


def _addition(staged: StagedVersion, path: str, sha256: str) -> "CommitOperationAdd":
    from huggingface_hub import CommitOperationAdd

    addition = CommitOperationAdd(path, str(staged.folder / path))
    if addition.upload_info.sha256.hex() != sha256:
        raise HubError(
            "this file is not what its manifest states: it was changed after it was signed",
            place=str(staged.folder / path),
            hint="Run `weighbridge release` again.",
        )
    return addition


def _is_digest(text: str) -> bool:
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def total_bytes(versions: Iterable[StagedVersion]) -> int:
    """Return the size of all versions together."""
    return sum(staged.manifest.size_bytes for staged in versions)
