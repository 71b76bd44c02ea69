from dataclasses import replace

from builders import a_record

from weighbridge.dossier.disclosure import Disclosure, Publisher
from weighbridge.dossier.security import security_policy


def test_the_contact_for_incidents_comes_first() -> None:
    publisher = Publisher(contact="hello@acme.example", security_contact="security@acme.example")
    record = replace(a_record(), disclosure=Disclosure(publisher=publisher))

    text = security_policy(record).decode()

    assert "security@acme.example" in text
    assert "hello@acme.example" not in text
    assert record.subject in text
    assert f"weighbridge status {record.reference}" in text


def test_what_is_not_stated_is_said_to_be_open() -> None:
    record = a_record()
    silent = replace(record, texts=replace(record.texts, contact=""))

    text = security_policy(silent).decode()

    assert "states no contact" in text
    assert "states no support window" in text


def test_hostile_words_stay_words() -> None:
    disclosure = Disclosure(
        publisher=Publisher(security_contact="<script>x</script> [a](javascript:b)"),
        statements={"support.window": "# until *tomorrow*"},
    )

    text = security_policy(replace(a_record(), disclosure=disclosure)).decode()

    assert "<script>" not in text
    assert "[a](javascript" not in text
    assert "\n# until" not in text
