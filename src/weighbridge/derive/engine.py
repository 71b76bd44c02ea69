"""The port to the code that knows GGUF."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol


class GgufEngine(Protocol):
    """Converts a safetensors folder to GGUF, and quantises GGUF files."""

    @property
    def identity(self) -> str:
        """Name and version of everything that shapes the bytes it writes."""

    def convert(self, folder: Path, out: Path, *, type_: str, metadata: Mapping[str, Any]) -> Mapping[str, Any]:
        """Write `folder` as an unquantised GGUF file of `type_` (F32, F16 or BF16); return facts about the work.

        Raises:
            RecipeError: if the engine does not know the architecture or tokenizer.
            EngineError: if it fails otherwise.
        """

    def quantise(self, source: Path, out: Path, *, type_: str, threads: int) -> Mapping[str, Any]:
        """Write the GGUF file `source` quantised to `type_`; return facts about the work.

        Raises:
            EngineError: if the engine fails.
        """
