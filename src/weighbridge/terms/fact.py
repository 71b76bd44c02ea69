"""What a licence says, as values that a program can check. One `Licence` a text; the data lies in `licences/*.toml`.

A fact states what the text says, never more. Where a text is silent, or where only a secondary source was read, the
answer is `Answer.UNKNOWN`, which nothing downstream takes for a yes. A grant without limit of purpose, as Apache-2.0
and MIT make it, is not silent about what may be done with the work; that nothing in it reaches what the work writes is
the reason that the fact gives. None of this is legal advice; every fact names its clause so that a lawyer can check it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum


class Answer(StrEnum):
    """What a text answers to "may I?"."""

    YES = "yes"
    CONDITIONAL = "conditional"
    """Yes, within the limits and duties that the licence's other facts state."""
    NO = "no"
    UNKNOWN = "unknown"


class Activity(StrEnum):
    """What somebody may want to do with a model."""

    USE = "use"
    """Run it, for oneself."""
    COMMERCIAL = "commercial"
    """Use it, or what it makes, for commercial advantage."""
    MODIFY = "modify"
    """Make a derivative: fine-tune, adapt, merge, quantise, prune."""
    REDISTRIBUTE = "redistribute"
    """Hand out copies or derivatives."""
    HOST = "host"
    """Let others use it over a network, without handing out a copy."""
    TRAIN_ON_OUTPUTS = "train-on-outputs"
    """Train or improve another model with what this one writes: distillation, synthetic data."""


class Category(StrEnum):
    """The kind of a licence, coarse; only for people and for grouping. Rules read the facts."""

    PUBLIC_DOMAIN = "public-domain"
    PERMISSIVE = "permissive"
    SHARE_ALIKE = "share-alike"
    WEAK_COPYLEFT = "weak-copyleft"
    COPYLEFT = "copyleft"
    COMMUNITY = "community"
    USE_RESTRICTED = "use-restricted"
    NON_COMMERCIAL = "non-commercial"
    PROPRIETARY = "proprietary"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """Where a licence says something.

    Attributes:
        section: number or heading in the text, such as "1.b.iv"; empty where the text is silent.
        quote: the words that the fact rests on, verbatim and short; empty where the text is silent.
    """

    section: str = ""
    quote: str = ""


class Mark(StrEnum):
    """How a fact was seen."""

    PRIMARY = "P"
    """The licence text itself was read."""
    SECONDARY = "S"
    """Only somebody's report of it. Reads as unknown wherever it would allow something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """The answer to one `Activity`.

    Attributes:
        answer: as far as it may be relied on: what only a secondary source allows is UNKNOWN here.
        stated: the answer that the source gives.
        mark: how it was seen.
        reason: why it is conditional, forbidden or unknown; one sentence.
        clause: where the text says so.
    """

    answer: Answer
    stated: Answer
    mark: Mark = Mark.PRIMARY
    reason: str = ""
    clause: Clause = field(default_factory=Clause)


class Metric(StrEnum):
    """What a threshold counts."""

    MONTHLY_USERS = "monthly_users"
    ANNUAL_REVENUE_USD = "annual_revenue_usd"
    MONTHLY_REVENUE_USD = "monthly_revenue_usd"


class Effect(StrEnum):
    """What happens to somebody above a threshold."""

    NEEDS_LICENCE = "needs-licence"
    """The rights end; a licence of its own has to be asked for."""
    DUTY = "duty"
    """The rights stay, and the duty named in `Threshold.duty` is added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A size above which other terms apply.

    Attributes:
        metric: what is counted.
        above: the largest number that is still within.
        actor: whose: `licensee`, `licensee-and-affiliates`, or `product` (of the products that use the model).
        measured: when, in the licence's words.
        measured_on: the month that counts, as its first day, where the licence fixes one; None if all times count.
        effect: what changes above it.
        activities: which activities need the licence of their own; empty for all.
        commercial_only: whether it only binds commercial use.
        duty: id of the duty that is added, with `Effect.DUTY`.
        exempt: who is exempt, in words: whoever only gets it inside of somebody else's product; empty if nobody.
        clause: where the text says so.
    """

    metric: Metric
    above: int
    actor: str
    measured: str
    measured_on: date | None = None
    effect: Effect = Effect.NEEDS_LICENCE
    activities: tuple[Activity, ...] = ()
    commercial_only: bool = False
    duty: str = ""
    exempt: str = ""
    clause: Clause = field(default_factory=Clause)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldLimit:
    """A field of use that is forbidden.

    Attributes:
        id: one of `FIELDS`.
        text: what the licence forbids, one sentence.
        flow_down: whether recipients must be bound to it, too.
        clause: where the text, or the policy that it includes, says so.
    """

    id: str
    text: str
    flow_down: bool
    clause: Clause = field(default_factory=Clause)


FIELDS: Mapping[str, str] = {
    "military": "military, warfare, or work for armed forces",
    "weapons": "weapons, their development or use",
    "critical-infrastructure": "operation of critical infrastructure, transportation, heavy machinery",
    "medical-advice": "medical advice or interpretation of medical results meant for medical decisions",
    "law-enforcement": "administration of justice, law enforcement, immigration or asylum processes",
    "surveillance": "surveillance or biometric identification of people without consent",
    "automated-decisions": "fully automated decisions that affect a person's legal rights",
    "undisclosed-ai": "text or media shown without saying that a machine made it",
    "impersonation": "impersonation of people without consent, deep fakes",
    "disinformation": "false information meant to deceive or harm",
    "discrimination": "discrimination or harm by protected characteristics, social scoring",
    "child-exploitation": "exploitation or harm of minors",
    "harassment": "harassment, abuse, defamation",
    "malware": "malicious code, attacks on computers or networks",
    "illegal": "whatever breaks the law",
    "unlicensed-professional": "legal, financial or medical profession without the required licence",
    "sexual-content": "sexually explicit content or services",
    "production": "use in production, or outside of research and tests",
    "guardrail-bypass": "removal or circumvention of safety guardrails without a comparable replacement",
}
"""Fields of use that limits are stated in, and a use file names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TerritoryLimit:
    """Where rights are not granted.

    Attributes:
        applies_to: `seat` (where the licensee lives or has its principal place of business), or `distribution` (where
            copies or services go and the model is used).
        regions: ISO 3166-1 alpha-2 codes, or `EU`.
        modalities: only for models with one of these (`image`, `audio`, `video`); empty for every model.
        exempt: who is exempt, in words; empty if nobody.
        clause: where the text, or the policy that it includes, says so.
    """

    applies_to: str
    regions: tuple[str, ...]
    modalities: tuple[str, ...] = ()
    exempt: str = ""
    clause: Clause = field(default_factory=Clause)


class DutyKind(StrEnum):
    """What kind of thing has to be done."""

    SHIP_LICENCE = "ship-licence"
    """A copy of the licence goes along."""
    SHIP_NOTICE = "ship-notice"
    """The notices that came along are kept."""
    NOTICE_LINE = "notice-line"
    """`text` has to stand in a NOTICE file, word for word."""
    BADGE = "badge"
    """`text` has to be shown prominently, word for word."""
    NAME_PREFIX = "name-prefix"
    """The name of a derivative has to begin with `text`."""
    CHANGE_NOTICE = "change-notice"
    """Changed files say that they were changed."""
    ATTRIBUTION = "attribution"
    """Credit to the authors."""
    FLOW_DOWN = "flow-down"
    """Recipients are bound to the use limits by agreement."""
    SHARE_ALIKE = "share-alike"
    """Adaptations go under the same licence."""
    SOURCE = "source"
    """The source code goes along."""
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """Something that has to be done.

    Attributes:
        id: unique within the licence, such as `built-with-llama`.
        kind: what kind of thing.
        text: the exact words to show, write or begin a name with, for NOTICE_LINE, BADGE and NAME_PREFIX; else a
            sentence that says what to do.
        on: the activities that bring it about; `train-on-outputs` with the result handed out is TRAIN_ON_OUTPUTS.
        above_threshold: whether it only applies above a threshold that names it.
        clause: where the text says so.
    """

    id: str
    kind: DutyKind
    text: str
    on: tuple[Activity, ...]
    above_threshold: bool = False
    clause: Clause = field(default_factory=Clause)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A fact that is a sentence with an answer: patent grant, termination, hosting as distribution."""

    answer: Answer
    text: str
    clause: Clause = field(default_factory=Clause)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a licence or policy was read.

    Attributes:
        url: its address.
        seen: the day on which this copy was taken or described; None where that is not known.
        sha256: of the archived copy under `texts/`; empty if none is kept.
        file: name of that copy; empty if none is kept.
        what: `licence`, `use-policy`, `notice` or `description`.
    """

    url: str
    seen: date | None = None
    sha256: str = ""
    file: str = ""
    what: str = "licence"


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    """One licence text and what it says.

    Attributes:
        id: SPDX identifier, or the name on Hugging Face cards where SPDX has none, or a `LicenseRef-…`.
        name: its name in full.
        expression: what an SPDX expression calls it: the SPDX identifier, else a `LicenseRef-scancode-…` or
            `LicenseRef-weighbridge-…`.
        card_id: the value of `license` on a Hugging Face card; `other` where the hub has none.
        aliases: other names that cards and headers use, compared without regard to case.
        category: coarse kind.
        steward: who wrote it, as in "Meta".
        released: the date that the text gives itself.
        mark: how its text was seen.
        osi_approved, fsf_libre: on these lists (SPDX 3.28).
        permissions: one for every `Activity`.
        thresholds, fields, territories, duties: the limits and duties.
        patent: whether patents are licensed, and when that ends.
        termination: what ends the rights, and what then has to be done.
        hosting_is_distribution: whether serving it over a network counts as handing it out.
        distilled_is_derivative: whether a model trained on outputs is a derivative that keeps these terms.
        no_further_restrictions: whether recipients' rights may not be narrowed (GPL, CC ShareAlike): collides with
            use limits that flow down.
        derivative_keeps: what a derivative must keep: any of `licence`, `use-limits`, `notices`, `territory`.
        text_file: its text under `texts/`; empty where the publisher must supply it.
        needs_copyright: whether the text has a line for year and holder.
        sources: where it was read.
        notes: what a reader should know, a sentence each.
    """

    id: str
    name: str
    expression: str
    card_id: str
    category: Category
    permissions: Mapping[Activity, Permission]
    aliases: tuple[str, ...] = ()
    steward: str = ""
    released: date | None = None
    mark: Mark = Mark.PRIMARY
    osi_approved: bool = False
    fsf_libre: bool = False
    thresholds: tuple[Threshold, ...] = ()
    fields: tuple[FieldLimit, ...] = ()
    territories: tuple[TerritoryLimit, ...] = ()
    duties: tuple[Duty, ...] = ()
    patent: Statement = Statement(answer=Answer.UNKNOWN, text="the text is silent")
    termination: Statement = Statement(answer=Answer.UNKNOWN, text="the text is silent")
    hosting_is_distribution: Statement = Statement(answer=Answer.UNKNOWN, text="the text is silent")
    distilled_is_derivative: Statement = Statement(answer=Answer.UNKNOWN, text="the text is silent")
    no_further_restrictions: bool = False
    derivative_keeps: tuple[str, ...] = ()
    text_file: str = ""
    needs_copyright: bool = False
    sources: tuple[Source, ...] = ()
    notes: tuple[str, ...] = ()
