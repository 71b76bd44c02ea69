"""A release with its terms: what is inherited decides, the papers go along, and every document is there and valid."""

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from small_release import write_release

from weighbridge.adopt.verify import verify_folder
from weighbridge.dossier.bom_reader import read_bom
from weighbridge.dossier.release import read_release
from weighbridge.shell.cli import main
from weighbridge.shell.signing import EcKeyVerifier
from weighbridge.terms.registry import archived

Run = Callable[..., tuple[int, str, str]]

LLAMA = "{ref: meta-llama/Llama-3.2-1B, relation: finetune, license: llama3.2, digest: " + "ab" * 32 + "}"
DOSSIER = {
    "README.md",
    "LICENSE",
    "NOTICE",
    "release.json",
    "provenance.intoto.jsonl",
    "evals/test-result.intoto.jsonl",
    "SECURITY.md",
    "mof.yml",
    "bom.cdx.json",
    "bom.spdx3.json",
    "eu/model_documentation_form.json",
    "eu/training_summary.md",
    "eu/copyright_policy.md",
    "us/ab2013.json",
    "us/sb53.json",
    "model.sig",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("WEIGHBRIDGE_HOME", str(tmp_path / "home"))
    before = signal.getsignal(signal.SIGTERM)
    yield tmp_path / "home"
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = write_release(tmp_path / "release")
    path.write_text(path.read_text().replace("soundness]", "soundness, terms]"))
    return path


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return code, out, err

    return call


def edit(plan: Path, *changes: tuple[str, str]) -> None:
    text = plan.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    plan.write_text(text)


def version(plan: Path, name: str = "osprey") -> Path:
    return (plan.parent / "hub" / "models" / "acme" / name).resolve()


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_whole_dossier_goes_along_and_is_signed(plan: Path, run: Run, home: Path) -> None:
    assert run("release", plan)[0] == 0

    folder = version(plan)
    assert files(folder) == DOSSIER | {"model.safetensors", "config.json", "tokenizer_config.json"}
    assert verify_folder(folder, EcKeyVerifier.load(home / "release.pub")).ok
    record = read_release((folder / "release.json").read_bytes(), place="release.json")
    assert record.terms is not None
    assert record.terms["expression"] == "Apache-2.0"
    assert record.openness is not None
    assert record.openness["mof_class"] == ""
    [statement] = [json.loads(line) for line in (folder / "provenance.intoto.jsonl").read_text().splitlines()]
    assert {subject["name"] for subject in statement["subject"]} == {str(entry.path) for entry in record.manifest}


def test_the_publisher_attests_outside_of_the_signature(plan: Path, run: Run, home: Path) -> None:
    assert run("release", plan)[0] == 0

    attestations = plan.parent / "hub" / "attestations" / "acme"
    trust = ["--key", home / "release.pub", "--attestation"]
    code, out, _ = run("verify", version(plan), *trust, attestations / "osprey" / "publisher.intoto.json")
    assert code == 0
    assert "released as pkg:generic/acme/osprey@" in out
    code, _, err = run("verify", version(plan), *trust, attestations / "osprey-half" / "publisher.intoto.json")
    assert code == 1, "a good version under another name is not that release"
    assert "another manifest" in err


def test_a_claim_that_is_more_permissive_than_what_is_inherited_fails_the_release(plan: Path, run: Run) -> None:
    edit(plan, ("license: Apache-2.0\n", f"license: Apache-2.0\nparents:\n  - {LLAMA}\n"))

    code, _, err = run("release", plan)

    assert code == 1
    assert "Apache-2.0" in err
    assert "llama3.2" in err.lower()
    assert "release.yaml:3:10" in err
    assert not (plan.parent / "hub").exists()
    assert not (plan.parent / ".weighbridge" / "derived").exists() or not any(
        (plan.parent / ".weighbridge" / "derived").iterdir()
    ), "refused before anything was derived"


@pytest.mark.parametrize(
    ("parents", "code", "place", "words"),
    [
        (
            "  - {ref: a/b, relation: finetune, license: MIT, of: c/d}\n"
            "  - {ref: c/d, relation: finetune, license: MIT, of: a/b}\n",
            2,
            "release.yaml:5:5",
            "a cycle: a/b -> c/d -> a/b",
        ),
        (
            "  - {ref: a/b, relation: finetune, license: MIT}\n  - {ref: a/b, relation: merge, license: MIT}\n",
            2,
            "release.yaml:6:11",
            "given twice",
        ),
        ("  - {ref: a/b, relation: finetune, license: MIT, of: x/y}\n", 2, "release.yaml:5:54", "no parent"),
        ("  - {ref: a/b, relation: distil, license: llama3}\n", 1, "release.yaml:5:5", "trained on outputs of a/b"),
    ],
)
def test_a_chain_that_cannot_be_is_refused_at_its_line(
    plan: Path, run: Run, parents: str, code: int, place: str, words: str
) -> None:
    edit(plan, ("license: Apache-2.0\n", f"license: Apache-2.0\nparents:\n{parents}"))

    given, _, err = run("release", plan)

    assert given == code
    assert place in err
    assert words in err
    assert not (plan.parent / "hub").exists()


def test_a_required_prefix_that_the_name_lacks_fails_the_release(plan: Path, run: Run) -> None:
    edit(plan, ("license: Apache-2.0\n", f"license: llama3.2\nparents:\n  - {LLAMA}\n"))

    code, _, err = run("release", plan)

    assert code == 1
    assert "Llama" in err


def test_what_is_inherited_goes_along(plan: Path, run: Run) -> None:
    edit(
        plan,
        ("license: Apache-2.0\n", f"license: llama3.2\nparents:\n  - {LLAMA}\n"),
        ("model: acme/osprey", "model: acme/Llama-osprey"),
        ("  osprey:", "  Llama-osprey:"),
        ("  osprey-half:", "  llama-osprey-half:"),
    )
    code, _, err = run("release", plan)
    assert code == 1, "the versions are what people get: their names count, and so does case"
    assert "llama-osprey-half" in err
    assert "release.yaml:15:3" in err
    edit(plan, ("  llama-osprey-half:", "  Llama-osprey-half:"))

    code, _, err = run("release", plan)

    assert code == 0, err
    folder = version(plan, "Llama-osprey")
    notice = (folder / "NOTICE").read_text()
    assert "Llama 3.2 is licensed under the Llama 3.2 Community License" in notice
    assert "Built with Llama" in notice
    assert "LLAMA 3.2 COMMUNITY LICENSE AGREEMENT" in (folder / "LICENSE").read_text().upper()
    assert any(name.startswith("USE_POLICY/") for name in files(folder))
    card = (folder / "README.md").read_text()
    assert 'license: "llama3.2"' in card


def test_several_licences_go_along_as_an_expression(plan: Path, run: Run) -> None:
    parents = "  - {ref: somebody/bert, relation: finetune, license: MIT, digest: " + "cd" * 32 + "}\n"
    edit(
        plan,
        ("license: Apache-2.0\n", f"license: Apache-2.0 AND MIT\ncopyright: 2026 Acme Ltd\nparents:\n{parents}"),
    )
    code, out, _ = run("release", plan)
    assert code == 1
    assert "the copyright line of somebody/bert (MIT) has to be kept" in out
    assert "license_file" in out

    (plan.parent / "MIT.txt").write_text(archived("MIT.txt").replace("{copyright}", "2019 Somebody"))
    edit(plan, ("license: MIT,", "license: MIT, license_file: MIT.txt,"))

    code, _, err = run("release", plan)

    assert code == 0, err
    folder = version(plan)
    assert "Apache-2.0 AND MIT" in (folder / "LICENSE").read_text()
    texts = {name for name in files(folder) if name.startswith("THIRD_PARTY/")}
    assert len(texts) >= 2
    assert any("2019 Somebody" in (folder / name).read_text() for name in texts)
    assert any("2026 Acme Ltd" in (folder / name).read_text() for name in texts)
    assert 'license_name: "Apache-2.0 AND MIT"' in (folder / "README.md").read_text()


def test_what_is_inherited_beside_the_declared_licence_stands_in_every_document(plan: Path, run: Run) -> None:
    (plan.parent / "MIT.txt").write_text(archived("MIT.txt").replace("{copyright}", "2019 Somebody"))
    digest = "cd" * 32
    parent = f"{{ref: somebody/bert, relation: finetune, license: MIT, license_file: MIT.txt, digest: {digest}}}"
    edit(plan, ("license: Apache-2.0\n", f"license: Apache-2.0\nparents:\n  - {parent}\n"))

    code, _, err = run("release", plan)

    assert code == 0, err
    folder = version(plan)
    whole = "Apache-2.0 AND MIT"
    assert read_release((folder / "release.json").read_bytes(), place="release.json").license == whole
    assert f'license_name: "{whole}"' in (folder / "README.md").read_text()
    assert whole in (folder / "LICENSE").read_text()
    assert whole in (folder / "NOTICE").read_text()
    for name in ("bom.cdx.json", "bom.spdx3.json"):
        subject = read_bom((folder / name).read_bytes(), place=name).subject
        assert subject is not None
        assert {licence.stated for licence in subject.licences} == {whole}


def test_a_card_of_the_internal_model_that_says_otherwise_refuses_the_version(plan: Path, run: Run) -> None:
    (plan.parent / "internal" / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n# Osprey\n")

    code, out, _ = run("gate", plan)

    assert code == 1
    assert "cc-by-nc-4.0" in out.lower()


def test_code_and_data_of_the_plan_are_published_and_counted(plan: Path, run: Run, home: Path) -> None:
    code_folder = plan.parent / "train"
    code_folder.mkdir()
    (code_folder / "train.py").write_text("print('training')\n")
    (plan.parent / "eval.jsonl").write_text('{"id": 1, "text": "one"}\n')
    plan.write_text(
        plan.read_text()
        + "data:\n  - {name: held-out, roles: [evaluation], license: CC0-1.0, path: eval.jsonl}\n"
        + "components:\n  - {kind: training-code, path: train, license: MIT}\n"
    )

    code, _, err = run("release", plan)

    assert code == 0, err
    folder = version(plan)
    assert {"training-code/train/train.py", "data/eval.jsonl", "data/held-out.croissant.json"} <= files(folder)
    assert {"THIRD_PARTY/MIT.txt", "THIRD_PARTY/CC0-1.0.txt"} <= files(folder)
    assert "training-code/train: MIT" in (folder / "NOTICE").read_text()
    assert verify_folder(folder, EcKeyVerifier.load(home / "release.pub")).ok
    record = read_release((folder / "release.json").read_bytes(), place="release.json")
    assert record.openness is not None
    counted = {item["component"] for item in record.openness["components"] if item["places"]}
    assert {"training-code", "evaluation-data"} <= counted


@pytest.mark.parametrize("where", ["train/notes.txt", "train/deep/sample.jsonl"])
def test_a_secret_in_what_is_published_beside_the_weights_is_found(plan: Path, run: Run, where: str) -> None:
    target = plan.parent / where
    target.parent.mkdir(parents=True)
    shutil.copy(plan.parent / "internal" / "sample.jsonl", target)
    plan.write_text(plan.read_text() + "components:\n  - {kind: training-code, path: train, license: MIT}\n")

    code, _, err = run("release", plan)

    assert code == 1
    assert Path(where).name in err
    assert not (plan.parent / "hub").exists()


def test_a_published_path_that_is_not_there_is_named_with_its_line(plan: Path, run: Run) -> None:
    plan.write_text(plan.read_text() + "components:\n  - {kind: training-code, path: nowhere, license: MIT}\n")

    code, _, err = run("release", plan)

    assert code == 2
    assert "release.yaml:19:33" in err
    assert "nowhere" in err


def test_a_link_out_of_a_published_folder_is_refused(plan: Path, run: Run, tmp_path: Path) -> None:
    (plan.parent / "train").mkdir()
    (tmp_path / "private.txt").write_text("private")
    (plan.parent / "train" / "link.txt").symlink_to(tmp_path / "private.txt")
    plan.write_text(plan.read_text() + "components:\n  - {kind: training-code, path: train, license: MIT}\n")

    code, _, err = run("release", plan)

    assert code == 2
    assert "link.txt" in err


@pytest.mark.parametrize("form", ["certificate", "blake3"])
def test_a_release_can_be_signed_in_other_forms(plan: Path, run: Run, tmp_path: Path, form: str) -> None:
    from test_signature_forms import Authority

    authority = Authority(tmp_path / "authority")
    how = ["--key", authority.key]
    trust = ["--key", authority.folder / "key.pub"]
    if form == "certificate":
        how += ["--certificate", authority.leaf, "--chain", authority.chain]
        trust = ["--certificates", authority.roots, "--signer-name", "release@example.com"]
    else:
        how += ["--file-hash", "blake3"]

    code, _, err = run("release", plan, *how)
    assert code == 0, err
    attestation = plan.parent / "hub" / "attestations" / "acme" / "osprey" / "publisher.intoto.json"
    assert run("verify", version(plan), *trust, "--attestation", attestation)[0] == 0
    (version(plan) / "config.json").chmod(0o644)
    (version(plan) / "config.json").write_text("{}")
    code, out, _ = run("verify", version(plan), *trust)
    assert code == 1
    assert "config.json" in out
