"""The Model Documentation Form of the EU's Code of Practice for general-purpose AI models, Transparency chapter.

The form was published by the European Commission with the Code on 10 July 2025; it gathers what Article 53(1)(a) and
(b) and the Annexes XI and XII of Regulation (EU) 2024/1689 ask for. Most of it is meant for the AI Office and national
authorities on request, or for providers downstream; nothing obliges a publisher to make all of it public.
"""

from weighbridge.dossier.duty import data, evidence
from weighbridge.dossier.duty.document import Form, Scope
from weighbridge.dossier.duty.field import Field, Fill, Source, Who, says, stated_words
from weighbridge.dossier.release import ReleaseRecord

FORM_NAME = "eu/model_documentation_form.json"

GENERAL_PURPOSE_FLOP = 1e23
"""Above this, a model that generates language, images or video counts as general-purpose; an indication only
(Commission Guidelines of 18 July 2025 on the scope of the obligations, section 2.1)."""


def eu_scope(record: ReleaseRecord) -> Scope:
    """Say whether the duties of providers of general-purpose AI models apply to `record`."""
    stated = says(record, "eu.general_purpose")
    flop = evidence.training_flop(record)
    if stated is not None:
        answer, reason = "yes" if stated else "no", stated_words(record, "eu.general_purpose")
    elif flop is not None and flop <= GENERAL_PURPOSE_FLOP:
        answer = "unknown"
        reason = (
            f"The stated {flop:.2g} FLOP of training are not above the Commission's indication of 1e23; "
            "that alone does not decide."
        )
    else:
        answer, reason = "unknown", "The publisher does not state whether it is a general-purpose AI model."
    return Scope(answer=answer, reason=reason, decided_by="eu.general_purpose")


SCOPE_FIELD = Field(
    id="eu.general_purpose",
    title="Whether this is a general-purpose AI model that is placed on the Union market",
    section="0",
    who=Who.LEGAL,
    obligation="Regulation (EU) 2024/1689, Articles 2(1) and 3(63)",
    ask="Begin with yes or no. A no takes the EU's forms off the list of what is open.",
)

_XI = "Regulation (EU) 2024/1689, Annex XI, section 1"
_XII = "Annex XII"

PROVIDER = Field(
    id="provider.legal_name",
    title="Legal name of the provider",
    section="1.1",
    who=Who.LEGAL,
    obligation=f"{_XI}, point 1; Code of Practice, Transparency, Measure 1.1",
    ask="State `publisher.name` in the plan.",
    fill=evidence.legal_name,
)
NAME = Field(
    id="model.name",
    title="Model name, with the versions that this covers",
    section="1.2",
    who=Who.LEGAL,
    obligation=f"{_XI}, point 1; Code of Practice, Transparency, Measure 1.1",
    ask="Name the model.",
    fill=evidence.model_name,
)
RELEASE_DATE = Field(
    id="model.release_date",
    title="Date of the first release through any channel",
    section="1.4",
    who=Who.LEGAL,
    obligation=f"{_XI}, point 1(c); {_XII}, point 1(c)",
    ask="State the day on which the model is first released, YYYY-MM-DD.",
)
UNION_DATE = Field(
    id="model.union_market_date",
    title="Date of placing on the Union market",
    section="1.5",
    who=Who.LEGAL,
    obligation=f"{_XI}, point 1(c); {_XII}, point 1(c)",
    ask="State the day on which it is placed on the Union market, YYYY-MM-DD.",
)
DEPENDENCIES = Field(
    id="model.dependencies",
    title="Models that this one modifies or is fine-tuned from",
    section="1.6",
    who=Who.TRAINING,
    obligation=f"{_XI}, point 2; Code of Practice, Transparency, Measure 1.1",
    ask="Name the parents in the plan, or state `N/A` if it was trained from scratch.",
    fill=evidence.dependencies,
)
OUTPUT_MODALITIES = Field(
    id="model.output_modalities",
    title="Modalities of the output",
    section="2.6",
    who=Who.TRAINING,
    obligation=f"{_XI}, point 1(e); {_XII}, points 1(g) and 2(b)",
    ask="State which of text, image, audio, video or other it produces.",
)
INTENDED_USE = Field(
    id="use.intended",
    title="Intended uses",
    section="4.2",
    who=Who.LEGAL,
    obligation=f"{_XI}, point 1(a); {_XII}, point 1(a)",
    ask="State `intended_use` in the plan.",
    fill=evidence.intended_use,
)
RESTRICTIONS = Field(
    id="use.restricted",
    title="Uses that are restricted or prohibited beyond the law",
    section="4.3",
    who=Who.LEGAL,
    obligation=f"{_XI}, points 1(a) and 1(b)",
    ask="State which uses you restrict or prohibit, or that there are none.",
    fill=evidence.restrictions,
    source=Source.TERMS,
)
COMPUTE = Field(
    id="training.compute_flop",
    title="Amount of computation used for training",
    section="7.2",
    who=Who.TRAINING,
    obligation=f"{_XI}, point 2(d)",
    ask="State the floating-point operations of the whole training, that of the models it descends from included, "
    "with two significant figures, such as 2.4e22.",
)


_TRAINING, _DATA, _LEGAL = Who.TRAINING, Who.DATA, Who.LEGAL
_MEASURED = Source.MEASURED


def _field(
    section: str,
    field_id: str,
    title: str,
    who: Who,
    obligation: str,
    ask: str,
    fill: Fill | None = None,
    source: Source = Source.PUBLISHER,
) -> Field:
    return Field(
        section=section, id=field_id, title=title, who=who, obligation=obligation, ask=ask, fill=fill, source=source
    )


_GENERAL = (
    SCOPE_FIELD,
    PROVIDER,
    NAME,
    _field(
        "1.3", "model.authenticity", "Evidence of provenance and authenticity", Who.SECURITY,
        "Code of Practice, Transparency, Measure 1.1", "State a secure hash of the model.",
        evidence.authenticity, _MEASURED,
    ),
    RELEASE_DATE,
    UNION_DATE,
    DEPENDENCIES,
)  # fmt: skip

_PROPERTIES = (
    _field(
        "2.1", "model.architecture", "Architecture", _TRAINING, f"{_XI}, point 1(d); {_XII}, point 1(f)",
        "Describe the architecture in about 20 words.", evidence.architecture, _MEASURED,
    ),
    _field(
        "2.2", "model.design", "Key design specifications, with rationale and assumptions", _TRAINING,
        f"{_XI}, point 2(b)", "Describe how the model was designed, and why so, in about 100 words.",
    ),
    _field(
        "2.3", "model.input_modalities", "Modalities of the input", _TRAINING, f"{_XI}, point 1(e); {_XII}, point 2(b)",
        "State which of text, image, audio, video or other it takes.",
    ),
    _field(
        "2.4", "model.input_size", "Largest input of each modality", _TRAINING,
        f"{_XI}, point 1(e); {_XII}, point 2(b)", "State the largest input of each modality, or N/A.",
        evidence.input_size, _MEASURED,
    ),
    OUTPUT_MODALITIES,
    _field(
        "2.7", "model.output_size", "Largest output of each modality", _TRAINING,
        f"{_XI}, point 1(e); {_XII}, point 2(b)", "State the largest output of each modality, or N/A.",
    ),
    _field(
        "2.8", "model.parameters", "Total size of the model", _TRAINING, f"{_XI}, point 1(d); {_XII}, point 1(f)",
        "State the number of parameters with two significant figures.", evidence.parameters, _MEASURED,
    ),
)  # fmt: skip

_DISTRIBUTION = (
    _field(
        "3.1", "distribution.channels", "Channels of distribution, and who has access through each", _LEGAL,
        f"{_XI}, point 1(c); {_XII}, point 1(c)", "List where it can be had: repositories, interfaces, products.",
    ),
    _field(
        "3.2", "licence.text", "Licence", _LEGAL, f"{_XI}, point 1(f); {_XII}, point 1(h)", "State the licence.",
        evidence.licence, Source.TERMS,
    ),
    _field(
        "3.3", "licence.category", "Kind of licence", _LEGAL, f"{_XI}, point 1(f); {_XII}, point 1(h)",
        "State whether it is free and open source, limited in some uses, or proprietary.", evidence.licence_kind,
        Source.TERMS,
    ),
    _field(
        "3.4", "licence.assets", "Further assets that are published, with their licences", _LEGAL,
        "Code of Practice, Transparency, Measure 1.1",
        "List training data, code and documentation that are published, or state that there are none.", evidence.assets,
    ),
)  # fmt: skip

_USE = (
    _field(
        "4.1", "use.acceptable_use_policy", "Acceptable use policy", _LEGAL, f"{_XI}, point 1(b); {_XII}, point 1(b)",
        "Link to the policy, or state that none exists.",
    ),
    INTENDED_USE,
    RESTRICTIONS,
    _field(
        "4.4", "use.integration", "Kinds of AI systems it can be integrated into, and into which not", _TRAINING,
        f"{_XI}, point 1(a); {_XII}, point 1(a)", "Describe the kinds of systems, such as assistants or agents.",
    ),
    _field(
        "4.5", "use.technical_means", "Technical means for integration", _TRAINING,
        f"{_XI}, point 2(a); {_XII}, point 2(a)", "Describe instructions, infrastructure and tools.",
        evidence.technical_means, _MEASURED,
    ),
    _field(
        "4.6", "use.hardware", "Required hardware", _TRAINING, f"{_XI}, point 2(a); {_XII}, point 1(d)",
        "Describe the hardware that it needs, or state N/A.", evidence.hardware, _MEASURED,
    ),
    _field(
        "4.7", "use.software", "Required software, with versions", _TRAINING, f"{_XI}, point 2(a); {_XII}, point 1(e)",
        "Describe the software that it needs, or state N/A.", evidence.software, _MEASURED,
    ),
)  # fmt: skip

_TRAINING_PROCESS = (
    _field(
        "5.1", "training.process", "Main steps and methods of training", _TRAINING, f"{_XI}, point 2(b)",
        "Describe stages, objectives and methods of training in about 400 words.",
    ),
    _field(
        "5.2", "training.rationale", "Key decisions about training, and their rationale", _TRAINING,
        f"{_XI}, point 2(b)", "Describe how and why the key decisions were made, in about 200 words.",
    ),
)  # fmt: skip

_CURATION = f"{_XI}, point 2(c); {_XII}, point 2(c)"
_DATA_FIELDS = (
    _field(
        "6.1", "data.types", "Modalities of the data", _DATA, _CURATION, "List the training data in the plan.",
        data.modalities,
    ),
    _field(
        "6.2", "data.provenance", "Where the data come from", _DATA, _CURATION,
        "List the training data in the plan, each with its `origin`.", data.origins,
    ),
    _field(
        "6.3", "data.obtained", "How the data were obtained and selected", _DATA, f"{_XI}, point 2(c)",
        "Describe crawling, licensing, annotation and selection in about 300 words.",
    ),
    _field(
        "6.4", "data.points", "Number of data points", _DATA, f"{_XI}, point 2(c)",
        "State tokens, records or bytes of each set of training data.",
        data.each(data.amount_text, "its size (`tokens`, `records` or `size_bytes`)"),
    ),
    _field(
        "6.5", "data.scope", "Scope and main characteristics of the data", _DATA, f"{_XI}, point 2(c)",
        "Describe domains, languages and other characteristics in about 200 words.",
        data.each(data.kind_text, "what is in it (`description`)"),
    ),
    _field(
        "6.6", "data.curation", "How the data were curated", _DATA, _CURATION,
        "Describe cleaning, filtering and augmentation in about 300 words.",
        data.each(lambda item: item.processing, "how it was processed (`processing`)"),
    ),
    _field(
        "6.7", "data.unsuitability", "Measures that detect unsuitable sources", _DATA, f"{_XI}, point 2(c)",
        "Describe how harmful, illegal or personal content was detected, in about 400 words.",
    ),
    _field(
        "6.8", "data.biases", "Measures that detect identifiable biases", _DATA, f"{_XI}, point 2(c)",
        "Describe how biases in the data were looked for, in about 200 words.",
    ),
)  # fmt: skip

_RESOURCES = (
    _field(
        "7.1", "training.time", "Training time", _TRAINING, f"{_XI}, point 2(d)",
        "State days by the wall clock, and days of the hardware (such as 12 days on 64 GPUs).",
    ),
    COMPUTE,
    _field(
        "7.3", "training.compute_method", "How the computation was measured or estimated", _TRAINING,
        f"{_XI}, point 2(d)", "Describe the method, and what it leaves out.",
    ),
    _field(
        "8.1", "training.energy_mwh", "Energy used for training", _TRAINING, f"{_XI}, point 2(e)",
        "State MWh with two significant figures, measured or estimated; N/A if the host does not tell.",
    ),
    _field(
        "8.2", "training.energy_method", "How the energy was measured or estimated", _TRAINING, f"{_XI}, point 2(e)",
        "Describe the method in about 100 words.",
    ),
    _field(
        "8.3", "inference.compute_flop", "Benchmarked computation of inference", _TRAINING, f"{_XI}, point 2(e)",
        "State the floating-point operations of a task, with two significant figures.",
    ),
    _field(
        "8.4", "inference.compute_method", "How the computation of inference was measured", _TRAINING,
        f"{_XI}, point 2(e)", "Describe the task, such as generating 100,000 tokens, and the hardware.",
    ),
)  # fmt: skip

FORM = Form(
    path=FORM_NAME,
    title="Model documentation form",
    law="Regulation (EU) 2024/1689, Article 53(1)(a) and (b), Annexes XI and XII; Code of Practice for general-purpose "
    "AI models, Transparency chapter, Measure 1.1",
    about="Filled from what was measured and from what the publisher states. Open fields say who fills them.",
    fields=(*_GENERAL, *_PROPERTIES, *_DISTRIBUTION, *_USE, *_TRAINING_PROCESS, *_DATA_FIELDS, *_RESOURCES),
    headings={
        "0": "Scope",
        "1": "General information",
        "2": "Model properties",
        "3": "Methods of distribution and licences",
        "4": "Use",
        "5": "Training process",
        "6": "Information on the data used for training, testing and validation",
        "7": "Computational resources during training",
        "8": "Energy consumption",
    },
    scope=eu_scope,
)
