import hashlib
import re
from datetime import date
from importlib import resources

import pytest

from weighbridge.errors import InputError
from weighbridge.terms.decode import encode
from weighbridge.terms.fact import Activity, Answer, Category, Clause, Duty, DutyKind, Licence, Metric
from weighbridge.terms.registry import (
    Index,
    Registry,
    archived,
    build_registry,
    index,
    parse_licence,
    read_licences,
    registry,
)

ALL = registry().all
STANDARD = re.findall(
    r"\S+",
    """
    Apache-2.0 MIT BSD-2-Clause BSD-3-Clause ISC CC0-1.0 CC-BY-4.0 CC-BY-3.0 CC-BY-SA-4.0 CC-BY-SA-3.0 CC-BY-NC-4.0
    CC-BY-NC-SA-4.0 CC-BY-NC-ND-4.0 CC-BY-ND-4.0 OpenMDW-1.0 OpenMDW-1.1 CDLA-Permissive-1.0 CDLA-Permissive-2.0
    CDLA-Sharing-1.0 ODC-By-1.0 ODbL-1.0 PDDL-1.0 C-UDA-1.0 GPL-2.0-only GPL-2.0-or-later GPL-3.0-only GPL-3.0-or-later
    AGPL-3.0-only AGPL-3.0-or-later LGPL-2.1-only LGPL-2.1-or-later LGPL-3.0-only LGPL-3.0-or-later MPL-2.0 EPL-2.0
    EUPL-1.2 Unlicense LicenseRef-proprietary
    """,
)
TEXTLESS = {"LicenseRef-proprietary"}

ACTIVITIES = "".join(
    f'[permissions.{activity}]\nanswer = "yes"\nsection = "1"\nquote = "may"\n' for activity in Activity
)
SOURCE = '[[sources]]\nurl = "https://example.org/licence"\n'
HEAD = 'id = "acme"\nname = "Acme Licence"\nexpression = "LicenseRef-acme"\ncard_id = "other"\ncategory = "community"\n'


def parse(head: str = "", *, tables: str = "", activities: str = ACTIVITIES, source: str = SOURCE) -> Licence:
    return parse_licence(f"{HEAD}{head}\n{activities}{tables}{source}".encode(), place="acme.toml")


def known(name: str) -> Licence:
    licence = registry().get(name)
    assert licence is not None
    return licence


def squashed(text: str) -> str:
    return " ".join(text.split())


# What ships


@pytest.mark.parametrize("licence_id", STANDARD)
def test_a_standard_licence_is_known_with_its_text(licence_id: str) -> None:
    licence = known(licence_id)

    assert licence.id == licence_id
    assert (registry().text(licence) is None) is (licence_id in TEXTLESS)


@pytest.mark.parametrize("licence", ALL, ids=lambda licence: licence.id)
def test_an_archived_text_has_the_digest_that_is_stated(licence: Licence) -> None:
    for source in licence.sources:
        if source.file:
            data = resources.files("weighbridge.terms").joinpath("texts", source.file).read_bytes()
            assert hashlib.sha256(data).hexdigest() == source.sha256, source.file


@pytest.mark.parametrize("licence", ALL, ids=lambda licence: licence.id)
def test_every_quote_stands_in_an_archived_text(licence: Licence) -> None:
    texts = [squashed(archived(source.file)) for source in licence.sources if source.file]
    if not texts:
        pytest.skip("no text is archived")
    missing = [quote for quote in quotes(encode(licence)) if not any(squashed(quote) in text for text in texts)]

    assert missing == []


def quotes(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["quote"]] if value.get("quote") else []
        return own + [quote for item in value.values() for quote in quotes(item)]
    return [quote for item in value for quote in quotes(item)] if isinstance(value, list) else []


def test_no_archived_text_is_without_a_licence() -> None:
    files = {entry.name for entry in resources.files("weighbridge.terms").joinpath("texts").iterdir()}

    assert files == {source.file for licence in ALL for source in licence.sources if source.file}


@pytest.mark.parametrize("licence", ALL, ids=lambda licence: licence.id)
def test_a_licence_is_found_by_all_of_its_names_in_any_case(licence: Licence) -> None:
    for name in (licence.id, licence.expression, *licence.aliases):
        assert registry().get(name) is licence
        assert registry().get(f" {name.upper()} ") is licence


@pytest.mark.parametrize(
    "name", ["\u212aimi-K2", "\u0410pache-2.0", "\u041cIT", "M\u0406T", "MIT\u200b", "\uff2d\uff29\uff34"]
)
def test_a_name_of_letters_that_only_look_alike_is_another(name: str) -> None:
    assert registry().get(name) is None


def test_other_is_no_licence() -> None:
    assert registry().get("other") is None
    assert registry().get("") is None


@pytest.mark.parametrize("name", ["gpl-3.0", "GPL-2.0", "agpl-3.0", "lgpl-2.1", "lgpl-3.0"])
def test_a_gnu_name_that_leaves_the_choice_open_is_read_as_the_narrower(name: str) -> None:
    assert known(name).id.lower() == f"{name.lower()}-only"


@pytest.mark.parametrize("licence", ALL, ids=lambda licence: licence.id)
def test_what_was_only_reported_allows_nothing(licence: Licence) -> None:
    for permission in licence.permissions.values():
        if permission.mark == "S":
            assert permission.answer in (Answer.NO, Answer.UNKNOWN)


def test_a_text_that_is_not_archived_is_an_error_and_never_a_path() -> None:
    for name in ("none.txt", "../fact.py", "/etc/passwd", ""):
        with pytest.raises(InputError, match="no such archived text"):
            archived(name)


# What they say


def test_the_publishers_own_licence_is_unknown_throughout() -> None:
    answers = {permission.answer for permission in known("LicenseRef-proprietary").permissions.values()}

    assert answers == {Answer.UNKNOWN}


@pytest.mark.parametrize("licence_id", ["Apache-2.0", "MIT", "BSD-3-Clause", "OpenMDW-1.0", "OpenMDW-1.1", "CC0-1.0"])
def test_a_grant_without_limits_leaves_outputs_free(licence_id: str) -> None:
    assert known(licence_id).permissions[Activity.TRAIN_ON_OUTPUTS].answer is Answer.YES


@pytest.mark.parametrize("licence_id", [name for name in STANDARD if name.startswith("CC-BY")])
def test_creative_commons_is_silent_on_outputs(licence_id: str) -> None:
    assert known(licence_id).permissions[Activity.TRAIN_ON_OUTPUTS].answer is Answer.UNKNOWN


@pytest.mark.parametrize("licence_id", [name for name in STANDARD if name.startswith("CC-BY-NC")])
def test_non_commercial_forbids_commerce_and_limits_all_else(licence_id: str) -> None:
    permissions = known(licence_id).permissions

    assert permissions[Activity.COMMERCIAL].answer is Answer.NO
    assert permissions[Activity.USE].answer is Answer.CONDITIONAL
    assert "use-limits" in known(licence_id).derivative_keeps


def test_no_derivatives_means_that_no_version_may_be_made() -> None:
    assert {known(name).permissions[Activity.MODIFY].answer for name in ("CC-BY-ND-4.0", "CC-BY-NC-ND-4.0")} == {
        Answer.NO
    }


def test_the_affero_licence_alone_of_the_gnu_ones_reaches_hosts() -> None:
    assert known("AGPL-3.0-only").permissions[Activity.HOST].answer is Answer.CONDITIONAL
    assert known("GPL-3.0-only").permissions[Activity.HOST].answer is Answer.YES
    assert any(Activity.HOST in duty.on for duty in known("AGPL-3.0-or-later").duties)


@pytest.mark.parametrize("name", ["GPL-3.0-only", "AGPL-3.0-only", "LGPL-2.1-only", "MPL-2.0", "CC-BY-SA-4.0"])
def test_copyleft_forbids_further_restrictions_and_is_kept(name: str) -> None:
    licence = known(name)

    assert licence.no_further_restrictions
    assert "licence" in licence.derivative_keeps
    assert DutyKind.SHARE_ALIKE in {duty.kind for duty in licence.duties}


def test_the_two_versions_of_openmdw_differ_in_what_ends_the_rights() -> None:
    assert "copyright" not in known("OpenMDW-1.0").termination.text
    assert "copyright" in known("OpenMDW-1.1").termination.text


# The loader


def test_a_file_of_facts_is_read_as_it_is_written() -> None:
    licence = parse(
        'aliases = ["ac-me"]\nreleased = 2024-09-25\nsteward = "Acme"\n',
        tables="""
[[thresholds]]
metric = "monthly_users"
above = 700_000_000
actor = "licensee-and-affiliates"
measured = "in the month before the release"
measured_on = 2024-08-01
section = "2"
quote = "700 million"
[[duties]]
id = "badge"
kind = "badge"
text = "Built with Acme"
on = ["redistribute", "host"]
section = "1"
quote = "Built"
[patent]
answer = "no"
text = "none"
section = "3"
quote = "no patents"
""",
    )

    assert licence.category is Category.COMMUNITY
    assert licence.released == date(2024, 9, 25)
    assert licence.thresholds[0].metric is Metric.MONTHLY_USERS
    assert licence.thresholds[0].measured_on == date(2024, 8, 1)
    assert licence.thresholds[0].clause == Clause(section="2", quote="700 million")
    assert licence.duties == (
        Duty(
            id="badge",
            kind=DutyKind.BADGE,
            text="Built with Acme",
            on=(Activity.REDISTRIBUTE, Activity.HOST),
            clause=Clause(section="1", quote="Built"),
        ),
    )
    assert licence.patent.answer is Answer.NO
    assert licence.termination.answer is Answer.UNKNOWN


def test_what_only_a_secondary_source_allows_is_unknown_and_what_it_forbids_is_not() -> None:
    forbids = ACTIVITIES.replace(
        '[permissions.host]\nanswer = "yes"', '[permissions.host]\nanswer = "no"\nreason = "it says so"'
    )
    licence = parse(
        'mark = "S"\n', activities=forbids, tables='[hosting_is_distribution]\nanswer = "no"\ntext = "said"\n'
    )

    assert licence.permissions[Activity.USE].stated is Answer.YES
    assert licence.permissions[Activity.USE].answer is Answer.UNKNOWN
    assert licence.permissions[Activity.HOST].answer is Answer.NO
    assert licence.hosting_is_distribution.answer is Answer.UNKNOWN


@pytest.mark.parametrize(
    ("head", "tables", "problem"),
    [
        ('colour = "red"', "", "unknown key 'colour'"),
        ('category = "nice"', "", "not a TOML file|not one of"),
        ("name = 3", "", "not a TOML file|expected str"),
        ("osi_approved = 1", "", "expected bool"),
        ("released = 2024-09-25T10:00:00", "", "expected date"),
        ('aliases = "one"', "", "expected a list"),
        ('derivative_keeps = ["everything"]', "", "derivative_keeps"),
        ('text_file = "none.txt"', "", "not the file of a source"),
        ("", '[patent]\nanswer = "perhaps"\ntext = "x"\n', "not one of"),
        ("", '[patent]\nanswer = "yes"\n', "'text' is missing"),
        ("", '[patent]\nanswer = "yes"\ntext = "x"\nclause = "3"\n', "unknown key 'clause'"),
        ("", '[[fields]]\nid = "gardening"\ntext = "x"\nflow_down = true\n', "gardening"),
        ("", '[[territories]]\napplies_to = "moon"\nregions = ["EU"]\n', "neither seat nor distribution"),
        ("", '[[territories]]\napplies_to = "seat"\nregions = ["Europe"]\n', "ISO 3166"),
        ("", '[[territories]]\napplies_to = "seat"\nregions = []\n', "ISO 3166"),
        (
            "",
            '[[thresholds]]\nmetric = "monthly_users"\nabove = true\nactor = "licensee"\nmeasured = "x"\n',
            "expected int",
        ),
        (
            "",
            '[[thresholds]]\nmetric = "monthly_users"\nabove = 5\nactor = "you"\nmeasured = "x"\n',
            "actor 'you'",
        ),
        (
            "",
            '[[thresholds]]\nmetric = "monthly_users"\nabove = 5\nactor = "licensee"\nmeasured = "x"\n'
            'effect = "duty"\nduty = "badge"\n',
            "above_threshold",
        ),
        ("", '[[duties]]\nid = "a"\nkind = "badge"\ntext = "x"\non = []\n', "no activity"),
        ("", '[[duties]]\nid = "a"\nkind = "badge"\ntext = "x"\non = ["host"]\n' * 2, "occurs twice"),
    ],
)
def test_a_file_with_a_mistake_is_refused_by_name(head: str, tables: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as refused:
        parse(head, tables=tables)

    assert refused.value.place.startswith("acme.toml")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("[permissions.host]", "[permissions.sing]", "unknown key 'sing'"),
        ('[permissions.host]\nanswer = "yes"\nsection = "1"\nquote = "may"\n', "", "every activity is answered"),
        ('quote = "may"', 'quote = ""', "needs the quote"),
        ('answer = "yes"', 'answer = "conditional"', "needs a reason"),
        ('answer = "yes"', 'answer = "yes"\nstated = "yes"', "unknown key 'stated'"),
    ],
)
def test_permissions_are_answered_in_full(old: str, new: str, problem: str) -> None:
    with pytest.raises(InputError, match=re.escape(problem)):
        parse(activities=ACTIVITIES.replace(old, new))


@pytest.mark.parametrize(
    "source",
    [
        "",
        '[[sources]]\nurl = "ftp://example.org"\n',
        '[[sources]]\nurl = "https://example.org"\nfile = "a.txt"\n',
        '[[sources]]\nurl = "https://example.org"\nfile = "../a.txt"\nsha256 = "' + "0" * 64 + '"\n',
        '[[sources]]\nurl = "https://example.org"\nfile = "a.txt"\nsha256 = "abc"\n',
        '[[sources]]\nurl = "https://example.org"\nwhat = "rumour"\n',
    ],
)
def test_a_source_is_an_address_and_a_copy_has_its_digest(source: str) -> None:
    with pytest.raises(InputError, match="source"):
        parse(source=source)


def test_bytes_that_are_no_toml_are_refused() -> None:
    for data in (b"\xff\xfe", b"id = ", b"id = 'a'\nid = 'b'"):
        with pytest.raises(InputError, match="not a TOML file"):
            parse_licence(data, place="bad.toml")


def a_licence(name: str, *, card_id: str = "other", aliases: tuple[str, ...] = ()) -> Licence:
    return Licence(
        id=name,
        name=name,
        expression=f"LicenseRef-{name}",
        card_id=card_id,
        category=Category.COMMUNITY,
        permissions={},
        aliases=aliases,
    )


def test_two_licences_by_one_name_are_refused() -> None:
    with pytest.raises(InputError, match="stands for"):
        build_registry([a_licence("one", aliases=("TWO",)), a_licence("two")])
    with pytest.raises(InputError, match="stands for"):
        build_registry([a_licence("one", card_id="shared"), a_licence("two", card_id="shared")])
    with pytest.raises(InputError, match="no licence at all"):
        build_registry([a_licence("one", aliases=("other",))])


def test_a_shared_name_on_cards_belongs_to_whose_alias_it_is() -> None:
    one, two = a_licence("one", card_id="shared"), a_licence("two", card_id="shared", aliases=("Shared",))
    made = build_registry([one, two])

    assert isinstance(made, Registry)
    assert made.get("shared") is two
    assert made.all == (one, two)


def test_the_index_says_what_the_files_say() -> None:
    made = Index.of(read_licences())

    assert dict(index().names) == dict(made.names)
    assert dict(index().texts) == dict(made.texts)
    assert {licence.id for licence in registry().all} == {licence.id for licence in read_licences()}


def test_a_licence_is_read_when_it_is_asked_for_and_once() -> None:
    read: list[str] = []

    def load(identity: str) -> Licence:
        read.append(identity)
        return a_licence(identity)

    known = Registry({"one": "one", "uno": "one", "two": "two"}, load)

    assert known.get("three") is None
    assert not read
    assert known.get(" UNO ") is known.get("one")
    assert read == ["one"]
    assert [licence.id for licence in known.all] == ["one", "two"]
