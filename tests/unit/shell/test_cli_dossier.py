"""`dossier todo` lists what is open by who fills it; `dossier diff` says what changed."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "dossier"))

from builders import a_record, four_records

from weighbridge.dossier.disclosure import DataSet, Disclosure
from weighbridge.errors import InputError
from weighbridge.shell.cli import dossier

NOTHING_ASKED = Disclosure(statements={"eu.general_purpose": "no", "us.california": "no"})


def call(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    dossier.add_arguments(parser)
    parser.add_argument("--json", action="store_true")
    return dossier.run(parser.parse_args(arguments))


def version(folder: Path, name: str, **changes: Any) -> str:
    (folder / name).mkdir()
    (folder / name / "release.json").write_bytes(a_record(**changes).to_bytes())
    return str(folder / name)


def test_open_fields_are_listed_by_who_fills_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("todo", version(tmp_path, "v")) == 3
    out = capsys.readouterr().out
    for who in ("publisher, legal (", "data team (", "training team (", "security ("):
        assert out.count(f"\n{who}") == 1
    assert "training.compute_flop: Amount of computation used for training" in out
    assert "next: " in out


def test_a_field_that_two_forms_share_is_listed_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("todo", version(tmp_path, "v"), "--json") == 3
    document = json.loads(capsys.readouterr().out)
    names = [field["field"] for field in document["fields"]]
    assert len(names) == len(set(names)) == document["open"]
    [date] = [field for field in document["fields"] if field["field"] == "model.release_date"]
    assert date["documents"] == ["eu/model_documentation_form.json", "us/sb53.json"]


def test_nothing_open_is_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = version(tmp_path, "v", disclosure=NOTHING_ASKED)
    assert call("todo", folder) == 0
    assert "no fields of the duty forms are open" in capsys.readouterr().out
    assert call("todo", f"{folder}/release.json", "--json") == 0


def test_a_statement_that_fills_nothing_is_pointed_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call("todo", version(tmp_path, "v", disclosure=Disclosure(statements={"trainig.time": "3 days"})))
    assert "'trainig.time' fills no field" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_a_folder_without_a_record_says_what_to_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError) as caught:
        call("todo", str(tmp_path / name))
    assert caught.value.place == str(tmp_path / name)
    assert "weighbridge release" in caught.value.hint


def test_a_damaged_record_is_unusable_input(tmp_path: Path) -> None:
    (tmp_path / "release.json").write_text("{")
    with pytest.raises(InputError, match="not a release record"):
        call("diff", str(tmp_path), str(tmp_path))


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "secret"
    target.write_bytes(a_record().to_bytes())
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "release.json").symlink_to(target)
    with pytest.raises(InputError, match="out of the folder"):
        call("todo", str(tmp_path / "v"))


def test_differences_are_told_by_area_with_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = []
    for record in four_records()[1:3]:
        paths.append(tmp_path / record.version)
        paths[-1].mkdir()
        (paths[-1] / "release.json").write_bytes(record.to_bytes())
    assert call("diff", *map(str, paths)) == 0
    out = capsys.readouterr().out
    assert "\nevidence\n" in out
    assert "  - KL divergence rose, beyond their intervals, which is worse.\n      0.0041 nats" in out
    assert call("diff", *map(str, paths), "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert {"area", "text", "before", "after", "worse"} == set(document["changes"][0])


def test_of_a_long_sentence_what_it_says_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = " ".join(["word"] * 80)
    texts = (f"{long} (tokenizer_config.json)", f"{long} (model.gguf)")
    each = [Disclosure(data=(DataSet(name=text, roles=("fine-tuning",)),)) for text in texts]
    call("diff", *(version(tmp_path, name, disclosure=item) for name, item in zip("ab", each, strict=True)))
    lines = [line for line in capsys.readouterr().out.splitlines() if "The data set" in line]
    assert [line.partition(" … ")[2].rpartition(" word ")[2] for line in lines] == [
        "(tokenizer_config.json)' is gone. (--json shows all)",
        "(model.gguf)' is new. (--json shows all)",
    ]
    assert max(map(len, lines)) < 200


def test_equal_releases_have_no_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = version(tmp_path, "v")
    assert call("diff", folder, folder) == 0
    assert "no difference" in capsys.readouterr().out


def test_a_record_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = Disclosure(statements={"\x1b[2Jx": "\x1b]0;owned\x07"})
    folders = [version(tmp_path, "a"), version(tmp_path, "b", disclosure=hostile)]
    call("diff", *folders)
    call("todo", folders[1])
    assert "\x1b" not in capsys.readouterr().out
