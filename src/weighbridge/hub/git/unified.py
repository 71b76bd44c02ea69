"""The changes between two trees as text, in the form that `git diff` writes and `git apply` reads.

Bounded for hostile text: what is large or not UTF-8 is only named, and line matching (difflib) is quadratic at best,
so a change with too many differing lines is written as one removal and one addition, which is as true and longer.
"""

from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from itertools import islice
from typing import Final

from weighbridge.hub.git.difference import PathChange, changed_paths
from weighbridge.hub.git.objects import GitObjectError
from weighbridge.hub.git.tree import ObjectReader
from weighbridge.hub.git.walk import PathEntry

MAX_TEXT_FILE_BYTES: Final = 256 * 2**10
MAX_DIFF_BYTES: Final = 2**20
MAX_DIFF_FILES: Final = 1000
# Comparisons that matching lines may take at worst, for all files of one answer together: under a second.
MATCHING_BUDGET: Final = 20_000_000
CONTEXT_LINES: Final = 3


def unified_diff(
    reader: ObjectReader,
    old_tree: str | None,
    new_tree: str | None,
    *,
    max_files: int = MAX_DIFF_FILES,
    max_bytes: int = MAX_DIFF_BYTES,
) -> str:
    """Return the changes from one tree to the other as `git diff` would show them; None stands for the empty tree.

    A last line `# …` says so where more files differ than `max_files`, or their text is longer than `max_bytes`.
    """
    parts: list[str] = []
    size_bytes = 0
    budget = MATCHING_BUDGET
    for count, change in enumerate(changed_paths(reader, old_tree, new_tree)):
        if count >= max_files or size_bytes >= max_bytes:
            parts.append(f"# More files differ; these are the first {count}.\n")
            break
        text, spent = _one_file(reader, change, budget, max_bytes - size_bytes)
        budget -= spent
        size_bytes += len(text.encode())
        parts.append(text)
    return "".join(parts)


_Opcode = tuple[str, int, int, int, int]


def _one_file(reader: ObjectReader, change: PathChange, budget: int, max_bytes: int) -> tuple[str, int]:
    """Return the text of one change, and what of the budget for matching it took."""
    head = _head(change)
    old, new = _lines(reader, change.old), _lines(reader, change.new)
    if change.old and change.new and change.old.oid == change.new.oid:
        return head, 0
    old_name = _quoted(f"a/{change.path}") if change.old else "/dev/null"
    new_name = _quoted(f"b/{change.path}") if change.new else "/dev/null"
    if old is None or new is None:
        return f"{head}Binary files {old_name} and {new_name} differ\n", 0
    if not old and not new:
        return head, 0
    hunks, spent = _hunks(old, new, budget)
    # A tab closes names that hold blanks, as git and patch expect.
    names = (name + ("\t" if " " in name and name[0] != '"' else "") for name in (old_name, new_name))
    body = "--- {}\n+++ {}\n".format(*names) + "".join(_hunk_text(hunk, old, new) for hunk in hunks)
    if len(body.encode()) > max_bytes:
        return f"{head}# The text of this change is longer than is shown here.\n", spent
    return head + body, spent


def _head(change: PathChange) -> str:
    old, new = change.old, change.new
    head = f"diff --git {_quoted(f'a/{change.path}')} {_quoted(f'b/{change.path}')}\n"
    index = f"index {old.oid if old else '0' * 40}..{new.oid if new else '0' * 40}"
    if old is None and new is not None:
        return f"{head}new file mode {new.mode:06o}\n{index}\n"
    if new is None and old is not None:
        return f"{head}deleted file mode {old.mode:06o}\n{index}\n"
    assert old is not None
    assert new is not None
    if old.mode != new.mode:
        modes = f"old mode {old.mode:06o}\nnew mode {new.mode:06o}\n"
        return head + modes + (f"{index}\n" if old.oid != new.oid else "")
    return f"{head}{index} {new.mode:06o}\n"


def _lines(reader: ObjectReader, entry: PathEntry | None) -> list[str] | None:
    """Return the lines of a file with their ends, none for no file, None for what is not shown as text."""
    if entry is None:
        return []
    item = reader.read(entry.oid)
    if item.kind != "blob":
        raise GitObjectError(f"this is a {item.kind} where a file is expected", place=entry.oid)
    if len(item.data) > MAX_TEXT_FILE_BYTES or b"\0" in item.data:
        return None
    try:
        text = item.data.decode()
    except UnicodeDecodeError:
        return None
    lines = [f"{line}\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def _hunks(old: list[str], new: list[str], budget: int) -> tuple[list[list[_Opcode]], int]:
    """Return what to write as groups of difflib's opcodes with context, and the work that matching was."""
    head = _equal_lines(zip(old, new, strict=False))
    tail = _equal_lines(
        zip(islice(reversed(old), len(old) - head), islice(reversed(new), len(new) - head), strict=False)
    )
    old_end, new_end = len(old) - tail, len(new) - tail
    work = _work(old_end - head, new_end - head)
    start, more = max(0, head - CONTEXT_LINES), min(tail, CONTEXT_LINES)
    if work > budget:
        whole: list[_Opcode] = [
            ("equal", start, head, start, head),
            ("replace", head, old_end, head, new_end),
            ("equal", old_end, old_end + more, new_end, new_end + more),
        ]
        return [whole], 0
    matcher = SequenceMatcher(None, old[start : old_end + more], new[start : new_end + more])
    groups = [
        [(tag, a + start, b + start, c + start, d + start) for tag, a, b, c, d in group]
        for group in matcher.get_grouped_opcodes(CONTEXT_LINES)
    ]
    return groups, work


def _work(old_lines: int, new_lines: int) -> int:
    """Return how many comparisons difflib makes at worst: it drops lines of which a text has more than a hundredth."""
    alike = new_lines if new_lines < 200 else new_lines // 100 + 1
    return old_lines * alike * min(old_lines, new_lines)


def _equal_lines(pairs: Iterable[tuple[str, str]]) -> int:
    count = 0
    for left, right in pairs:
        if left != right:
            break
        count += 1
    return count


def _hunk_text(hunk: list[_Opcode], old: list[str], new: list[str]) -> str:
    parts = [f"@@ -{_span(hunk[0][1], hunk[-1][2])} +{_span(hunk[0][3], hunk[-1][4])} @@\n"]
    for tag, a, b, c, d in hunk:
        if tag == "equal":
            parts.extend(_marked(" ", old[a:b]))
        else:
            parts.extend(_marked("-", old[a:b]))
            parts.extend(_marked("+", new[c:d]))
    return "".join(parts)


def _marked(mark: str, lines: list[str]) -> Iterator[str]:
    for line in lines:
        yield mark + line if line.endswith("\n") else f"{mark}{line}\n\\ No newline at end of file\n"


def _span(start: int, end: int) -> str:
    if end == start:
        return f"{start},0"
    return f"{start + 1}" if end == start + 1 else f"{start + 1},{end - start}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '\\"') + '"' if '"' in name else name
