"""The metadata block of a model card, in the YAML that the Hugging Face Hub reads.

Format: https://github.com/huggingface/hub-docs/blob/main/modelcard.md. Only a small subset of YAML is written: block
mappings and lists, numbers, and strings in double quotes.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from weighbridge.dossier.figure import measure_words
from weighbridge.dossier.release import ReleaseRecord
from weighbridge.evidence.record import Measurement

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
_WORDS = ("true", "false", "yes", "no", "on", "off", "null", "y", "n")  # what YAML 1.1 takes for no text
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}\Z", re.ASCII)

# The identifiers of https://huggingface.co/docs/hub/repositories-licenses that an SPDX identifier maps to.
_HUB_LICENSES: Mapping[str, str] = {
    name.lower(): name.lower()
    for name in (
        "Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "BSD-3-Clause-Clear", "CC0-1.0", "CC-BY-2.0", "CC-BY-3.0",
        "CC-BY-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0", "CC-BY-NC-2.0", "CC-BY-NC-3.0", "CC-BY-NC-4.0", "CC-BY-ND-4.0",
        "CC-BY-NC-ND-4.0", "CC-BY-NC-SA-4.0", "CDLA-Permissive-1.0", "CDLA-Permissive-2.0", "CDLA-Sharing-1.0",
        "AFL-3.0", "Artistic-2.0", "BSL-1.0", "ECL-2.0", "EPL-1.0", "EPL-2.0", "EUPL-1.1", "EUPL-1.2", "ISC", "MPL-2.0",
        "MS-PL", "NCSA", "OSL-3.0", "PDDL", "PostgreSQL", "OFL-1.1", "Unlicense", "WTFPL", "Zlib", "ODC-By", "ODbL",
        "llama2", "llama3", "llama3.1", "llama3.2", "llama3.3", "llama4", "gemma", "OpenRAIL", "OpenRAIL++",
        "BigScience-OpenRAIL-M", "BigScience-BLOOM-RAIL-1.0", "BigCode-OpenRAIL-M", "CreativeML-OpenRAIL-M",
        "DeepFloyd-IF-License",
    )
} | {
    f"{name}-{suffix}": hub
    for name, hub in (
        ("gpl-2.0", "gpl-2.0"), ("gpl-3.0", "gpl-3.0"), ("lgpl-2.1", "lgpl-2.1"), ("lgpl-3.0", "lgpl-3.0"),
        ("agpl-3.0", "agpl-3.0"), ("gfdl-1.3", "gfdl"),
    )
    for suffix in ("only", "or-later")
}  # fmt: skip

_RELATIONS = {
    "finetune": "finetune",
    "fine-tune": "finetune",
    "adapter": "adapter",
    "merge": "merge",
    "quantise": "quantized",
    "quantize": "quantized",
    "quantized": "quantized",
}
_UNQUANTISED = ("F32", "F16", "BF16")


def front_matter(record: ReleaseRecord) -> str:
    """Return the metadata between its two `---` lines."""
    return "---\n" + "\n".join(yaml_lines(card_metadata(record))) + "\n---\n"


def card_metadata(record: ReleaseRecord) -> dict[str, Any]:
    """Return the metadata as a mapping; what is not known is left out."""
    metadata: dict[str, Any] = {}
    if record.texts.languages:
        metadata["language"] = [language.lower() for language in record.texts.languages]
    hub_license = _HUB_LICENSES.get(record.license.lower())
    metadata["license"] = hub_license or "other"
    if hub_license is None:
        metadata |= {"license_name": record.license, "license_link": "LICENSE"}
    bases = [str(parent["ref"]) for parent in record.parents if _REPOSITORY.match(str(parent["ref"]))]
    if bases:
        metadata["base_model"] = bases
        if relation := _relation(record):
            metadata["base_model_relation"] = relation
    metadata["library_name"] = {"safetensors": "transformers"}.get(record.format, record.format)
    metadata["pipeline_tag"] = "text-generation"
    metadata["tags"] = list(dict.fromkeys(("weighbridge", record.format, *_quantisations(record))))
    if results := _results(record):
        metadata["model-index"] = [{"name": record.version, "results": results}]
    return metadata


def _quantisations(record: ReleaseRecord) -> tuple[str, ...]:
    """Return the type that the weights have in the end: one conversion may have led through another."""
    types = [str(s["type"]).lower() for s in record.recipe if s["step"] in ("gguf", "quantise") and s.get("type")]
    return tuple(types[-1:])


def _relation(record: ReleaseRecord) -> str | None:
    if any(kind.upper() not in _UNQUANTISED for kind in _quantisations(record)):
        return "quantized"
    stated = {_RELATIONS.get(str(parent.get("relation"))) for parent in record.parents}
    # The Hub takes one relation for all bases: only an unambiguous one is stated.
    return stated.pop() if len(stated) == 1 else None


def _results(record: ReleaseRecord) -> list[dict[str, Any]]:
    """Return one result for each data set, in the order of first use; what rests on no data is no benchmark result."""
    by_data: dict[str, list[Measurement]] = {}
    for item in record.measurements:
        if item.data is not None:
            by_data.setdefault(item.data, []).append(item)
    return [
        {
            "task": {"type": "text-generation", "name": "Text generation"},
            "dataset": {
                "name": str(items[0].context.get("data_name") or "Held-out text of the publisher"),
                "type": "held-out",
                "args": {"sha256": data},
            },
            "metrics": [_metric(item) for item in items],
        }
        for data, items in by_data.items()
    ]


def _metric(item: Measurement) -> dict[str, Any]:
    args: dict[str, Any] = {"unit": item.unit, "comparison": str(item.comparison), "probe": item.probe}
    if item.n is not None:
        args["n"] = item.n
    if item.interval is not None:
        args |= {"low": item.interval.low, "high": item.interval.high, "confidence": item.interval.confidence}
    words = measure_words(item.measure)
    against = "" if item.baseline is None else f", {item.comparison} against the internal model"
    return {"type": item.measure, "value": item.value, "name": f"{words}{against}", "args": args}


def yaml_lines(data: Mapping[str, Any], indent: int = 0) -> Iterator[str]:
    """Yield `data` as lines of block YAML; values are texts, numbers, booleans, and mappings and lists of them."""
    pad = " " * indent
    for key, value in data.items():
        name = key if _PLAIN_KEY.match(key) and key.lower() not in _WORDS else quoted(key)
        if isinstance(value, Mapping) and value:
            yield f"{pad}{name}:"
            yield from yaml_lines(value, indent + 2)
        elif isinstance(value, list) and value:
            yield f"{pad}{name}:"
            for item in value:
                yield from _list_item(item, indent)
        else:
            yield f"{pad}{name}: {_scalar(value)}"


def _list_item(item: Any, indent: int) -> Iterator[str]:
    pad = " " * indent
    if isinstance(item, Mapping) and item:
        first, *rest = yaml_lines(item, indent + 2)
        yield f"{pad}- {first[indent + 2 :]}"
        yield from rest
    else:
        yield f"{pad}- {_scalar(item)}"


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        text = repr(value)
        # YAML 1.1 reads 1e-05 as a text, 1.0e-05 as a number.
        return text.replace("e", ".0e") if "e" in text and "." not in text else text
    if isinstance(value, int):
        return str(value)
    return "[]" if isinstance(value, list) else "{}" if isinstance(value, Mapping) else "null"


def quoted(text: str) -> str:
    """Return `text` in double quotes, every character that YAML does not print escaped.

    JSON's own escapes will not do: readers of YAML take a surrogate pair for two broken characters.
    """
    return (
        '"' + "".join(_ESCAPES.get(char) or (char if _printable(ord(char)) else _escaped(char)) for char in text) + '"'
    )


def _printable(code: int) -> bool:
    """Say whether YAML 1.1 lets the character stand for itself, and no reader takes it for a line break."""
    if code in (0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF):
        return False
    return 0x20 <= code < 0x7F or 0xA0 <= code < 0xD800 or code >= 0xE000


def _escaped(char: str) -> str:
    return "\\uFFFD" if 0xD800 <= ord(char) < 0xE000 else f"\\u{ord(char):04X}"
