"""What a configuration makes a loader fetch or import for its computing: attention, kernels, quantisation, packages.

The library transformers fetches a kernel (compiled code) from the repository that `attn_implementation` names, also
where a configuration file names it (CVE-2026-4372). Names of built-in parts are listed; any other is not understood.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from weighbridge.evidence.audit.files.code import inspect_requirements
from weighbridge.evidence.audit.files.seen import Seen, hostile, shown, suspect, unknown
from weighbridge.evidence.audit.files.template_kind import words
from weighbridge.evidence.record import Severity

_IMPLEMENTATIONS = words(
    """eager sdpa flash_attention flash_attention_2 flash_attention_3 flash_attention_4 flex_attention xformers auto
    default none math batched_mm grouped_mm torch triton naive mem_efficient"""
)
_QUANTISERS = words(
    """awq gptq gptqmodel bitsandbytes bitsandbytes_4bit bitsandbytes_8bit bnb fp8 fbgemm_fp8 finegrained_fp8 fp_quant
    compressed-tensors torchao hqq quanto aqlm eetq higgs spqr vptq bitnet quark auto-round auto_round intel/auto-round
    mxfp4 nvfp4 modelopt modelopt_fp4 sinq four_over_six gguf exl2 exl3 marlin squeezellm deepspeedfp experts_int8 ipex
    rtn qronos metal awq_marlin gptq_marlin inc smoothquant mlx int8 int4 w8a8 autoawq omniquant quip quip-sharp"""
)
_REPOSITORY = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}(?:@[^:\s]{1,96})?(?::[\w.]{1,96})?")
_IMPLEMENTATION_KEY = re.compile(r"(?:attn|attention|experts|kernel)_implementation(?:_internal)?\Z")
_KERNEL_KEY = re.compile(r"(?:\A|_)(?:kernel|kernels|kernel_(?:name|repo|repo_id|id|config|mapping|source))\Z")
_IMPORT_KEY = re.compile(r"(?:\A|_)(?:import|imports|import_path|import_from|import_name|python_module|module_path)\Z")
_MODULE = re.compile(r"[A-Za-z_][\w.:-]{0,400}")
_PLAIN_TYPES = words(
    """dict list tuple set frozenset str int float complex bool bytes bytearray slice range type NoneType ellipsis"""
)
_ESTIMATORS = ("sklearn", "numpy", "scipy", "skops")
_READS_FILES = words("load fromfile memmap save savez savez_compressed savetxt loadtxt genfromtxt fromregex DataSource")
_INNER = re.compile(r"(?:\A|[._])(?:testing|tests?|f2py|distutils|externals|conftest|setup|ctypeslib)(?:[._]|\Z)")
_CHANNELS = words("defaults conda-forge pytorch nvidia huggingface anaconda bioconda main nodefaults intel rapidsai")
_MAX_NAMED, _MAX_DEPENDENCIES = 20, 10_000


def inspect_loaded(place: str, key: str, value: object) -> Iterator[Seen]:
    """Yield what one member of a configuration makes a loader fetch or import.

    Args:
        place: where it stands.
        key: its name, lower case.
        value: what it holds.
    """
    if _IMPLEMENTATION_KEY.search(key):
        for name in _texts(value):
            yield from _implementation(place, name)
    elif _KERNEL_KEY.search(key):
        for name in _texts(value):
            if _REPOSITORY.fullmatch(name.strip()):
                yield _kernel(place, name)
    elif _IMPORT_KEY.search(key) and isinstance(value, str) and _MODULE.fullmatch(value.strip()):
        message = f"it names something that a loader imports: {shown(value)}"
        yield suspect("foreign-import", message, place, Severity.HIGH)
    if key in ("quantization_config", "quantisation_config") and isinstance(value, Mapping):
        method = value.get("quant_method")
        if method is not None and (not isinstance(method, str) or method.lower() not in _QUANTISERS):
            message = f"its weights are quantised by a method that is not known here: {shown(str(method)[:200])}"
            yield unknown("quantiser", message, place)
    if isinstance(value, Mapping) and "__loader__" in value and "__module__" in value:
        yield from _schema(place, value)


def _implementation(place: str, name: str) -> Iterator[Seen]:
    # `paged|` and `flash_paged` are ways to keep the cache; they load nothing.
    bare = name.strip().lower().removeprefix("paged|").removesuffix("_paged")
    if not bare or bare in _IMPLEMENTATIONS or bare == "flash":
        return
    if "/" in name or ":" in name or "@" in name:
        yield _kernel(place, name)
    else:
        message = f"it wants an implementation that is not known here: {shown(name)}"
        yield unknown("kernel-unknown", message, place)


def _kernel(place: str, name: str) -> Seen:
    message = f"it tells a loader to fetch and run a kernel from a repository: {shown(name)}"
    return suspect("foreign-kernel", message, place, Severity.HIGH)


def _texts(value: object) -> list[str]:
    """Return the texts of a value, of a list of them, and of an object of both, a few levels deep."""
    found: list[str] = []
    waiting = [value]
    for _ in range(_MAX_NAMED * 10):
        if not waiting or len(found) >= _MAX_NAMED:
            break
        item = waiting.pop()
        if isinstance(item, str):
            found.append(item)
        elif isinstance(item, Mapping):
            waiting.extend(list(item.values())[:_MAX_NAMED])
        elif isinstance(item, list):
            waiting.extend(item[:_MAX_NAMED])
    return found


def _schema(place: str, value: Mapping[str, Any]) -> Iterator[Seen]:
    """Look at an object of skops: its type is imported from `__module__`, and with some loaders called."""
    module, name = str(value["__module__"])[:200], str(value.get("__class__", ""))[:200]
    root = module.partition(".")[0]
    if module == "builtins" and name in _PLAIN_TYPES:
        return
    usual = name not in _READS_FILES and not _INNER.search(module)
    if (root in _ESTIMATORS and usual) or (
        module == "collections" and name in ("OrderedDict", "defaultdict", "Counter")
    ):
        return
    named = shown(f"{module}.{name}")
    if root in ("os", "posix", "nt", "subprocess", "sys", "builtins", "shutil", "importlib", "runpy", "pty", "socket"):
        yield hostile("object-of-code", f"it tells skops to load {named}", place)
    else:
        yield suspect("object-of-code", f"it tells skops to import {named}, which no estimator needs", place)


def inspect_packages(base: str, document: object) -> Iterator[Seen]:
    """Yield what a list of packages makes an installer fetch: environments of conda, and the like in YAML or TOML.

    Args:
        base: file name.
        document: the parsed file.
    """
    if not isinstance(document, Mapping):
        return
    project = document.get("project")
    named = [document.get("dependencies"), document.get("build_dependencies"), document.get("pip")]
    named += [project.get("dependencies")] if isinstance(project, Mapping) else []
    lines = [line for item in named if isinstance(item, list) for line in _entries(item)]
    for seen in inspect_requirements("\n".join(lines)):
        yield Seen(seen.rule, seen.standing, seen.severity, seen.message, "/dependencies")
    channels = document.get("channels")
    if named[0] is not None and isinstance(channels, list):
        strange = [item for item in channels[:100] if isinstance(item, str) and item.lower() not in _CHANNELS]
        if strange:
            severity = Severity.MEDIUM if any("/" in item for item in strange) else Severity.LOW
            message = f"it makes an installer fetch packages from another place: {shown(strange[0])}"
            yield suspect("foreign-index", message, "/channels", severity)


def _entries(items: list[Any]) -> Iterator[str]:
    for item in items[:_MAX_DEPENDENCIES]:
        if isinstance(item, str):
            yield item
        elif isinstance(item, Mapping):
            for inner in item.values():
                yield from (text for text in (inner if isinstance(inner, list) else ()) if isinstance(text, str))
