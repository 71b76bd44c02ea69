import pytest

from weighbridge.errors import InputError
from weighbridge.shell.card_reader import UNREADABLE, card_metadata, stated_licence


def test_the_metadata_of_a_card_is_read() -> None:
    card = b"---\nlicense: llama3.2\nbase_model:\n- meta-llama/Llama-3.2-1B\n---\n# Title\n---\nnot: metadata\n"

    assert card_metadata(card, place="README.md") == {
        "license": "llama3.2",
        "base_model": ["meta-llama/Llama-3.2-1B"],
    }


@pytest.mark.parametrize("card", [b"", b"# Title\n", b"\n---\nlicense: mit\n---\n", b"---\n---\n"])
def test_a_card_without_metadata_states_nothing(card: bytes) -> None:
    assert card_metadata(card, place="README.md") == {}


@pytest.mark.parametrize(
    ("card", "place", "message"),
    [
        (b"---\nlicense: mit\nlicense: apache-2.0\n---\n", "README.md:3:1", "given twice"),
        (b"---\na: &x [1]\nb: *x\n---\n", "README.md:2:4", "anchors and aliases"),
        (b"---\n- mit\n---\n", "README.md:2:1", "is a mapping"),
        (b"---\nlicense: mit\n", "README.md:1:1", "never ends"),
        (b"---\nlicense: !!python/object:os.system x\n---\n", "README.md:2:10", "tags"),
        (b"---\n" + b"a: " + b"x" * (1 << 20) + b"\n---\n", "README.md", "at most"),
    ],
)
def test_metadata_that_could_mean_two_things_is_refused_at_its_place(card: bytes, place: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        card_metadata(card, place="README.md")

    assert caught.value.place == place
    assert caught.value.hint


@pytest.mark.parametrize(
    ("metadata", "licence"),
    [
        ({"license": "apache-2.0"}, "apache-2.0"),
        ({"license": "other", "license_name": "qwen"}, "qwen"),
        ({"license": "other"}, ""),
        ({"license": ["mit", "apache-2.0"]}, "mit AND apache-2.0"),
        ({"license": 3}, UNREADABLE),
        ({}, ""),
        ({"license": " Other "}, ""),
        ({"license": "unknown"}, ""),
        ({"license": "unknown", "license_name": "none"}, ""),
        ({"license": "apache-2.0", "license_name": "Apache-2.0"}, "apache-2.0"),
        ({"license": "llama3.2", "license_name": "LicenseRef-scancode-llama-3.2-license-2024"}, "llama3.2"),
        ({"license": "apache-2.0", "license_name": "non-commercial-x"}, UNREADABLE),
        ({"license": ["other"], "license_name": "qwen"}, "qwen"),
        ({"license": ["mit OR gpl-3.0", "cc-by-nc-4.0"]}, "(mit OR gpl-3.0) AND cc-by-nc-4.0"),
        ({"license": ["mit) OR (gpl-3.0", "cc-by-nc-4.0"]}, UNREADABLE),
        ({"license": ["mit", {"name": "cc-by-nc-4.0"}]}, UNREADABLE),
        ({"license": ["mit", ""]}, UNREADABLE),
        ({"license": []}, ""),
    ],
)
def test_the_licence_of_a_card_is_its_name_where_the_hub_has_none(metadata: dict[str, object], licence: str) -> None:
    assert stated_licence(metadata) == licence
