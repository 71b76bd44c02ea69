"""What the Hugging Face API tells of a repository on another hub. Whatever comes is checked before it is believed."""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from weighbridge.errors import InputError
from weighbridge.hub.git.paths import check_path, check_ref, is_oid
from weighbridge.hub.mirror.carried import MAX_REFS, CarriedRef
from weighbridge.hub.mirror.errors import SourceError
from weighbridge.hub.mirror.replay import SourceCommit, SourceFile
from weighbridge.hub.repositories.name import PREFIXES
from weighbridge.shell.hub.mirror_http import Remote

MAX_FILES: Final = 2_000_000
MAX_COMMITS: Final = 200_000
_MAX_TOKEN_CHARACTERS: Final = 16 * 1024
_PLURALS: Final = {"model": "models", "dataset": "datasets", "space": "spaces"}
_GATES: Final = ("auto", "manual")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceInfo:
    """What a repository is on its hub: `public` or `private`, and how it is gated (``''``, `auto`, `manual`)."""

    visibility: str
    gated: str


@dataclass(frozen=True, slots=True, kw_only=True)
class XetAccess:
    """Where chunks are told of, and the token for it."""

    address: str
    token: str


class SourceApi:
    """One repository of another hub. Every method raises `SourceError` for answers that make no sense."""

    def __init__(self, remote: Remote, kind: str, full_name: str) -> None:
        self._remote = remote
        self._api = f"api/{_PLURALS[kind]}/{quote(full_name)}"
        self.path = f"{PREFIXES[kind]}{quote(full_name)}"

    def info(self) -> SourceInfo:
        """Return its settings; whoever may not see it gets an `AbsentError` here."""
        stated, _ = self._remote.json(self._api)
        if not isinstance(stated, dict):
            raise self._wrong("its description is no object")
        gated = stated.get("gated")
        return SourceInfo(
            visibility="private" if stated.get("private") else "public", gated=gated if gated in _GATES else ""
        )

    def refs(self) -> tuple[CarriedRef, ...]:
        """Return its branches and tags, each with the commit that it leads to."""
        stated, _ = self._remote.json(f"{self._api}/refs")
        try:
            rows = [*stated["branches"], *stated["tags"]]
            if len(rows) > MAX_REFS:
                raise self._wrong(f"more than {MAX_REFS:,} branches and tags")
            found = [CarriedRef(name=r["ref"], oid=r["targetCommit"], commit_oid=r["targetCommit"]) for r in rows]
        except (KeyError, TypeError, AttributeError, InputError) as error:
            raise self._wrong(f"its list of refs: {error}") from error
        return tuple(sorted(found, key=lambda ref: ref.name))

    def commits(self, oid: str) -> Iterator[SourceCommit]:
        """Yield the commits that lead to `oid`, newest first."""
        following, count = f"{self._api}/commits/{oid}?limit=1000", 0
        while following:
            rows, following = self._remote.json(following)
            if not isinstance(rows, list) or not rows:
                return
            for row in rows:
                count += 1
                if count > MAX_COMMITS:
                    raise self._wrong(f"a history of more than {MAX_COMMITS:,} commits")
                yield self._commit(row)

    def files(self, commit_oid: str) -> tuple[SourceFile, ...]:
        """Return the files of a commit."""
        following, found = f"{self._api}/tree/{commit_oid}?recursive=true", []
        listed = 0
        while following:
            rows, following = self._remote.json(following)
            if not isinstance(rows, list):
                raise self._wrong("its list of files is no array")
            found += [self._file(row) for row in rows if not isinstance(row, dict) or row.get("type") != "directory"]
            listed += len(rows)
            if listed > MAX_FILES:
                raise self._wrong(f"more than {MAX_FILES:,} files and folders")
            if following and not rows:
                raise self._wrong("its list of files does not end")
        if len({file.path for file in found}) != len(found):
            raise self._wrong("it lists a path twice")
        return tuple(found)

    def files_at(self, commit_oid: str, paths: Collection[str]) -> tuple[SourceFile, ...]:
        """Return what it says of some files of a commit."""
        body = json.dumps({"paths": list(paths), "expand": False}).encode()
        rows, _ = self._remote.json(
            f"{self._api}/paths-info/{commit_oid}", body=body, headers={"Content-Type": "application/json"}
        )
        if not isinstance(rows, list) or len(rows) > len(paths):
            raise self._wrong("what it says of some files is no array of them")
        return tuple(self._file(row) for row in rows if not isinstance(row, dict) or row.get("type") != "directory")

    def xet_access(self, commit_oid: str) -> XetAccess:
        """Return where the files of a commit can be read chunk by chunk."""
        stated, _ = self._remote.json(f"{self._api}/xet-read-token/{commit_oid}")
        try:
            address, token = stated["casUrl"], stated["accessToken"]
            if not isinstance(address, str) or len(address) > _MAX_TOKEN_CHARACTERS:
                raise ValueError("no address")
            if len(token) > _MAX_TOKEN_CHARACTERS or not token.isascii() or not token.isprintable():
                raise ValueError("no token")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._wrong(f"its access to chunks: {error}") from error
        return XetAccess(address=address.rstrip("/"), token=token)

    def address(self, commit_oid: str, path: str) -> str:
        """Return where a file of a commit can be fetched."""
        return f"{self._remote.address}/{self.path}/resolve/{commit_oid}/{quote(path)}"

    def _commit(self, row: Any) -> SourceCommit:
        try:
            authors, oid = row.get("authors") or [], row["id"]
            moment = datetime.fromisoformat(str(row["date"]))
            if not is_oid(oid) or moment.tzinfo is None:
                raise ValueError("neither id nor date")
            return SourceCommit(
                oid=oid,
                author=str(authors[0].get("user") or "") if authors else "",
                committed_at=moment,
                title=str(row.get("title") or "") or "untitled",
                message=str(row.get("message") or ""),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._wrong(f"a commit is not described as commits are: {error}") from error

    def _file(self, row: Any) -> SourceFile:
        try:
            path, oid, size, lfs = check_path(row["path"]), row["oid"], row["size"], row.get("lfs") or {}
            sha256 = lfs.get("oid")
            if not is_oid(oid) or type(size) is not int or size < 0:
                raise ValueError(f"{path} has neither oid nor size")
            if sha256 is not None and (lfs.get("size") != size or not _is_sha256(sha256)):
                raise ValueError(f"{path} states two sizes, or no SHA-256")
            xet_hash = row.get("xetHash") if sha256 is not None and _is_sha256(row.get("xetHash")) else None
            return SourceFile(path=path, oid=oid, size_bytes=size, sha256=sha256, xet_hash=xet_hash)
        except (KeyError, TypeError, ValueError, AttributeError, InputError) as error:
            raise self._wrong(f"a file is not described as files are: {error}") from error

    def _wrong(self, message: str) -> SourceError:
        return SourceError(message, place=f"{self._remote.address}/{self.path}")


def chosen(refs: tuple[CarriedRef, ...], revisions: tuple[str, ...], place: str) -> tuple[CarriedRef, ...]:
    """Return those of the refs that are named; all of them if none is.

    Raises:
        InputError: for a name that is none of them.
    """
    by_name = {ref.name: ref for ref in refs}
    found: dict[str, CarriedRef] = {}
    for revision in revisions:
        names = (revision, f"refs/heads/{revision}", f"refs/tags/{revision}")
        name = next((name for name in names if name in by_name), None)
        if name is None:
            raise InputError(
                "the source has no branch or tag of this name",
                place=f"{place}@{revision[:200]}",
                hint="Commits come as parts of branches and tags.",
            )
        found[check_ref(name)] = by_name[name]
    return tuple(found.values()) if revisions else refs


def _is_sha256(text: Any) -> bool:
    return isinstance(text, str) and len(text) == 64 and set(text) <= set("0123456789abcdef")
