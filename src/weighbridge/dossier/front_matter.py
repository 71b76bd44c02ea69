"""The metadata block of a model card, in the YAML that the Hugging Face Hub reads.

Format: https://github.com/huggingface/hub-docs/blob/main/modelcard.md. Only a small subset of YAML is written:
mappings and lists in block form, short mappings on one line, numbers, and strings in double quotes.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from weighbridge.dossier.figure import measure_words
from weighbridge.dossier.release import ReleaseRecord
from weighbridge.evidence.record import Measurement
from weighbridge.terms.papers import LICENSE
from weighbridge.terms.registry import OTHER, registry

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
_WORDS = ("true", "false", "yes", "no", "on", "off", "null", "y", "n")  # what YAML 1.1 takes for no text
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_REPOSITORY = re.compile(r"[A-Za-z0-9_](?:[\w.-]*\w)?/\w(?:[\w.-]*\w)?\Z", re.ASCII)
_MAX_REPOSITORY = 96
_DATA_SET_PAGES = ("https://huggingface.co/datasets/", "https://hf.co/datasets/")
_TRAINING = frozenset({"training", "fine-tuning"})

# Identifiers of https://huggingface.co/docs/hub/repositories-licenses for licences that the registry does not have.
HUB_ONLY: Mapping[str, str] = {
    name.lower(): name.lower()
    for name in (
        "AFL-3.0", "Artistic-2.0", "BSD-3-Clause-Clear", "BSL-1.0", "CC-BY-2.0", "CC-BY-NC-2.0", "CC-BY-NC-3.0",
        "DeepFloyd-IF-License", "ECL-2.0", "EPL-1.0", "EUPL-1.1", "MS-PL", "NCSA", "OFL-1.1", "OpenRAIL", "OSL-3.0",
        "PostgreSQL", "WTFPL", "Zlib",
    )
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
_SHORT = ("task", "args")
_UNQUANTISED = ("F32", "F16", "BF16")


def front_matter(record: ReleaseRecord) -> str:
    """Return the metadata between its two `---` lines."""
    return "---\n" + "\n".join(yaml_lines(card_metadata(record), short=_SHORT)) + "\n---\n"


def card_metadata(record: ReleaseRecord) -> dict[str, Any]:
    """Return the metadata as a mapping; what is not known is left out."""
    metadata: dict[str, Any] = {}
    if record.texts.languages:
        metadata["language"] = [language.lower() for language in record.texts.languages]
    metadata |= _license_fields(record)
    if data_sets := _data_sets(record):
        metadata["datasets"] = data_sets
    if bases := [str(parent["ref"]) for parent in _bases(record) if is_repository(str(parent["ref"]))]:
        metadata["base_model"] = list(dict.fromkeys(bases))
        if relation := _relation(record):
            metadata["base_model_relation"] = relation
    metadata["library_name"] = {"safetensors": "transformers"}.get(record.format, record.format)
    metadata["pipeline_tag"] = "text-generation"
    metadata["tags"] = list(dict.fromkeys(("weighbridge", record.format, *_quantisations(record))))
    if results := _results(record):
        metadata["model-index"] = [{"name": record.version, "results": results}]
    return metadata


def effective_license(record: ReleaseRecord) -> str:
    """Return the licence that `record` is under: what its terms resolved to, else what is declared.

    One licence goes by the id that the registry has for it, several by their SPDX expression.
    """
    expression = str((record.terms or {}).get("expression") or record.license)
    licence = registry().get(expression)
    return licence.id if licence else expression


def _license_fields(record: ReleaseRecord) -> dict[str, str]:
    name = effective_license(record)
    licence = registry().get(name)
    hub = licence.card_id if licence else HUB_ONLY.get(name.lower(), OTHER)
    # The Hub says `gpl-3.0` whether later versions are allowed or not: a name that reads as another licence is none.
    same = hub != OTHER and registry().get(hub) is licence
    return {"license": hub} if same else {"license": OTHER, "license_name": name, "license_link": LICENSE}


def is_repository(name: str) -> bool:
    """Say whether `name` is an `owner/name` of the Hub."""
    odd = "--" in name or ".." in name or name.endswith(".git")
    return bool(_REPOSITORY.match(name)) and len(name) <= _MAX_REPOSITORY and not odd


def _data_sets(record: ReleaseRecord) -> list[str]:
    """Return the data sets of the Hub that it was trained on; the Hub asks for no others."""
    found: dict[str, None] = {}
    for item in record.disclosure.data:
        if not _TRAINING.isdisjoint(item.roles):
            # A name only counts where no address says that it is kept elsewhere.
            names = [item.url.removeprefix(page).rstrip("/") for page in _DATA_SET_PAGES] if item.url else [item.name]
            found |= dict.fromkeys(name for name in names if is_repository(name))
    return list(found)


def _bases(record: ReleaseRecord) -> list[Mapping[str, Any]]:
    """Return the parents whose weights are in the model's own, and not in those of another parent only."""
    return [p for p in record.parents if not p.get("of") and str(p.get("relation")) in _RELATIONS]


def _quantisations(record: ReleaseRecord) -> tuple[str, ...]:
    """Return the type that the weights have in the end: one conversion may have led through another."""
    types = [str(s["type"]).lower() for s in record.recipe if s["step"] in ("gguf", "quantise") and s.get("type")]
    return tuple(types[-1:])


def _relation(record: ReleaseRecord) -> str | None:
    if any(kind.upper() not in _UNQUANTISED for kind in _quantisations(record)):
        return "quantized"
    stated = {_RELATIONS[str(parent["relation"])] for parent in _bases(record)}
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


def yaml_lines(data: Mapping[str, Any], indent: int = 0, *, short: Collection[str] = ()) -> Iterator[str]:
    """Yield `data` as lines of block YAML; values are texts, numbers, booleans, and mappings and lists of them.

    Mappings of scalars under a key of `short` stand on one line.
    """
    pad = " " * indent
    for key, value in data.items():
        name = _key(key)
        if isinstance(value, Mapping) and value and key in short and not any(map(_nests, value.values())):
            yield f"{pad}{name}: {{{', '.join(f'{_key(k)}: {_scalar(v)}' for k, v in value.items())}}}"
        elif isinstance(value, Mapping) and value:
            yield f"{pad}{name}:"
            yield from yaml_lines(value, indent + 2, short=short)
        elif isinstance(value, list) and value:
            yield f"{pad}{name}:"
            for item in value:
                yield from _list_item(item, indent, short)
        else:
            yield f"{pad}{name}: {_scalar(value)}"


def _key(key: str) -> str:
    return key if _PLAIN_KEY.match(key) and key.lower() not in _WORDS else quoted(key)


def _nests(value: object) -> bool:
    return isinstance(value, Mapping | list)


def _list_item(item: Any, indent: int, short: Collection[str]) -> Iterator[str]:
    pad = " " * indent
    if isinstance(item, Mapping) and item:
        first, *rest = yaml_lines(item, indent + 2, short=short)
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
