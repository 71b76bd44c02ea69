"""Answers that are put together from the publisher's list of data sets."""

from collections.abc import Callable

from weighbridge.dossier.disclosure import DataSet
from weighbridge.dossier.duty.field import Fill, Known
from weighbridge.dossier.figure import number_text, size_text
from weighbridge.dossier.release import ReleaseRecord

Describe = Callable[[DataSet], str]
"""Returns the answer for one data set; empty where the publisher states none."""

TRAINING_ROLES = ("training", "fine-tuning")
MAKING_ROLES = (*TRAINING_ROLES, "calibration")

ORIGIN_WORDS = {
    "public": "publicly available data set",
    "licensed": "data set licensed from rightsholders or their representatives",
    "private": "private data set obtained from a third party",
    "scraped": "crawled or scraped from online sources",
    "user": "user data",
    "synthetic": "synthetic data",
}

# The ranges of the EU's template, section 1.3.
_RANGES = {
    "text": ("tokens", 1e9, 1e13, ("less than 1 billion", "1 billion to 10 trillion", "more than 10 trillion")),
    "image": ("images", 1e6, 1e9, ("less than 1 million", "1 million to 1 billion", "more than 1 billion")),
}


def training_data(record: ReleaseRecord, roles: tuple[str, ...] = TRAINING_ROLES) -> tuple[DataSet, ...]:
    """Return the data sets with one of `roles`, in the publisher's order."""
    return tuple(item for item in record.disclosure.data if any(role in roles for role in item.roles))


def each(describe: Describe, what: str, *, roles: tuple[str, ...] = TRAINING_ROLES) -> Fill:
    """Return a filler that says of each data set what `describe` does; what it leaves empty is missing.

    Args:
        describe: returns the answer for one data set, empty where the publisher states none.
        what: names the answer in "it does not state ...".
        roles: which data sets count.
    """

    def fill(record: ReleaseRecord) -> Known | None:
        sets = training_data(record, roles)
        if not sets:
            return None
        lines, missing = [], []
        for item in sets:
            text = describe(item).strip()
            lines.append(f"{item.name}: {text or 'not stated'}")
            if not text:
                missing.append(f"The data set {item.name!r} does not state {what}.")
        if len(missing) == len(sets):
            return None
        return Known(value="\n".join(lines), missing=tuple(missing))

    return fill


def yes_or_no(attribute: str) -> Describe:
    """Return a describer of one of the yes-or-no facts of a data set; `unknown` is no answer."""

    def describe(item: DataSet) -> str:
        value = str(getattr(item, attribute))
        return "" if value == "unknown" else value

    return describe


def source_text(item: DataSet) -> str:
    """Return where a data set comes from: origin, address, licence."""
    parts = [ORIGIN_WORDS.get(item.origin, ""), item.url, f"licence {item.license}" if item.license else ""]
    return ", ".join(part for part in parts if part) if item.origin or item.url else ""


def amount_text(item: DataSet) -> str:
    """Return how large a data set is, in every unit that is stated."""
    counts = ((item.tokens, "tokens"), (item.records, "records"))
    parts = [f"{number_text(count)} {unit}" for count, unit in counts if count is not None]
    parts += [size_text(item.size_bytes)] if item.size_bytes is not None else []
    return ", ".join(parts)


def synthetic_text(item: DataSet) -> str:
    """Return whether a data set is synthetic."""
    return "yes" if item.origin == "synthetic" else yes_or_no("synthetic")(item)


def kind_text(item: DataSet) -> str:
    """Return what is in a data set, with its modalities; empty without a description."""
    return f"{item.description} ({', '.join(item.modalities)})" if item.description.strip() else ""


def modalities(record: ReleaseRecord) -> Known | None:
    """Return the modalities of all training data."""
    found = dict.fromkeys(modality for item in training_data(record) for modality in item.modalities)
    return Known(value=", ".join(found)) if found else None


def origins(record: ReleaseRecord) -> Known | None:
    """Return the kinds of source of all training data."""
    sets = training_data(record)
    if not sets:
        return None
    found = dict.fromkeys(ORIGIN_WORDS[item.origin] for item in sets if item.origin)
    return Known(value="\n".join(found), missing=_without_origin(record)) if found else None


def _without_origin(record: ReleaseRecord) -> tuple[str, ...]:
    nameless = [item.name for item in training_data(record) if not item.origin]
    return tuple(f"The data set {name!r} does not state its origin." for name in nameless)


def of_origin(origin: str) -> Fill:
    """Return a filler that lists the training data of one origin, or says that the list names none."""

    def fill(record: ReleaseRecord) -> Known | None:
        sets, missing = training_data(record), _without_origin(record)
        if not sets:
            return None
        found = [item for item in sets if item.origin == origin]
        if not found and missing:
            return None
        if not found:
            return Known(value=f"No data set of this kind is among those that the publisher lists ({len(sets)}).")
        lines = []
        for item in found:
            facts = (item.url, ", ".join(item.modalities), amount_text(item), item.description, item.collected)
            lines.append(f"{item.name}: {'; '.join(fact for fact in facts if fact)}")
        return Known(value="\n".join(lines), missing=missing)

    return fill


def may_have(origin: str) -> Callable[[ReleaseRecord], bool]:
    """Return whether training data of `origin` was used, or may have been: only a complete list says that none was."""

    def applies(record: ReleaseRecord) -> bool:
        sets = training_data(record)
        return not sets or any(item.origin in (origin, "") for item in sets)

    return applies


def sizes(record: ReleaseRecord) -> Known | None:
    """Return modalities, size and content of all training data, with the range of the template where it has one."""
    sets = training_data(record)
    lines: list[str] = []
    missing = []
    for modality in dict.fromkeys(modality for item in sets for modality in item.modalities):
        mine = [item for item in sets if modality in item.modalities]
        lines.append(f"{modality}: {_size_of(modality, mine)}")
        missing += [f"The data set {item.name!r} does not state its size." for item in mine if not amount_text(item)]
        missing += [
            f"The data set {item.name!r} does not describe its content." for item in mine if not item.description
        ]
    return Known(value="\n".join(lines), missing=tuple(dict.fromkeys(missing))) if lines else None


def _size_of(modality: str, sets: list[DataSet]) -> str:
    contents = "; ".join(dict.fromkeys(item.description for item in sets if item.description))
    amounts = ", ".join(f"{item.name} {amount_text(item)}" for item in sets if amount_text(item))
    total = _total(modality, sets)
    parts = [
        f"{number_text(total)} {_RANGES[modality][0]} ({_range(modality, total)})" if total is not None else amounts
    ]
    return "; ".join(part for part in (*parts, contents) if part) or "size and content not stated"


def _total(modality: str, sets: list[DataSet]) -> float | None:
    """Return the sum in the template's unit, if every data set states it and holds nothing of another modality."""
    if modality not in _RANGES or any(item.modalities != (modality,) for item in sets):
        return None
    counts = [item.tokens if modality == "text" else item.records for item in sets]
    return sum(count for count in counts if count is not None) if None not in counts else None


def _range(modality: str, total: float) -> str:
    _, low, high, words = _RANGES[modality]
    return words[0] if total < low else words[1] if total <= high else words[2]


def spoken(record: ReleaseRecord) -> Known | None:
    """Return the languages of the training data."""
    found = dict.fromkeys(language for item in training_data(record) for language in item.languages)
    return Known(value=", ".join(found)) if found else None
