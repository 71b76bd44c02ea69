"""Markdown that shows strangers' words as they are."""

import re
from collections.abc import Iterable

_INLINE = re.compile(r"([\\`*_\[\]<>|~$#])")
_LINE_START = re.compile(r"^([-+](?=\s|[-+]|$)|=|:|~|\d{1,9}(?=[.)](\s|$)))")


def escape(text: str) -> str:
    """Return `text` as one line of Markdown that shows it as it is, without markup, HTML or tables."""
    line = " ".join(text.split())
    line = _INLINE.sub(r"\\\1", line.replace("&", "&amp;")).replace("\\<", "&lt;").replace("\\>", "&gt;")
    return _LINE_START.sub(lambda match: _escaped_start(match[1]), line)


def _escaped_start(mark: str) -> str:
    # "1." opens a list; a backslash before a digit is no escape, so the digit becomes a character reference.
    return "".join(f"&#{ord(char)};" for char in mark) if mark.isdigit() else f"\\{mark}"


def paragraphs(text: str) -> list[str]:
    """Return the paragraphs of a text, each escaped."""
    return [escape(part) for part in re.split(r"\n\s*\n", text.strip()) if part.strip()]


def bullets(sentences: Iterable[str]) -> str:
    """Return a list, every sentence escaped."""
    return "\n".join(f"- {escape(sentence)}" for sentence in sentences)


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table of cells that are Markdown already."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
