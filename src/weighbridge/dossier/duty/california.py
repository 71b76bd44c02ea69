"""What California asks: training data documentation (AB 2013) and the transparency report of frontier models (SB 53).

Civil Code, section 3111 (in force since 1 January 2026) lists twelve items about the data sets. Business and
Professions Code, section 22757.12(c) lists the items of the transparency report; section 22757.11 says whom they bind.
"""

from dataclasses import replace

from weighbridge.dossier.duty import data, evidence
from weighbridge.dossier.duty.document import Form, Scope
from weighbridge.dossier.duty.eu_form import COMPUTE, INTENDED_USE, OUTPUT_MODALITIES, RELEASE_DATE, RESTRICTIONS
from weighbridge.dossier.duty.field import Field, Fill, Who, says, stated_words
from weighbridge.dossier.release import ReleaseRecord

AB2013_NAME = "us/ab2013.json"
SB53_NAME = "us/sb53.json"

FRONTIER_FLOP = 1e26
"""A frontier model was trained with more than this, fine-tuning and earlier models included (section 22757.11)."""

_CIVIL = "California Civil Code, section 3111(a)"
_CODE = "California Business and Professions Code, section 22757.12(c)"

_AVAILABLE = Field(
    id="us.california",
    title="Whether it is made available to people in California",
    section="0",
    who=Who.LEGAL,
    obligation="California Civil Code, section 3111",
    ask="Begin with yes or no; releases without charge count. A no takes this form off the list of what is open.",
)


def ab2013_scope(record: ReleaseRecord) -> Scope:
    """Say whether the training data has to be documented for California. Fine-tunes and free releases count."""
    stated = says(record, _AVAILABLE.id)
    words = {True: "yes", False: "no", None: "unknown"}[stated]
    unsaid = "Whether people in California get it is not stated."
    reason = stated_words(record, _AVAILABLE.id) if stated is not None else unsaid
    return Scope(answer=words, reason=reason, decided_by=_AVAILABLE.id)


def _item(number: int, field_id: str, title: str, ask: str, fill: Fill) -> Field:
    return Field(
        section=str(number), id=f"ab2013.{field_id}", title=title, who=Who.DATA, obligation=f"{_CIVIL}({number})",
        ask=f"List the training data in the plan, {ask}.", fill=fill,
    )  # fmt: skip


def _each(describe: data.Describe, what: str) -> Fill:
    return data.each(describe, what, roles=data.MAKING_ROLES)


AB2013 = Form(
    path=AB2013_NAME,
    title="Training data documentation",
    law="California Civil Code, section 3111 (AB 2013)",
    about="Covers the data sets that the publisher lists, for training, fine-tuning and calibration. Weighbridge has "
    "not seen those data.",
    fields=(
        _AVAILABLE,
        _item(1, "sources", "Sources or owners of the data sets", "each with its `origin` or `url`",
              _each(data.source_text, "its source (`origin` or `url`)")),
        _item(2, "purpose", "How the data sets further the intended purpose", "each with its `purpose`",
              _each(lambda item: item.purpose, "how it serves the model's purpose (`purpose`)")),
        _item(3, "data_points", "Number of data points", "each with its size; ranges and estimates are allowed",
              _each(data.amount_text, "its size (`tokens`, `records` or `size_bytes`)")),
        _item(4, "types", "Types of data points: labels, or general characteristics", "each with its `description`",
              _each(data.kind_text, "what is in it (`description`)")),
        _item(5, "protected", "Whether they hold data protected by copyright, trademark or patent",
              "each with `copyrighted`",
              _each(data.yes_or_no("copyrighted"), "whether it is protected (`copyrighted`)")),
        _item(6, "purchased", "Whether they were purchased or licensed", "each with `purchased_or_licensed`",
              _each(data.yes_or_no("purchased_or_licensed"), "whether it was bought (`purchased_or_licensed`)")),
        _item(7, "personal", "Whether they hold personal information", "each with `personal_data`",
              _each(data.yes_or_no("personal_data"), "whether it holds personal information (`personal_data`)")),
        _item(8, "consumer", "Whether they hold aggregate consumer information", "each with `consumer_data`",
              _each(data.yes_or_no("consumer_data"), "whether it holds consumer information (`consumer_data`)")),
        _item(9, "processing", "Cleaning, processing or other modification, and what for", "each with `processing`",
              _each(lambda item: item.processing, "how it was processed (`processing`)")),
        _item(10, "collected", "When the data were collected, and whether that goes on", "each with `collected`",
              _each(lambda item: item.collected, "when it was collected (`collected`)")),
        _item(11, "first_used", "When the data sets were first used in development", "each with `first_used`",
              _each(lambda item: item.first_used, "when it was first used (`first_used`)")),
        _item(12, "synthetic", "Whether synthetic data was or is used", "each with `synthetic`",
              _each(data.synthetic_text, "whether it is synthetic (`synthetic`)")),
    ),
    headings={"0": "Scope"},
    scope=ab2013_scope,
)  # fmt: skip


def sb53_scope(record: ReleaseRecord) -> Scope:
    """Say whether the report of a frontier model is due, by the computation that the publisher states."""
    flop = evidence.training_flop(record)
    if says(record, _AVAILABLE.id) is False:
        return Scope(answer="no", reason="The publisher does not make it available there.", decided_by=_AVAILABLE.id)
    if flop is None:
        answer, reason = "unknown", "The computation of its training is not stated as one number."
    elif flop > FRONTIER_FLOP:
        answer, reason = "yes", f"The stated {flop:.2g} FLOP of training are more than 1e26."
    else:
        answer, reason = "no", f"The stated {flop:.2g} FLOP of training are not more than 1e26."
    return Scope(answer=answer, reason=reason, decided_by=COMPUTE.id)


def _large(record: ReleaseRecord) -> bool:
    return says(record, "us.large_frontier_developer") is not False


def _clause(section: str) -> str:
    return f"{_CODE}({section.replace('.', ')(')})"


def _report(section: str, field_id: str, title: str, ask: str, fill: Fill | None = None) -> Field:
    return Field(
        section=section, id=field_id, title=title, who=Who.LEGAL, obligation=_clause(section), ask=ask, fill=fill
    )


def _risk(section: str, field_id: str, title: str, ask: str) -> Field:
    return Field(
        section=section, id=field_id, title=title, who=Who.SECURITY, obligation=_clause(section), ask=ask,
        applies=_large,
    )  # fmt: skip


def _shared(field: Field, section: str) -> Field:
    return replace(field, section=section, obligation=_clause(section))


SB53 = Form(
    path=SB53_NAME,
    title="Transparency report of a frontier model",
    law="California Business and Professions Code, section 22757.12(c) (SB 53)",
    about="Filled from what the publisher states and from the licences. Points under (2) bind developers with a "
    "revenue of more than 500 million US dollars a year.",
    fields=(
        replace(COMPUTE, section="0", obligation="California Business and Professions Code, section 22757.11"),
        _report("1.A", "provider.website", "Website of the developer", "State `publisher.website`.", evidence.website),
        _report("1.B", "sb53.contact", "How a person reaches the developer", "State `publisher.contact`.",
                evidence.contact),
        _shared(RELEASE_DATE, "1.C"),
        _report("1.D", "model.languages", "Languages that it supports", "State `languages`.", evidence.languages),
        _shared(OUTPUT_MODALITIES, "1.E"),
        _shared(INTENDED_USE, "1.F"),
        _shared(RESTRICTIONS, "1.G"),
        Field(
            id="us.large_frontier_developer",
            title="Whether developer and affiliates had a revenue of more than 500 million US dollars last year",
            section="2",
            who=Who.LEGAL,
            obligation="California Business and Professions Code, section 22757.11",
            ask="Begin with yes or no.",
        ),
        _risk("2.A", "safety.catastrophic_risk", "Assessments of catastrophic risks", "Summarise them."),
        _risk("2.B", "safety.catastrophic_risk_results", "Results of these assessments", "Summarise them."),
        _risk("2.C", "safety.third_parties", "Extent to which third parties took part",
              "State who evaluated it from outside, and what they had access to."),
        _risk("2.D", "safety.framework_steps", "Other steps taken under the frontier AI framework", "Summarise them."),
    ),
    headings={"0": "Scope", "1": "Every frontier developer", "2": "Large frontier developers"},
    scope=sb53_scope,
)  # fmt: skip
