"""Commits and annotated tags as git stores them, to bytes and back (`git help hash-object`, git-fsck's checks)."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from weighbridge.hub.git.object_id import KINDS, GitObjectError, ObjectKind
from weighbridge.hub.git.paths import is_oid, shown

MAX_TEXT_BYTES: Final = 2**20
MAX_PARENTS: Final = 64
MAX_MESSAGE_BYTES: Final = 256 * 2**10
MAX_PERSON_BYTES: Final = 1024


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


_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PERSON_FORBIDDEN = re.compile("[\x00-\x1f\x7f<>]+")
_STAMP = re.compile(rb"([^<>\x00]*?) ?<([^<>\x00]*)> ([0-9]{1,12}) ([+-][0-9]{4})\Z")
_LAST_SECOND: Final = 253402300799


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
