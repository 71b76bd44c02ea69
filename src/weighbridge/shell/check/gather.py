"""Everything about a model in a folder, gathered in one pass over its bytes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from weighbridge.adopt.check.subject import AdapterFacts, BaseFacts, Standing, Subject
from weighbridge.checkpoint.manifest import Manifest
from weighbridge.checkpoint.read import read_folder
from weighbridge.checkpoint.walk import open_inside, read_prefix
from weighbridge.dossier.release import MAX_RECORD_BYTES, RELEASE_NAME, ReleaseRecord, read_release
from weighbridge.dossier.signature import SIGNATURE_NAME
from weighbridge.errors import InputError
from weighbridge.shell.check.found import (
    CARD_NAME,
    Weights,
    folder_name,
    read_boms,
    read_card,
    read_json,
    read_licences,
    read_record,
    read_weights,
    statements,
)
from weighbridge.shell.check.lineage import Lineage, adapter_base, chain_of, modalities
from weighbridge.shell.check.signed import Pass, TrustedSigner, read_once
from weighbridge.terms.agreement import Stated
from weighbridge.terms.chain import Chain
from weighbridge.terms.registry import registry
from weighbridge.terms.resolve import resolve

ADAPTER_CONFIG = "adapter_config.json"
_ADAPTER_NAMES = ("adapter_config.", "adapter_model.")
_UNNAMED = ("", "other", "unknown")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a model lies, and how it was asked for.

    Attributes:
        folder: its files.
        reference: what was asked for.
        name: `owner/name`; empty for a folder that has no other name than its own.
        revision: commit that it was fetched at; empty if it was not fetched.
    """

    folder: Path
    reference: str
    name: str = ""
    revision: str = ""


AskStanding = Callable[[Sequence[str], str, Chain | None], Standing]
"""Asks a hub: by the names that a version may have, its digest and its chain."""


def gather(
    place: Place,
    signers: Sequence[TrustedSigner],
    *,
    standing: AskStanding,
    base: str = "",
    base_folder: Path | None = None,
    on_bytes: Callable[[int], None] | None = None,
    threads: int | None = None,
) -> Subject:
    """Return what is found in a folder.

    Args:
        place: where it lies.
        signers: whom we trust.
        standing: see `AskStanding`; called once the digest is known.
        base: digest of the base for an adapter; empty if it is named by a folder, or not at all.
        base_folder: folder of that base.
        on_bytes: told how many more bytes have been read.
        threads: how many files are read at once; all cores by default.

    Raises:
        InputError: if the folder cannot be read.
    """
    once = read_once(place.folder, signers, on_bytes=on_bytes, threads=threads)
    files = tuple(str(entry.path) for entry in once.manifest)
    weights = read_weights(place.folder, files)
    record, record_problem = read_record(once.capture, files)
    card, card_problem = read_card(once.capture, files)
    licences = read_licences(once.capture, {problem.path: problem.message for problem in once.unsafe})
    boms = read_boms(once.capture, files)
    stated = tuple(statements(record, card, weights.metadata, licences, boms))
    declared = _declared(stated)
    name = place.name or (record.reference if record else folder_name(place.folder))
    headers = tuple(weights.metadata.values())
    kinds = modalities(weights.config, card or {}, headers)
    lineage = chain_of(name, declared, record, card or {}, headers, licences, kinds, registry(), adapted=_adapted(once))
    names = tuple(dict.fromkeys((place.name or name, *((record.reference,) if record else ()))))
    return _subject(
        once,
        weights,
        lineage,
        Subject(
            reference=place.reference,
            name=name,
            place=str(place.folder),
            revision=place.revision,
            manifest=once.manifest,
            audit=once.audit,
            signature=once.signature,
            standing=standing(names, once.manifest.digest, lineage.chain),
            registry=registry(),
            record=record,
            record_problem=record_problem,
            card=card,
            card_problem=card_problem,
            statements=stated,
            licence_files=licences,
            boms=boms,
            declared=declared,
            base=_base(base, base_folder),
        ),
    )


def _subject(once: Pass, weights: Weights, lineage: Lineage, begun: Subject) -> Subject:
    """Add what follows from several of the things that were read."""
    chain = lineage.chain
    short = begun.name.rpartition("/")[2]
    sig = begun.manifest.get(SIGNATURE_NAME)
    return replace(
        begun,
        unsafe=once.unsafe,
        format=begun.record.format if begun.record else weights.format,
        family=weights.family,
        unsound=weights.problems,
        unread=weights.unread,
        signed_digest=sig.sha256 if sig else "",
        chain=chain,
        chain_problem=lineage.problem,
        lineage_source=lineage.source,
        terms=resolve(chain, declared=begun.declared, registry=begun.registry, model_name=short) if chain else None,
        adapter=_adapter(once, weights, begun.record, chain),
    )


def _declared(stated: Sequence[Stated]) -> str:
    """Return the licence that is declared: the first that anything states, a bill of materials excepted."""
    return next((item.license for item in stated if item.license.lower() not in _UNNAMED), "")


def _adapter(once: Pass, weights: Weights, record: ReleaseRecord | None, chain: Chain | None) -> AdapterFacts | None:
    ref, digest = adapter_base(chain)
    if (path := _adapter_file(once.manifest)) is not None:
        config = read_json(once.capture, path)
        named = (config or {}).get("base_model_name_or_path")
        ref = ref or (named[:200] if isinstance(named, str) else "")
        if path == ADAPTER_CONFIG and config is not None:
            return AdapterFacts(evidence=path, base_ref=ref, base_digest=digest)
        # What is pinned is the base of the model as a whole: for which base this file is made is not known.
        return AdapterFacts(evidence=path if config else f"{path}, which was not understood", base_ref=ref)
    headers: Sequence[Mapping[str, Any]] = tuple(weights.metadata.values())
    if any(values.get("general.type") == "adapter" for values in headers):
        return AdapterFacts(evidence="general.type of its GGUF header", base_ref=ref, base_digest=digest)
    edges = chain.edges if chain else ()
    if chain and any(e.child == chain.root and e.relation == "adapter" for e in edges):
        return AdapterFacts(evidence=RELEASE_NAME if record else CARD_NAME, base_ref=ref, base_digest=digest)
    return None


def _adapted(once: Pass) -> str | None:
    """Return the base that the adapter in the root names, empty if it names none; None if there is no adapter."""
    if (path := _adapter_file(once.manifest)) is None or "/" in path:
        return None
    named = (read_json(once.capture, ADAPTER_CONFIG) or {}).get("base_model_name_or_path")
    return named.strip()[:200] if isinstance(named, str) else ""


def _adapter_file(manifest: Manifest) -> str | None:
    """Return the configuration of an adapter, or its weights where it has none; the one in the root first."""
    paths = [str(entry.path) for entry in manifest if entry.path.name.lower().startswith(_ADAPTER_NAMES)]
    return min(paths, key=lambda path: (path != ADAPTER_CONFIG, path.count("/"), path), default=None)


def _base(digest: str, folder: Path | None) -> BaseFacts | None:
    """Return every digest that a base may be named by: of all files, those signed, its payload, each weight file."""
    if digest:
        return BaseFacts(place="the use file", digests=frozenset({digest}))
    if folder is None:
        return None
    try:
        manifest = read_folder(folder)
        digests = {manifest.digest, manifest.without(SIGNATURE_NAME).digest, *_weight_digests(manifest)}
        return BaseFacts(place=str(folder), digests=frozenset(digests | _payload(folder, manifest)))
    except InputError as error:
        return BaseFacts(place=str(folder), problem=str(error))


def _weight_digests(manifest: Manifest) -> set[str]:
    return {entry.sha256 for entry in manifest if entry.path.suffix in (".safetensors", ".gguf")}


def _payload(folder: Path, manifest: Manifest) -> set[str]:
    """Return the digest of what a release calls its payload, as the files really are."""
    if manifest.get(RELEASE_NAME) is None:
        return set()
    descriptor = open_inside(folder, RELEASE_NAME)
    with open(descriptor, "rb"):  # noqa: PTH123  # closes what open_inside opened
        data = read_prefix(descriptor, MAX_RECORD_BYTES + 1, place=RELEASE_NAME)
    paths = {str(entry.path) for entry in read_release(data, place=RELEASE_NAME).manifest}
    return {Manifest.of(entry for entry in manifest if str(entry.path) in paths).digest}
