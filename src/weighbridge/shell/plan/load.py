"""A plan's file to a `Plan`: every error at its line and column, and all of them at once."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weighbridge.errors import InputError, PlanError
from weighbridge.gate.policy import Policy
from weighbridge.gate.stage import Stage
from weighbridge.shell.hub.remote_address import checked_address
from weighbridge.shell.plan.complaint import did_you_mean, probe_name, schema_errors, shown
from weighbridge.shell.plan.disclose import read_disclosure
from weighbridge.shell.plan.gates import read_gate
from weighbridge.shell.plan.model import (
    DEFAULT_PUBLIC_NAME,
    GGUF_TYPES,
    CastStep,
    GgufStep,
    HeldBack,
    ParentPlan,
    Plan,
    ProbePlan,
    Step,
    VersionPlan,
    WithheldFiles,
    WithheldMetadata,
    WithheldTensors,
)
from weighbridge.shell.probe.find import probes
from weighbridge.shell.yaml_document import MAX_BYTES, Document, Trail, read_document
from weighbridge.terms.licence import Relation, check_licence

DEFAULT_HUB = "hub"
DEFAULT_WORK = ".weighbridge"
MAX_VERSIONS = 64

_VERSION_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}\Z")


class InvalidPlanError(PlanError):
    """A plan with at least one error: this is the first in the order of the file, `others` holds the rest."""

    def __init__(self, errors: "list[PlanError]") -> None:
        first, *others = errors
        super().__init__(first.message, place=first.place, hint=first.hint)
        self.others = tuple(others)


def load_plan(path: Path) -> Plan:
    """Read the release plan at `path`.

    Relative paths in it are relative to its folder. Whether the source and the data exist is not looked at here.

    Raises:
        PlanError: if the file cannot be read, or is wrong. If it is YAML, the error is an `InvalidPlanError` whose
            `others` are all further errors.
    """
    try:
        if not path.is_file():
            raise PlanError("there is no such file", place=str(path))
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise PlanError(f"the plan cannot be read: {error}", place=str(path)) from error
    return read_plan(data, path=path)


def read_plan(data: bytes, *, path: Path) -> Plan:
    """Read a release plan from the bytes of its file; `path` is where it lies.

    Raises:
        PlanError: as `load_plan` does.
    """
    document = read_document(data, file=str(path))
    errors = schema_errors(document)
    if errors:
        raise InvalidPlanError(_in_order(errors))
    reader = _Reader(document, Path.cwd() / path.parent)
    plan = reader.plan(path, hashlib.sha256(data).hexdigest())
    if reader.errors:
        raise InvalidPlanError(_in_order(reader.errors))
    return plan


def _in_order(errors: list[PlanError]) -> list[PlanError]:
    return sorted(errors, key=lambda error: tuple(int(part) for part in error.place.rsplit(":", 2)[1:]))


@dataclass(slots=True)
class _Reader:
    """Turns a document that the schema accepts into a plan, and collects what a schema cannot see."""

    document: Document
    folder: Path
    errors: list[PlanError] = field(default_factory=list)

    def plan(self, path: Path, digest: str) -> Plan:
        written: Mapping[str, Any] = self.document.value
        self._licence(written)
        policies = self._policies(written["gates"])
        disclosure, published = read_disclosure(written, self)
        hub: str = written.get("hub", DEFAULT_HUB)
        return Plan(
            path=path,
            digest=digest,
            model=self._model(written["model"]),
            source_path=self.path(written["source"], ("source",)),
            license=written["license"],
            license_path=self._optional_path(written, "license_file", ()),
            copyright_line=written.get("copyright", ""),
            parents=self._parents(written.get("parents", ()), written["model"]),
            modalities=tuple(written.get("modalities", ("text",))),
            disclosure=disclosure,
            published=published,
            title=written.get("title", ""),
            summary=written.get("summary", ""),
            languages=tuple(written.get("languages", ())),
            intended_use=written.get("intended_use", ""),
            limitations=written.get("limitations", ""),
            contact=written.get("contact", ""),
            hold_back=tuple(_held_back(item) for item in written.get("hold_back", ())),
            keep=tuple(written.get("keep", ())),
            versions=self._versions(written["versions"]),
            weigh=self._weigh(written.get("weigh", ())),
            policies=policies,
            stage=self._stage(written, policies),
            seed=int(written.get("seed", 0)),
            hub_path=self.path(DEFAULT_HUB if "://" in hub else hub, ("hub",)),
            hub_url=self._hub_url(hub) if "://" in hub else "",
            work_path=self.path(written.get("work", DEFAULT_WORK), ("work",)),
            document=self.document,
        )

    def _parents(self, written: Any, model: str) -> tuple[ParentPlan, ...]:
        refs = {item["ref"] for item in written}
        seen: set[str] = set()
        for number, item in enumerate(written):
            if item["ref"] in seen or item["ref"] == model:
                self.refuse(("parents", number, "ref"), f"the work {shown(item['ref'])} is given twice")
            seen.add(item["ref"])
            child = item.get("of", model)
            if child != model and child not in refs:
                near = did_you_mean(child, sorted(refs))
                self.refuse(("parents", number, "of"), f"no parent in this plan is called {shown(child)}{near}")
        return tuple(
            ParentPlan(
                ref=item["ref"],
                relation=Relation(item["relation"]),
                license=item.get("license", ""),
                of="" if item.get("of") == model else item.get("of", ""),
                digest=item.get("digest", "").removeprefix("sha256:"),
                modalities=tuple(item.get("modalities", ("text",))),
                license_path=self._optional_path(item, "license_file", ("parents", number)),
                notice_path=self._optional_path(item, "notice_file", ("parents", number)),
                weights_path=self._optional_path(item, "weights", ("parents", number)),
            )
            for number, item in enumerate(written)
        )

    def _hub_url(self, text: str) -> str:
        try:
            return checked_address(text)
        except InputError as error:
            self.refuse(("hub",), f"`hub` cannot be {shown(text)}: {error.message}", hint=error.hint)
            return ""

    def _optional_path(self, item: Mapping[str, Any], key: str, trail: Trail) -> Path | None:
        return self.path(item[key], (*trail, key)) if key in item else None

    def refuse(self, trail: Trail, message: str, *, hint: str = "", key: bool = False) -> None:
        """Note an error at its place."""
        self.errors.append(PlanError(message, place=self.document.place(trail, key=key), hint=hint))

    def path(self, text: str, trail: Trail) -> Path:
        """Return a path of the plan, resolved against the plan's folder."""
        if not text.strip():
            self.refuse(trail, f"`{trail[-1]}` is an empty path")
        return self.folder / text

    def _model(self, name: str) -> str:
        if ".." in name or "--" in name:
            self.refuse(("model",), f"`model` cannot be {shown(name)}: '..' and '--' are not allowed in names")
        return name

    def _licence(self, written: Mapping[str, Any]) -> None:
        try:
            check_licence(
                written["license"],
                text_supplied="license_file" in written,
                copyright_line=written.get("copyright", ""),
            )
        except InputError as error:
            self.refuse(("license",), error.message, hint=error.hint)

    def _stage(self, written: Mapping[str, Any], policies: Mapping[Stage, Policy]) -> Stage:
        stage = Stage(written.get("stage", Stage.OPEN))
        if stage not in policies and str(stage) not in written["gates"]:
            there = ", ".join(written["gates"])
            self.refuse(
                ("stage",) if "stage" in written else ("gates",),
                f"this release enters the stage {stage}, but `gates` has rules for {there} only",
                hint=f"Add rules for {stage}, or set `stage: {next(iter(written['gates']))}`.",
                key=True,
            )
        return stage

    def _policies(self, gates: Mapping[str, Any]) -> dict[Stage, Policy]:
        return {Stage(name): read_gate(written, Stage(name), self) for name, written in gates.items()}

    def _weigh(self, written: Any) -> tuple[ProbePlan, ...]:
        planned: dict[str, ProbePlan] = {}
        for number, item in enumerate(written):
            ((key, settings),) = item.items()
            name, trail = probe_name(key), ("weigh", number, key)
            if name in planned:
                self.refuse(trail, f"`weigh` has {shown(key)} twice: one number can only have one value", key=True)
            if isinstance(settings, str):
                settings = {probes().asking[name].settings["x-short"]: settings}
            planned[name] = ProbePlan(name=name, settings=settings)
        return tuple(planned.values())

    def _versions(self, written: Mapping[str, Any]) -> tuple[VersionPlan, ...]:
        versions: dict[str, VersionPlan] = {}
        for name, written_steps in written.items():
            trail: Trail = ("versions", name)
            for version in self._expand(name, written_steps, trail):
                if version.name.lower() in (name.lower() for name in versions):
                    # Some file systems, and some people, take no notice of case.
                    self.refuse(trail, f"two versions are named {shown(version.name)}", key=True)
                if not _VERSION_NAME.match(version.name) or ".." in version.name or "--" in version.name:
                    message = f"{shown(version.name)} is not a version's name: too long, or with '..' or '--' in it"
                    self.refuse(trail, message, key=True)
                versions[version.name] = version
        if len(versions) > MAX_VERSIONS:
            self.refuse(("versions",), f"a plan makes at most {MAX_VERSIONS} versions, not {len(versions):,}", key=True)
        return tuple(versions.values())

    def _expand(self, name: str, written: list[dict[str, Any]], trail: Trail) -> list[VersionPlan]:
        """Return the versions of one entry: several if `gguf` lists several types."""
        before: list[Step] = []
        for number, step in enumerate(written):
            here = (*trail, number)
            if "gguf" in step:
                if number != len(written) - 1:
                    self.refuse(here, "`gguf` must be the last step: nothing can be done to a GGUF file afterwards")
                types = self._types(step["gguf"], (*here, "gguf"))
                suffixed = len(types) > 1
                return [
                    VersionPlan(
                        name=f"{name}-{type_.lower()}" if suffixed else name,
                        steps=(*before, GgufStep(type=type_)),
                    )
                    for type_ in types
                ]
            if before:
                self.refuse(here, "a version has at most one `cast`")
            before.append(CastStep(dtype=step["cast"]))
        return [VersionPlan(name=name, steps=tuple(before))]

    def _types(self, written: str | list[str], trail: Trail) -> list[str]:
        listed = isinstance(written, list)
        types: list[str] = []
        for number, word in enumerate(written if isinstance(written, list) else [written]):
            here = (*trail, number) if listed else trail
            type_ = word.upper().replace("-", "_")
            if type_ not in GGUF_TYPES:
                self.refuse(
                    here,
                    f"{shown(word)} is not a quantisation type{did_you_mean(type_, GGUF_TYPES)}",
                    hint=f"Choose from {', '.join(GGUF_TYPES)}.",
                )
            elif type_ in types:
                self.refuse(here, f"{type_} is listed twice")
            types.append(type_)
        return types


def _held_back(item: Mapping[str, Any]) -> HeldBack:
    public_name = item.get("as", DEFAULT_PUBLIC_NAME)
    if "tensors" in item:
        return WithheldTensors(pattern=item["tensors"], public_name=public_name)
    if "files" in item:
        return WithheldFiles(pattern=item["files"], public_name=public_name)
    return WithheldMetadata(keys=tuple(item.get("keys", ())), public_name=public_name)


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)
