import json
from pathlib import Path
from typing import Any

import pytest

from weighbridge.checkpoint.architecture import Architecture, describe
from weighbridge.checkpoint.folder import Checkpoint
from weighbridge.checkpoint.tensor import TensorEntry

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 576,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "head_dim": 64,
    "num_hidden_layers": 30,
    "max_position_embeddings": 8192,
    "vocab_size": 49152,
}
LLAMA_GGUF = {
    "general.architecture": "llama",
    "llama.block_count": 30,
    "llama.context_length": 8192,
    "llama.embedding_length": 576,
    "llama.attention.head_count": 9,
    "llama.attention.head_count_kv": 3,
    "tokenizer.ggml.tokens": ("a", "b", "c"),
}


def tensor(name: str, dtype: str, shape: tuple[int, ...], size_bytes: int) -> TensorEntry:
    return TensorEntry(name=name, dtype=dtype, shape=shape, file="m", offset=0, size_bytes=size_bytes)


def of_config(config: object) -> Architecture:
    assert isinstance(config, dict)
    tensors = (tensor("a", "F32", (3,), 12), tensor("b", "BF16", (10, 2), 40), tensor("c", "BF16", (2,), 4))
    return describe(
        Checkpoint(
            root=Path("/x"), format="safetensors", files=("m",), weight_files=("m",), tensors=tensors, config=config
        )
    )


def of_keys(keys: dict[str, Any]) -> Architecture:
    tensors = (tensor("q", "Q8_0", (4, 32), 136),)
    return describe(
        Checkpoint(
            root=Path("/x"), format="gguf", files=("m",), weight_files=("m",), tensors=tensors, metadata={"m": keys}
        )
    )


def test_a_hugging_face_configuration_is_described() -> None:
    assert of_config(LLAMA) == Architecture(
        family="llama",
        parameters=25,
        dtypes=(("BF16", 22), ("F32", 3)),
        context_length=8192,
        layers=30,
        vocabulary=49152,
        load_bytes=56,
        cache_bytes_per_1000_tokens=23_040_000,
    )


def test_a_gguf_is_described_alike() -> None:
    described = of_keys(LLAMA_GGUF)
    assert described == Architecture(
        family="llama",
        parameters=128,
        dtypes=(("Q8_0", 128),),
        context_length=8192,
        layers=30,
        vocabulary=3,
        load_bytes=136,
        cache_bytes_per_1000_tokens=23_040_000,
    )


def test_the_json_form_is_json() -> None:
    data = json.loads(json.dumps(of_config(LLAMA).to_json()))
    assert data["dtypes"][0] == {"dtype": "BF16", "parameters": 22}
    assert set(data) == set(Architecture.__dataclass_fields__)


def test_what_is_not_stated_is_not_known() -> None:
    for described in (of_config({}), of_keys({})):
        assert described.family == "unknown"
        assert described.context_length is described.layers is described.vocabulary is None
        assert described.cache_bytes_per_1000_tokens is None


def less(config: dict[str, Any], *keys: str, **more: Any) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in keys} | more


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (less(LLAMA, "head_dim"), 23_040_000),
        (less(LLAMA, "num_key_value_heads"), 69_120_000),
        ({"model_type": "gpt2", "n_layer": 12, "n_head": 12, "n_embd": 768, "n_positions": 1024}, 36_864_000),
        (less(LLAMA, "num_key_value_heads", multi_query=True), 7_680_000),
        (less(LLAMA, layer_types=["full_attention", "sliding_attention"]), 23_040_000),
        (less(LLAMA, layer_types=["linear_attention"]), None),
        (less(LLAMA, layer_types=[["x"]]), None),
        (less(LLAMA, kv_lora_rank=512), None),
        (less(LLAMA, ssm_state=1), None),
        (less(LLAMA, architectures=["BertForMaskedLM"]), None),
        (less(LLAMA, "num_hidden_layers"), None),
        (less(LLAMA, "num_attention_heads", "num_key_value_heads"), None),
    ],
)
def test_the_cache_is_computed_where_the_formula_holds(config: dict[str, Any], expected: int | None) -> None:
    assert of_config(config).cache_bytes_per_1000_tokens == expected


def test_the_text_part_of_a_multimodal_model_counts() -> None:
    described = of_config({"model_type": "gemma3", "text_config": LLAMA})
    assert (described.family, described.layers, described.cache_bytes_per_1000_tokens) == ("gemma3", 30, 23_040_000)


@pytest.mark.parametrize("value", [True, -1, 0, 1.5, "30", None, [30], 10**30])
def test_nonsense_numbers_are_not_known(value: object) -> None:
    described = of_config({**LLAMA, "num_hidden_layers": value, "max_position_embeddings": value})
    assert described.layers is described.context_length is described.cache_bytes_per_1000_tokens is None
    described = of_keys({**LLAMA_GGUF, "llama.block_count": value})
    assert described.layers is described.cache_bytes_per_1000_tokens is None


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (less(LLAMA_GGUF, "llama.attention.head_count_kv"), 69_120_000),
        ({**LLAMA_GGUF, "llama.attention.head_count_kv": (3,) * 15 + (0,) * 15}, 11_520_000),
        ({**LLAMA_GGUF, "llama.attention.head_count_kv": (3,) * 7}, None),
        ({**LLAMA_GGUF, "llama.attention.key_length": 128}, 34_560_000),
        ({**LLAMA_GGUF, "llama.attention.kv_lora_rank": 512}, None),
        ({**LLAMA_GGUF, "llama.attention.causal": False}, None),
        ({**LLAMA_GGUF, "llama.ssm.state_size": 16}, None),
    ],
)
def test_the_cache_of_a_gguf_is_computed_where_the_formula_holds(keys: dict[str, Any], expected: int | None) -> None:
    assert of_keys(keys).cache_bytes_per_1000_tokens == expected


@pytest.mark.parametrize("family", ["", "a\nb", "x" * 200, 7, None])
def test_a_family_that_cannot_be_shown_is_unknown(family: object) -> None:
    assert of_config({"model_type": family}).family == "unknown"


def test_the_stated_vocabulary_goes_before_the_counted_one() -> None:
    assert of_keys({**LLAMA_GGUF, "llama.vocab_size": 9}).vocabulary == 9
