"""YAML text to plain values that know their line and column; nothing that could surprise or swell is accepted.

Plans, use files and model cards need a small part of YAML: one document of mappings, lists and scalars. Anchors and
aliases (a few lines can stand for gigabytes), tags (they name code) and repeated keys are refused. Of plain scalars
only `null`, `true`, `false` and decimal numbers are more than text, as in YAML 1.2: `no` is Norwegian here, and `1:30`
is not ninety.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from weighbridge.errors import InputError, PlanError

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_NODES = 50_000

Trail = tuple[str | int, ...]
"""Where a value is: keys and list positions from the top."""

_INTEGER = re.compile(r"[-+]?[0-9]{1,18}\Z")
_FLOAT = re.compile(r"[-+]?([0-9]{1,40}\.[0-9]{0,40}|\.[0-9]{1,40}|[0-9]{1,40}(?=[eE]))([eE][-+]?[0-9]{1,2})?\Z")
_CONSTANTS = {"": None, "~": None, "null": None, "Null": None, "NULL": None} | {
    text: text.lower() == "true" for text in ("true", "True", "TRUE", "false", "False", "FALSE")
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What kind of document is read: what errors call it, and which error they are."""

    noun: str
    error: type[InputError]
    hint: str = ""


PLAN = Kind(noun="a plan", error=PlanError)


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a text file; both count from one."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A YAML document as plain values, with the position of every value and key.

    Attributes:
        file: name of the file, as errors show it.
        value: mappings, lists, text, numbers, booleans and None.
        values: position of each value.
        keys: position of each key of a mapping, by the path of its value.
    """

    file: str
    value: Any
    values: Mapping[Trail, Position]
    keys: Mapping[Trail, Position]

    def place(self, path: Trail, *, key: bool = False) -> str:
        """Return `file:line:column` of a value, or of its key; of the nearest thing around it if it is absent."""
        if key and path in self.keys:
            return _place(self.file, self.keys[path])
        while path and path not in self.values:
            path = path[:-1]
        return _place(self.file, self.values.get(path, Position(1, 1)))


def read_document(data: bytes, *, file: str, kind: Kind = PLAN, first_line: int = 1) -> Document:
    """Read YAML.

    Args:
        data: at most `MAX_BYTES` of UTF-8.
        file: name of the file, for errors.
        kind: what it is, for errors.
        first_line: number of the line of the file that `data` begins with.

    Raises:
        InputError: of the kind's class, if it is not UTF-8, not YAML, or uses what such a document has no use for;
            `place` is `file:line:column`.
    """
    if len(data) > MAX_BYTES:
        raise kind.error(f"{kind.noun} has at most {MAX_BYTES:,} bytes", place=file, hint=kind.hint)

    def wrong(message: str, where: Position | None = None) -> InputError:
        place = _place(file, Position(where.line + first_line - 1, where.column)) if where else file
        return kind.error(message, place=place, hint=kind.hint)

    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise wrong("this is not UTF-8 text", _count(data[: error.start].decode("utf-8"))) from None
    try:
        return _Builder(file, kind, first_line).build(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = Position(mark.line + 1, mark.column + 1) if mark else Position(1, 1)
        raise wrong(f"this is not YAML: {error.problem or error.context}", where) from None
    except yaml.reader.ReaderError as error:
        # PyYAML's own message says nothing more than that the character is not printable.
        raise wrong("this character is not allowed in YAML", _count(text[: error.position])) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # An escape such as "\UFFFFFFFF" makes PyYAML ask Python for a character that there is not.
        raise wrong(f"this is not YAML: {error}") from None


@dataclass(slots=True)
class _Frame:
    """A mapping or list whose end has not been read yet."""

    container: dict[str, Any] | list[Any]
    path: Trail
    key: str | None = None


@dataclass(slots=True)
class _Builder:
    """Builds a document from parser events, without recursion, so that depth is checked before it is reached."""

    file: str
    kind: Kind = PLAN
    first_line: int = 1
    root: Any = None
    values: dict[Trail, Position] = field(default_factory=dict)
    keys: dict[Trail, Position] = field(default_factory=dict)
    stack: list[_Frame] = field(default_factory=list)
    documents: int = 0
    nodes: int = 0

    def build(self, events: Iterator[Any]) -> Document:
        for event in events:
            match event:
                case yaml.DocumentStartEvent():
                    self.documents += 1
                    if self.documents > 1:
                        raise self._error(f"{self.kind.noun} is one document; a second one starts here", event)
                case yaml.NodeEvent():
                    self._check(event)
                    self._node(event)
                case yaml.CollectionEndEvent():
                    self.stack.pop()
        return Document(file=self.file, value=self.root, values=self.values, keys=self.keys)

    def _check(self, event: Any) -> None:
        self.nodes += 1
        if event.anchor is not None:
            raise self._error("anchors and aliases (& and *) are not used here; write the value out", event)
        if event.tag is not None:
            raise self._error("tags (!) are not used here", event)
        if self.nodes > MAX_NODES:
            raise self._error(f"{self.kind.noun} has at most {MAX_NODES:,} values", event)
        if len(self.stack) >= MAX_DEPTH:
            raise self._error(f"{self.kind.noun} is nested at most {MAX_DEPTH} deep", event)

    def _node(self, event: Any) -> None:
        frame = self.stack[-1] if self.stack else None
        if frame is not None and isinstance(frame.container, dict) and frame.key is None:
            self._key(frame, frame.container, event)
            return
        if isinstance(event, yaml.ScalarEvent):
            self._add(frame, event, self._scalar(event))
        else:
            container: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
            path = self._add(frame, event, container)
            self.stack.append(_Frame(container, path))

    def _key(self, frame: _Frame, mapping: dict[str, Any], event: Any) -> None:
        if not isinstance(event, yaml.ScalarEvent):
            raise self._error("a key must be plain text", event)
        key = self._text(event)
        if key in mapping:
            first = self.keys[(*frame.path, key)]
            raise self._error(f"the key {_short(key)} is given twice (first in line {first.line})", event)
        frame.key = key
        self.keys[(*frame.path, key)] = self._position(event)

    def _add(self, frame: _Frame | None, event: Any, value: Any) -> Trail:
        path: Trail = ()
        if frame is None:
            self.root = value
        elif isinstance(frame.container, list):
            path = (*frame.path, len(frame.container))
            frame.container.append(value)
        else:
            assert frame.key is not None, "a value follows its key"
            path = (*frame.path, frame.key)
            frame.container[frame.key] = value
            frame.key = None
        self.values[path] = self._position(event)
        return path

    def _scalar(self, event: Any) -> Any:
        text = self._text(event)
        if event.style is not None:
            return text
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if _INTEGER.match(text):
            return int(text)
        return float(text) if _FLOAT.match(text) else text

    def _text(self, event: Any) -> str:
        text = str(event.value)
        if any(0xD800 <= ord(char) < 0xE000 or char == "\0" for char in text):
            raise self._error("this text holds half a character or a NUL", event)
        return text

    def _error(self, message: str, event: Any) -> InputError:
        return self.kind.error(message, place=_place(self.file, self._position(event)), hint=self.kind.hint)

    def _position(self, event: Any) -> Position:
        return Position(event.start_mark.line + self.first_line, event.start_mark.column + 1)


def _count(before: str) -> Position:
    """Return the position right after `before`."""
    return Position(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


def _place(file: str, position: Position) -> str:
    return f"{file}:{position.line}:{position.column}"


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
