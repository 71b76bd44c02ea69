"""What kind of model a checkpoint is and what it takes to run it, from headers and configuration alone."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from weighbridge.checkpoint.folder import Checkpoint

CACHE_ELEMENT_BYTES = 2
"""Keys and values are kept in 16 bits by default, in llama.cpp as in transformers."""

CACHE_TOKENS = 1000
UNKNOWN_FAMILY = "unknown"

_MOST = 1 << 40
_NAMES: Mapping[str, tuple[str, ...]] = {
    "context": ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length", "n_ctx"),
    "layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "vocabulary": ("vocab_size", "padded_vocab_size"),
    "heads": ("num_attention_heads", "n_head", "n_heads"),
    "kv_heads": ("num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num"),
    "head_size": ("head_dim", "kv_channels"),
    "width": ("hidden_size", "n_embd", "d_model"),
}
"""What the fields of `config.json` are called, most usual first."""

_LATENT_KEYS = ("kv_lora_rank", "q_lora_rank")
_PLAIN_LAYERS = frozenset({"full_attention", "sliding_attention", "chunked_attention", "attention"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """Facts about a model. None means not known, never zero.

    Attributes:
        family: `model_type` of a Hugging Face configuration or `general.architecture` of a GGUF.
        parameters: elements of all stored tensors; of block-quantised ones elements, not blocks.
        dtypes: (dtype, parameters) from the most used to the least.
        context_length: tokens.
        layers: blocks of the (text) model.
        vocabulary: tokens that it knows.
        load_bytes: bytes of all tensors as stored: the least memory that holds them.
        cache_bytes_per_1000_tokens: keys and values of 1,000 tokens in 16 bits, with full attention in every layer.
            Not known for latent attention (MLA), recurrent layers, and what has no decoder.
    """

    family: str
    parameters: int
    dtypes: tuple[tuple[str, int], ...]
    context_length: int | None
    layers: int | None
    vocabulary: int | None
    load_bytes: int
    cache_bytes_per_1000_tokens: int | None

    def to_json(self) -> dict[str, Any]:
        """Return a JSON form."""
        return {
            "family": self.family,
            "parameters": self.parameters,
            "dtypes": [{"dtype": dtype, "parameters": count} for dtype, count in self.dtypes],
            "context_length": self.context_length,
            "layers": self.layers,
            "vocabulary": self.vocabulary,
            "load_bytes": self.load_bytes,
            "cache_bytes_per_1000_tokens": self.cache_bytes_per_1000_tokens,
        }


@dataclass(frozen=True, slots=True)
class _Facts:
    family: str
    context_length: int | None
    layers: int | None
    vocabulary: int | None
    cache_elements_per_token: int | None


def describe(checkpoint: Checkpoint) -> Architecture:
    """State what is known about a checkpoint; an unknown architecture is no error."""
    facts = _from_gguf(_gguf_metadata(checkpoint)) if checkpoint.format == "gguf" else _from_config(checkpoint.config)
    counts: Counter[str] = Counter()
    for tensor in checkpoint.tensors:
        counts[tensor.dtype] += tensor.parameters
    cache = facts.cache_elements_per_token
    return Architecture(
        family=facts.family,
        parameters=sum(counts.values()),
        dtypes=tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
        context_length=facts.context_length,
        layers=facts.layers,
        vocabulary=facts.vocabulary,
        load_bytes=sum(tensor.size_bytes for tensor in checkpoint.tensors),
        cache_bytes_per_1000_tokens=None if cache is None else cache * CACHE_ELEMENT_BYTES * CACHE_TOKENS,
    )


def _from_config(config: Mapping[str, Any]) -> _Facts:
    family = _text(config.get("model_type"))
    nested = config.get("text_config")
    text: Mapping[str, Any] = nested if isinstance(nested, dict) else config
    known = {fact: _first(text, names) for fact, names in _NAMES.items()}
    return _Facts(
        family=family,
        context_length=known["context"],
        layers=known["layers"],
        vocabulary=known["vocabulary"],
        cache_elements_per_token=_config_cache(config, text, known),
    )


def _config_cache(config: Mapping[str, Any], text: Mapping[str, Any], known: Mapping[str, int | None]) -> int | None:
    """Return 2 x layers x key-value heads x head size, or None where that formula does not hold."""
    architectures = config.get("architectures")
    if isinstance(architectures, list) and not any(
        isinstance(name, str) and name.endswith(("ForCausalLM", "LMHeadModel", "ForConditionalGeneration"))
        for name in architectures
    ):
        return None
    if any(key in text for key in _LATENT_KEYS) or text.get("is_encoder_decoder"):
        return None
    if any(key.startswith(("ssm_", "mamba_", "linear_")) or key == "state_size" for key in text):
        return None
    kinds = text.get("layer_types")
    if isinstance(kinds, list) and not all(isinstance(kind, str) and kind in _PLAIN_LAYERS for kind in kinds):
        return None
    layers, heads, kv_heads = known["layers"], known["heads"], known["kv_heads"]
    if kv_heads is None:
        kv_heads = 1 if text.get("multi_query") is True else heads
    head_size = known["head_size"]
    if head_size is None and known["width"] and heads:
        head_size = known["width"] // heads
    if layers is None or kv_heads is None or head_size is None:
        return None
    return 2 * layers * kv_heads * head_size


def _gguf_metadata(checkpoint: Checkpoint) -> Mapping[str, Any]:
    """Return the key-values of the file that says what the model is: of a split model the first."""
    of_files = [checkpoint.metadata.get(file, {}) for file in checkpoint.weight_files]
    return next((metadata for metadata in of_files if "general.architecture" in metadata), {})


def _from_gguf(metadata: Mapping[str, Any]) -> _Facts:
    family = _text(metadata.get("general.architecture"))
    tokens = metadata.get("tokenizer.ggml.tokens")
    vocabulary = _natural(metadata.get(f"{family}.vocab_size"))
    if vocabulary is None and isinstance(tokens, tuple) and tokens:
        vocabulary = len(tokens)
    return _Facts(
        family=family,
        context_length=_natural(metadata.get(f"{family}.context_length")),
        layers=_natural(metadata.get(f"{family}.block_count")),
        vocabulary=vocabulary,
        cache_elements_per_token=_gguf_cache(metadata, family),
    )


def _gguf_cache(metadata: Mapping[str, Any], family: str) -> int | None:
    """Return key-value heads of all layers x (key + value length), or None where that formula does not hold."""
    if any(key.startswith((f"{family}.ssm.", f"{family}.wkv.")) for key in metadata):
        return None
    attention = f"{family}.attention."
    if f"{attention}kv_lora_rank" in metadata or metadata.get(f"{attention}causal") is False:
        return None
    layers = _natural(metadata.get(f"{family}.block_count"))
    stated_heads = metadata.get(f"{attention}head_count")
    all_kv_heads = _per_layer(metadata.get(f"{attention}head_count_kv", stated_heads), layers)
    width, heads = _natural(metadata.get(f"{family}.embedding_length")), _natural(stated_heads)
    default = width // heads if width and heads else None
    key_length = _natural(metadata.get(f"{attention}key_length")) or default
    value_length = _natural(metadata.get(f"{attention}value_length")) or default
    if all_kv_heads is None or key_length is None or value_length is None:
        return None
    return all_kv_heads * (key_length + value_length)


def _per_layer(value: object, layers: int | None) -> int | None:
    """Return the sum over layers of a number that a GGUF states once, or once a layer."""
    if layers is None:
        return None
    if isinstance(value, tuple):
        counts = [count for count in value if type(count) is int and 0 <= count <= _MOST]
        return sum(counts) if len(counts) == len(value) == layers else None
    count = _natural(value)
    return None if count is None else count * layers


def _first(config: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    return next((value for name in names if (value := _natural(config.get(name))) is not None), None)


def _natural(value: object) -> int | None:
    """Return `value` if it is a sensible count: what comes from a file can be anything."""
    return value if type(value) is int and 0 < value <= _MOST else None


def _text(value: object) -> str:
    return value if isinstance(value, str) and value.isprintable() and 0 < len(value) <= 100 else UNKNOWN_FAMILY
