"""Which paths a repository may hold, and how its branches and tags may be called.

Paths follow what git's own checks refuse (`verify_path`, `is_hfs_dotgit`, `is_ntfs_dotgit`), and more: a path that
would be something else on another system is refused here, not there. Names follow `git check-ref-format`.
"""

import re
from typing import Final

from weighbridge.errors import InputError

MAX_SEGMENT_BYTES: Final = 255
MAX_PATH_BYTES: Final = 1024
MAX_DEPTH: Final = 64
MAX_REF_BYTES: Final = 250

_OID = re.compile(r"[0-9a-f]{40}\Z")
# Printable ASCII that neither starts with a dot nor holds `/`, `\` or `~`: no disguise of `.git` can look like that.
_PLAIN_SEGMENT = re.compile(r"[ !-\-0-\[\]-}][ -.0-\[\]-}]{0,254}\Z")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# HFS+ ignores these when it compares names.
_HFS_IGNORED = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_REF_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//")


class GitPathError(InputError):
    """A path that a repository may not hold. `place` is the path, shortened."""

    hint = (
        "Rename the file: segments of at most 255 bytes, 1,024 in all, 64 deep, no `..`, `.git` or control characters."
    )


class RefNameError(InputError):
    """A name that a branch or a tag may not have. `place` is the name, shortened."""

    hint = "Use letters, digits, `-`, `_`, `.` and `/`; not a commit's id, and nothing that starts with `refs/`."


def is_oid(text: str) -> bool:
    """Whether `text` is the id of a git object: 40 lower-case hexadecimal digits."""
    return _OID.match(text) is not None


def shown(text: str) -> str:
    """Return `text` short and printable, for messages and log lines."""
    start = text[:120]
    return (start if start.isprintable() else ascii(start)[1:-1]) + ("…" if len(text) > 120 else "")


def check_segment(segment: str) -> str:
    """Return `segment` if a file or folder may be called so; else raise `GitPathError`."""
    if _PLAIN_SEGMENT.match(segment):
        return segment
    reason = _fault_of_segment(segment)
    if reason:
        raise GitPathError(reason, place=shown(segment))
    return segment


def check_path(path: str) -> str:
    """Return `path` (relative, `/` between its segments) if a repository may hold it; else raise `GitPathError`."""
    if not path:
        raise GitPathError("an empty path names no file")
    if len(path) > MAX_PATH_BYTES:
        raise GitPathError(f"a path has at most {MAX_PATH_BYTES} bytes", place=shown(path))
    segments = path.split("/")
    if len(segments) > MAX_DEPTH:
        raise GitPathError(f"a path is at most {MAX_DEPTH} segments deep", place=shown(path))
    for segment in segments:
        reason = "" if _PLAIN_SEGMENT.match(segment) else _fault_of_segment(segment)
        if reason:
            raise GitPathError(reason, place=shown(path))
    if not path.isascii() and len(path.encode()) > MAX_PATH_BYTES:
        raise GitPathError(f"a path has at most {MAX_PATH_BYTES} bytes", place=shown(path))
    return path


def check_folder(path: str) -> str:
    """As `check_path`, for a folder: one closing `/` is dropped, and the root is the empty text."""
    return check_path(path.removesuffix("/")) if path else ""


def check_branch(name: str) -> str:
    """Return `name` (without `refs/heads/`) if a branch may be called so; else raise `RefNameError`."""
    return _check_short_name(name, "branch")


def check_tag(name: str) -> str:
    """Return `name` (without `refs/tags/`) if a tag may be called so; else raise `RefNameError`."""
    return _check_short_name(name, "tag")


def check_ref(name: str) -> str:
    """Return the full name `refs/…` if git takes it; else raise `RefNameError`."""
    reason = _fault_of_ref(name)
    if not reason and (not name.startswith("refs/") or name.count("/") < 2):
        reason = "a full name has the form refs/heads/… or refs/tags/… or refs/pr/…"
    if reason:
        raise RefNameError(reason, place=shown(name))
    return name


def refs_of_revision(revision: str) -> tuple[str, ...]:
    """Return the full names that `revision` may mean, most likely first; none for a commit's id.

    Raises `RefNameError` for what is neither a commit's id nor a name.
    """
    if is_oid(revision):
        return ()
    if revision.startswith("refs/"):
        return (check_ref(revision),)
    if revision == "HEAD":
        return ("HEAD",)
    reason = _fault_of_ref(revision)
    if reason:
        raise RefNameError(reason, place=shown(revision))
    return (f"refs/heads/{revision}", f"refs/tags/{revision}")


def _fault_of_segment(segment: str) -> str:
    if segment == "":
        return "a path has no empty segment, and neither starts nor ends with `/`"
    if segment in (".", ".."):
        return "a path has no segment `.` or `..`"
    try:
        size_bytes = len(segment.encode())
    except UnicodeEncodeError:
        return "a path is valid Unicode"
    if size_bytes > MAX_SEGMENT_BYTES:
        return f"a segment of a path has at most {MAX_SEGMENT_BYTES} bytes"
    if "/" in segment:
        return "a segment holds no `/`"
    if "\\" in segment:
        return "a path holds no backslash: it would be another path on Windows"
    if _CONTROL.search(segment):
        return "a path holds no control characters"
    if _is_git_folder(segment):
        return "`.git` belongs to git, in any spelling that a file system takes for it"
    return ""


def _is_git_folder(segment: str) -> bool:
    visible = _HFS_IGNORED.sub("", segment).lower()
    # NTFS drops closing dots and blanks, and reads what follows a colon as a stream of the same file.
    return visible.split(":", 1)[0].rstrip(" .") in (".git", "git~1")


def _check_short_name(name: str, noun: str) -> str:
    reason = _fault_of_ref(name)
    if not reason and (is_oid(name.lower()) or name in ("HEAD", "refs") or name.startswith("refs/")):
        reason = f"a {noun} is not called like a commit or like a full name (Invalid reference for a {noun})"
    if reason:
        raise RefNameError(reason, place=shown(name))
    return name


def _fault_of_ref(name: str) -> str:
    if not name or name.startswith(("/", "-")) or name.endswith(("/", ".")):
        return "a name is not empty, starts with neither `/` nor `-` and ends with neither `/` nor `.`"
    try:
        size_bytes = len(name.encode())
    except UnicodeEncodeError:
        return "a name is valid Unicode"
    if size_bytes > MAX_REF_BYTES:
        return f"a name has at most {MAX_REF_BYTES} bytes"
    if _REF_FORBIDDEN.search(name) or _CONTROL.search(name) or name == "@":
        return "a name holds no blanks, control characters, `..`, `//`, `@{` or any of ~^:?*[\\"
    if any(part.startswith(".") or part.endswith(".lock") for part in name.split("/")):
        return "no part of a name starts with `.` or ends with `.lock`"
    return ""
