"""Carry out a recipe: each step looks for its result in the store first, and keeps it there when it is made."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weighbridge.checkpoint.folder import Checkpoint
from weighbridge.derive.cast import FLOAT_DTYPES
from weighbridge.derive.engine import GgufEngine
from weighbridge.derive.executor import Executor
from weighbridge.derive.recipe import UNQUANTISED_GGUF, Recipe, step_key
from weighbridge.derive.sanitise import Scrub, sanitise
from weighbridge.derive.store import DerivationStore, Derived
from weighbridge.derive.withhold import Selection, select
from weighbridge.errors import RecipeError

SANITISE_VERSION = "1"

# Measured with `weighbridge derive examples/smollm2/release.yaml` on 2 cores; only to tell people what to expect.
_CONVERT_START_S = 9
_CONVERT_BYTES_A_SECOND = 150e6
_QUANTISE_BYTES_A_SECOND_AND_WORKER = 90e6

Notice = Callable[[str, int | None], Callable[[int], None]]
"""Takes what is being done and its size in bytes (None: not known); returns what to call with each amount done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workbench:
    """What recipes are carried out with.

    Attributes:
        store: where results are kept.
        executor: what runs independent parts.
        gguf: the engine for GGUF files; None where it is not installed.
        scrub: removes metadata from JSON files.
        scrub_version: its version: another scrubber makes another version.
        notice: told what is being done.
    """

    store: DerivationStore
    executor: Executor
    gguf: GgufEngine | None
    scrub: Scrub
    scrub_version: str
    notice: Notice


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A derived version.

    Attributes:
        result: its files.
        base: the sanitised safetensors folder that every version of this selection comes from.
        transformations: every folder on the way from the source to the result, in order: `base` first, `result` last.
        selection: what of the source went in and what stayed behind.
        scrubbed: `(file, JSON pointer)` of metadata that was removed.
        engines: name and version of the code that made it.
    """

    result: Derived
    base: Derived
    transformations: tuple[Derived, ...]
    selection: Selection
    scrubbed: tuple[tuple[str, str], ...]
    engines: tuple[str, ...]


def make_version(
    source: Checkpoint,
    source_digest: str,
    recipe: Recipe,
    bench: Workbench,
    *,
    stem: str,
    metadata: Mapping[str, Any],
) -> Made:
    """Derive one version of `source`.

    Args:
        source: the internal model, as safetensors.
        source_digest: digest of its manifest.
        recipe: what to do.
        bench: what to do it with.
        stem: what the name of a GGUF file begins with; its type follows.
        metadata: general GGUF key-values (name, license) for a GGUF version.

    Raises:
        RecipeError: if the recipe cannot be applied to this checkpoint.
        EngineError: if an engine fails.
        WorkspaceError: if results cannot be written.
    """
    if source.format != "safetensors":
        raise RecipeError(
            f"versions are derived from safetensors, and {source.root} holds {source.format}",
            hint="Give the internal model as safetensors, before any quantisation.",
        )
    selection = select(source, recipe.withhold)
    base = _sanitised(source, source_digest, selection, recipe, bench)
    engines = [f"weighbridge sanitise {SANITISE_VERSION}"]
    steps = [base]
    if recipe.gguf is not None:
        if bench.gguf is None:
            raise RecipeError("no GGUF engine is installed", hint="pip install 'weighbridge[derive]'")
        engines.append(bench.gguf.identity)
        steps += _gguf(base, recipe.gguf.type, bench, bench.gguf, stem, metadata)
    return Made(
        result=steps[-1],
        base=base,
        transformations=tuple(steps),
        selection=selection,
        scrubbed=tuple((file, pointer) for file, pointer in base.facts["scrubbed"]),
        engines=tuple(engines),
    )


def _sanitised(
    source: Checkpoint, source_digest: str, selection: Selection, recipe: Recipe, bench: Workbench
) -> Derived:
    dtype = _effective_dtype(selection, recipe.cast.dtype if recipe.cast else None)
    scrub = bench.scrub if recipe.withhold.metadata else None
    parameters = {
        "tensors": [tensor.name for tensor in selection.tensors],
        "files": list(selection.files),
        "keys": list(recipe.withhold.keys),
        "scrub": bench.scrub_version if scrub else None,
        "dtype": dtype,
    }

    def make(folder: Path) -> tuple[Any, dict[str, Any]]:
        size = sum(tensor.size_bytes for tensor in selection.tensors)
        done = bench.notice(f"writing {dtype or 'the same types'}, sanitised", size)
        written = sanitise(source, selection, folder, dtype=dtype, scrub=scrub, executor=bench.executor, on_bytes=done)
        return written.manifest, {"scrubbed": [list(item) for item in written.scrubbed], "dtype": dtype}

    return bench.store.get_or_make(step_key(source_digest, parameters, f"sanitise {SANITISE_VERSION}"), make)


def _effective_dtype(selection: Selection, dtype: str | None) -> str | None:
    """Return None where a cast would change nothing, so that it shares its result with "no cast"."""
    present = {tensor.dtype for tensor in selection.tensors if tensor.dtype in FLOAT_DTYPES}
    return None if present <= {dtype} else dtype


def conversion_type(type_: str, base: Derived) -> str:
    """Return the unquantised GGUF type that a version of `type_` is converted to first."""
    if type_ in UNQUANTISED_GGUF:
        return type_
    return {"F32": "F32", "F16": "F16"}.get(base.facts["dtype"], "BF16")


def _gguf(
    base: Derived, type_: str, bench: Workbench, engine: GgufEngine, stem: str, metadata: Mapping[str, Any]
) -> list[Derived]:
    base_type = conversion_type(type_, base)

    def convert(folder: Path) -> tuple[None, Mapping[str, Any]]:
        seconds = _CONVERT_START_S + base.manifest.size_bytes / _CONVERT_BYTES_A_SECOND
        bench.notice(f"converting to GGUF {base_type} by llama.cpp, usually {seconds:.0f} s", None)
        return None, engine.convert(
            base.folder, folder / f"{stem}-{base_type}.gguf", type_=base_type, metadata=metadata
        )

    parameters = {"gguf": base_type, "stem": stem, "metadata": dict(metadata)}
    converted = bench.store.get_or_make(step_key(base.manifest.digest, parameters, engine.identity), convert)
    if type_ == base_type:
        return [converted]

    def quantise(folder: Path) -> tuple[None, Mapping[str, Any]]:
        seconds = 1 + converted.manifest.size_bytes / (_QUANTISE_BYTES_A_SECOND_AND_WORKER * bench.executor.workers)
        bench.notice(f"quantising to {type_} by llama.cpp, usually {seconds:.0f} s", None)
        [file] = converted.manifest
        threads = bench.executor.workers
        facts = engine.quantise(
            converted.folder / file.path, folder / f"{stem}-{type_}.gguf", type_=type_, threads=threads
        )
        return None, facts

    key = step_key(converted.manifest.digest, {"quantise": type_, "stem": stem}, engine.identity)
    return [converted, bench.store.get_or_make(key, quantise)]
