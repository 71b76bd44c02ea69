"""`weighbridge demo`: release a real small model and ask one of its versions a question."""

import argparse
import importlib.util
from pathlib import Path
from typing import Any

from weighbridge.errors import InputError
from weighbridge.shell.cli.gate import explain
from weighbridge.shell.cli.output import TerminalProgress, own_command, print_json, print_lines, readable_bytes
from weighbridge.shell.cli.plan_options import add_threads_argument

QUESTION = "What is the capital of France? Answer in one sentence."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("--example", type=Path, metavar="DIR", help="folder of the example (default: smollm2)")
    add_threads_argument(parser)
    parser.add_argument("--question", default=QUESTION, help="what to ask at the end")


def run(options: argparse.Namespace) -> int:
    """Prepare the example, release it, run a version of it."""
    from weighbridge.shell.home import own_public_key
    from weighbridge.shell.signing import EcKeyVerifier
    from weighbridge.shell.wiring import line, publisher, serve_folder

    example = options.example or _default_example()
    if not (example / "prepare.py").is_file():
        raise InputError("this is not the folder of an example", place=str(example), hint="Leave out --example.")
    with TerminalProgress() as progress:
        progress.begin("preparing the internal model of the example (a 93 MB download the first time)")
        _prepare_module(example).prepare(example / "checkpoints" / "internal", example / "download")
    with line(example / "release.yaml", threads=options.threads) as opened:
        outcome = publisher(None, None).release(opened)
    if not outcome.published:
        print_lines(explain(outcome.refused))
        return 1
    chosen = outcome.published[-1]
    verifier = EcKeyVerifier.load(own_public_key())
    with TerminalProgress() as progress, serve_folder(chosen.folder, verifier, progress, alias=chosen.name) as server:
        progress.begin(f"asking {chosen.name}")
        answer = server.ask(options.question, max_tokens=96)
    if options.json:
        print_json({**outcome.to_json(), "question": options.question, "answer": answer})
        return int(bool(outcome.refused))
    print_lines(f"published  {v.name}  ({readable_bytes(v.size_bytes)})" for v in outcome.published)
    print_lines(
        [
            "",
            f"asked      {options.question}",
            f"{chosen.name} answered: {answer}",
            "",
            f"look at    {outcome.page}",
            f"verify     {own_command()} verify {chosen.folder} {outcome.verify_with}",
            f"serve      {own_command()} run {chosen.name} --hub {outcome.hub} {outcome.verify_with}",
            f"refusal    {own_command()} release {example / 'release-refused.yaml'}",
        ]
    )
    return int(bool(outcome.refused))


def _default_example() -> Path:
    """Return the example in this checkout, or a copy beside the user of the one that the package carries."""
    import shutil

    package = Path(__file__).resolve().parents[2]
    in_checkout = package.parents[1] / "examples" / "smollm2"
    if (in_checkout / "release.yaml").is_file():
        return in_checkout
    copy = Path("weighbridge-demo")
    shutil.copytree(package / "_example", copy, dirs_exist_ok=True)
    return copy


def _prepare_module(example: Path) -> Any:
    spec = importlib.util.spec_from_file_location("weighbridge_example_prepare", example / "prepare.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
