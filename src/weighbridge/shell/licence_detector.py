"""ScanCode's licence detection: what a text that is not word for word an archived one is most like.

Asked only for such texts: its index takes seconds to load and, on first use, a minute or two to build. It works on what
is installed and asks no network. Its matches are likenesses, never a recognition: to it, OpenMDW-1.1 is OpenMDW-1.0
with a score of 99, and Apache-2.0 with a "not" put into its grant is Apache-2.0.
"""

import contextlib
import importlib
import importlib.metadata
import importlib.util
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weighbridge.errors import EngineError, InputError, MissingExtraError
from weighbridge.terms.recognise import MAX_TEXT_BYTES
from weighbridge.terms.registry import registry

PACKAGE = "scancode-toolkit-mini"
_EXTRA = "detect"
_SECONDS = 60
_MIN_SCORE = 5
_MAX_MATCHES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A passage that is like a licence which ScanCode knows.

    Attributes:
        expression: SPDX expression, as ScanCode names it.
        licence_ids: the licences of it that this version knows, by their ids.
        score: how alike the passage and the rule are, 0 to 100.
        coverage: how much of the rule's text the passage holds, 0 to 100.
        first_line, last_line: of the passage, from 1.
        rule: the rule that matched, by ScanCode's name.
    """

    expression: str
    licence_ids: tuple[str, ...]
    score: float
    coverage: float
    first_line: int
    last_line: int
    rule: str

    def to_json(self) -> dict[str, object]:
        """Return a JSON form."""
        return {
            "expression": self.expression,
            "licences": list(self.licence_ids),
            "score": self.score,
            "coverage": self.coverage,
            "first_line": self.first_line,
            "last_line": self.last_line,
            "rule": self.rule,
        }


class ScanCodeDetector:
    """ScanCode's index in this process.

    Raises:
        MissingExtraError: on construction, if it is not installed.
        EngineError: on construction, if its index can be neither loaded nor built.
    """

    def __init__(self) -> None:
        with _prepared():
            try:
                cache = importlib.import_module("licensedcode.cache")
                self._index: Any = cache.get_index()
            except ImportError as error:
                raise MissingExtraError(error.name or PACKAGE, extra=_EXTRA) from None
            except OSError as error:
                raise EngineError(
                    f"ScanCode's index of licences cannot be loaded or built: {error}",
                    hint="Set SCANCODE_LICENSE_INDEX_CACHE to a folder that you can write to, with 500 MB free.",
                ) from error
            self._expression: Any = cache.build_spdx_license_expression
        self.name = f"{PACKAGE} {importlib.metadata.version(PACKAGE)}"

    def match(self, text: str) -> tuple[Match, ...]:
        """Return the passages of `text` that are like a known licence, the most alike first.

        Raises:
            InputError: if `text` has more than 1 MiB.
        """
        if len(text) > MAX_TEXT_BYTES:
            raise InputError(f"a licence text of more than {MAX_TEXT_BYTES:,} characters is not looked at")
        with _quiet():
            found = self._index.match(query_string=text, min_score=_MIN_SCORE, deadline=time.time() + _SECONDS)
            matches = [self._as_match(match) for match in found]
        ordered = sorted(matches, key=lambda match: (-match.score, -match.coverage, match.first_line))
        return tuple(ordered[:_MAX_MATCHES])

    def _as_match(self, match: Any) -> Match:
        expression = str(self._expression(match.rule.license_expression))
        known = registry()
        named = (known.get(word) for word in expression.replace("(", " ").replace(")", " ").split())
        first, last = match.lines()
        return Match(
            expression=expression,
            licence_ids=tuple(dict.fromkeys(licence.id for licence in named if licence)),
            score=float(match.score()),
            coverage=float(match.coverage()),
            first_line=int(first),
            last_line=int(last),
            rule=str(match.rule.identifier),
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep ScanCode's own warnings (about libmagic, about how its files are opened) from the user."""
    with warnings.catch_warnings():
        for category in (UserWarning, DeprecationWarning, SyntaxWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)
        yield


@contextlib.contextmanager
def _prepared() -> Iterator[None]:
    """Import ScanCode so that it leaves nothing behind: it makes folders as it is imported, one of them for good."""
    temporary = tempfile.mkdtemp(prefix="weighbridge-licence-")
    settings = {"SCANCODE_TEMP": temporary}
    if (index := _index_folder()) is not None:
        settings["SCANCODE_LICENSE_INDEX_CACHE"] = str(index)
    settings["SCANCODE_CACHE"] = str(_cache_folder() / "scancode")
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update({name: value for name, value in settings.items() if before[name] is None})
    try:
        with _quiet():
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
        shutil.rmtree(temporary, ignore_errors=True)


def _index_folder() -> Path | None:
    """Return where the index is kept; None for ScanCode's own choice, inside its package, where that can be written."""
    specification = importlib.util.find_spec("licensedcode")
    if specification is None or specification.origin is None:
        raise MissingExtraError(PACKAGE, extra=_EXTRA)
    data = Path(specification.origin).parent / "data"
    return None if os.access(data, os.W_OK) else _cache_folder() / "licence-index"


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "weighbridge"
