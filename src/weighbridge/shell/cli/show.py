"""`weighbridge show`: say what a checkpoint, file or version is, and whether it is sound."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weighbridge.errors import CheckpointError, InputError
from weighbridge.shell.cli.hub_choice import add_reading_arguments, chosen_version
from weighbridge.shell.cli.output import TerminalProgress, print_json, print_lines, readable_bytes
from weighbridge.shell.cli.plan_options import add_threads_argument

if TYPE_CHECKING:
    from weighbridge.checkpoint.folder import Checkpoint

RELEASE_NAME = "release.json"
_MAX_PROBLEMS = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument(
        "path", metavar="PATH|NAME", help="folder or file of a checkpoint or version, or owner/name[@revision] in --hub"
    )
    add_reading_arguments(parser, default=None)
    parser.add_argument(
        "--quick", action="store_true", help="look at headers only: no digests, no check of the weights"
    )
    parser.add_argument("--tensors", action="store_true", help="list every tensor")
    add_threads_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Inspect and print; exit code 2 if anything is unsound."""
    from weighbridge.checkpoint.architecture import describe
    from weighbridge.checkpoint.folder import inspect

    path = _path(options)
    inspection = inspect(path)
    document: dict[str, Any] = {
        "path": str(path),
        "sound": not inspection.problems,
        "problems": [
            {"place": problem.place, "message": problem.message, "hint": problem.hint}
            for problem in inspection.problems
        ],
        "files": list(inspection.files),
    }
    checkpoint = inspection.checkpoint
    if checkpoint is not None:
        document |= {"format": checkpoint.format, "architecture": describe(checkpoint).to_json()}
        document["tensors"] = len(checkpoint.tensors)
        if options.tensors:
            document["tensor_list"] = [
                {"name": t.name, "dtype": t.dtype, "shape": list(t.shape), "file": t.file, "size_bytes": t.size_bytes}
                for t in checkpoint.tensors
            ]
        if not options.quick:
            _read(checkpoint, options.threads, document)
    if RELEASE_NAME in inspection.files:
        _released(path / RELEASE_NAME, document)
    if options.json:
        print_json(document)
    else:
        _print(document)
    return 0 if document["sound"] else 2


def _path(options: argparse.Namespace) -> Path:
    if not options.hub:
        return Path(options.path)
    with TerminalProgress() as progress:
        chosen = chosen_version(options, options.path, progress)
        if chosen.note:
            progress.note(chosen.note)
        return chosen.folder


def _read(checkpoint: "Checkpoint", threads: int | None, document: dict[str, Any]) -> None:
    """Add digests, and what only the bytes of the weights can tell."""
    from weighbridge.checkpoint.read import NonFiniteCounter, read_folder

    counter = NonFiniteCounter(checkpoint.tensors)
    with TerminalProgress() as progress:
        size = sum((checkpoint.root / file).stat().st_size for file in checkpoint.files)
        advance = progress.begin("reading every byte", size)
        manifest = read_folder(checkpoint.root, checkpoint.files, visitors=[counter], threads=threads, on_bytes=advance)
    document |= {"digest": manifest.digest, "size_bytes": manifest.size_bytes, "manifest": manifest.to_json()}
    for name, count in sorted(counter.counts.items()):
        message = f"{count.nan} NaN and {count.infinite} infinite values"
        hint = "Go back to a checkpoint from before training diverged."
        document["problems"].append({"place": f"tensor {name}", "message": message, "hint": hint})
        document["sound"] = False


def _released(path: Path, document: dict[str, Any]) -> None:
    """Add what a version's own record states about it. Nothing of it is checked here: that is what `verify` is for."""
    from weighbridge.checkpoint.walk import open_regular, read_prefix
    from weighbridge.dossier.release import MAX_RECORD_BYTES, read_release

    descriptor = open_regular(path, place=str(path))
    with open(descriptor, "rb"):  # noqa: PTH123  # closes what open_regular opened
        data = read_prefix(descriptor, MAX_RECORD_BYTES + 1, place=str(path))
    try:
        record = read_release(data, place=str(path))
    except InputError as error:
        document["problems"].append({"place": error.place, "message": error.message, "hint": error.hint})
        document["sound"] = False
        return
    decision = record.decision
    document["states"] = {
        "version": record.reference,
        "family": record.model,
        "license": record.license,
        "weights_digest": record.subject,
        "source_digest": record.source_digest,
        "recipe": [dict(step) for step in record.recipe],
        "gate": f"{'passed' if decision.passed else 'refused'} for {decision.stage}" if decision else None,
    }


def _print(document: dict[str, Any]) -> None:
    facts = document.get("architecture")
    if facts:
        rows = [(name.replace("_", " "), _fact(name, value)) for name, value in facts.items()]
        rows.insert(0, ("format", document["format"]))
        rows.append(("tensors", str(document["tensors"])))
        if "digest" in document:
            rows += [("size", readable_bytes(document["size_bytes"])), ("digest", document["digest"])]
        print_lines([document["path"], *(f"  {label:<28} {value}" for label, value in rows)])
    if states := document.get("states"):
        recipe = ", then ".join(str(step.get("type") or step.get("dtype") or step["step"]) for step in states["recipe"])
        rows = [(name.replace("_", " "), states[name]) for name in ("version", "license", "gate", "source_digest")]
        print_lines(["its record states (check it with `weighbridge verify`)"])
        print_lines(f"  {label:<28} {value or 'not known'}" for label, value in [*rows, ("recipe", recipe)])
    for tensor in document.get("tensor_list", ()):
        print_lines([f"  {tensor['name']}  {tensor['dtype']}  {tensor['shape']}"])
    problems = document["problems"]
    print_lines(f"problem: {problem['place']}: {problem['message']}" for problem in problems[:_MAX_PROBLEMS])
    if len(problems) > _MAX_PROBLEMS:
        print_lines([f"... and {len(problems) - _MAX_PROBLEMS} more (--json lists them all)"])
    hints = dict.fromkeys(problem["hint"] for problem in problems[:_MAX_PROBLEMS])
    # To run this very verb is no advice here.
    print_lines(f"next: {hint}" for hint in hints if hint and hint != CheckpointError.hint)
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    print_lines(["sound" if document["sound"] else f"NOT SOUND: {count}"])


def _fact(name: str, value: Any) -> str:
    if value is None:
        return "not known"
    if "bytes" in name:
        return readable_bytes(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(f"{item['dtype']} {item['parameters']:,}" for item in value)
    return str(value)
