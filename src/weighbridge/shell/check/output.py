"""What a check writes: the notices to ship, the signed summary, the page."""

import base64
import json
import stat
from collections.abc import Callable
from pathlib import Path

from weighbridge.adopt.check.check import Report
from weighbridge.adopt.check.page import render_report
from weighbridge.adopt.check.questions_terms import notices
from weighbridge.adopt.check.summary import summary_statement
from weighbridge.checkpoint.write import write_bytes
from weighbridge.dossier.envelope import seal
from weighbridge.dossier.vsa import PREDICATE_TYPE
from weighbridge.errors import InputError
from weighbridge.shell.home import load_signer

_MAX_OWN_BYTES = 16 << 20
_PAGE_MARK = " · adoption check</title>".encode()


def write_notices(folder: Path, report: Report) -> tuple[Path, ...]:
    """Write LICENSE, NOTICE and their like into `folder`; return the files.

    Raises:
        InputError: if the terms are not known, a text is missing, or `folder` holds other files.
        WorkspaceError: if they cannot be written.
    """
    files = notices(report.subject, report.use)
    if not files:
        raise InputError("there are no notices to write: the terms of this model are not known", place=str(folder))
    if folder.exists() and not folder.is_dir():
        raise InputError("this is no folder", place=str(folder), hint="Name a folder for the notices.")
    strange = _others(folder, set(files))
    if strange:
        hint = "Name a new or empty folder: what lies there would be taken for a notice of this model."
        raise InputError(f"the folder holds other files, {strange[0]} for example", place=str(folder), hint=hint)
    for path, data in files.items():
        target = folder / path
        _check_target(target, report, data.__eq__)
    for path, data in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(target, data)
    return tuple(folder / path for path in files)


def _others(folder: Path, own: set[str]) -> list[str]:
    if not folder.is_dir():
        return []
    present = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    return sorted(path for path in present if path not in own)


def write_summary(path: Path, report: Report, private_key: Path | None) -> Path:
    """Write the verification summary in a signed envelope (DSSE).

    Raises:
        InputError: if the key cannot be read, or what lies at `path` is no such summary.
        WorkspaceError: if it cannot be written.
    """
    _check_target(path, report, _is_summary)
    signer, _ = load_signer(private_key)
    _write(path, seal(summary_statement(report, signer), signer))
    return path


def write_page(path: Path, report: Report) -> Path:
    """Write the report as one HTML file that asks the network for nothing.

    Raises:
        InputError: if what lies at `path` is no such page.
        WorkspaceError: if it cannot be written.
    """
    _check_target(path, report, _is_page)
    _write(path, render_report(report).encode("utf-8"))
    return path


def _write(path: Path, data: bytes) -> None:
    path.absolute().parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, data)


def _check_target(path: Path, report: Report, is_own: Callable[[bytes], bool]) -> None:
    """Require that nothing is lost by writing `path`: there is nothing, or what an earlier check wrote.

    Raises:
        InputError: if there is anything else, or `path` is in the folder that was checked.
    """
    hint = "Name a new file, or remove this one yourself."
    if path.resolve().is_relative_to(Path(report.subject.place).resolve()):
        raise InputError("this is in the folder that is checked, and would change it", place=str(path), hint=hint)
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise InputError(f"this cannot be looked at: {error.strerror}", place=str(path), hint=hint) from error
    if not stat.S_ISREG(found.st_mode):
        raise InputError("this is no regular file, and would be replaced by one", place=str(path), hint=hint)
    try:
        own = found.st_size <= _MAX_OWN_BYTES and is_own(path.read_bytes())
    except OSError as error:
        raise InputError(f"this cannot be read: {error.strerror}", place=str(path), hint=hint) from error
    if not own:
        raise InputError("this file is there already, and no earlier check wrote it", place=str(path), hint=hint)


def _is_summary(data: bytes) -> bool:
    try:
        payload = json.loads(base64.b64decode(json.loads(data)["dsseEnvelope"]["payload"]))
        return bool(payload["predicateType"] == PREDICATE_TYPE)
    except (ValueError, LookupError, TypeError, RecursionError):
        return False


def _is_page(data: bytes) -> bool:
    return data.startswith(b"<!doctype html>") and _PAGE_MARK in data[:4096]
