"""What a model states that it descends from, as a chain: by its release record, its card, or its header."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from weighbridge.adopt.check.subject import LicenceFile
from weighbridge.dossier.recorded import recorded_terms
from weighbridge.dossier.release import RELEASE_NAME, ReleaseRecord
from weighbridge.errors import InputError
from weighbridge.terms.chain import UNKNOWN_MODALITY, WEIGHT_RELATIONS, Chain, Edge, Relation, Work
from weighbridge.terms.registry import Registry
from weighbridge.terms.terms import Terms

CARD_NAME = "README.md"
_RELATIONS = {
    "adapter": Relation.ADAPTER,
    "merge": Relation.MERGE,
    "quantized": Relation.QUANTISE,
    "finetune": Relation.FINETUNE,
}
_MAX_STATED = 200
_UNNAMED_BASE = "the base of its adapter, which nothing names"
_PICTURES, _SOUNDS, _FILMS = ("vision_config", "image_token_id"), ("audio_config",), ("video_token_id",)
_PIPELINES: Mapping[str, tuple[str, ...]] = {
    "image-text-to-text": ("text", "image"),
    "visual-question-answering": ("text", "image"),
    "image-to-text": ("text", "image"),
    "text-to-image": ("text", "image"),
    "audio-text-to-text": ("text", "audio"),
    "automatic-speech-recognition": ("text", "audio"),
    "text-to-speech": ("text", "audio"),
    "video-text-to-text": ("text", "video"),
    "any-to-any": ("text", "image", "audio", "video"),
    "text-to-video": ("text", "video"),
    "text-to-3d": ("text", "image"),
    "image-to-3d": ("text", "image"),
}
_TEXT_PIPELINES = ("text-generation", "text-classification", "token-classification", "fill-mask")
_TEXT_FAMILIES = re.compile(
    r"""(llama|llama4_text|mistral|mixtral|qwen[23]|qwen[23]_?moe|gemma2?|gemma3_text|phi[23]?|gpt2|gpt_?neox|gpt_neo|gptj|opt
    |bloom|falcon|mpt|olmo2?|olmoe|granite|granitemoe|cohere2?|command-r|starcoder2|stablelm|deepseek_v[23]|deepseek2
    |mamba2?|smollm3)\Z""",
    re.VERBOSE,
)
"""`model_type` or `general.architecture` of models that know text alone."""

_TEXT_CLASSES = re.compile(
    r"""((Llama4?|Mistral|Mixtral|Qwen[23](Moe)?|Gemma[23]?|Phi3?|GPTNeoX?|GPTJ|OPT|Bloom|Falcon|Mpt|Olmo2?|Olmoe|Granite
    |GraniteMoe|Cohere2?|Starcoder2|StableLm|DeepseekV[23]|Mamba2?|SmolLM3)ForCausalLM|GPT2LMHeadModel)\Z""",
    re.VERBOSE,
)
_MORE_THAN_TEXT = re.compile(
    r"vision|visual|image|audio|video|speech|multi-?modal|omni|mllama|llava|text_config|mm_|(?<![a-z])(vlm?|ocr)(?![a-z])"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """The chain, and what stated it; `chain` is None if that is no chain, and `problem` says why."""

    chain: Chain | None
    source: str
    problem: str = ""


def modalities(
    config: Mapping[str, Any], card: Mapping[str, Any], headers: Sequence[Mapping[str, Any]] = ()
) -> tuple[str, ...]:
    """Return what a model takes or gives, as its configuration, card and headers show it.

    `unknown` is among it unless they show something besides text, or that there is nothing besides.
    """
    found = {"text"}
    for keys, modality in ((_PICTURES, "image"), (_SOUNDS, "audio"), (_FILMS, "video")):
        if any(key in config for key in keys):
            found.add(modality)
    pipeline = card.get("pipeline_tag")
    found.update(_PIPELINES.get(pipeline, ()) if isinstance(pipeline, str) else ())
    if found == {"text"} and not _text_only(config, card, headers):
        found.add(UNKNOWN_MODALITY)
    return tuple(sorted(found))


def _text_only(config: Mapping[str, Any], card: Mapping[str, Any], headers: Sequence[Mapping[str, Any]]) -> bool:
    """Say whether something shows that a model knows text alone, and nothing hints at more."""
    hints = [*config, *_texts(card.get("pipeline_tag")), *_texts(card.get("tags")), *_texts(card.get("base_model"))]
    if any(_MORE_THAN_TEXT.search(hint.lower()) for hint in hints):
        return False
    classes = config.get("architectures") or []
    families = [config["model_type"]] if "model_type" in config else []
    families += [header["general.architecture"] for header in headers if "general.architecture" in header]
    if not isinstance(classes, list) or not all(_TEXT_CLASSES.match(str(name)) for name in classes):
        return False
    if not all(_TEXT_FAMILIES.match(str(name)) for name in families):
        return False
    return bool(classes or families) or card.get("pipeline_tag") in _TEXT_PIPELINES


def _texts(value: object) -> list[str]:
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str)]


def chain_of(
    name: str,
    declared: str,
    record: ReleaseRecord | None,
    card: Mapping[str, Any],
    headers: Sequence[Mapping[str, Any]],
    texts: Sequence[LicenceFile],
    kinds: tuple[str, ...],
    known: Registry,
    adapted: str | None = None,
) -> Lineage:
    """Return the chain of the model `name`.

    Args:
        name: its `owner/name`.
        declared: the licence that it declares.
        record: its release record; counts before the card.
        card: metadata of its card.
        headers: key-values of its weight files.
        texts: licence files that came along.
        kinds: its modalities.
        known: the licences that are known.
        adapted: the base that the configuration of an adapter names, empty if it names none; None for no adapter.
    """
    own = next((item.text for item in texts if "/" not in item.path and not item.notice), None)
    notice = next((item.text for item in texts if "/" not in item.path and item.notice), "")
    try:
        if record is not None:
            works, edges = _from_record(record, name, texts, kinds, known)
            named = {name, record.model, record.reference, *(work.ref for work in works)}
            more = tuple(ref for ref in _names(card.get("base_model"), "base_model") if ref not in named)
            works += tuple(Work(ref=ref) for ref in more)
            edges += tuple(Edge(child=name, parent=ref, relation=Relation.FINETUNE) for ref in more)
            source = RELEASE_NAME
        else:
            works, edges = _from_card(name, card, headers, kinds, adapted)
            where = "its header" if adapted is None else "the files of its adapter"
            source = CARD_NAME if card.get("base_model") or card.get("datasets") else where if works else ""
        root = Work(ref=name, license=declared, modalities=kinds, license_text=own, notice=notice)
        return Lineage(chain=Chain(root=name, works=(root, *works), edges=edges), source=source)
    except InputError as error:
        return Lineage(chain=None, source=RELEASE_NAME if record else CARD_NAME, problem=error.message)


def _from_record(
    record: ReleaseRecord, name: str, texts: Sequence[LicenceFile], kinds: tuple[str, ...], known: Registry
) -> tuple[tuple[Work, ...], tuple[Edge, ...]]:
    works, edges = [], []
    stated = _resolved(record)
    for parent in record.parents:
        ref, licence = str(parent["ref"]), str(parent.get("license") or "")
        relation = _relation(str(parent.get("relation") or ""), ref)
        child = str(parent.get("of") or name)
        child = name if child in (record.model, record.reference) else child
        same = relation is Relation.QUANTISE and child == name
        works.append(
            Work(
                ref=ref,
                license=licence,
                digest=str(parent.get("digest") or ""),
                modalities=kinds if same else _stated_kinds(ref, stated),
                license_text=_text_of(licence, texts, known),
            )
        )
        edges.append(Edge(child=child, parent=ref, relation=relation))
    return tuple(works), tuple(edges)


def _stated_kinds(ref: str, stated: Terms | None) -> tuple[str, ...]:
    """Return what a parent takes or gives, as far as the terms of the record tell: by the limits that hold for it.

    A record does not list it, and a derivative of text alone may be made from a model that sees.
    """
    if stated is None:
        return ("text", UNKNOWN_MODALITY)
    limits = (item for item in stated.territories if item.sure and ref in item.works)
    return tuple(sorted({"text", *(kind for item in limits for kind in item.fact.modalities)}))


def _resolved(record: ReleaseRecord) -> Terms | None:
    try:
        return recorded_terms(record)
    except InputError:
        return None


def _relation(text: str, ref: str) -> Relation:
    try:
        return Relation(text)
    except ValueError:
        raise InputError(
            f"how it descends from {ref[:200]!r} is stated as {text[:40]!r}, which is no relation"
        ) from None


def _text_of(licence: str, texts: Sequence[LicenceFile], known: Registry) -> str | None:
    """Return the text that came along for a parent's licence: recognised as it, or filed under its name."""
    meant = known.get(licence)
    for item in texts:
        if item.notice:
            continue
        names = {item.recognition.licence_id, *item.recognition.candidates}
        if meant is not None and meant.id in names:
            return item.text
        stem = item.path.rpartition("/")[2].removesuffix(".txt").lower()
        if item.path.startswith("THIRD_PARTY/") and meant and stem in (meant.id.lower(), meant.expression.lower()):
            return item.text
    return None


def _from_card(
    name: str,
    card: Mapping[str, Any],
    headers: Sequence[Mapping[str, Any]],
    kinds: tuple[str, ...],
    adapted: str | None,
) -> tuple[tuple[Work, ...], tuple[Edge, ...]]:
    """A card pins nothing, and says nothing about the terms of what it names.

    What a header or the configuration of an adapter names is a base, too, whatever the card leaves out.
    """
    stated = str(card.get("base_model_relation") or "")
    on_card = _names(card.get("base_model"), "base_model")
    known = {_short(item) for item in on_card}
    elsewhere = dict.fromkeys(item for item in (*_header_bases(headers), adapted) if item)
    bases = (*on_card, *(item for item in elsewhere if _short(item) not in known))
    if adapted is not None and not bases:
        bases = (_UNNAMED_BASE,)
    relation = _RELATIONS.get(stated) or (Relation.MERGE if len(on_card or bases) > 1 else Relation.FINETUNE)
    data = tuple(item for item in _names(card.get("datasets"), "datasets") if item not in bases)
    works = [Work(ref=ref, modalities=kinds if relation is Relation.QUANTISE else ("text",)) for ref in bases]
    works += [Work(ref=ref) for ref in data]
    edges = [Edge(child=name, parent=ref, relation=_how(ref, relation, adapted)) for ref in bases]
    edges += [Edge(child=name, parent=ref, relation=Relation.TRAIN_DATA) for ref in data]
    return tuple(works), tuple(edges)


def _how(ref: str, relation: Relation, adapted: str | None) -> Relation:
    if adapted is None:
        return relation
    return Relation.ADAPTER if ref == _UNNAMED_BASE or _short(ref) == _short(adapted) else relation


def _short(name: str) -> str:
    """Return a name as far as every place spells it alike: without its owner, in small letters, hyphens for spaces."""
    return re.sub(r"[\s_]+", "-", name.rstrip("/").rpartition("/")[2].strip().lower())


def _names(value: object, key: str) -> tuple[str, ...]:
    """Return the names under `key` of a card; one that is no text is a work that nobody knows, and not none at all."""
    items = value if isinstance(value, list) else [] if value is None else [value]
    texts = (item.strip() if isinstance(item, str) else f"what the card's `{key}` names, no text" for item in items)
    names = dict.fromkeys(text for text in texts if text)
    if len(names) > _MAX_STATED:
        raise InputError(f"the card names {len(names):,} works, more than {_MAX_STATED}")
    return tuple(names)


def _header_bases(headers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the base models that a GGUF header names (`general.base_model.N.*`)."""
    for header in headers:
        count = header.get("general.base_model.count")
        for number in range(min(count, 16) if isinstance(count, int) and not isinstance(count, bool) else 0):
            url = header.get(f"general.base_model.{number}.repo_url")
            owner = header.get(f"general.base_model.{number}.organization")
            title = header.get(f"general.base_model.{number}.name")
            if isinstance(url, str) and (match := re.search(r"/([\w.-]+/[\w.-]+)/?\Z", url)):
                yield match[1]
            elif isinstance(title, str) and title.strip():
                yield f"{owner}/{title}" if isinstance(owner, str) and owner.strip() else title


def adapter_base(chain: Chain | None) -> tuple[str, str]:
    """Return ref and digest of the base that the root is an adapter for; empty texts if it states none."""
    if chain is None:
        return "", ""
    edges = [e for e in chain.edges if e.child == chain.root and e.relation in WEIGHT_RELATIONS]
    edges.sort(key=lambda edge: edge.relation is not Relation.ADAPTER)
    if not edges:
        return "", ""
    return edges[0].parent, chain.by_ref()[edges[0].parent].digest
