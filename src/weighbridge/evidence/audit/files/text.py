"""Every file that is no binary container: which kind of text it is, and what there is to say of it.

A text is understood if its kind is known by its name and it is read to its end as that kind. Whatever else is text is
said not to be understood: it may be code for something that nobody here knows. Who reads a kind of text is imported
when the first one turns up.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from weighbridge.checkpoint.document import parse_document
from weighbridge.errors import CheckpointError
from weighbridge.evidence.audit.files.code import inspect_code, inspect_git, inspect_requirements, language_of
from weighbridge.evidence.audit.files.configuration import inspect_document as inspect_configuration
from weighbridge.evidence.audit.files.configuration import inspect_text_value
from weighbridge.evidence.audit.files.hidden_text import hidden_characters
from weighbridge.evidence.audit.files.secret import secrets_in, secrets_in_text
from weighbridge.evidence.audit.files.seen import Seen, suspect, unknown
from weighbridge.evidence.audit.files.template_find import (
    disagreement,
    inspect_template,
    metadata_templates,
    named_templates,
)
from weighbridge.evidence.audit.files.template_kind import words
from weighbridge.evidence.audit.files.view import NO_FOLDER, FileView, FolderView
from weighbridge.evidence.record import Severity

MAX_TEXT_BYTES = 32 << 20
MAX_JSON_BYTES = 64 << 20
MAX_DEPTH, MAX_VALUES = 64, 8_000_000
MAX_METADATA_SEEN = 200
_JINJA = words(".jinja .jinja2 .j2")
_MARKDOWN = words(".md .markdown .rst .mdx .qmd .rmd .adoc .org")
_MARKUP = words(".html .htm .svg .xml .xhtml .shtml .mhtml")
_PLAIN = words(
    """.txt .csv .tsv .jsonl .ndjson .bpe .vocab .merges .tiktoken .log .bib .cff .sig .pem .pub .lock .gitattributes
    .gitignore .spdx .srt .vtt .conllu .bpe .codes .ggml .gbnf .lark .po .list .sha256 .md5 .asc .dict .crt .cer"""
)
_SETTINGS = words(".cfg .ini .conf .properties .env .editorconfig .npmrc .condarc")
_NAMES = words(
    """license licence copying notice unlicense readme authors contributors changelog version merges vocab codeowners
    citation maintainers security .gitattributes .gitignore .gitkeep .dockerignore .hfignore prepared"""
)
_VOCABULARIES = words("vocab.json added_tokens.json")
_TOKENIZERS = _VOCABULARIES | words("tokenizer.json tokenizer_config.json special_tokens_map.json")
_READ = object()
"""Stands for a document of which nothing is left to be looked at."""

_TEMPLATE_FILES = ("chat_template.jinja", "chat_template.json", "processor_config.json", "tokenizer_config.json")
_FORMULA = ("=cmd|", "+cmd|", "-cmd|", "@cmd|", '"=cmd|', "=hyperlink(", "=webservice(", '"=hyperlink(', "=dde(")


def inspect(view: FileView, folder: FolderView) -> Iterator[Seen]:
    """Yield what there is to say of a file that is no binary container.

    Args:
        view: the file.
        folder: the files beside it.

    Raises:
        CheckpointError: if it cannot be read.
    """
    path = PurePosixPath(view.name.rsplit("!", 1)[-1])
    if ".git" in path.parts[:-1] and "hooks" not in path.parts:
        yield from inspect_git(view.name)
        yield from secrets_in(view)
        return
    if path.suffix.lower() in (".model", ".spm") and view.head(64).lstrip()[:1] != b"{":
        yield from _pieces(view)
        return
    if path.name not in (*_VOCABULARIES, "tokenizer.json"):
        yield from secrets_in(view)
    limit = MAX_JSON_BYTES if path.suffix.lower() == ".json" else MAX_TEXT_BYTES
    if view.size_bytes > limit:
        if path.suffix.lower() not in _PLAIN:
            yield unknown("too-large", f"it is larger than files of its kind are ({view.size_bytes:,} bytes)")
        return
    text = _text(view, limit)
    if text is None:
        yield unknown("not-text", "it is no text in UTF-8")
        return
    yield from _by_kind(view.name, path, text, folder)


def inspect_metadata(file: str, metadata: Mapping[str, Any], folder: FolderView = NO_FOLDER) -> Iterator[Seen]:
    """Yield what there is to say of the key-values in a weights file's header: templates, code, links, secrets.

    Args:
        file: its path.
        metadata: GGUF key-values, or `__metadata__` of safetensors.
        folder: the files beside it, with whose chat template its own is compared.
    """
    templates = metadata_templates(metadata)
    for key, source in sorted(templates.items())[:64]:
        yield from inspect_template(source, key)
    kinds = metadata.get("tokenizer.ggml.token_type")
    number = 0
    for key, value in metadata.items():
        if key in templates:
            continue
        for seen in _value(key, value, kinds):
            number += 1
            if number > MAX_METADATA_SEEN:
                return
            yield seen
    own = {f"{file}, {key}": text for key, text in templates.items() if key == "tokenizer.chat_template"}
    if own:
        beside = _defaults_beside(PurePosixPath(file).parent, folder)
        yield from disagreement(own | dict(list(beside.items())[:1]))


def _value(key: str, value: Any, kinds: Any) -> Iterator[Seen]:
    place = key[:200]
    if isinstance(value, str):
        yield from inspect_text_value(value, place)
        yield from secrets_in_text(value[: 1 << 20], place)
        yield from hidden_characters(value[: 1 << 20], place, template=False)
        if value.lstrip().startswith(("{", "[")) and len(value) <= 1 << 20:
            document, problem = _parsed(value, place)
            if problem is None:
                yield from inspect_configuration("header.json", document)
    elif key == "tokenizer.ggml.tokens" and isinstance(value, list | tuple):
        from weighbridge.evidence.audit.files.tokenizer import inspect_added
        from weighbridge.evidence.audit.files.tokenizer_words import inspect_words

        # 3 is a control token, 4 one that was added (llama.cpp, enum llama_token_type).
        special = [
            str(token) for token, kind in zip(value, kinds, strict=False) if kind in (3, 4)
        ] if isinstance(kinds, list | tuple) else []  # fmt: skip
        yield from inspect_added(special, {}, place)
        yield from inspect_words(value, place)
    elif isinstance(value, list | tuple) and len(value) <= 10_000:
        for item in value:
            if isinstance(item, str) and not key.startswith("tokenizer.ggml.") and len(item) > 3:
                yield from inspect_text_value(item, place)
                yield from secrets_in_text(item[: 1 << 16], place)


def _by_kind(name: str, path: PurePosixPath, text: str, folder: FolderView) -> Iterator[Seen]:
    suffix, base = path.suffix.lower(), path.name.lower()
    language = language_of(name, text[:256].encode("utf-8", "replace"))
    if language and language != "a notebook" and suffix not in (".json", ".yml", ".yaml"):
        from weighbridge.evidence.audit.files.licence_header import inspect_licence

        yield from inspect_code(name, text, language, folder)
        yield from hidden_characters(text, template=False)
        yield from inspect_licence(text)
        return
    if language:
        yield from inspect_code(name, text, language, folder)
    if suffix == ".ipynb":
        return
    kinds: tuple[tuple[frozenset[str], Callable[[], Iterator[Seen]]], ...] = (
        (_JINJA, lambda: _jinja(path, text, folder)),
        (frozenset((".json", ".json5", ".webmanifest")), lambda: _json(path, text, folder)),
        (frozenset((".yaml", ".yml")), lambda: _yaml(path, text)),
        (frozenset((".toml",)), lambda: _toml(path, text)),
        (_MARKDOWN, lambda: _document(name, text, markup=False)),
        (_MARKUP, lambda: _markup(name, text)),
        (_SETTINGS, lambda: _settings(text)),
    )
    for suffixes, look in kinds:
        if suffix in suffixes:
            yield from look()
            return
    if "requirements" in base or base in ("constraints.txt", "environment.txt", "pipfile"):
        yield from inspect_requirements(text)
    elif suffix in _PLAIN or base.partition(".")[0].upper().partition("-")[0].lower() in _NAMES or base in _NAMES:
        yield from _plain(base, suffix, text)
    else:
        yield unknown("unknown-format", "nobody here knows what reads a file of this name")
        yield from inspect_text_value(text)
        yield from hidden_characters(text, template=False)


def _text(view: FileView, limit: int) -> str | None:
    text = view.text(limit)
    if text is None and view.head(2) in (b"\xff\xfe", b"\xfe\xff"):
        try:
            return (view.all(limit) or b"").decode("utf-16")
        except UnicodeDecodeError:
            return None
    return text.removeprefix("\ufeff") if text is not None else None


def _pieces(view: FileView) -> Iterator[Seen]:
    from weighbridge.evidence.audit.files.tokenizer_sentencepiece import MAX_BYTES, inspect_pieces

    data = view.all(MAX_BYTES)
    if data is None:
        yield unknown("too-large", f"it is larger than vocabularies are ({view.size_bytes:,} bytes)")
        return
    yield from inspect_pieces(data)


def _parsed(text: str, place: str) -> tuple[Any, Seen | None]:
    data = text.encode("utf-8", "surrogatepass")
    try:
        return parse_document(data, place=place, max_depth=MAX_DEPTH, max_values=MAX_VALUES), None
    except CheckpointError as error:
        message = f"it cannot be read, so what it makes a loader do is not known: {error.message[:200]}"
        return None, unknown("unparsable", message)


def _json(path: PurePosixPath, text: str, folder: FolderView) -> Iterator[Seen]:
    document, problem = _parsed(text, str(path))
    if problem is not None:
        yield problem
        yield from inspect_text_value(text[: 1 << 20])
        return
    base = path.name
    if base in _TOKENIZERS and isinstance(document, dict):
        document = yield from _tokenizer(base, document)
    if document is not _READ:
        yield from inspect_configuration(str(path), document)
        if base in _TEMPLATE_FILES:
            yield from _beside(path, folder)


def _tokenizer(base: str, document: dict[str, Any]) -> Generator[Seen, None, Any]:
    """Look at what is particular to a tokenizer; return what is left to be looked at as configuration."""
    from weighbridge.evidence.audit.files.tokenizer import inspect_added, inspect_tokenizer, inspect_vocabulary

    if base in _VOCABULARIES:
        yield from inspect_vocabulary(document)
        if base == "added_tokens.json":
            yield from inspect_added(list(document), {}, "")
        return _READ
    if base == "tokenizer.json":
        yield from inspect_tokenizer(document)
        return {key: value for key, value in document.items() if key not in ("model", "added_tokens")}
    added = document.get("added_tokens_decoder")
    if not isinstance(added, dict):
        return document
    yield from inspect_added(list(added.values()), {}, "/added_tokens_decoder")
    return {key: value for key, value in document.items() if key != "added_tokens_decoder"}


def _yaml(path: PurePosixPath, text: str) -> Iterator[Seen]:
    from weighbridge.evidence.audit.files.configuration_yaml import MAX_BYTES, read_yaml

    if len(text) > MAX_BYTES:
        yield unknown("too-large", f"YAML of {len(text):,} characters was not looked into")
        return
    documents, seen = read_yaml(text)
    yield from seen
    for document in documents:
        yield from inspect_configuration(str(path), document)


def _toml(path: PurePosixPath, text: str) -> Iterator[Seen]:
    import tomllib

    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        yield unknown("unparsable", "the TOML cannot be read")
        return
    if "build-system" in document:
        yield unknown("build-file", "it makes an installer run what builds a package")
    yield from inspect_configuration(str(path), document)


def _jinja(path: PurePosixPath, text: str, folder: FolderView) -> Iterator[Seen]:
    yield from inspect_template(text)
    if path.name in _TEMPLATE_FILES:
        yield from _beside(path, folder)


def _document(name: str, text: str, *, markup: bool) -> Iterator[Seen]:
    from weighbridge.evidence.audit.files.document import inspect_document

    return inspect_document(name, text, markup=markup)


def _markup(name: str, text: str) -> Iterator[Seen]:
    yield unknown("markup", "a browser opens it, and it can hold scripts", "", Severity.LOW)
    yield from _document(name, text, markup=True)
    if "<!ENTITY" in text or "[" in text.partition("<!DOCTYPE")[2][:200]:
        yield suspect("xml-entity", "it defines entities of its own, by which some readers open files or swell")


def _settings(text: str) -> Iterator[Seen]:
    yield from inspect_text_value(text)
    yield from hidden_characters(text, template=False)


def _plain(base: str, suffix: str, text: str) -> Iterator[Seen]:
    if suffix in (".csv", ".tsv") and any(mark in text.lower() for mark in _FORMULA):
        yield suspect("formula", "a cell holds a formula that a spreadsheet may run")
    if base in ("vocab.txt", "merges.txt") or suffix in (".vocab", ".bpe", ".tiktoken", ".merges"):
        if base == "vocab.txt":
            from weighbridge.evidence.audit.files.tokenizer_words import inspect_words

            yield from inspect_words(text.splitlines(), "")
        return
    # Data of any language holds joiners and odd characters; what is there to be read should not.
    if suffix not in (".csv", ".tsv", ".jsonl", ".ndjson", ".conllu", ".po", ".srt", ".vtt"):
        yield from hidden_characters(text, template=False)
    if suffix in (".txt", "") and text.startswith("#!"):
        yield unknown("code", "it starts like a script")


def _beside(path: PurePosixPath, folder: FolderView) -> Iterator[Seen]:
    """Compare the default templates of a folder, once: when its last file that has one is looked at."""
    places = _defaults_beside(path.parent, folder)
    if len(places) > 1 and max(places) == str(path):
        yield from disagreement(places)


def _defaults_beside(parent: PurePosixPath, folder: FolderView) -> dict[str, str]:
    """Return the default chat templates of the files in one folder, by file."""
    found: dict[str, str] = {}
    for base in _TEMPLATE_FILES:
        name = base if str(parent) == "." else f"{parent}/{base}"
        if name not in folder.files:
            continue
        with folder.open(name) as view:
            text = view.text(MAX_TEXT_BYTES)
        if text is None:
            continue
        if base.endswith(".jinja"):
            found[name] = text
        else:
            document, _ = _parsed(text, name)
            source = named_templates(document).get("chat_template")
            if source is not None:
                found[name] = source
    return found
