"""Records with terms that were resolved and openness that was recomputed, as a release writes them."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from builders import a_record

from weighbridge.dossier.compose import with_openness
from weighbridge.dossier.disclosure import Component, DataSet, Disclosure, Publisher
from weighbridge.dossier.release import ReleaseRecord
from weighbridge.terms.chain import Chain, Edge, Relation, Work
from weighbridge.terms.papers import papers
from weighbridge.terms.registry import registry
from weighbridge.terms.resolve import resolve

DIGEST = "ab" * 32
PASSAGES = DataSet(name="held-out passages", roles=("evaluation",), license="CC0-1.0", records=40)
CORPUS = DataSet(name="acme/corpus", roles=("training",), license="CC-BY-4.0", size_bytes=5_000_000, tokens=1)


def a_chain(
    *parents: tuple[str, str, str],
    ref: str,
    license: str,  # noqa: A002  # what it is called everywhere
    modalities: Iterable[str] = ("text",),
) -> Chain:
    """Each parent is its name, how the model descends from it, and its licence."""
    kinds = tuple(modalities)
    works = [Work(ref=ref, license=license, modalities=kinds)]
    works += [Work(ref=name, license=stated, digest=DIGEST, modalities=kinds) for name, _, stated in parents]
    edges = tuple(Edge(child=ref, parent=name, relation=Relation(how)) for name, how, _ in parents)
    return Chain(root=ref, works=tuple(works), edges=edges)


def resolved(
    *parents: tuple[str, str, str],
    license: str = "Apache-2.0",  # noqa: A002  # what it is called everywhere
    version: str = "osprey-135m-q4_k_m",
    modalities: Iterable[str] = ("text",),
    data: tuple[DataSet, ...] = (PASSAGES,),
    components: tuple[Component, ...] = (),
    **changes: Any,
) -> tuple[ReleaseRecord, Mapping[str, bytes]]:
    """Return a record with everything resolved, and its licence papers."""
    record = a_record(version, license=license, **changes)
    chain = a_chain(*parents, ref=record.reference, license=license, modalities=modalities)
    terms = resolve(chain, declared=license, registry=registry(), model_name=record.reference)
    record = replace(
        record,
        parents=tuple({"ref": name, "relation": how, "license": stated} for name, how, stated in parents),
        terms=terms.to_json(),
        disclosure=Disclosure(publisher=Publisher(name="Acme Ltd"), data=data, components=components),
    )
    texts = papers(terms, chain, registry(), model=record.reference, copyright_line="2026 Acme")
    return with_openness(record, [*texts, *(item.path for item in data if item.path)], recognised={}), texts


LLAMA = ("meta-llama/Llama-3.2-11B-Vision", "finetune", "llama3.2")
KIMI = ("moonshotai/Kimi-K2", "merge", "kimi-k2")
HUNYUAN = ("tencent/Hunyuan3D-2", "merge", "hunyuan-3d")


def restricted(**changes: Any) -> tuple[ReleaseRecord, Mapping[str, bytes]]:
    """A vision model under Llama 3.2 that Kimi K2 was merged into: thresholds, a seat, fields, badges, a prefix."""
    return resolved(
        LLAMA,
        KIMI,
        **{
            "license": "llama3.2 AND kimi-k2",
            "version": "Llama-osprey",
            "modalities": ("text", "image"),
            **changes,
        },
    )
