"""Derive every version of a plan."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weighbridge.checkpoint.manifest import Manifest
from weighbridge.derive.make import Made, Workbench, make_version
from weighbridge.derive.recipe import CAST_DTYPES, CastStep, GgufStep, Recipe, WithholdStep
from weighbridge.derive.sanitise import Scrub
from weighbridge.evidence.audit.leak import PROBE_VERSION as SCRUB_VERSION
from weighbridge.evidence.audit.leak import scrub_json
from weighbridge.shell.line.source import Source
from weighbridge.shell.plan.model import Plan, VersionPlan, WithheldFiles, WithheldMetadata, WithheldTensors


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivedVersion:
    """One version of a plan, made.

    Attributes:
        name: `owner/version`.
        recipe: what was done.
        made: the files, and what stayed behind.
    """

    name: str
    recipe: Recipe
    made: Made

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return self.made.result.folder

    @property
    def manifest(self) -> Manifest:
        """Its files."""
        return self.made.result.manifest


def withhold_step(plan: Plan) -> WithholdStep:
    """Return what the plan holds back, as the first step of every recipe."""
    return WithholdStep(
        tensors=tuple(item.pattern for item in plan.hold_back if isinstance(item, WithheldTensors)),
        files=tuple(item.pattern for item in plan.hold_back if isinstance(item, WithheldFiles)),
        keep=plan.keep,
        metadata=True,
        keys=tuple(key for item in plan.hold_back if isinstance(item, WithheldMetadata) for key in item.keys),
    )


def recipe_of(plan: Plan, version: VersionPlan) -> Recipe:
    """Return the frozen recipe of one version of the plan."""
    return Recipe(
        withhold=withhold_step(plan),
        cast=CastStep(dtype=CAST_DTYPES[version.cast.dtype]) if version.cast else None,
        gguf=GgufStep(type=version.gguf.type) if version.gguf else None,
    )


def scrub_with(keys: tuple[str, ...]) -> Scrub:
    """Return the scrubber that `sanitise` calls for each JSON file."""

    def scrub(file: str, document: Any) -> tuple[Any, list[str]]:
        clean, removed = scrub_json(document, keys)
        return clean, [item.pointer for item in removed]

    return scrub


def derive_versions(plan: Plan, source: Source, license_name: str, bench: Workbench) -> tuple[DerivedVersion, ...]:
    """Make every version of the plan, in the plan's order; `license_name` goes into headers that state one."""
    return tuple(_derive(plan, version, source, license_name, bench) for version in plan.versions)


def _derive(plan: Plan, version: VersionPlan, source: Source, license_name: str, bench: Workbench) -> DerivedVersion:
    recipe = recipe_of(plan, version)
    metadata = {
        "general.name": plan.model.split("/")[1],
        # Headers on the hub have it in lower case; the words of an expression are told by theirs.
        "general.license": license_name if " " in license_name else license_name.lower(),
        "general.languages": list(plan.languages),
    }
    made = make_version(
        source.checkpoint, source.digest, recipe, bench, stem=plan.model.split("/")[1], metadata=metadata
    )
    return DerivedVersion(name=plan.version_name(version), recipe=recipe, made=made)


__all__ = ["SCRUB_VERSION", "DerivedVersion", "derive_versions", "recipe_of", "scrub_with", "withhold_step"]
