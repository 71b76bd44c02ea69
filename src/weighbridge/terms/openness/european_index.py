"""The dimensions of the European Open Source AI Index, as far as a release by itself shows them.

Source: the criteria of https://github.com/Language-Technology-Assessment/main-database (readme.md at 0c3264a); the
dimensions lie in `european_index.toml`. The index is filled by people who read all that a project publishes. A release
shows less, so that much stays `unknown`; how comprehensive a document is takes a reader, so that such a dimension is
`partial` at best.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from weighbridge.terms.openness.component import load
from weighbridge.terms.openness.state import State, States

OPEN, PARTIAL, CLOSED, UNKNOWN = "open", "partial", "closed", "unknown"

_SOURCE_CODE = ("data-preprocessing-code", "training-code", "evaluation-code", "inference-code")
_DOCUMENTS = ("technical-report", "research-paper", "model-card")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """One dimension of the index: its name there, in the index before it, and in words."""

    id: str
    predecessor: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """What a release shows of one dimension.

    Attributes:
        dimension: its id.
        rating: `open`, `partial`, `closed` or `unknown`.
        why: what it rests on.
    """

    dimension: str
    rating: str
    why: str

    def to_json(self) -> dict[str, Any]:
        """Return a JSON form."""
        return {"dimension": self.dimension, "rating": self.rating, "why": self.why}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Release:
    found: States
    stated: States
    bases: tuple[str, ...]
    complete: bool


@functools.cache
def dimensions() -> tuple[Dimension, ...]:
    """Return the fourteen dimensions, in the order of the index."""
    return tuple(Dimension(**item) for item in load("european_index.toml")["dimension"])


def ratings(found: States, stated: States, *, bases: Sequence[str], complete: bool) -> tuple[Rating, ...]:
    """Rate every dimension.

    Args:
        found: what lies in the release.
        stated: the same with what is only stated counted as if it were there.
        bases: names of the models that the weights descend from; empty if the release is its own base model.
        complete: whether the release and what it states are all that its publisher shows. If not, what is absent is
            unknown rather than closed.
    """
    release = _Release(found=found, stated=stated, bases=tuple(bases), complete=complete)
    rated = {name: rate(release) for name, rate in _RATED.items()}
    return tuple(Rating(dimension=d.id, rating=rated[d.id][0], why=rated[d.id][1]) for d in dimensions())


_Answer = tuple[str, str]


def _absent(release: _Release, *kinds: str) -> _Answer:
    """Rate something that is not in the release: closed only if nobody says that it is elsewhere."""
    named = [release.stated[kind] for kind in kinds if release.stated[kind].present]
    why = "; ".join(dict.fromkeys(release.found[kind].why for kind in kinds))
    return (UNKNOWN if named or not release.complete else CLOSED), why


def _data(release: _Release) -> _Answer:
    data = release.found["datasets"]
    if data.present:
        return OPEN, f"all training data sets that the publisher names lie in the release: {', '.join(data.places)}"
    if data.places:
        return PARTIAL, data.why
    return _absent(release, "datasets")


def _base_data(release: _Release) -> _Answer:
    if release.bases:
        return UNKNOWN, f"the data of {', '.join(release.bases)} is not part of this release"
    return _data(release)


def _weights(release: _Release) -> _Answer:
    weights = release.found["model-parameters-final"]
    if weights.present:
        return OPEN, f"shared in the release: {', '.join(weights.places)}"
    return _absent(release, "model-parameters-final")


def _base_weights(release: _Release) -> _Answer:
    if release.bases:
        return UNKNOWN, f"whether the weights of {', '.join(release.bases)} are shared is not checked here"
    return _weights(release)


def _code(release: _Release) -> _Answer:
    open_code = [kind for kind in _SOURCE_CODE if release.found[kind].open_source]
    if len(open_code) == len(_SOURCE_CODE):
        return OPEN, f"in the release under open-source licences: {', '.join(open_code)}"
    lacking = "; ".join(release.found[kind].why for kind in _SOURCE_CODE if kind not in open_code)
    if open_code:
        return PARTIAL, f"in the release: {', '.join(open_code)}; {lacking}"
    present = [release.found[kind] for kind in _SOURCE_CODE if release.found[kind].present]
    if present:
        return (CLOSED if all(part.known for part in present) else UNKNOWN), lacking
    return _absent(release, *_SOURCE_CODE)


def _code_documents(release: _Release) -> _Answer:
    if any(release.found[kind].present for kind in _SOURCE_CODE):
        return UNKNOWN, "how well the code in the release is documented takes a reader"
    return _absent(release, *_SOURCE_CODE)


def _architecture(release: _Release) -> _Answer:
    there = [kind for kind in (*_DOCUMENTS, "model-architecture") if release.found[kind].present]
    if there:
        return PARTIAL, f"in the release: {', '.join(there)}; how fully they document it takes a reader"
    return _absent(release, *_DOCUMENTS, "model-architecture")


def _preprint(release: _Release) -> _Answer:
    papers = ("research-paper", "technical-report")
    if any(release.found[kind].present for kind in papers):
        return UNKNOWN, "whether the paper or report in the release is archived elsewhere is not checked here"
    return _absent(release, *papers)


def _paper(release: _Release) -> _Answer:
    if release.found["research-paper"].present:
        return UNKNOWN, "whether the paper in the release was peer-reviewed is not checked here"
    return _absent(release, "research-paper")


def _document(kind: str) -> Callable[[_Release], _Answer]:
    def rate(release: _Release) -> _Answer:
        if release.found[kind].present:
            return (
                PARTIAL,
                f"in the release: {', '.join(release.found[kind].places)}; how comprehensive it is takes a reader",
            )
        return _absent(release, kind)

    return rate


def _package(release: _Release) -> _Answer:
    if release.found["inference-code"].present:
        return (
            PARTIAL,
            "the release holds code that runs the model; whether it is packaged elsewhere is not checked here",
        )
    return UNKNOWN, "whether the publisher packages software for the model is not checked here"


def _api(release: _Release) -> _Answer:
    return UNKNOWN, "whether the publisher offers an interface to the model is not checked here"


def _licences(release: _Release) -> _Answer:
    asked = ("model-parameters-final", "datasets", "training-code", "data-preprocessing-code")
    parts: Mapping[str, State] = {kind: state for kind, state in release.found.items() if state.present}
    approved = [kind for kind, state in parts.items() if state.osi]
    if parts and len(approved) == len(parts) and all(kind in parts for kind in asked):
        return OPEN, "weights, data and pipeline are all under OSI-approved licences"
    if approved:
        rest = [kind for kind in asked if kind not in approved]
        beyond = f"; not so, or not in the release: {', '.join(rest)}" if rest else ""
        return PARTIAL, f"under OSI-approved licences: {', '.join(approved)}{beyond}"
    unclear = [kind for kind, state in parts.items() if not state.known]
    if unclear or not parts:
        return UNKNOWN, f"what the licences of {', '.join(unclear) or 'the release'} allow is not known here"
    return CLOSED, "nothing in the release is under an OSI-approved licence"


_RATED: Mapping[str, Callable[[_Release], _Answer]] = {
    "datasources_basemodel": _base_data,
    "datasources_endmodel": _data,
    "weights_basemodel": _base_weights,
    "weights_endmodel": _weights,
    "trainingcode": _code,
    "code": _code_documents,
    "architecture": _architecture,
    "preprint": _preprint,
    "paper": _paper,
    "modelcard": _document("model-card"),
    "datasheet": _document("data-card"),
    "package": _package,
    "api": _api,
    "licenses": _licences,
}
