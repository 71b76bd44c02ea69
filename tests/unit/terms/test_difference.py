from weighbridge.terms.difference import Change, nearest
from weighbridge.terms.recognise import MAX_TEXT_BYTES
from weighbridge.terms.registry import archived


def test_a_word_put_in_is_named_with_its_line() -> None:
    text = archived("Apache-2.0.txt").replace("You may reproduce", "You may not reproduce", 1)
    line = next(number for number, row in enumerate(text.splitlines(), start=1) if "may not reproduce" in row)
    found = nearest(text)

    assert found is not None
    assert found.licence_id == "Apache-2.0"
    assert found.changes == (Change(line=line, archived="", found="not"),)
    assert 0.9 < found.similarity < 1
    assert not found.more


def test_words_changed_and_left_out_are_named() -> None:
    text = archived("MIT.txt").replace("without restriction", "with restriction").replace(" free of charge,", "", 1)
    found = nearest(text)

    assert found is not None
    assert found.licence_id == "MIT"
    assert [(change.archived, change.found) for change in found.changes] == [
        ("free of charge,", ""),
        ("without", "with"),
    ]


def test_a_text_that_ends_early_names_its_last_line() -> None:
    text = archived("Apache-2.0.txt")
    short = text[: text.index("8. Limitation of Liability")]
    found = nearest(short)

    assert found is not None
    assert found.licence_id == "Apache-2.0"
    assert len(found.changes) == 1
    assert found.changes[0].archived.startswith("8. Limitation of Liability")
    assert found.changes[0].found == ""
    assert found.changes[0].line == len(short.rstrip().splitlines())


def test_openmdw_1_1_under_the_number_of_1_0_is_near_1_1_and_shows_the_number() -> None:
    text = archived("OpenMDW-1.0.txt").replace("infringe any patent,", "infringe any patent or copyright,")
    found = nearest(text)

    assert found is not None
    assert found.licence_id == "OpenMDW-1.1"
    assert [change.archived for change in found.changes] == ["1.1 (OpenMDW-1.1)"]
    assert [change.found for change in found.changes] == ["1.0 (OpenMDW-1.0)"]


def test_a_text_like_none_is_near_none() -> None:
    assert nearest("The quick brown fox jumps over the lazy dog. " * 20) is None
    assert nearest("") is None
    assert nearest(" \n ") is None
    assert nearest("a " * MAX_TEXT_BYTES) is None


def test_many_differences_are_cut_off_and_said_to_be() -> None:
    words = archived("GPL-3.0.txt").split()
    for position in range(0, len(words), 12):
        words[position] = "changed"
    found = nearest(" ".join(words))

    assert found is not None
    assert found.licence_id == "GPL-3.0-only"
    assert len(found.changes) == 200
    assert found.more
    assert found.to_json()["more"] is True
