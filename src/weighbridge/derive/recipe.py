"""Recipes: how a version is made from a checkpoint, as frozen plans.

A step is a pure function of its input's digest, its own parameters and the version of the engine that carries it out.
`step_key` turns these three into the name under which the result is kept, so equal work is done once.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from weighbridge.errors import RecipeError

CAST_DTYPES: Mapping[str, str] = {"bf16": "BF16", "f16": "F16", "f32": "F32"}
"""Plan word to safetensors dtype."""

GGUF_TYPES: Mapping[str, int] = {
    "Q8_0": 7,
    "Q6_K": 18,
    "Q5_K_M": 17,
    "Q5_K_S": 16,
    "Q4_K_M": 15,
    "Q4_K_S": 14,
    "Q4_0": 2,
    "Q3_K_L": 13,
    "Q3_K_M": 12,
    "Q3_K_S": 11,
    "Q2_K": 10,
    "BF16": 32,
    "F16": 1,
    "F32": 0,
}
"""Name to `llama_ftype` (llama.cpp, include/llama.h): the quantised types from the largest down, then the others."""

UNQUANTISED_GGUF = ("F32", "F16", "BF16")

STANDARD_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
    "preprocessor_config.json",
    "processor_config.json",
)
"""What a version carries beside its weights. Everything else stays behind unless the plan's `keep` names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WithholdStep:
    """Leave tensors, files and metadata out.

    Attributes:
        tensors: globs (`fnmatch`) of tensor names to drop.
        files: globs of file paths to drop, even where they are standard files.
        keep: globs of file paths to carry beyond `STANDARD_FILES`.
        metadata: remove metadata that tells about people, machines and runs.
        keys: globs of further keys to remove from JSON files.
    """

    tensors: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    metadata: bool = True
    keys: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the step with its parameters."""
        return {
            "step": "withhold",
            "tensors": list(self.tensors),
            "files": list(self.files),
            "keep": list(self.keep),
            "metadata": self.metadata,
            "keys": list(self.keys),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CastStep:
    """Store every floating-point tensor in another floating-point type, rounding to nearest even."""

    dtype: str

    def __post_init__(self) -> None:
        if self.dtype not in CAST_DTYPES.values():
            raise RecipeError(f"cannot cast to {self.dtype!r}", hint=f"Choose one of {', '.join(CAST_DTYPES)}.")

    def to_json(self) -> dict[str, Any]:
        """Return the step with its parameters."""
        return {"step": "cast", "dtype": self.dtype}


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufStep:
    """Convert to one GGUF file, quantised to `type` by llama.cpp."""

    type: str

    def __post_init__(self) -> None:
        if self.type not in GGUF_TYPES:
            raise RecipeError(f"unknown GGUF type {self.type!r}", hint=f"Choose one of {', '.join(GGUF_TYPES)}.")

    def to_json(self) -> dict[str, Any]:
        """Return the step with its parameters."""
        return {"step": "gguf", "type": self.type}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The steps of one version, in the order in which they are carried out.

    Withholding always comes first, so nothing that is held back ever reaches another step.
    """

    withhold: WithholdStep
    cast: CastStep | None = None
    gguf: GgufStep | None = None

    def to_json(self) -> list[dict[str, Any]]:
        """Return the steps in order."""
        return [step.to_json() for step in (self.withhold, self.cast, self.gguf) if step is not None]


def step_key(input_digest: str, parameters: Mapping[str, Any], engine: str) -> str:
    """Return the name under which the result of a step is kept: SHA-256 of everything that it depends on."""
    text = json.dumps({"input": input_digest, "parameters": parameters, "engine": engine}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
