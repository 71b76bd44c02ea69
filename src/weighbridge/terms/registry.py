"""The licences that this version knows: facts from `licences/*.toml`, texts from `texts/`. One table for everything."""

import functools
import json
import re
import tomllib
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from importlib import resources
from types import MappingProxyType
from typing import Any, Self

from weighbridge.errors import InputError
from weighbridge.terms.decode import decode, refuse_unknown, table
from weighbridge.terms.fact import (
    FIELDS,
    Activity,
    Answer,
    Effect,
    Licence,
    Mark,
    Permission,
    Statement,
)

OTHER = "other"
"""What a Hugging Face card says where the hub has no name for a licence. It names none."""

INDEX = "index.json"
_PACKAGE = "weighbridge.terms"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,99}\Z")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,99}\.(txt|md)\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_REGION = re.compile(r"[A-Z]{2}\Z")
_MODALITIES = ("text", "image", "audio", "video")
_ACTORS = ("licensee", "licensee-and-affiliates", "product")
_KEEPS = ("licence", "use-limits", "notices", "territory")
_SOURCES = ("licence", "use-policy", "notice", "description")


class Registry:
    """Licences by every name that they go by; each is read when it is first asked for.

    Args:
        ids: lower-case name to id. Made by `build_registry`, or read from the index.
        load: returns the licence of an id.
    """

    def __init__(self, ids: Mapping[str, str], load: Callable[[str], Licence]) -> None:
        self._ids = ids
        self._load = functools.cache(load)

    @property
    def names(self) -> Collection[str]:
        """Every name, in lower case."""
        return self._ids.keys()

    @functools.cached_property
    def all(self) -> tuple[Licence, ...]:
        """All licences in order of their ids, without regard to case."""
        return tuple(self._load(identity) for identity in sorted(set(self._ids.values()), key=str.lower))

    def get(self, name: str) -> Licence | None:
        """Return the licence whose id, expression, alias or name on cards is `name`; None if there is none.

        Case does not count. `other` names no licence. Where a card's name stands for several (`gpl-3.0`), it is the
        one that lists it as an alias, which is the narrower. Letters that only look like those of a name make another:
        a sign for kelvin is a `k` in lower case.
        """
        plain = name.strip()
        identity = self._ids.get(plain.lower()) if plain.isascii() else None
        return None if identity is None else self._load(identity)

    def text(self, licence: Licence) -> str | None:
        """Return the archived text of a licence; None where the publisher must supply it.

        A line `{copyright}` stands for year and holder where `licence.needs_copyright`.
        """
        return archived(licence.text_file) if licence.text_file else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """What is known of all licences without reading one; `python tools/licence_index.py` writes it from their files.

    Attributes:
        names: lower-case name to id.
        texts: digest of an archived text of a licence to the licences that have it, in order.
    """

    names: Mapping[str, str]
    texts: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, licences: Iterable[Licence]) -> Self:
        """Return the index of `licences`.

        Raises:
            InputError: as `build_registry`.
        """
        known = sorted(licences, key=lambda licence: licence.id.lower())
        texts = {sha256: ids for sha256, _, ids in texts_of(known)}
        return cls(names=_claimed(known), texts=dict(sorted(texts.items())))


@functools.cache
def index() -> Index:
    """Return the index that ships with this version."""
    written = json.loads(resources.files(_PACKAGE).joinpath("licences", INDEX).read_bytes())
    return Index(names=written["names"], texts={sha256: tuple(ids) for sha256, ids in written["texts"].items()})


@functools.cache
def registry() -> Registry:
    """Return the licences that ship with this version.

    A licence's file is read when it is first asked for; one that is malformed, which the tests of this repository rule
    out, raises InputError then.
    """
    return Registry(index().names, _read)


def read_licences() -> tuple[Licence, ...]:
    """Read every licence that ships with this version, whatever the index says.

    Raises:
        InputError: if a file of facts is malformed.
    """
    folder = resources.files(_PACKAGE).joinpath("licences")
    return tuple(_read(path.name.removesuffix(".toml")) for path in folder.iterdir() if path.name.endswith(".toml"))


def _read(identity: str) -> Licence:
    name = f"{identity}.toml"
    return parse_licence(resources.files(_PACKAGE).joinpath("licences", name).read_bytes(), place=name)


def texts_of(licences: Iterable[Licence]) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return digest, file and licences of every archived text of a licence."""
    found: dict[tuple[str, str], list[str]] = {}
    for licence in licences:
        for source in licence.sources:
            if source.what == "licence" and source.file:
                found.setdefault((source.sha256, source.file), []).append(licence.id)
    return [(sha256, file, tuple(sorted(set(ids)))) for (sha256, file), ids in found.items()]


@functools.cache
def archived(file: str) -> str:
    """Return a text of `texts/`, its bytes as UTF-8 and its line ends as they are.

    Raises:
        InputError: if there is none of that name.
    """
    path = resources.files(_PACKAGE).joinpath("texts", file)
    if not _FILE.match(file) or not path.is_file():
        raise InputError("no such archived text", place=f"texts/{file}")
    return path.read_bytes().decode("utf-8")


def build_registry(licences: Iterable[Licence]) -> Registry:
    """Return a registry of `licences`.

    Raises:
        InputError: if two of them go by one name. A name on cards may be shared if one has it as an alias, too.
    """
    by_id = {licence.id: licence for licence in licences}
    return Registry(_claimed(by_id.values()), by_id.__getitem__)


def _claimed(licences: Iterable[Licence]) -> dict[str, str]:
    """Return the id by every name."""
    ordered = sorted(licences, key=lambda licence: licence.id.lower())
    names: dict[str, str] = {}
    for licence in ordered:
        for name in {licence.id.lower(), licence.expression.lower(), *map(str.lower, licence.aliases)}:
            _claim(names, name, licence)
    claimed = frozenset(names)
    for licence in ordered:
        name = licence.card_id.lower()
        if name != OTHER and name not in claimed:
            _claim(names, name, licence)
    return dict(sorted(names.items()))


def _claim(names: dict[str, str], name: str, licence: Licence) -> None:
    if name == OTHER or names.setdefault(name, licence.id) != licence.id:
        rival = names.get(name, "no licence at all")
        raise InputError(f"the name {name!r} of {licence.id} stands for {rival}, too", place=f"{licence.id}.toml")


def parse_licence(data: bytes, *, place: str) -> Licence:
    """Read one file of facts.

    Keys are the field names of `Licence`; `permissions` is a table of one table an activity, all six of them; `section`
    and `quote` stand in the table of the fact that they support. What only a secondary source (`mark = "S"`) allows is
    read as unknown.

    Args:
        data: the TOML file.
        place: its name, for errors.

    Raises:
        InputError: if it is no TOML, has unknown or missing keys, or states what cannot be.
    """
    try:
        given = dict(tomllib.loads(data.decode("utf-8")))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"not a TOML file: {error}", place=place) from error
    stated = given.pop("permissions", None)
    mark = decode(Mark, given.get("mark", str(Mark.PRIMARY)), place=f"{place}: mark")
    hints = {field.name: field.type for field in fields(Licence)}
    refuse_unknown(given, hints, place=place)
    permissions = _permissions(stated, mark, place=f"{place}: permissions")
    licence = _decode_licence(given, permissions, place)
    _check(licence, place)
    return _cautious(licence)


def _decode_licence(given: Mapping[str, object], permissions: Mapping[Activity, Permission], place: str) -> Licence:
    hints = typing.get_type_hints(Licence)
    made: dict[str, Any] = {key: decode(hints[key], item, place=f"{place}: {key}") for key, item in given.items()}
    for key in ("id", "name", "expression", "card_id", "category"):
        if not made.get(key):
            raise InputError(f"{key!r} is missing", place=place)
    return Licence(permissions=permissions, **made)


def _permissions(stated: object, mark: Mark, *, place: str) -> Mapping[Activity, Permission]:
    given = table(stated, place=place)
    refuse_unknown(given, dict.fromkeys(Activity, None), place=place)
    made: dict[Activity, Permission] = {}
    for activity in Activity:
        where = f"{place}.{activity}"
        if activity not in given:
            raise InputError("missing; every activity is answered, if need be with unknown", place=where)
        made[activity] = _permission(dict(table(given[activity], place=where)), mark, place=where)
    return MappingProxyType(made)


def _permission(given: dict[str, object], mark: Mark, *, place: str) -> Permission:
    if "stated" in given:
        raise InputError("unknown key 'stated'", place=place, hint="`answer` is what the source says.")
    permission: Permission = decode(
        Permission, {"mark": str(mark), **given, "stated": given.get("answer", "")}, place=place
    )
    unsure = permission.mark is Mark.SECONDARY and permission.stated in (Answer.YES, Answer.CONDITIONAL)
    if permission.stated is not Answer.YES and not permission.reason:
        raise InputError(f"{permission.stated!s} needs a reason", place=place)
    if permission.stated is not Answer.UNKNOWN and permission.mark is Mark.PRIMARY and not permission.clause.quote:
        raise InputError("an answer from the text needs the quote that it rests on", place=place)
    return replace(permission, answer=Answer.UNKNOWN) if unsure else permission


def _cautious(licence: Licence) -> Licence:
    """Return `licence` with what only a secondary source grants as unknown."""
    if licence.mark is Mark.PRIMARY:
        return licence

    def unless(statement: Statement, *answers: Answer) -> Statement:
        return replace(statement, answer=Answer.UNKNOWN) if statement.answer in answers else statement

    return replace(
        licence,
        patent=unless(licence.patent, Answer.YES, Answer.CONDITIONAL),
        hosting_is_distribution=unless(licence.hosting_is_distribution, Answer.NO),
        distilled_is_derivative=unless(licence.distilled_is_derivative, Answer.NO),
    )


def _check(licence: Licence, place: str) -> None:
    """Raise InputError unless the values fit together."""
    for problem in (*_names(licence), *_limits(licence), *_duties(licence), *_sources(licence)):
        raise InputError(problem, place=place)


def _names(licence: Licence) -> Iterable[str]:
    for name in (licence.id, licence.expression):
        if not _ID.match(name):
            yield f"{name!r} is no identifier of SPDX's grammar"
    yield from (
        f"derivative_keeps: {kept!r} is not one of {_KEEPS}" for kept in set(licence.derivative_keeps) - {*_KEEPS}
    )


def _limits(licence: Licence) -> Iterable[str]:
    for threshold in licence.thresholds:
        if threshold.actor not in _ACTORS or threshold.above <= 0:
            yield f"thresholds: actor {threshold.actor!r} or amount {threshold.above} is none"
        if (threshold.effect is Effect.DUTY) != bool(threshold.duty):
            yield "thresholds: `duty` goes with the effect `duty`, and with no other"
    for limit in licence.fields:
        if limit.id not in FIELDS:
            yield f"fields: {limit.id!r} is not one of {', '.join(FIELDS)}"
    for territory in licence.territories:
        if territory.applies_to not in ("seat", "distribution"):
            yield f"territories: {territory.applies_to!r} is neither seat nor distribution"
        if not territory.regions or not all(map(_REGION.match, territory.regions)):
            yield f"territories: {territory.regions} are not codes of ISO 3166-1"
        if not {*territory.modalities} <= {*_MODALITIES}:
            yield f"territories: {territory.modalities} are not all of {_MODALITIES}"


def _duties(licence: Licence) -> Iterable[str]:
    ids = [duty.id for duty in licence.duties]
    if len(ids) != len(set(ids)):
        yield "duties: an id occurs twice"
    named = {threshold.duty for threshold in licence.thresholds if threshold.duty}
    above = {duty.id for duty in licence.duties if duty.above_threshold}
    if named != above:
        yield f"thresholds name the duties {sorted(named)}, `above_threshold` is set on {sorted(above)}"
    if not all(duty.on for duty in licence.duties):
        yield "duties: one has no activity that brings it about"


def _sources(licence: Licence) -> Iterable[str]:
    for source in licence.sources:
        if source.what not in _SOURCES or not source.url.startswith(("https://", "http://")):
            yield f"sources: {source.what!r} or {source.url!r} is none"
        if bool(source.file) != bool(source.sha256):
            yield f"sources: {source.url}: file and sha256 go together"
        if source.file and not (_FILE.match(source.file) and _SHA256.match(source.sha256)):
            yield f"sources: {source.url}: malformed file or sha256"
    texts = {source.file for source in licence.sources if source.what == "licence" and source.file}
    if licence.text_file and licence.text_file not in texts:
        yield f"text_file {licence.text_file!r} is not the file of a source"
    if not licence.sources:
        yield "no source is given"
