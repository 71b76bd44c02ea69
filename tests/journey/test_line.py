"""The whole line on a real model: released, published, verified, loaded by others, run and asked."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from example_release import Released

pytestmark = pytest.mark.journey

VERSIONS = ("smollm2-135m", "smollm2-135m-gguf-bf16", "smollm2-135m-gguf-q4_k_m", "smollm2-135m-gguf-q8_0")
PLANTED = (
    b"wb-3k9xq2vd7h",
    b"/home/mira.okafor",
    b"reward_head",
    b"optimizer.pt",
    b"internal-tools",
    b"train_sample",
    b"night shift swapped the load cells",
)


def test_every_version_passes_and_is_published(released: Released) -> None:
    assert [v["name"] for v in released.outcome["published"]] == [f"example/{name}" for name in VERSIONS]
    assert released.outcome["refused"] == []
    assert "Paris" in released.outcome["answer"]


def test_nothing_that_was_planted_is_anywhere_in_the_hub(released: Released) -> None:
    for path in released.hub.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            for secret in PLANTED:
                assert secret not in data, f"{secret!r} in {path}"


def test_every_version_carries_a_finding_free_proof_of_absence(released: Released) -> None:
    for name in VERSIONS:
        record = json.loads((released.hub / "models" / "example" / name / "release.json").read_bytes())
        [proof] = [audit for audit in record["audits"] if audit["probe"] == "held-back"]
        assert proof["findings"] == []
        assert proof["subject"] == record["subject"]
        assert proof["coverage"]["bytes_scanned"] == sum(e["size_bytes"] for e in record["manifest"])


def test_measurements_are_about_these_bytes_and_carry_intervals(released: Released) -> None:
    for name in VERSIONS:
        record = json.loads((released.hub / "models" / "example" / name / "release.json").read_bytes())
        measured = {(m["measure"], m["comparison"]): m for m in record["measurements"]}
        for measure in (("perplexity", "ratio"), ("kl_divergence", "absolute"), ("top1_agreement", "absolute")):
            found = measured[measure]
            assert found["subject"] == record["subject"]
            assert found["interval"]["low"] <= found["value"] <= found["interval"]["high"]
            assert found["n"] > 1000
        for exact in ("size_bytes", "peak_memory_bytes", "prefill_tokens_per_second", "decode_tokens_per_second"):
            assert measured[exact, "absolute"]["value"] > 0


def test_the_order_of_quality_is_the_order_of_bits(released: Released) -> None:
    def divergence(name: str) -> float:
        record = json.loads((released.hub / "models" / "example" / name / "release.json").read_bytes())
        return float(next(m["value"] for m in record["measurements"] if m["measure"] == "kl_divergence"))

    cast, bf16, q4, q8 = map(divergence, VERSIONS)
    assert cast < 1e-6
    assert bf16 < 1e-3
    assert bf16 < q8 < q4 < 0.1


def test_releasing_again_changes_nothing(released: Released) -> None:
    before = (released.hub / "current").readlink()
    stamps = {
        path: path.stat().st_mtime_ns for path in (released.example / ".weighbridge").rglob("*") if path.is_file()
    }
    done = released.weighbridge("release", released.example / "release.yaml", "--json")
    assert done.returncode == 0, done.stderr
    assert (released.hub / "current").readlink() == before
    assert "quantising" not in done.stderr
    assert "weighing" not in done.stderr
    changed = [path for path, stamp in stamps.items() if path.stat().st_mtime_ns != stamp]
    assert {path.name for path in changed} <= {"lock", "index.html"}


def test_verify_names_the_file_when_one_byte_differs(released: Released, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(released.hub / "models" / "example" / VERSIONS[0], copy)
    good = released.weighbridge("verify", copy, "--key", released.key)
    assert good.returncode == 0, good.stdout + good.stderr

    weights = copy / "model.safetensors"
    weights.chmod(0o644)
    with weights.open("r+b") as file:
        file.seek(100_000_000)
        byte = file.read(1)[0]
        file.seek(100_000_000)
        file.write(bytes([byte ^ 1]))
    (copy / "extra.txt").write_text("not signed")
    (copy / "NOTICE").unlink()
    bad = released.weighbridge("verify", copy, "--key", released.key, "--json")
    assert bad.returncode == 1
    problems = {(problem["kind"], problem["path"]) for problem in json.loads(bad.stdout)["problems"]}
    assert problems == {("changed", "model.safetensors"), ("extra", "extra.txt"), ("missing", "NOTICE")}


def test_verify_needs_the_publishers_key_and_no_other(released: Released, tmp_path: Path) -> None:
    folder = released.hub / "models" / "example" / VERSIONS[2]
    assert released.weighbridge("verify", folder).returncode == 2
    stranger = {**released.environment, "WEIGHBRIDGE_HOME": str(tmp_path)}
    subprocess.run(
        [sys.executable, "-c", "from weighbridge.shell.home import load_signer; load_signer(None)"],
        env=stranger,
        check=True,
    )
    assert released.weighbridge("verify", folder, "--key", tmp_path / "release.pub").returncode == 1


def test_the_unmodified_model_signing_command_verifies_what_we_publish(released: Released) -> None:
    folder = (released.hub / "models" / "example" / VERSIONS[3]).resolve()
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(folder)]
    arguments = ["--signature", str(folder / "model.sig"), "--public_key", str(released.key)]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_transformers_loads_the_published_safetensors_and_speaks(released: Released) -> None:
    code = (
        "import sys, torch\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n"
        "tokenizer = AutoTokenizer.from_pretrained(sys.argv[1], local_files_only=True)\n"
        "model, info = AutoModelForCausalLM.from_pretrained(sys.argv[1], output_loading_info=True)\n"
        "assert model.dtype == torch.bfloat16, model.dtype\n"
        "assert not info['unexpected_keys'] and not info['missing_keys'], info\n"
        "chat = [{'role': 'user', 'content': 'What is the capital of France?'}]\n"
        "template = {'add_generation_prompt': True, 'return_tensors': 'pt', 'return_dict': True}\n"
        "tokens = tokenizer.apply_chat_template(chat, **template)\n"
        "answer = model.generate(**tokens, max_new_tokens=12, do_sample=False)[0, tokens['input_ids'].shape[1]:]\n"
        "print(tokenizer.decode(answer, skip_special_tokens=True))\n"
    )
    folder = released.hub / "models" / "example" / VERSIONS[0]
    environment = {**released.environment, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Paris" in done.stdout


def test_the_card_is_valid_for_the_hugging_face_hub(released: Released) -> None:
    from huggingface_hub import ModelCard

    card = ModelCard.load(released.hub / "models" / "example" / VERSIONS[3] / "README.md")
    assert card.data.license == "apache-2.0"
    assert card.data.base_model
    assert {result.metric_type for result in card.data.eval_results} >= {"perplexity"}


def test_run_refuses_what_was_tampered_with(released: Released, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(released.hub / "models" / "example" / VERSIONS[3], copy)
    (copy / "README.md").chmod(0o644)
    (copy / "README.md").write_text("# something else")
    done = released.weighbridge("run", copy, "--key", released.key, "--port", 0, "--ask", "Hello?")
    assert done.returncode == 1
    assert "README.md" in done.stderr


def test_run_answers_by_name_from_the_hub(released: Released) -> None:
    done = released.weighbridge(
        "run", "example/smollm2-135m-gguf-q4_k_m", "--hub", released.hub, "--port", 0, "--ask", "Say hello.", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["answer"].strip()


def test_a_bad_version_is_refused_with_rule_value_interval_and_remedy(released: Released) -> None:
    before = (released.hub / "current").readlink()
    done = released.weighbridge("release", released.example / "release-refused.yaml", "--json")
    assert done.returncode == 1, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["published"] == []
    [refused] = outcome["refused"]
    answers = {a["rule"]: a for a in refused["verdict"]["answers"]}
    ratio = next(answer for rule, answer in answers.items() if "perplexity" in rule)
    assert ratio["outcome"] == "not met"
    assert ratio["interval"]["low"] > 1.10
    assert ratio["limit"] == 1.10
    assert ratio["remedy"]
    assert (released.hub / "current").readlink() == before
    assert not (released.hub / "models" / "example" / "smollm2-135m-tiny").exists()


def test_the_second_release_in_the_same_work_folder_waits_its_turn(released: Released) -> None:
    work = released.example / ".weighbridge"
    hold = (
        "import sys; from pathlib import Path; from weighbridge.shell.workspace import Workspace\n"
        "with Workspace(Path(sys.argv[1])).held(): print('held', flush=True); sys.stdin.read()\n"
    )
    child = subprocess.Popen([sys.executable, "-c", hold, str(work)], stdin=-1, stdout=-1, text=True)
    with child:
        assert child.stdout is not None
        child.stdout.readline()
        done = released.weighbridge("release", released.example / "release.yaml")
        child.kill()
    assert done.returncode == 1
    assert f"process {child.pid}" in done.stderr


def test_init_writes_a_plan_that_loads(released: Released, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    internal = released.example / "checkpoints" / "internal"
    done = released.weighbridge("init", internal, "--out", plan, "--name", "acme/osprey")
    assert done.returncode == 0, done.stderr
    from weighbridge.shell.plan import load_plan

    assert load_plan(plan).model == "acme/osprey"
    assert released.weighbridge("init", internal, "--out", plan).returncode == 2


@pytest.mark.parametrize("name", [VERSIONS[0], VERSIONS[3]])
def test_show_finds_published_versions_sound(released: Released, name: str) -> None:
    done = released.weighbridge("show", released.hub / "models" / "example" / name, "--json")
    assert done.returncode == 0, done.stdout
    document = json.loads(done.stdout)
    assert document["sound"]
    assert document["architecture"]["parameters"] == 134_515_008
    assert document["architecture"]["context_length"] == 8192
    assert document["states"]["version"] == f"example/{name}"
    assert document["states"]["gate"] == "passed for open"


def test_the_page_stands_alone(released: Released) -> None:
    page = (released.hub / "index.html").read_text()
    for name in VERSIONS:
        assert name in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert Path(released.outcome["page"]).samefile(released.hub / "index.html")
