"""Parse the command line, run a verb, turn what it raises into a message and an exit code."""

import argparse
import importlib
import io
import json
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from weighbridge import __version__
from weighbridge.errors import InputError, WeighbridgeError, WorkspaceError
from weighbridge.shell.stop import Terminated, obey_signals

REFUSED, UNUSABLE = 1, 2
INTERRUPTED, TERMINATED = 130, 143

VERBS = {
    "init": "write a commented release plan for a checkpoint",
    "release": "derive, weigh, decide, sign and publish every version of a plan",
    "publish": "send what was released, and what the gate let through, to a hub",
    "derive": "make the versions of a plan and prove that what is held back is gone",
    "weigh": "measure the versions of a plan against the internal model",
    "gate": "decide which versions of a plan may go out, and say why",
    "audit": "look for what should not be in a folder of model files, without loading any",
    "evaluate": "ask any model any tasks, without a plan: accuracy with intervals, differences and flips",
    "lineage": "say whether two models come from the same weights, with a p-value",
    "overlap": "say which items of an evaluation stand in a training corpus, and where",
    "verify": "check the signature and every byte of a published version",
    "check": "answer whether we may use a version, whether it is genuine, and what is not known",
    "run": "serve a published version on an OpenAI-compatible endpoint",
    "show": "say what a checkpoint, file or version is, and whether it is sound",
    "licence": "say what a licence allows, recognise a text, compare two",
    "dossier": "list what a dossier leaves open, or what changed between two",
    "recall": "call a published version back, and tell its users why",
    "status": "say whether a published version is still good, by the hub's signed word",
    "hub": "serve a hub, say who may use it, keep it sound, move repositories between hubs",
    "demo": "release a real small model and ask one of its versions a question",
}

_RESUMABLE = ("release", "publish", "derive", "weigh", "gate", "evaluate", "demo")

EXIT_CODES = "exit codes: 0 done, 1 refused or failed verification, 2 unusable input, 3 not known"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line, every verb's options included."""
    parser = _Parser(
        prog="weighbridge",
        description="Turns an internal AI model into open versions that people can trust.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("--version", action="version", version=f"weighbridge {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, summary in VERBS.items():
        verb = verbs.add_parser(
            name, help=summary, description=summary[0].upper() + summary[1:] + ".", epilog=EXIT_CODES
        )
        _module(name).add_arguments(verb)
        verb.add_argument("--json", action="store_true", help="print one JSON document on standard output")
        verb.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


class _Parser(argparse.ArgumentParser):
    """Answers a wrong argument as every other error is answered, `--json` included."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"`{self.prog} --help` lists what can be given.")


class UsageError(InputError):
    """The command line itself is wrong."""


def _module(verb: str) -> Any:
    return importlib.import_module(f"weighbridge.shell.cli.{verb}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    _accept_any_text()
    obey_signals()
    try:
        return _run(given)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNUSABLE
    except (KeyboardInterrupt, Terminated) as stop:
        kept = "; what is finished stays and is used again by the next run" if given and given[0] in _RESUMABLE else ""
        sys.stderr.write(f"\nstopped{kept}\n")
        return INTERRUPTED if isinstance(stop, KeyboardInterrupt) else TERMINATED


def _run(given: list[str]) -> int:
    try:
        options = build_parser().parse_args(given)
    except UsageError as error:
        return _report(error, as_json="--json" in given)
    try:
        code: int = _module(options.verb).run(options)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        raise
    except (WeighbridgeError, OSError, MemoryError) as error:
        if options.debug:
            raise
        return _report(error if isinstance(error, WeighbridgeError) else _unforeseen(error), as_json=options.json)


def _unforeseen(error: OSError | MemoryError) -> WeighbridgeError:
    """Return what the system refused, where no room has better words for it."""
    if isinstance(error, MemoryError):
        return WorkspaceError("there is not enough memory", hint="Close other programs, or use fewer --threads.")
    place = error.filename if isinstance(error.filename, str | bytes) else ""
    return WorkspaceError(
        f"the system says: {error.strerror or error}",
        place=os.fsdecode(place),
        hint="Look at the path, its permissions and the free space, and run the command again.",
    )


def _accept_any_text() -> None:
    """Print names that the terminal's encoding lacks, or that are no text at all, escaped: never fail on one."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _report(error: WeighbridgeError, *, as_json: bool) -> int:
    others = [str(other) for other in getattr(error, "others", ())]
    code = UNUSABLE if isinstance(error, InputError) else REFUSED
    if as_json:
        document = {
            "error": type(error).__name__,
            "message": error.message,
            "place": error.place,
            "hint": error.hint,
            "others": others,
        }
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    for line in (str(error), *others):
        sys.stderr.write(f"error: {line}\n")
    if error.hint:
        sys.stderr.write(f"next:  {error.hint}\n")
    return code


def script() -> NoReturn:
    """Entry point of the `weighbridge` command."""
    sys.exit(main())
