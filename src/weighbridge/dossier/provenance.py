"""Where a version comes from: an in-toto Statement v1 with a SLSA provenance v1 predicate.

Formats: https://in-toto.io/Statement/v1 and https://slsa.dev/spec/v1.0/provenance.
"""

import hashlib
from datetime import UTC, datetime
from typing import Any

from weighbridge.dossier.release import ReleaseRecord, canonical_bytes

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "https://weighbridge.dev/derive/v1"
BUILDER_ID = "https://weighbridge.dev/builder/v1"
PROVENANCE_NAME = "provenance.intoto.jsonl"

MANIFEST_DIGEST = "weighbridgeManifestV1"
"""Algorithm name of a manifest digest. It is no SHA-256 of a file, so it must not be labelled as one."""


def provenance_line(record: ReleaseRecord, *, finished_at: datetime | None = None) -> bytes:
    """Return the statement about `record` as one canonical JSON line.

    The same record gives the same bytes; only `finished_at`, if given, adds a time.

    Raises:
        ValueError: if `finished_at` has no time zone.
    """
    return canonical_bytes(provenance_statement(record, finished_at=finished_at))


def provenance_statement(record: ReleaseRecord, *, finished_at: datetime | None = None) -> dict[str, Any]:
    """Return the statement as a mapping: what the payload files are and how they were made."""
    run_details: dict[str, Any] = {
        "builder": {"id": BUILDER_ID, "version": {"weighbridge": record.weighbridge_version}},
        "metadata": {"invocationId": _invocation(record)},
    }
    if finished_at is not None:
        if finished_at.tzinfo is None:
            raise ValueError("finished_at needs a time zone")
        run_details["metadata"]["finishedOn"] = finished_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": str(entry.path), "digest": {"sha256": entry.sha256}} for entry in record.manifest],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "model": record.model,
                    "version": record.version,
                    "format": record.format,
                    "recipe": [dict(step) for step in record.recipe],
                },
                "internalParameters": {},
                "resolvedDependencies": _dependencies(record),
            },
            "runDetails": run_details,
        },
    }


def _dependencies(record: ReleaseRecord) -> list[dict[str, Any]]:
    """Return the internal model, its parents and the engines; each engine once, in the order of first use."""
    source = {"name": "source", "digest": {MANIFEST_DIGEST: record.source_digest}}
    parents = []
    for parent in record.parents:
        stated = {key: parent[key] for key in ("relation", "license") if parent.get(key)}
        entry: dict[str, Any] = {"name": str(parent["ref"]), "annotations": {"role": "parent", **stated}}
        if parent.get("digest"):
            entry["digest"] = {MANIFEST_DIGEST: str(parent["digest"])}
        parents.append(entry)
    used = dict.fromkeys(str(step["engine"]) for step in record.recipe if step.get("engine"))
    engines = []
    for engine in used:
        name, _, version = engine.partition(" ")
        engines.append({"name": name, "annotations": {"role": "engine", "version": version or "unknown"}})
    return [source, *parents, *engines]


def _invocation(record: ReleaseRecord) -> str:
    """Return an identifier that the same source, recipe, builder and result share, without a clock."""
    identity = [record.weighbridge_version, record.source_digest, [dict(s) for s in record.recipe], record.subject]
    return f"sha256:{hashlib.sha256(canonical_bytes(identity)).hexdigest()}"
