"""`weighbridge init`: write a commented release plan for a checkpoint."""

import argparse
import os
from pathlib import Path

from weighbridge.shell.cli.output import print_json, print_lines


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="folder or file of the internal model")
    parser.add_argument(
        "--name", default=None, metavar="OWNER/NAME", help="name of the family (default: example/<folder>)"
    )
    parser.add_argument("--out", type=Path, default=Path("release.yaml"), metavar="FILE", help="default: release.yaml")
    parser.add_argument("--force", action="store_true", help="overwrite the file if it is there")


def run(options: argparse.Namespace) -> int:
    """Write the plan; exit code 2 if the checkpoint is unsound or the file is there."""
    from weighbridge.checkpoint.architecture import describe
    from weighbridge.checkpoint.folder import Checkpoint
    from weighbridge.checkpoint.write import write_bytes
    from weighbridge.errors import InputError
    from weighbridge.shell.plan.starter import starter_plan

    if options.out.exists() and not options.force:
        raise InputError(
            "the file is there already", place=str(options.out), hint="Choose --out, or --force to overwrite."
        )
    checkpoint = Checkpoint.open(options.checkpoint)
    if options.checkpoint.is_dir() and options.out.resolve().is_relative_to(options.checkpoint.resolve()):
        raise InputError(
            "the plan would become a part of the internal model",
            place=str(options.out),
            hint="Write it beside the model's folder, for example with --out ../release.yaml.",
        )
    name = options.name or f"example/{options.checkpoint.resolve().stem.lower()}"
    source = os.path.relpath(options.checkpoint.resolve(), options.out.resolve().parent)
    plan = starter_plan(checkpoint, describe(checkpoint), name, source=source)
    write_bytes(options.out, plan.encode())
    if options.json:
        print_json({"plan": str(options.out), "model": name})
    else:
        print_lines([f"wrote {options.out}", f"next: read it, then  weighbridge release {options.out}"])
    return 0
