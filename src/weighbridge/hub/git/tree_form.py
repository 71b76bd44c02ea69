"""Folders as git stores them, to bytes and back (gitformat-pack, git-fsck's checks).

Trees hold files and folders only: symbolic links and submodules lead out of a repository.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

from weighbridge.hub.git.object_id import GitObjectError
from weighbridge.hub.git.paths import GitPathError, check_segment

MAX_TREE_BYTES: Final = 128 * 2**20


class Mode(IntEnum):
    """What an entry of a tree is."""

    FILE = 0o100644
    EXECUTABLE = 0o100755
    FOLDER = 0o040000


class TreeEntry(NamedTuple):
    """One name in one folder. A named tuple because a folder may hold 100,000 of them."""

    name: str
    mode: Mode
    oid: str


def encode_tree(entries: Iterable[TreeEntry]) -> bytes:
    """Return the bytes of a folder, its entries in git's order. Raises `GitObjectError` if a name appears twice."""
    rows = []
    names = set()
    for name, mode, oid in entries:
        raw = name.encode()
        names.add(raw)
        rows.append((_order(raw, mode), b"%b %b\0%b" % (_MODE_DIGITS[mode], raw, bytes.fromhex(oid))))
    if len(names) != len(rows):
        raise GitObjectError("a folder holds each name once")
    rows.sort()
    return b"".join(row for _, row in rows)


def decode_tree(data: bytes) -> tuple[TreeEntry, ...]:
    """Return the entries of a folder in git's order. Raises `GitObjectError` for what git fsck would refuse."""
    rows = _tree_rows(data)
    if not rows:
        return ()
    modes, raw_names, raw_oids = zip(*rows, strict=True)
    keys = [name + b"/" if mode == b"40000" else name for mode, name in zip(modes, raw_names, strict=True)]
    if keys != sorted(keys) or len(set(raw_names)) != len(rows):
        raise GitObjectError("a tree's entries are out of order, or one name appears twice")
    # All at once: a folder may hold 100,000 names, and no name holds a NUL.
    oids = b"".join(raw_oids).hex()
    return tuple(
        map(
            TreeEntry._make,
            zip(
                _entry_names(raw_names),
                map(_MODES.__getitem__, modes),
                [oids[at : at + 40] for at in range(0, len(oids), 40)],
                strict=True,
            ),
        )
    )


def pick_entries(data: bytes, names: Collection[str]) -> dict[str, TreeEntry]:
    """Return those entries of a folder that go by one of `names`, much quicker than to decode them all."""
    wanted = {name.encode("utf-8", "replace") for name in names}
    found = [row for row in _tree_rows(data) if row[1] in wanted]
    texts = _entry_names([name for _, name, _ in found])
    return {text: TreeEntry(text, _MODES[mode], oid.hex()) for text, (mode, _, oid) in zip(texts, found, strict=True)}


_MODES: Final = {b"100644": Mode.FILE, b"100755": Mode.EXECUTABLE, b"40000": Mode.FOLDER}
_MODE_DIGITS: Final = {mode: digits for digits, mode in _MODES.items()}
_TREE_ENTRY = re.compile(rb"(100644|100755|40000) ([^\x00-\x1f\x7f/\\]{1,255})\0(.{20})", re.DOTALL)


def _order(name: bytes, mode: Mode) -> bytes:
    return name + b"/" if mode is Mode.FOLDER else name


def _tree_rows(data: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """Return mode, name and oid of each entry of a folder as they lie there."""
    if len(data) > MAX_TREE_BYTES:
        raise GitObjectError(f"a tree has at most {MAX_TREE_BYTES} bytes")
    rows: list[tuple[bytes, bytes, bytes]] = _TREE_ENTRY.findall(data)
    # The pattern skips what it does not match: then the parts do not add up to the whole.
    if sum(len(mode) + len(name) for mode, name, _ in rows) + 22 * len(rows) != len(data):
        raise GitObjectError("a tree holds something other than files and folders with allowed names")
    return rows


def _entry_names(names: Sequence[bytes]) -> list[str]:
    if not names:
        return []
    try:
        texts = b"\0".join(names).decode().split("\0")
        for text in texts:
            check_segment(text)
    except (UnicodeDecodeError, GitPathError) as error:
        raise GitObjectError("a tree holds a name that no repository may hold") from error
    return texts
