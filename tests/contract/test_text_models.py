"""The port `TextModel` over both engines and a real server, then what only a process of its own can do wrong."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny import CORPUS, TinyModel

from weighbridge.adopt.serve import ServerSettings
from weighbridge.errors import EngineError, InputError
from weighbridge.evidence.evaluate.engine import ModelSource
from weighbridge.evidence.evaluate.text_model import Message, Sampling, TextModel
from weighbridge.shell.engine.chat_template import folder_template
from weighbridge.shell.engine.endpoint import open_endpoint
from weighbridge.shell.engine.server import LlamaServer
from weighbridge.shell.engine.text_model import ChildTextModel, open_text_model
from weighbridge.testing import TextModelSuite

PREAMBLE = f"{CORPUS[0]} {CORPUS[1]} {CORPUS[2]}\n"
TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def source(tiny: TinyModel, kind: str) -> ModelSource:
    if kind == "gguf":
        return ModelSource(path=tiny.gguf, kind="gguf", digest="a" * 64)
    return ModelSource(path=tiny.folder, kind="safetensors", digest="b" * 64)


@pytest.fixture(scope="module")
def llama(tiny_model: TinyModel) -> Iterator[TextModel]:
    with open_text_model(source(tiny_model, "gguf"), threads=1, timeout_s=120) as model:
        yield model


@pytest.fixture(scope="module")
def transformers(tiny_model: TinyModel) -> Iterator[TextModel]:
    with open_text_model(source(tiny_model, "safetensors"), threads=1, timeout_s=120) as model:
        yield model


@pytest.fixture(params=["llama", "transformers"])
def model(request: pytest.FixtureRequest) -> TextModel:
    found: TextModel = request.getfixturevalue(request.param)
    return found


class TestLlama(TextModelSuite):
    @pytest.fixture(autouse=True)
    def _model(self, llama: TextModel) -> None:
        self._found = llama

    def text_model(self) -> TextModel:
        return self._found


class TestTransformers(TextModelSuite):
    atol = 1e-4

    @pytest.fixture(autouse=True)
    def _model(self, transformers: TextModel) -> None:
        self._found = transformers

    def text_model(self) -> TextModel:
        return self._found


def few_shot() -> list[tuple[str, str]]:
    """Requests with a preamble in common, contexts in common, and texts that are beginnings of others."""
    questions = [f"{PREAMBLE}Question {number}: {CORPUS[number % 4]}\nAnswer:" for number in range(12)]
    pairs = [(question, f" {ending}") for question in questions for ending in ("yes", "no", "40 tonnes", "4")]
    return [*pairs, (PREAMBLE, "Question"), ("", CORPUS[0]), (CORPUS[0], " twice"), (CORPUS[0], " twice")]


def test_both_engines_agree_on_likelihoods_and_greedy_choices(llama: TextModel, transformers: TextModel) -> None:
    ours, theirs = list(llama.continuations(few_shot())), list(transformers.continuations(few_shot()))
    assert [found.tokens for found in ours] == [found.tokens for found in theirs]
    np.testing.assert_allclose(
        [found.log_likelihood for found in ours], [found.log_likelihood for found in theirs], rtol=0.01
    )
    assert np.mean([left.greedy == right.greedy for left, right in zip(ours, theirs, strict=True)]) > 0.95


def test_what_is_shared_scores_as_what_is_computed_alone(model: TextModel) -> None:
    together = list(model.continuations(few_shot()))
    alone = [next(model.continuations([pair])) for pair in few_shot()]
    np.testing.assert_allclose(
        [found.log_likelihood for found in together], [found.log_likelihood for found in alone], rtol=2e-3
    )


def test_token_scores_are_those_of_the_distribution(llama: TextModel, transformers: TextModel) -> None:
    for ours, theirs in zip(llama.token_scores(CORPUS), transformers.token_scores(CORPUS), strict=True):
        np.testing.assert_array_equal(ours.tokens, theirs.tokens)
        np.testing.assert_allclose(ours.log_probability, theirs.log_probability, atol=0.05)
        np.testing.assert_allclose(ours.mean, theirs.mean, atol=0.05)
        np.testing.assert_allclose(ours.deviation, theirs.deviation, atol=0.05)


def test_mean_and_deviation_are_computed_from_every_token(tiny_model: TinyModel, transformers: TextModel) -> None:
    from weighbridge.shell.engine.torch_engine import TorchEngine

    with TorchEngine(tiny_model.folder, threads=1) as engine:
        scores = engine.logits(engine.tokenize(CORPUS[1])).astype(np.float64)[:-1]
    logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    probabilities = np.exp(logs)
    mean = (probabilities * logs).sum(axis=1)
    (found,) = transformers.token_scores([CORPUS[1]])
    np.testing.assert_allclose(found.mean, mean, atol=1e-4)
    deviation = np.sqrt((probabilities * (logs - mean[:, None]) ** 2).sum(axis=1))
    np.testing.assert_allclose(found.deviation, deviation, atol=1e-4)


@pytest.mark.parametrize("sampling", [Sampling(max_tokens=20), Sampling(max_tokens=20, temperature=0.7, seed=5)])
def test_prompts_side_by_side_are_answered_as_alone(model: TextModel, sampling: Sampling) -> None:
    prompts = [f"{CORPUS[number % 4][: 8 + number]}" for number in range(21)]
    together = list(model.generate(prompts, sampling))
    assert list(model.generate(prompts, sampling)) == together
    if sampling.temperature == 0:
        alone = [next(model.generate([prompt], sampling)) for prompt in prompts]
        # Kernels for several rows round otherwise; a random model has many near ties.
        assert np.mean([left == right for left, right in zip(together, alone, strict=True)]) > 0.85
    else:
        (first,) = model.generate(prompts[:1], sampling)
        assert first == together[0]


def test_each_prompt_of_a_call_draws_for_itself(model: TextModel) -> None:
    sampling = Sampling(max_tokens=16, temperature=1.5, seed=1)
    answers = [answer.text for answer in model.generate([CORPUS[0]] * 6, sampling)]
    assert len(set(answers)) == 6
    other = Sampling(max_tokens=16, temperature=1.5, seed=2)
    assert next(model.generate([CORPUS[0]], other)).text != answers[0]


def test_a_text_that_does_not_fit_is_refused_by_its_number(model: TextModel) -> None:
    long = "weigh " * 600
    with pytest.raises(InputError, match=r"request 1 needs [\d,]+ tokens, the context has 512"):
        list(model.continuations([("a", " b"), (long, " b")]))
    with pytest.raises(InputError, match="request 1 needs"):
        list(model.generate(["a", long], Sampling(max_tokens=2)))
    with pytest.raises(InputError, match="request 0 needs"):
        list(model.token_scores([long]))
    assert next(model.continuations([("a", " b")])).tokens > 0, "the model lives on"


def test_an_answer_ends_where_the_context_does(tiny_model: TinyModel) -> None:
    with open_text_model(source(tiny_model, "gguf"), threads=1, context_tokens=40) as model:
        prompt = CORPUS[0][:30]
        (answer,) = model.generate([prompt], Sampling(max_tokens=500))
        assert answer.finish == "stop" or len(model.tokenize(prompt)) + answer.tokens == 40


def test_a_text_longer_than_a_batch_is_scored_whole(model: TextModel) -> None:
    text = "The truck is weighed. " * 24
    (scores,) = model.token_scores([text])
    assert len(scores.tokens) > 200
    (found,) = model.continuations([("", text)])
    assert scores.log_probability.sum() == pytest.approx(found.log_likelihood, rel=0.05)


def test_special_tokens_in_a_prompt_are_read_as_such(model: TextModel) -> None:
    assert model.tokenize("<|endoftext|>") == (0,)


def test_quick_questions_do_not_wait_for_a_long_call(model: TextModel) -> None:
    answers = model.continuations(few_shot())
    next(answers)
    assert len(model.tokenize("The truck")) > 1
    assert len(list(answers)) == len(few_shot()) - 1


def test_two_calls_may_be_read_in_turn(model: TextModel) -> None:
    pairs = few_shot()[:8]
    left, right = model.continuations(pairs), model.continuations(pairs)
    assert [(a, b) for a, b in zip(left, right, strict=True) if a != b] == []


def add_template(source: Path, target: Path, template: str) -> None:
    """Copy a GGUF file and give it a chat template."""
    import gguf

    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, "llama")
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        kind = field.types[0]
        writer.add_key_value(
            name, field.contents(), kind, field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        )
    writer.add_chat_template(template)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, np.asarray(tensor.data))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class TestTemplates:
    @pytest.fixture
    def folder(self, tiny_model: TinyModel, tmp_path: Path) -> Path:
        folder = tmp_path / "hf"
        folder.mkdir()
        for path in tiny_model.folder.iterdir():
            (folder / path.name).symlink_to(path)
        return folder

    def render(self, folder: Path, template: str) -> str:
        (folder / "tokenizer_config.json").write_text(
            json.dumps({"chat_template": template, "eos_token": "<|endoftext|>"})
        )
        found = folder_template(folder)
        assert found is not None
        return found.render([Message(role="user", content="weigh <b>")])

    def test_a_prompt_is_what_transformers_makes_of_it(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        ours = self.render(folder, TEMPLATE)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        turns = [{"role": "user", "content": "weigh <b>"}]
        assert ours == tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)

    def test_a_gguf_file_brings_its_own(self, tiny_model: TinyModel, tmp_path: Path) -> None:
        path = tmp_path / "chat.gguf"
        add_template(tiny_model.gguf, path, TEMPLATE)
        with open_text_model(ModelSource(path=path, kind="gguf", digest="c" * 64), threads=1) as model:
            prompt = model.chat_prompt([Message(role="user", content="weigh"), Message(role="assistant", content="40")])
            assert prompt == "<|user|>weigh<|endoftext|><|assistant|>40<|endoftext|><|assistant|>"
            assert 0 in model.tokenize(prompt)

    def test_a_model_without_one_says_so(self, model: TextModel) -> None:
        with pytest.raises(InputError, match="no chat template") as caught:
            model.chat_prompt([Message(role="user", content="weigh")])
        assert "plain text" in caught.value.hint


class TestProcess:
    def test_a_child_that_is_killed_is_an_error_that_names_the_request(self, tiny_model: TinyModel) -> None:
        with open_text_model(source(tiny_model, "gguf"), threads=1) as model:
            assert isinstance(model, ChildTextModel)
            answers = model.generate(["The truck"] * 400, Sampling(max_tokens=400))
            next(answers)
            os.kill(model.process_id, signal.SIGKILL)
            with pytest.raises(EngineError, match=r"SIGKILL at request \d+") as caught:
                list(answers)
            assert caught.value.place == str(tiny_model.gguf)
            with pytest.raises(EngineError):
                model.tokenize("more")

    def test_one_that_hangs_is_ended_in_time(self, tiny_model: TinyModel) -> None:
        with open_text_model(source(tiny_model, "gguf"), threads=1, timeout_s=30) as model:
            assert isinstance(model, ChildTextModel)
            model.limit_silence(1.0)
            os.kill(model.process_id, signal.SIGSTOP)
            with pytest.raises(EngineError, match=r"took longer than 1.0 s"):
                model.tokenize("hello")

    def test_a_file_that_is_no_model_is_an_error(self, tmp_path: Path) -> None:
        path = tmp_path / "broken.gguf"
        path.write_bytes(b"GGUF" + bytes(100))
        broken = ModelSource(path=path, kind="gguf", digest="d" * 64)
        with pytest.raises(EngineError, match="could not be loaded"), open_text_model(broken, threads=1):
            pass

    def test_weights_that_are_nan_name_the_request(self, tiny_model: TinyModel, tmp_path: Path) -> None:
        import shutil

        import gguf

        path = tmp_path / "nan.gguf"
        shutil.copy(tiny_model.gguf, path)
        tensor = next(t for t in gguf.GGUFReader(path, "r+").tensors if t.name == "blk.1.ffn_up.weight")
        tensor.data[:] = np.nan
        tensor.data.flush()
        broken = ModelSource(path=path, kind="gguf", digest="e" * 64)
        with open_text_model(broken, threads=1) as model:
            with pytest.raises(EngineError, match="NaN or an infinity in request 0"):
                list(model.continuations([("The truck", " one")]))
            with pytest.raises(EngineError, match="NaN or an infinity in request 0"):
                list(model.generate(["The truck"], Sampling(max_tokens=2)))


@pytest.fixture(scope="module")
def server(tiny_model: TinyModel) -> Iterator[LlamaServer]:
    settings = ServerSettings(model=tiny_model.gguf, alias="acme/tiny", context_tokens=2048, threads=1)
    with LlamaServer(settings, start_timeout_s=60) as running:
        yield running


@pytest.fixture(scope="module")
def served(server: LlamaServer) -> Iterator[TextModel]:
    with open_endpoint(f"{server.url}/v1", "acme/tiny") as found:
        yield found


class TestServedByLlama:
    def test_it_continues_text_as_the_engine_itself_does(self, served: TextModel, llama: TextModel) -> None:
        sampling = Sampling(max_tokens=6)
        ours = [answer.text for answer in llama.generate(CORPUS, sampling)]
        theirs = [answer.text for answer in served.generate(CORPUS, sampling)]
        assert sum(left == right for left, right in zip(ours, theirs, strict=True)) >= 3
        assert all(0 < answer.tokens <= 6 for answer in served.generate(CORPUS, sampling))

    def test_chats_go_through_the_servers_own_template(self, served: TextModel) -> None:
        prompt = served.chat_prompt([Message(role="user", content="weigh")])
        (answer,) = served.generate([prompt], Sampling(max_tokens=4))
        assert answer.tokens > 0

    def test_that_it_ignores_echo_is_noticed(self, served: TextModel) -> None:
        with pytest.raises(InputError, match="does not score given text") as caught:
            list(served.continuations([("The truck", " one")]))
        assert "vLLM" in caught.value.hint

    def test_a_text_that_is_too_long_is_refused(self, served: TextModel) -> None:
        with pytest.raises(InputError, match="refuses request 0"):
            list(served.generate(["weigh " * 3000], Sampling(max_tokens=4)))

    def test_it_counts_tokens_and_names_its_context(self, served: TextModel, llama: TextModel) -> None:
        assert served.tokenize(CORPUS[3]) == llama.tokenize(CORPUS[3])
        assert served.context_length

    def test_a_model_that_it_does_not_serve_is_refused(self, server: LlamaServer) -> None:
        with (
            pytest.raises(InputError, match="does not serve 'other', but 'acme/tiny'"),
            open_endpoint(f"{server.url}/v1", "other"),
        ):
            pass
