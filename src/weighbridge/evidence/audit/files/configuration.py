"""Configurations: what in them makes a loader import, fetch, open or run something.

A configuration is data, but loaders read names of code, of other repositories and of files out of it. Every member of
every JSON, YAML and TOML file is looked at, whatever its file is called.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from weighbridge.evidence.audit.files.code_encoded import encoded_texts
from weighbridge.evidence.audit.files.configuration_kernel import inspect_loaded
from weighbridge.evidence.audit.files.configuration_loader import LIBRARY_RULES
from weighbridge.evidence.audit.files.hidden_text import hidden_characters
from weighbridge.evidence.audit.files.seen import Seen, hostile, shown, suspect, unknown
from weighbridge.evidence.audit.files.template_find import inspect_template, named_templates
from weighbridge.evidence.record import Severity

MAX_SEEN = 100
MAX_TEXT_CHARACTERS = 1 << 20
_CODE_KEYS = ("auto_map", "custom_generate", "custom_pipeline", "custom_pipelines")
_TARGET_KEYS = ("_target_", "class_path", "py/object", "py/type", "py/function", "py/reduce", "__reduce__", "__class__")
_PICKLED_KEYS = ("py/reduce", "py/object", "py/function", "py/newargs", "__reduce__")
_DANGEROUS = re.compile(
    r"""(?:\A|[\s:("'=])(?:os\.(?:system|popen|exec\w*|spawn\w*|remove|unlink|environ)|posix\.system|nt\.system
    |subprocess\.\w+|builtins?\.\w+|__builtin__\.\w+|sys\.modules|shutil\.\w+|importlib\.\w+|runpy\.\w+|pty\.\w+
    |socket\.\w+|pickle\.loads?|_pickle\.loads?|dill\.loads?|joblib\.load|torch\.(?:load|hub\.load)|numpy\.load
    |marshal\.loads|ctypes\.\w+|webbrowser\.\w+|urllib\.request\.\w+|requests\.(?:get|post)|eval|exec|compile
    |__import__|code\.interact|timeit\.\w+|multiprocessing\.\w+|platform\.popen|commands\.\w+)(?:\Z|[\s"'(,:])""",
    re.VERBOSE,
)
_SHELL = re.compile(
    r"""\$\((?!\{)[^)]{2,200}\)|\b(?:curl|wget)\s[^|;&\n]{1,300}\|\s*(?:ba|z|da)?sh\b|/bin/(?:ba|z|da)?sh\s+-c
    |\b(?:bash|sh)\s+-[ic]\b|/dev/tcp/|\bpowershell(?:\.exe)?\s+-|\bnc\s+-e\b|;\s*rm\s+-rf\b|\bchmod\s+\+x\b
    |\bpython3?\s+-c\s|\bmkfifo\s""",
    re.VERBOSE | re.IGNORECASE,
)
_SOURCE = re.compile(
    r"__import__\s*\(|\b(?:eval|exec|compile)\s*\(|\bos\s*\.\s*(?:system|popen)\s*\(|\bsubprocess\s*\.\s*\w+\s*\("
    r"|__(?:class|globals|subclasses|builtins|mro|reduce(?:_ex)?)__|\blambda\s+\w{0,20}\s*:"
)
_PATH_KEY = re.compile(
    r"(?:\A|_)(?:path|paths|file|files|dir|directory|folder|filename|location|name_or_path|checkpoint|weights|uri|url"
    r"|source|src)\Z"
)
_CLIMBS = re.compile(r"(?:\A|[\\/])\.\.(?:[\\/]|\Z)")
_ABSOLUTE = re.compile(r"\A(?:/(?!/)[\w.-]|[A-Za-z]:[\\/]|\\\\|file:|~/)")
_SENSITIVE = re.compile(r"/(?:etc|proc|dev|sys|root|var/run)/|\.ssh/|\.aws/|\.netrc|id_rsa|\\windows\\system32", re.I)
_REMOTE = re.compile(r"\b(?:https?|ftp|ssh|git\+\w+|s3|gs|hdfs|smb|ldap|gopher|dict|jar|data|javascript):(?://|[a-z/])")
_NUMERIC_ADDRESS = re.compile(
    r"://(?:[^/@\s]{1,64}@)?(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:]+\]|0x[0-9a-f]+)(?=[:/\s]|\Z)", re.I
)
_UNBOUNDED_KEYS = ("model_max_length",)
_HUGE = 1 << 53


def inspect_document(name: str, document: object, *, templates: bool = True) -> Iterator[Seen]:
    """Yield what in a parsed configuration is more than data.

    Args:
        name: file name, relative; some libraries read only files of a certain name.
        document: plain values: objects, lists, texts, numbers, booleans, None.
        templates: whether to look at its chat templates too.
    """
    named = named_templates(document)
    for place, source in named.items() if templates else ():
        yield from inspect_template(source, place)
    base = name.rpartition("/")[2]
    for rule in LIBRARY_RULES:
        yield from rule(base, document)
    waiting: list[tuple[str, str, Any]] = [("", "", document)]
    number = 0
    while waiting:
        pointer, key, value = waiting.pop()
        for seen in _member(pointer, key, value, base):
            number += 1
            if number > MAX_SEEN:
                yield unknown("too-much-to-list", "more things were seen in it than are listed")
                return
            yield seen
        if pointer.startswith("/chat_template") and named:
            continue
        waiting.extend(_below(pointer, value))


def inspect_text_value(text: str, place: str = "") -> Iterator[Seen]:
    """Yield what is remarkable about one text of a configuration or header: code, commands, programs in disguise."""
    if len(text) > MAX_TEXT_CHARACTERS:
        yield unknown("text-too-long", f"a text of {len(text):,} characters was not looked into", place)
        return
    if _SHELL.search(text):
        yield suspect("shell-command", "a text holds a command for a shell", place)
    if _SOURCE.search(text):
        yield suspect("code-in-text", "a text holds code of a programming language", place)
    for blob in encoded_texts(text) if len(text) >= 24 else ():
        make = hostile if blob.program else suspect
        yield make("encoded-text", f"a text holds {blob.what}", place)


def inspect_names(names: Sequence[str], place: str) -> Iterator[Seen]:
    """Yield names of files that lead out of the folder, as an index of shards may hold them."""
    for name in names:
        if _CLIMBS.search(name) or _ABSOLUTE.search(name) or _REMOTE.search(name) or "\0" in name:
            yield hostile("index-outside", f"it names a file outside of the folder: {shown(name)}", place)
            return


def _below(pointer: str, value: Any) -> Iterator[tuple[str, str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            text = str(key)
            yield f"{pointer}/{text[:80].replace('~', '~0').replace('/', '~1')}", text, item
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            if not isinstance(item, int | float) or item != item:
                yield f"{pointer}/{number}", "", item


def _member(pointer: str, key: str, value: Any, base: str) -> Iterator[Seen]:
    place = pointer[:200]
    yield from inspect_loaded(place, key.lower(), value)
    if isinstance(value, Mapping):
        yield from _object(place, value)
    elif isinstance(value, str):
        yield from _text(place, key.lower(), value, base)
    elif isinstance(value, float) and not math.isfinite(value):
        yield unknown("not-a-number", "a number is infinite or none (NaN)", place, Severity.LOW)
    elif isinstance(value, int) and abs(value) > _HUGE and key not in _UNBOUNDED_KEYS:
        yield unknown("huge-number", f"a number has {len(str(abs(value)))} digits", place, Severity.LOW)
    if key and not key.isascii():
        yield from hidden_characters(key, place, template=False)


def _object(place: str, value: Mapping[str, Any]) -> Iterator[Seen]:
    for key in _CODE_KEYS:
        if value.get(key):
            yield _custom_code(place, key, value[key])
    if value.get("trust_remote_code") is True:
        message = "it asks loaders to trust code that comes with a model (trust_remote_code)"
        yield suspect("trust-remote-code", message, place)
    for key in _TARGET_KEYS:
        if key in value:
            yield from _target(place, key, value[key])
    index = value.get("weight_map")
    if isinstance(index, Mapping):
        yield from inspect_names([str(item) for item in index.values()], f"{place}/weight_map")


def _custom_code(place: str, key: str, value: object) -> Seen:
    named = [str(item) for item in _leaves(value)]
    foreign = any("--" in item for item in named)
    where = "another repository" if foreign else "the model"
    message = f"it tells loaders to run code that comes with {where} ({key} {', '.join(named)[:160]})"
    return suspect("custom-code", message, place, Severity.HIGH)


def _leaves(value: object) -> Iterator[object]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value[:20]:
            yield from _leaves(item)
    elif value is not None:
        yield value


def _target(place: str, key: str, value: object) -> Iterator[Seen]:
    named = str(value)[:200] if isinstance(value, str) else ""
    if key in _PICKLED_KEYS or _DANGEROUS.search(named):
        message = f"it tells a loader to make an object of {shown(named or key)} ({key})"
        yield hostile("object-of-code", message, place)
    elif named and ("." in named or ":" in named or key == "_target_"):
        message = f"it names something that a loader imports and calls: {shown(named)} ({key})"
        yield suspect("object-of-code", message, place)


def _text(place: str, key: str, text: str, base: str) -> Iterator[Seen]:
    yield from inspect_text_value(text, place)
    if "{%" in text and not place.startswith("/chat_template"):
        yield from inspect_template(text, place)
    if len(text) <= 400 and _DANGEROUS.search(text) and "." in text and " " not in text.strip():
        yield suspect("name-of-code", f"a value is the name of a function that does harm: {shown(text)}", place)
    if _PATH_KEY.search(key) and len(text) < 4096:
        yield from _path(place, text)
    if match := _NUMERIC_ADDRESS.search(text):
        yield suspect("numeric-address", f"it names a machine by its number ({shown(match.group()[3:])})", place)
    if re.match(r"\s*(?:javascript|vbscript):|\s*data:text/html", text, re.IGNORECASE):
        yield suspect("script-link", "a value is a link that runs a script", place)
    if not text.isascii() and base not in ("vocab.json", "tokenizer.json", "added_tokens.json"):
        yield from hidden_characters(text, place, template=False)


def _path(place: str, text: str) -> Iterator[Seen]:
    if _SENSITIVE.search(text):
        yield hostile("path-outside", f"it names a file of the system: {shown(text)}", place, Severity.HIGH)
    elif _CLIMBS.search(text) and not text.startswith("../") and not text.startswith("./"):
        yield suspect("path-outside", "it names a file that climbs out of the folder", place)
    elif _CLIMBS.search(text):
        yield suspect("path-outside", "it names a file beside the folder", place, Severity.LOW)
    elif _ABSOLUTE.search(text):
        yield suspect("path-outside", "it names a file of the machine on which it was made", place, Severity.LOW)
