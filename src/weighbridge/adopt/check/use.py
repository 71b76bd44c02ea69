"""Our own circumstances, as the use file states them. What is not stated stays unknown."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from weighbridge.adopt.check.answer import Waiver
from weighbridge.terms.territory import within
from weighbridge.terms.use import Use

if TYPE_CHECKING:
    from weighbridge.gate.policy import Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Required:
    """What we ask of a model beyond its licence.

    Attributes:
        mof_class: `I`, `II` or `III`; empty for any.
        g7_label: one of `terms.openness.g7.LABELS`; empty for any.
        osaid: whether every line of the Open Source AI Definition has to be met.
        evidence: rules that its measurements and audits have to meet.
        documents: files that have to be there and signed, as shell patterns.
    """

    mof_class: str = ""
    g7_label: str = ""
    osaid: bool = False
    evidence: "tuple[Rule, ...]" = ()
    documents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OurUse:
    """Who we are and what we plan.

    Attributes:
        place: the file that says so.
        sha256: of its bytes.
        use: what licences ask about.
        fine_tune_share: computation of our fine-tuning, as a part of that of the model's training; None if not stated.
        name_as: the name that we would give a derivative; empty if not stated.
        signers: how many signers we trust.
        required: what we ask of a model.
        sample: our own text for measuring again, as the file names it; empty if none.
        adapter_base: the base that an adapter would be put on: a folder as the file names it, or a digest.
        waivers: unknowns that somebody takes upon themselves.
    """

    place: str
    sha256: str
    use: Use
    fine_tune_share: float | None = None
    name_as: str = ""
    signers: int = 0
    required: Required = field(default_factory=Required)
    sample: str = ""
    adapter_base: str = ""
    waivers: tuple[Waiver, ...] = ()

    @property
    def in_eu(self) -> bool | None:
        """Whether we or our users are in the European Union; None if seat or territories are not stated."""
        return self._in("EU")

    @property
    def in_us(self) -> bool | None:
        """Whether we or our users are in the United States; None if seat or territories are not stated."""
        return self._in("US")

    def _in(self, region: str) -> bool | None:
        places = (*((self.use.seat,) if self.use.seat else ()), *(self.use.territories or ()))
        if any(within(place, (region,)) for place in places):
            return True
        return None if self.use.seat is None or self.use.territories is None else False

    def to_json(self) -> dict[str, Any]:
        """Return a JSON form of what a report repeats."""
        use = self.use
        stated: Mapping[str, Any] = {
            "purpose": use.purpose or None,
            "commercial": use.commercial,
            "fields": None if use.fields is None else list(use.fields),
            "amounts": {str(metric): amount for metric, amount in use.amounts.items()},
            "seat": use.seat,
            "territories": None if use.territories is None else list(use.territories),
            "fine_tune": use.fine_tunes,
            "distil": use.distils,
            "host": use.hosts,
            "redistribute": use.redistributes,
            "end_user_only": use.end_user_only,
            "name_as": self.name_as or None,
        }
        return {"file": self.place, "sha256": self.sha256, **stated}
