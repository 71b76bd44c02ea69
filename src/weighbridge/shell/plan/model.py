"""The release plan as values: read once, checked, with every path resolved."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weighbridge.derive.recipe import GGUF_TYPES
from weighbridge.dossier.disclosure import Disclosure
from weighbridge.gate.policy import Policy
from weighbridge.gate.stage import Stage
from weighbridge.shell.yaml_document import Document, Trail
from weighbridge.terms.licence import Relation

DEFAULT_PUBLIC_NAME = "withheld part"


@dataclass(frozen=True, slots=True, kw_only=True)
class WithheldTensors:
    """Tensors that stay private: a glob of names, and what the public dossier may call them."""

    pattern: str
    public_name: str = DEFAULT_PUBLIC_NAME


@dataclass(frozen=True, slots=True, kw_only=True)
class WithheldFiles:
    """Files that stay private: a glob of paths, and what the public dossier may call them."""

    pattern: str
    public_name: str = DEFAULT_PUBLIC_NAME


@dataclass(frozen=True, slots=True, kw_only=True)
class WithheldMetadata:
    """Metadata about people, machines and runs, and further keys (globs) to remove from JSON files and headers."""

    keys: tuple[str, ...] = ()
    public_name: str = DEFAULT_PUBLIC_NAME


HeldBack = WithheldTensors | WithheldFiles | WithheldMetadata


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentPlan:
    """A work that the model descends from, as its publisher states it.

    Attributes:
        ref: its name.
        relation: how `of` descends from it.
        license: as stated; empty where it is not known.
        of: the work that descends from it; empty for the model itself.
        digest: SHA-256 that pins it, hexadecimal; empty if it is not pinned.
        modalities: what it takes in and gives out.
        license_path, notice_path: files with the texts that came with it, resolved; None where not given.
        weights_path: folder or file of its weights, resolved, to compare versions with; None where not given.
    """

    ref: str
    relation: Relation
    license: str = ""
    of: str = ""
    digest: str = ""
    modalities: tuple[str, ...] = ("text",)
    license_path: Path | None = None
    notice_path: Path | None = None
    weights_path: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedPart:
    """A file or folder that goes into the release beside the weights.

    Attributes:
        source: where it lies, resolved.
        path: where it goes in the release.
        trail: where the plan names it.
    """

    source: Path
    path: str
    trail: Trail


@dataclass(frozen=True, slots=True, kw_only=True)
class CastStep:
    """Store the weights as `bf16`, `f16` or `f32`."""

    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufStep:
    """Convert to GGUF of one type, one of `GGUF_TYPES`."""

    type: str


Step = CastStep | GgufStep


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionPlan:
    """One version: its name, without the owner, and its steps in order; at most one cast, `gguf` last."""

    name: str
    steps: tuple[Step, ...]

    @property
    def cast(self) -> CastStep | None:
        """The cast, or None."""
        return next((step for step in self.steps if isinstance(step, CastStep)), None)

    @property
    def gguf(self) -> GgufStep | None:
        """The conversion to GGUF, or None."""
        return next((step for step in self.steps if isinstance(step, GgufStep)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbePlan:
    """One probe to carry out on every version.

    Attributes:
        name: of an installed probe.
        settings: what the plan says below the name; the probe's own schema holds.
    """

    name: str
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A release plan.

    Attributes:
        path: the plan's file, as it was given.
        digest: SHA-256 of the file's bytes, hexadecimal.
        model: `owner/name` of the family.
        source_path: the internal model.
        license: licence identifier; `license_path` is the file with its text, None where the text ships.
        copyright_line: year and holder, or empty.
        parents: the works that the internal model descends from, directly or through each other.
        modalities: what it takes in and gives out.
        disclosure: what the publisher states about themselves, data and components.
        published: files and folders that go into the release: components and data.
        title, summary, intended_use, limitations, contact: texts of the card; empty where not given.
        languages: language codes.
        hold_back: what stays private, in the plan's order.
        keep: globs of files to carry beyond the standard set.
        versions: the versions after expansion of lists of types, uniquely named.
        weigh: what is measured.
        policies: the policy of each stage that has rules.
        stage: the stage that this release enters; it has a policy.
        seed: seed of every random draw.
        hub_path: folder to publish into, if `hub_url` is empty.
        hub_url: address of the hub to publish to; empty for a folder.
        work_path: folder of intermediate results.
        document: the text that the plan came from, for positions.
    """

    path: Path
    digest: str
    model: str
    source_path: Path
    license: str
    license_path: Path | None
    copyright_line: str
    parents: tuple[ParentPlan, ...]
    modalities: tuple[str, ...]
    disclosure: Disclosure
    published: tuple[PublishedPart, ...]
    title: str
    summary: str
    languages: tuple[str, ...]
    intended_use: str
    limitations: str
    contact: str
    hold_back: tuple[HeldBack, ...]
    keep: tuple[str, ...]
    versions: tuple[VersionPlan, ...]
    weigh: tuple[ProbePlan, ...]
    policies: Mapping[Stage, Policy]
    stage: Stage
    seed: int
    hub_path: Path
    hub_url: str
    work_path: Path
    document: Document = field(repr=False, compare=False)

    @property
    def folder(self) -> Path:
        """The folder that the plan's relative paths are below."""
        return Path.cwd() / self.path.parent

    @property
    def owner(self) -> str:
        """The part of `model` before the slash; it owns every version."""
        return self.model.partition("/")[0]

    @property
    def policy(self) -> Policy:
        """The policy of the stage that this release enters."""
        return self.policies[self.stage]

    def version_name(self, version: VersionPlan) -> str:
        """Return the full name of a version, `owner/name`."""
        return f"{self.owner}/{version.name}"

    def place(self, *trail: str | int) -> str:
        """Return `file:line:column` of a value, for example `place("hold_back", 0)`, for errors found later on."""
        return self.document.place(tuple(trail))


__all__ = [
    "DEFAULT_PUBLIC_NAME",
    "GGUF_TYPES",
    "CastStep",
    "GgufStep",
    "HeldBack",
    "ParentPlan",
    "Plan",
    "ProbePlan",
    "PublishedPart",
    "Step",
    "Trail",
    "VersionPlan",
    "WithheldFiles",
    "WithheldMetadata",
    "WithheldTensors",
]
