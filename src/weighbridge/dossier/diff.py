"""What changed between two releases, in words: terms, evidence, contents, openness, and the publisher's texts.

Nothing is said that the two records do not state. Two numbers are compared only if they are the same measure by the
same probe on the same data; where their intervals overlap, the answer is that the intervals show no difference.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from weighbridge.dossier.diff_evidence import evidence_changes
from weighbridge.dossier.diff_terms import openness_changes, terms_changes
from weighbridge.dossier.difference import AREAS, Change, differ, keyed, listed
from weighbridge.dossier.figure import count_text, number_text, recipe_text, size_text
from weighbridge.dossier.release import ReleaseRecord

__all__ = ("AREAS", "Change", "diff")

_FACTS: tuple[tuple[str, str, Callable[[float], str], bool | None], ...] = (
    ("parameters", "The number of parameters", count_text, None),
    ("context_length", "The context, in tokens,", number_text, False),
    ("layers", "The number of layers", number_text, None),
    ("vocabulary", "The number of tokens in the vocabulary", number_text, None),
    ("load_bytes", "The memory that its tensors fill", size_text, True),
    ("cache_bytes_per_1000_tokens", "The memory for 1,000 tokens of context", size_text, True),
)
"""Key of the architecture, words, how it is shown, and whether more is worse."""


def diff(a: ReleaseRecord, b: ReleaseRecord) -> tuple[Change, ...]:
    """Return what differs from `a` to `b`, by area; nothing for two records that state the same.

    Raises:
        InputError: if terms or openness of a record have another shape.
    """
    changes = (
        *terms_changes(a, b),
        *evidence_changes(a, b),
        *_contents(a, b),
        *openness_changes(a, b),
        *_texts(a, b),
    )
    return tuple(dict.fromkeys(changes))


def _contents(a: ReleaseRecord, b: ReleaseRecord) -> Iterator[Change]:
    yield from differ("contents", "The family", a.model, b.model)
    yield from differ("contents", "The name of the version", a.version, b.version)
    yield from differ("contents", "The internal model that it comes from (digest)", a.source_digest, b.source_digest)
    yield from differ("contents", "The format", a.format, b.format)
    yield from _architecture(a, b)
    yield from _files(a, b)
    recipes = ["; ".join(recipe_text(step) for step in record.recipe) or "no step" for record in (a, b)]
    yield from differ("contents", "How it was made", *recipes)
    held = [
        {part.description: f"{number_text(part.count)} {part.kind}, {size_text(part.size_bytes)}" for part in parts}
        for parts in (a.held_back.parts, b.held_back.parts)
    ]
    yield from keyed("contents", "What is held back:", *held)


def _architecture(a: ReleaseRecord, b: ReleaseRecord) -> Iterator[Change]:
    families = [str(record.architecture.get("family") or "") for record in (a, b)]
    yield from differ("contents", "The architecture", *families)
    for key, words, show, more_is_worse in _FACTS:
        old, new = _number(a.architecture.get(key)), _number(b.architecture.get(key))
        if old == new:
            continue
        worse = None
        if old is not None and new is not None and more_is_worse is not None:
            worse = (new > old) is more_is_worse
        shown = ["" if value is None else show(value) for value in (old, new)]
        if shown[0] == shown[1]:  # the short form hides the difference
            shown = [number_text(value) for value in (old, new) if value is not None]
        yield from differ("contents", words, *shown, worse=worse)


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _files(a: ReleaseRecord, b: ReleaseRecord) -> Iterator[Change]:
    before, after = ({str(entry.path): entry for entry in record.manifest} for record in (a, b))
    yield from listed("contents", "The file", before, after)
    changed = [path for path in before if path in after and before[path].sha256 != after[path].sha256]
    for path in changed[:20]:
        old, new = before[path], after[path]
        shown = [f"{size_text(entry.size_bytes)}, SHA-256 {entry.sha256[:12]}…" for entry in (old, new)]
        yield Change(area="contents", text=f"The bytes of the file {path!r} changed.", before=shown[0], after=shown[1])
    if len(changed) > 20:
        text = f"The bytes of {len(changed) - 20} more files changed."
        yield Change(area="contents", text=text, before=a.subject, after=b.subject)
    sizes = [size_text(record.manifest.size_bytes) for record in (a, b)]
    yield from differ("contents", "The size of all files", *sizes)


def _texts(a: ReleaseRecord, b: ReleaseRecord) -> Iterator[Change]:
    for name, words in (
        ("title", "The title"),
        ("summary", "The summary"),
        ("intended_use", "The intended use"),
        ("limitations", "The stated limitations"),
        ("contact", "The contact"),
    ):
        old, new = (str(getattr(record.texts, name)).strip() for record in (a, b))
        yield from differ("texts", words, old, new)
    yield from listed("texts", "The language", a.texts.languages, b.texts.languages, added_is_worse=False)
    publishers = [{k: v for k, v in asdict(record.disclosure.publisher).items() if v} for record in (a, b)]
    yield from keyed("texts", "Of the publisher,", *publishers)
    statements = [dict(record.disclosure.statements) for record in (a, b)]
    yield from keyed("texts", "The statement", *statements)
    yield from _data_sets(a, b)
    parts = [[f"{c.kind}: {c.path or c.url}" for c in record.disclosure.components] for record in (a, b)]
    yield from listed("texts", "The published component", *parts, added_is_worse=False)


def _data_sets(a: ReleaseRecord, b: ReleaseRecord) -> Iterator[Change]:
    before, after = ({item.name: asdict(item) for item in record.disclosure.data} for record in (a, b))
    yield from listed("texts", "The data set", before, after)
    for name in (name for name in before if name in after):
        for key in before[name]:
            old, new = (_words(facts[name][key]) for facts in (before, after))
            yield from differ("texts", f"Of the data set {name!r}, {key}", old, new)


def _words(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, int | float):
        return number_text(value)
    return "" if value is None or value == "unknown" else str(value)
