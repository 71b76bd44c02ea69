import argparse
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from weighbridge.errors import CheckpointError, InputError
from weighbridge.shell.cli import licence as verb
from weighbridge.terms.recognise import MAX_TEXT_BYTES
from weighbridge.terms.registry import archived, registry


def call(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--debug", action="store_true")
    return verb.run(parser.parse_args(arguments))


def called(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    call(*arguments)
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def _without_scancode(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        if name.split(".")[0] == "licensedcode":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)


def test_every_licence_can_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    for licence in registry().all:
        assert call("show", licence.id) == 0
        out = capsys.readouterr().out
        assert out.startswith(f"{licence.id}: {licence.name}\n")
        for activity in ("use", "commercial", "modify", "redistribute", "host", "train-on-outputs"):
            assert f"\n  {activity} " in out


def test_show_names_clauses_sources_and_what_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    call("show", "cc-by-nc-4.0")
    out = capsys.readouterr().out

    assert '[2.a.1: "reproduce and Share the Licensed Material' in out
    assert "\nunknown\n  train-on-outputs" in out
    assert "licence: https://creativecommons.org/licenses/by-nc/4.0/legalcode" in out


def test_show_without_a_name_lists_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("show") == 0
    assert len(capsys.readouterr().out.splitlines()) == len(registry().all)
    assert len(called(capsys, "show", "--json")["licences"]) == len(registry().all)


def test_show_as_json_holds_every_fact(capsys: pytest.CaptureFixture[str]) -> None:
    document = called(capsys, "show", "Apache-2.0", "--json", "--text")

    assert document["permissions"]["train-on-outputs"]["answer"] == "yes"
    assert document["released"] == "2004-01-01"
    assert document["text"] == archived("Apache-2.0.txt")


def test_the_text_is_printed_as_it_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    call("show", "Apache-2.0", "--text")

    assert capsys.readouterr().out == archived("Apache-2.0.txt")


def test_a_text_that_is_not_kept_says_where_to_read_it() -> None:
    with pytest.raises(InputError, match="no text") as refused:
        call("show", "LicenseRef-proprietary", "--text")

    assert "https://" in refused.value.hint


def test_a_name_that_is_not_known_offers_the_nearest() -> None:
    with pytest.raises(InputError, match="not a licence known here") as refused:
        call("show", "apache2")

    assert "Apache-2.0" in refused.value.hint


def test_known_texts_of_a_folder_are_recognised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "LICENSE").write_text(archived("Apache-2.0.txt"))
    (tmp_path / "COPYING").write_text(archived("GPL-3.0.txt"))
    (tmp_path / "NOTICE").write_text("Acme\n")
    (tmp_path / "LICENSES").mkdir()
    (tmp_path / "LICENSES" / "MIT.txt").write_text(archived("MIT.txt").replace("{copyright}", "2026 Acme"))
    (tmp_path / "licenses.py").write_text("print()")
    (tmp_path / "README.md").write_text("hello")

    assert call("detect", str(tmp_path), "--exact") == 0
    out = capsys.readouterr().out
    assert "LICENSE: Apache-2.0 (the same bytes" in out
    assert "MIT.txt: MIT (the same words" in out
    assert "does not say which of GPL-3.0-only, GPL-3.0-or-later" in out
    assert "NOTICE: a notice" in out
    assert "licenses.py" not in out


def test_one_changed_word_is_unknown_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = archived("Apache-2.0.txt").replace("You may reproduce", "You may not reproduce")
    (tmp_path / "LICENSE").write_text(text)

    assert call("detect", str(tmp_path / "LICENSE"), "--exact") == verb.UNKNOWN
    out = capsys.readouterr().out
    assert "not the text of a licence known here" in out
    assert "differs from Apache-2.0 in 1 place:" in out
    assert 'nothing -> "not"' in out


@pytest.mark.usefixtures("_without_scancode")
def test_without_scancode_the_nearest_text_is_named_and_the_extra_offered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "LICENSE").write_text(archived("MIT.txt").replace("free of charge", "for a fee"))

    assert call("detect", str(tmp_path), "--json") == verb.UNKNOWN
    (found,) = json.loads(capsys.readouterr().out)["texts"]
    assert found["licence"] is None
    assert found["nearest"]["licence"] == "MIT"
    assert found["matches"] == []
    assert "weighbridge[detect]" in found["hint"]


@pytest.mark.usefixtures("_without_scancode")
def test_scancode_is_not_asked_about_known_texts_and_notices(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "LICENSE").write_text(archived("Apache-2.0.txt"))
    (tmp_path / "NOTICE").write_text("Acme\n")

    assert all(not found["hint"] for found in called(capsys, "detect", str(tmp_path), "--json")["texts"])


def test_a_folder_of_notices_alone_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "NOTICE.txt").write_text("Acme\n")

    assert call("detect", str(tmp_path), "--exact") == verb.UNKNOWN


def test_what_cannot_be_read_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no licence file"):
        call("detect", str(tmp_path), "--exact")
    with pytest.raises(CheckpointError, match="no such file"):
        call("detect", str(tmp_path / "none"), "--exact")
    (tmp_path / "LICENSE").write_bytes(b"a" * (MAX_TEXT_BYTES + 1))
    with pytest.raises(InputError, match="no licence text") as refused:
        call("detect", str(tmp_path), "--exact")
    assert refused.value.place == "LICENSE"


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    inside = tmp_path / "model"
    inside.mkdir()
    (inside / "LICENSE").symlink_to(tmp_path / "secret")

    with pytest.raises(CheckpointError, match="leads out of the folder"):
        call("detect", str(inside), "--exact")


def test_bytes_that_are_no_text_are_unknown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "LICENSE").write_bytes(bytes(range(256)) * 20)

    assert call("detect", str(tmp_path), "--exact") == verb.UNKNOWN
    assert "not the text" in capsys.readouterr().out


def test_two_licences_are_compared_in_words_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("compare", "mit", "gpl-3.0") == 0
    out = capsys.readouterr().out
    assert "only in GPL-3.0-only\n" in out
    assert "share-alike (redistribute)" in out
    document = called(capsys, "compare", "MIT", "GPL-3.0-only", "--json")
    assert {row["activity"]: row["stricter"] for row in document["activities"]}["redistribute"] == "second"
