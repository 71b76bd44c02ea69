"""The licence and notice files of a folder, each recognised, or set beside what it is most like."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from weighbridge.checkpoint.walk import list_files, open_inside, open_regular, read_prefix
from weighbridge.errors import InputError, MissingExtraError
from weighbridge.shell.licence_detector import Match, ScanCodeDetector
from weighbridge.shell.progress import Progress
from weighbridge.terms.difference import Nearest, nearest
from weighbridge.terms.recognise import MAX_TEXT_BYTES, Recognition, recognise

_LICENCE_NAME = re.compile(r"(?:licen[cs]es?|copying|unlicense)(?:[.\-_].*)?", re.IGNORECASE)
_NOTICE_NAME = re.compile(r"notices?(?:[.\-_].*)?", re.IGNORECASE)
_NO_TEXT = frozenset(
    (".py", ".pyc", ".js", ".ts", ".sh", ".json", ".jsonl", ".yaml", ".yml", ".toml", ".html", ".pdf", ".png", ".svg")
)
_FOLDERS = ("LICENSES", "THIRD_PARTY")
_MAX_FILES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """What was found out about one text.

    Attributes:
        path: where it lies, as given.
        notice: whether its name says that it is a notice and not a licence.
        recognition: which archived text it is, word for word.
        nearest: the archived text that it is most like, if it is none and one is near.
        matches: what ScanCode finds in it, if it is none.
        detector: name and version of what made `matches`; empty if that was not asked.
        hint: what to do next; empty if nothing is left to do.
    """

    path: str
    notice: bool
    recognition: Recognition
    nearest: Nearest | None = None
    matches: tuple[Match, ...] = ()
    detector: str = ""
    hint: str = ""

    def to_json(self) -> dict[str, object]:
        """Return a JSON form."""
        return {
            "path": self.path,
            "notice": self.notice,
            **self.recognition.to_json(),
            "nearest": self.nearest.to_json() if self.nearest else None,
            "matches": [match.to_json() for match in self.matches],
            "detector": self.detector,
            "hint": self.hint,
        }


def detect_files(paths: Iterable[Path], *, scan: bool, progress: Progress) -> tuple[Detection, ...]:
    """Recognise every licence text under `paths`.

    Args:
        paths: files, and folders whose licence and notice files are looked at, those of `LICENSES` and `THIRD_PARTY`
            included.
        scan: whether ScanCode is asked about texts that are no archived one, where it is installed.
        progress: told when its index is loaded.

    Raises:
        InputError: if a path cannot be read, a folder has no such file or more than 200, or a text has more than 1 MiB.
    """
    found = [text for path in paths for text in _texts(path)]
    recognised = [(path, data, recognise(data)) for path, data in found]
    detector, hint = None, ""
    if scan and any(recognition.licence_id is None and not _is_notice(path) for path, _, recognition in recognised):
        progress.begin("loading ScanCode's index of licences (its first use builds it: some minutes)")
        try:
            detector = ScanCodeDetector()
        except MissingExtraError as error:
            hint = f"{error.hint} also finds what else the text is like."
    return tuple(_detection(path, data, recognition, detector, hint) for path, data, recognition in recognised)


def _detection(
    path: str, data: bytes, recognition: Recognition, detector: ScanCodeDetector | None, hint: str
) -> Detection:
    notice = _is_notice(path)
    if recognition.licence_id is not None or notice:
        return Detection(path=path, notice=notice, recognition=recognition)
    text = data.decode("utf-8", errors="replace")
    return Detection(
        path=path,
        notice=False,
        recognition=recognition,
        nearest=nearest(text),
        matches=detector.match(text) if detector else (),
        detector=detector.name if detector else "",
        hint=hint,
    )


def _is_notice(path: str) -> bool:
    return bool(_NOTICE_NAME.fullmatch(Path(path).name))


def _texts(path: Path) -> Sequence[tuple[str, bytes]]:
    if not path.is_dir():
        return [(str(path), _read(open_regular(path, place=str(path)), str(path)))]
    names = [name for name in list_files(path) if _is_licence_file(name)]
    if not names:
        raise InputError(
            "the folder has no licence file",
            place=str(path),
            hint="Name the file that holds the licence, if it has another name than LICENSE, COPYING or NOTICE.",
        )
    if len(names) > _MAX_FILES:
        raise InputError(f"the folder has {len(names)} licence files, more than {_MAX_FILES}", place=str(path))
    return [(str(path / name), _read(open_inside(path, name), name)) for name in names]


def _is_licence_file(name: str) -> bool:
    folder, _, file = name.rpartition("/")
    if folder in _FOLDERS:
        return True
    named = _LICENCE_NAME.fullmatch(file) or _NOTICE_NAME.fullmatch(file)
    return not folder and bool(named) and Path(file).suffix.lower() not in _NO_TEXT


def _read(descriptor: int, place: str) -> bytes:
    with open(descriptor, "rb"):  # closes what was opened
        data = read_prefix(descriptor, MAX_TEXT_BYTES + 1, place=place)
    if len(data) > MAX_TEXT_BYTES:
        raise InputError(f"has more than {MAX_TEXT_BYTES:,} bytes, which is no licence text", place=place)
    return data
