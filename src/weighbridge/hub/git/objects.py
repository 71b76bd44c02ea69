"""The four kinds of git objects, to bytes and back.

Forms as git documents them (gitformat-pack, `git help hash-object`, git-fsck's checks): an object's oid is the SHA-1
of `kind`, a blank, its size, a NUL and its bytes. What is read is bounded and checked; what git fsck would complain
of is refused. Trees hold files and folders only: symbolic links and submodules lead out of a repository.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Final, Literal, NamedTuple

from weighbridge.errors import InputError
from weighbridge.hub.git.paths import GitPathError, check_segment, is_oid, shown

ObjectKind = Literal["blob", "tree", "commit", "tag"]

KINDS: Final[tuple[ObjectKind, ...]] = ("commit", "tree", "blob", "tag")
EMPTY_TREE_OID: Final = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
EMPTY_BLOB_OID: Final = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"

MAX_BLOB_BYTES: Final = 64 * 2**20
MAX_TREE_BYTES: Final = 128 * 2**20
MAX_TEXT_BYTES: Final = 2**20
MAX_PARENTS: Final = 64
MAX_MESSAGE_BYTES: Final = 256 * 2**10
MAX_PERSON_BYTES: Final = 1024


class GitObjectError(InputError):
    """Bytes that are not a sound git object, or facts that no git object can state."""

    hint = "Run `weighbridge hub verify` if the hub itself stored it; otherwise the sender must repair it."


class MissingObjectError(GitObjectError):
    """An object that another one names is not there. `place` is its oid."""

    hint = "Run `weighbridge hub verify`: it names the revisions that lack objects."


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


class GitObject(NamedTuple):
    """An object as it is stored: its kind, and its bytes without git's header."""

    kind: ObjectKind
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who wrote a commit or a tag. Either text may be empty; neither holds `<`, `>` or control characters."""

    name: str
    email: str

    def __post_init__(self) -> None:
        for text in (self.name, self.email):
            if _person_text(text) != text:
                raise GitObjectError("a person's name and address hold no `<`, `>` or control characters")

    @classmethod
    def cleaned(cls, name: str, email: str) -> "Person":
        """Return the person whom free text names, less what git cannot keep."""
        return cls(name=_person_text(name), email=_person_text(email))


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitFacts:
    """What a commit states.

    `title` is the first line of its message, `message` the text after it (without the blank line between them).
    `committed_at` is kept in UTC, to the second. Author and committer are one on a hub.
    """

    tree: str
    parents: tuple[str, ...]
    author: Person
    committed_at: datetime
    title: str
    message: str = ""

    def __post_init__(self) -> None:
        for oid in (self.tree, *self.parents):
            if not is_oid(oid):
                raise GitObjectError("a commit names its tree and parents by 40 hexadecimal digits", place=shown(oid))
        if len(self.parents) > MAX_PARENTS or len(set(self.parents)) != len(self.parents):
            raise GitObjectError(f"a commit has at most {MAX_PARENTS} parents, each once")
        object.__setattr__(self, "committed_at", _whole_second(self.committed_at))
        title, message = _clean_title(self.title), _clean_message(self.message)
        if not title:
            first, _, message = message.partition("\n")
            title, message = _clean_title(first), message.strip("\n")
        object.__setattr__(self, "title", title)
        object.__setattr__(self, "message", message)


@dataclass(frozen=True, slots=True, kw_only=True)
class TagFacts:
    """What an annotated tag states: which object it names, by whom and when, and why (`message`)."""

    target: str
    target_kind: ObjectKind
    name: str
    tagger: Person
    tagged_at: datetime
    message: str = ""

    def __post_init__(self) -> None:
        if not is_oid(self.target) or self.target_kind not in KINDS:
            raise GitObjectError("a tag names its target by kind and 40 hexadecimal digits", place=shown(self.target))
        if not self.name or len(self.name.encode()) > MAX_PERSON_BYTES or _CONTROL.search(self.name):
            raise GitObjectError("a tag has a name of one line", place=shown(self.name))
        object.__setattr__(self, "tagged_at", _whole_second(self.tagged_at))
        object.__setattr__(self, "message", _clean_message(self.message))


def oid_of(kind: ObjectKind, data: bytes) -> str:
    """Return the oid of an object: the SHA-1 of its header and bytes, 40 hexadecimal digits."""
    # Git's identifiers are SHA-1 by its format; what must resist forgery is identified by SHA-256 elsewhere.
    digest = hashlib.sha1(b"%s %d\0" % (kind.encode(), len(data)), usedforsecurity=False)
    digest.update(data)
    return digest.hexdigest()


def blob_header(size_bytes: int) -> bytes:
    """Return what SHA-1 takes in before a blob's bytes, for whoever hashes them as they pass."""
    return b"blob %d\0" % size_bytes


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


def encode_commit(facts: CommitFacts) -> bytes:
    """Return the bytes of a commit; the same facts give the same bytes."""
    lines = [f"tree {facts.tree}", *(f"parent {parent}" for parent in facts.parents)]
    stamp = _stamp(facts.author, facts.committed_at)
    lines += [f"author {stamp}", f"committer {stamp}", "", facts.title]
    if facts.message:
        lines += ["", facts.message]
    return ("\n".join(lines) + "\n").encode()


def decode_commit(data: bytes) -> CommitFacts:
    """Return what a commit states, also one that git or another hub made. Raises `GitObjectError`."""
    headers, text = _split(data)
    fields = [value for key, value in headers if key == b"tree"]
    parents = [value for key, value in headers if key == b"parent"]
    author = [value for key, value in headers if key == b"author"]
    committer = [value for key, value in headers if key == b"committer"]
    if not len(fields) == len(author) == len(committer) == 1 or headers[0][0] != b"tree":
        raise GitObjectError("a commit has one tree, one author and one committer")
    person, _ = _parse_stamp(author[0])
    _, committed_at = _parse_stamp(committer[0])
    title, _, rest = text.lstrip("\n").partition("\n")
    return CommitFacts(
        tree=_ascii(fields[0]),
        parents=tuple(_ascii(parent) for parent in parents),
        author=person,
        committed_at=committed_at,
        title=title,
        message=rest,
    )


def encode_tag(facts: TagFacts) -> bytes:
    """Return the bytes of an annotated tag; the same facts give the same bytes."""
    lines = [
        f"object {facts.target}",
        f"type {facts.target_kind}",
        f"tag {facts.name}",
        f"tagger {_stamp(facts.tagger, facts.tagged_at)}",
        "",
    ]
    return ("\n".join([*lines, facts.message] if facts.message else lines) + "\n").encode()


def decode_tag(data: bytes) -> TagFacts:
    """Return what an annotated tag states. Raises `GitObjectError`."""
    headers, text = _split(data)
    if [key for key, _ in headers[:4]] != [b"object", b"type", b"tag", b"tagger"]:
        raise GitObjectError("a tag names its object, type, name and tagger, in this order")
    kind = next((kind for kind in KINDS if kind.encode() == headers[1][1]), None)
    if kind is None:
        raise GitObjectError("a tag names a commit, tree, blob or tag")
    tagger, tagged_at = _parse_stamp(headers[3][1])
    return TagFacts(
        target=_ascii(headers[0][1]),
        target_kind=kind,
        name=headers[2][1].decode("utf-8", "replace"),
        tagger=tagger,
        tagged_at=tagged_at,
        message=text,
    )


def check_object(kind: ObjectKind, data: bytes) -> None:
    """Raise `GitObjectError` unless `data` is a sound object of its kind."""
    match kind:
        case "blob":
            if len(data) > MAX_BLOB_BYTES:
                raise GitObjectError(f"a blob has at most {MAX_BLOB_BYTES} bytes; larger files go by LFS or Xet")
        case "tree":
            decode_tree(data)
        case "commit":
            decode_commit(data)
        case "tag":
            decode_tag(data)


_MODES: Final = {b"100644": Mode.FILE, b"100755": Mode.EXECUTABLE, b"40000": Mode.FOLDER}
_MODE_DIGITS: Final = {mode: digits for digits, mode in _MODES.items()}
_TREE_ENTRY = re.compile(rb"(100644|100755|40000) ([^\x00-\x1f\x7f/\\]{1,255})\0(.{20})", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PERSON_FORBIDDEN = re.compile("[\x00-\x1f\x7f<>]+")
_STAMP = re.compile(rb"([^<>\x00]*?) ?<([^<>\x00]*)> ([0-9]{1,12}) ([+-][0-9]{4})\Z")
_LAST_SECOND: Final = 253402300799


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


def _person_text(text: str) -> str:
    cleaned = _PERSON_FORBIDDEN.sub(" ", text).encode("utf-8", "replace")[:MAX_PERSON_BYTES].decode("utf-8", "ignore")
    # Git strips these itself when it writes a commit.
    return cleaned.strip(" .,:;\"'\\")


def _whole_second(moment: datetime) -> datetime:
    if moment.tzinfo is None or moment.timestamp() < 0:
        raise GitObjectError("a commit's time states its zone and lies after 1970")
    return moment.astimezone(UTC).replace(microsecond=0)


def _clean_title(title: str) -> str:
    cleaned = " ".join(title.replace("\0", " ").split())
    _bounded_text(cleaned)
    return cleaned


def _clean_message(message: str) -> str:
    cleaned = message.replace("\0", " ").replace("\r\n", "\n").replace("\r", "\n").strip("\n")
    _bounded_text(cleaned)
    return cleaned


def _bounded_text(text: str) -> None:
    try:
        size_bytes = len(text.encode())
    except UnicodeEncodeError as error:
        raise GitObjectError("a message is valid Unicode") from error
    if size_bytes > MAX_MESSAGE_BYTES:
        raise GitObjectError(f"a message has at most {MAX_MESSAGE_BYTES} bytes")


def _stamp(person: Person, moment: datetime) -> str:
    name = f"{person.name} " if person.name else ""
    return f"{name}<{person.email}> {int(moment.timestamp())} +0000"


def _parse_stamp(line: bytes) -> tuple[Person, datetime]:
    match = _STAMP.match(line)
    if match is None or int(match[3]) > _LAST_SECOND:
        raise GitObjectError("an author line has the form: name <address> seconds zone")
    name, email = (match[part].decode("utf-8", "replace") for part in (1, 2))
    return Person.cleaned(name, email), datetime.fromtimestamp(int(match[3]), UTC)


def _split(data: bytes) -> tuple[list[tuple[bytes, bytes]], str]:
    if len(data) > MAX_TEXT_BYTES:
        raise GitObjectError(f"a commit or tag has at most {MAX_TEXT_BYTES} bytes")
    head, blank, text = data.partition(b"\n\n")
    # A commit without any message ends with the newline of its last header, after which the blank line is all.
    if not blank and not head.endswith(b"\n"):
        raise GitObjectError("a commit or tag has headers and, after a blank line, a message")
    headers: list[tuple[bytes, bytes]] = []
    for line in head.rstrip(b"\n").split(b"\n"):
        key, space, value = line.partition(b" ")
        # A line that starts with a blank goes on with the header before it (signatures do).
        if key and not space:
            raise GitObjectError("a header of a commit or tag is a word, a blank and a value")
        if key:
            headers.append((key, value))
    if not headers:
        raise GitObjectError("a commit or tag has headers")
    return headers, text.decode("utf-8", "replace")


def _ascii(value: bytes) -> str:
    return value.decode("ascii", "replace")
