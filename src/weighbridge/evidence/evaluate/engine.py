"""What evaluations ask of an engine, whichever loads the model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import numpy as np
import numpy.typing as npt

ModelKind = Literal["safetensors", "gguf"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """A model to load and the digest by which measurements name it.

    Attributes:
        path: a folder in the Hugging Face layout, or a GGUF file (the first one, if it is split).
        kind: what is at `path`.
        digest: digest of the checkpoint.
        dtype: what a safetensors model computes in, `float32` or `bfloat16`; a GGUF file decides for itself.
    """

    path: Path
    kind: ModelKind
    digest: str
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.kind not in ("safetensors", "gguf") or self.dtype not in ("float32", "bfloat16"):
            raise ValueError(f"not a model source: kind {self.kind!r}, dtype {self.dtype!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How fast an engine was, one number a repeat.

    Attributes:
        prefill_tokens_per_second: prompts of `prefill_tokens` tokens, read from an empty cache.
        decode_tokens_per_second: `decode_tokens` tokens chosen greedily one by one after such a prompt.
    """

    prefill_tokens: int
    decode_tokens: int
    prefill_tokens_per_second: tuple[float, ...]
    decode_tokens_per_second: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """What is needed to run a measurement again.

    Attributes:
        name: the engine, for example `llama.cpp`.
        version: version of the package that brought it.
        packages: versions of the packages that took part.
        dtype: what the weights were computed in, or `gguf` where each tensor has its own type.
        threads: threads that computed.
        notes: whatever else the engine says about itself: processor features, ignored tensors.
    """

    name: str
    version: str
    packages: Mapping[str, str]
    dtype: str
    threads: int
    notes: Mapping[str, object]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON form, `from_json` reads it back."""
        return {
            "name": self.name,
            "version": self.version,
            "packages": dict(self.packages),
            "dtype": self.dtype,
            "threads": self.threads,
            "notes": dict(self.notes),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read the form that `to_json` writes.

        Raises:
            ValueError: if it has another shape.
        """
        try:
            return cls(**data)
        except TypeError as error:
            raise ValueError(f"not facts about an engine: {error}") from error

    def to_context(self) -> dict[str, Any]:
        """Return what a measurement says about the engine that made it."""
        return {
            "engine": self.name,
            "engine_version": self.version,
            "packages": dict(self.packages),
            "dtype": self.dtype,
            "threads": self.threads,
            "engine_notes": dict(self.notes),
        }


class ScoringEngine(Protocol):
    """A loaded model that answers with next-token scores."""

    @property
    def name(self) -> str:
        """Name of the engine."""

    @property
    def version(self) -> str:
        """Version of the package that brought it."""

    @property
    def vocabulary_size(self) -> int:
        """How many tokens each row of `logits` scores."""

    @property
    def context_length(self) -> int | None:
        """Tokens that the model was made for; None if it does not say."""

    @property
    def facts(self) -> EngineFacts:
        """What is needed to run this again."""

    def prepare(self, context_tokens: int) -> None:
        """Make room for texts of up to `context_tokens` tokens.

        Raises:
            EngineError: if there is no memory for it.
        """

    def tokenize(self, text: str) -> tuple[int, ...]:
        """Return the tokens of `text`, with the special tokens that the model puts around every text."""

    def logits(self, tokens: Sequence[int]) -> npt.NDArray[np.float32]:
        """Return scores of shape `[len(tokens), vocabulary_size]`; row i predicts token i + 1.

        The array may be the engine's own memory: it is valid until the next call.

        Raises:
            EngineError: if a token lies outside the vocabulary or the engine fails.
        """

    def speed(self, *, prefill_tokens: int, decode_tokens: int, repeats: int) -> Speed:
        """Measure the speed, after one repeat that does not count."""

    def close(self) -> None:
        """Free the model."""


def speed_prompt(length: int, vocabulary: int) -> tuple[int, ...]:
    """Return a prompt of `length` different ordinary-looking tokens, the same for every engine."""
    return tuple((100 + 7919 * index) % vocabulary for index in range(length))
