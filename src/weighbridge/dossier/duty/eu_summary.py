"""The EU's template for the public summary of training content, and the copyright policy that goes with it.

Template: annex to the Commission's communication C(2025) 5235 of 24 July 2025, adopted as C(2025) 8311 on 5 December
2025, for Article 53(1)(d) of Regulation (EU) 2024/1689. Measures of the copyright policy: Code of Practice for
general-purpose AI models, Copyright chapter, for Article 53(1)(c). Neither duty falls away for open-source models.
"""

from collections.abc import Callable
from dataclasses import replace

from weighbridge.dossier.duty import data, evidence
from weighbridge.dossier.duty.document import Form
from weighbridge.dossier.duty.eu_form import DEPENDENCIES, NAME, SCOPE_FIELD, UNION_DATE, eu_scope
from weighbridge.dossier.duty.field import Field, Fill, Source, Who
from weighbridge.dossier.release import ReleaseRecord

SUMMARY_NAME = "eu/training_summary.md"
POLICY_NAME = "eu/copyright_policy.md"

_ARTICLE = "Regulation (EU) 2024/1689, Article 53(1)(d)"
_TEMPLATE = f"{_ARTICLE}; template C(2025) 8311, section"


def _always(record: ReleaseRecord) -> bool:
    return True


def _field(
    section: str,
    field_id: str,
    title: str,
    ask: str,
    fill: Fill | None = None,
    *,
    who: Who = Who.DATA,
    applies: Callable[[ReleaseRecord], bool] = _always,
) -> Field:
    return Field(
        section=section, id=field_id, title=title, who=who, obligation=f"{_TEMPLATE} {section}", ask=ask, fill=fill,
        applies=applies,
    )  # fmt: skip


def _from_form(field: Field, section: str) -> Field:
    """Return a field that the documentation form asks, too: one statement answers both."""
    return replace(field, section=section, obligation=f"{_TEMPLATE} {section}")


_IDENTIFICATION = (
    SCOPE_FIELD,
    _field(
        "1.0", "summary.version", "Version of this summary, and date of its last update",
        "State a version and a date, and link earlier versions.", who=Who.LEGAL,
    ),
    _field(
        "1.1", "provider.contact", "Name and contact of the provider",
        "State `publisher` with its name and contact in the plan.", evidence.name_and_contact, who=Who.LEGAL,
    ),
    _field(
        "1.1", "provider.representative", "Name and contact of the authorised representative",
        "Name the representative (Article 54), or state that none is needed.", evidence.representative, who=Who.LEGAL,
    ),
    _from_form(NAME, "1.2"),
    _from_form(DEPENDENCIES, "1.2"),
    _from_form(UNION_DATE, "1.2"),
    _field(
        "1.3", "data.sizes", "Modalities, size and content of the training data",
        "List the training data in the plan, each with its size and a description.", data.sizes,
    ),
    _field(
        "1.3", "data.latest_collection", "Latest date on which data were obtained",
        "State month and year (MM/YYYY), and whether training on new data goes on after it.",
    ),
    _field(
        "1.3", "data.languages", "Languages of the training data",
        "State `languages` of the training data.", data.spoken,
    ),
    _field(
        "1.3", "data.characteristics", "Other characteristics of the training data",
        "Describe regional, demographic or other specifics, or state that there are none.",
    ),
)  # fmt: skip

_SCRAPED = data.may_have("scraped")
_SOURCES = (
    _field(
        "2.1", "data.public", "Publicly available data sets",
        "List the training data of origin `public`, each with its address.", data.of_origin("public"),
    ),
    _field(
        "2.2.1", "data.licensed", "Data sets licensed from rightsholders or their representatives",
        "State whether there are licences, and for which modalities.", data.of_origin("licensed"),
    ),
    _field(
        "2.2.2", "data.private", "Private data sets obtained from other third parties",
        "List those that are publicly known, and describe the others.", data.of_origin("private"),
    ),
    _field(
        "2.3", "data.scraped", "Data crawled and scraped from online sources",
        "State whether crawlers were used, by you or for you.", data.of_origin("scraped"),
    ),
    _field("2.3", "data.crawler.names", "Names of the crawlers", "Name every crawler.", applies=_SCRAPED),
    _field("2.3", "data.crawler.purposes", "Purposes of the crawlers", "State what each was for.", applies=_SCRAPED),
    _field(
        "2.3", "data.crawler.behaviour", "Behaviour of the crawlers",
        "Describe how they treat robots.txt, paywalls and captchas.", applies=_SCRAPED,
    ),
    _field(
        "2.3", "data.crawler.period", "Period of collection", "State from MM/YYYY to MM/YYYY.", applies=_SCRAPED,
    ),
    _field(
        "2.3", "data.crawler.content", "Content and online sources that were crawled",
        "Describe them comprehensively.", applies=_SCRAPED,
    ),
    _field(
        "2.3", "data.crawler.domains", "Most relevant domain names",
        "List the top 10 % of all domains by size of content, or link the list; for small and medium enterprises the "
        "top 5 % or 1,000, whichever is fewer.", applies=_SCRAPED,
    ),
    _field(
        "2.4", "data.user", "User data",
        "State whether interactions with the model, or with other services of yours, were used, and which services.",
        data.of_origin("user"),
    ),
    _field(
        "2.5", "data.synthetic", "Synthetic data",
        "State whether data made by AI models were used, and their modalities.", data.of_origin("synthetic"),
    ),
    _field(
        "2.5", "data.synthetic.models", "Models that made the synthetic data",
        "Name the models on the market, with links to their summaries, and describe the others.",
        applies=data.may_have("synthetic"),
    ),
    _field("2.6", "data.other", "Other sources of data", "Describe other sources, or state that there are none."),
)  # fmt: skip

_PROCESSING = (
    _field(
        "3.1", "data.tdm_reservations", "Respect of reservations of rights against text and data mining",
        "State whether you signed the Code of Practice, and which opt-outs were honoured before and during collection.",
        who=Who.LEGAL,
    ),
    _field(
        "3.2", "data.illegal_content", "Removal of illegal content",
        "Describe the measures, such as blacklists, keywords and classifiers.",
    ),
)  # fmt: skip

SUMMARY = Form(
    path=SUMMARY_NAME,
    title="Public summary of training content",
    law=f"{_ARTICLE}, after the template C(2025) 8311",
    about="Put together from what the publisher states about the training data; Weighbridge has not seen those data. "
    "Where a model was modified, it covers the data of the modification only: see the summary of each model that it "
    "depends on.",
    fields=(*_IDENTIFICATION, *_SOURCES, *_PROCESSING),
    headings={"0": "Scope", "1": "General information", "2": "List of data sources", "3": "Data processing aspects"},
    scope=eu_scope,
)

_COPYRIGHT = "Regulation (EU) 2024/1689, Article 53(1)(c); Code of Practice, Copyright, Measure"


def _measure(number: str, field_id: str, title: str, ask: str) -> Field:
    return Field(
        section=number, id=field_id, title=title, who=Who.LEGAL, obligation=f"{_COPYRIGHT} {number}", ask=ask,
        source=Source.PUBLISHER,
    )  # fmt: skip


POLICY = Form(
    path=POLICY_NAME,
    title="Copyright policy",
    law="Regulation (EU) 2024/1689, Article 53(1)(c); Directive (EU) 2019/790, Article 4(3)",
    about="The policy itself can only come from the publisher. What is open here has no answer in this release.",
    fields=(
        replace(SCOPE_FIELD, section="1.0"),
        _measure(
            "1.1", "copyright_policy", "Policy to comply with Union law on copyright",
            "State the policy or link it, and name who in the organisation is responsible for it.",
        ),
        _measure(
            "1.2", "copyright.lawful_access", "Only lawfully accessible content is crawled",
            "Describe how technical measures such as paywalls are respected, or state that nothing is crawled.",
        ),
        _measure(
            "1.3", "copyright.reservations", "Reservations of rights are identified and respected",
            "Describe which protocols are read (robots.txt and others), or state that nothing is crawled.",
        ),
        _measure(
            "1.4", "copyright.outputs", "Outputs that infringe copyright are kept rare",
            "Describe the safeguards against outputs that repeat protected works, and what your terms prohibit.",
        ),
        _measure(
            "1.5", "copyright.contact", "Point of contact for rightsholders, and complaints",
            "State an address for electronic contact, and how complaints are handled.",
        ),
    ),
    headings={"1": "Commitment and measures"},
    scope=eu_scope,
)  # fmt: skip
