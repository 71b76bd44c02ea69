"""Write the generated pages of docs/reference from the code; `--check` says whether they are up to date."""

import argparse
import importlib
import json
import os
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import weighbridge
from weighbridge.errors import InputError, WeighbridgeError
from weighbridge.gate.named import named_policies, shipped_policy
from weighbridge.gate.stage import TRANSITIONS
from weighbridge.hub.visibility import VISIBILITY
from weighbridge.shell.cli.main import EXIT_CODES, VERBS, build_parser
from weighbridge.shell.plan import plan_schema
from weighbridge.shell.probe.find import probes

REFERENCE = Path(__file__).resolve().parents[1] / "docs" / "reference"
NOTE = "<!-- Written by tools/reference.py; change the code and run `make docs`. -->\n\n"
WIDTH = "100"
COMMON = {
    "confidence": "Of the intervals, between 0 and 1: 0.95 is 95 %.",
    "max_prompts": "Ask no more than this many of each set, drawn at random.",
    "max_pairs": "Ask no more than this many, drawn at random.",
    "max_questions": "Ask no more than this many, drawn at random.",
    "max_tokens": "Length of the longest answer.",
    "temperature": "Of the sampling.",
    "maximum": "Ask about no more than this many, drawn at random.",
    "prefix_tokens": "How many tokens of a text are given.",
    "suffix_tokens": "How many tokens behind them must come back.",
    "block": "How many are asked before the gate is.",
    "judges": "Who says whether an answer refuses or does harm; `[rules]` by default.",
    "frame": "A text around each request, with `{prompt}` in it; by default the chat template.",
    "tests": "Which ways of tampering are tried.",
    "steps": "Of the fine-tune, at most.",
    "check_every": "Steps between two looks at what is left of the refusals.",
    "rank": "Of the LoRA adapters.",
    "learning_rate": "Of the fine-tune.",
    "max_documents": "Held-out texts for the KL divergence, at most.",
    "timeout_s": "Longest time for one tampering, in seconds.",
    "top_k": "Draw among this many likeliest tokens; 0 for all.",
}
"""What settings of several probes mean, where a probe does not say it."""


def pages() -> dict[str, str]:
    """Return every generated page by file name."""
    return {
        "command-line.md": NOTE + "\n".join(command_line()) + "\n",
        "plan.md": NOTE + "\n".join(plan()) + "\n",
        "plan.schema.json": json.dumps(plan_schema(), indent=2, ensure_ascii=False) + "\n",
        "probes.md": NOTE + "\n".join(probe_list()) + "\n",
        "errors.md": NOTE + "\n".join(errors()) + "\n",
        "stages.md": NOTE + "\n".join(stages()) + "\n",
        "policies.md": NOTE + "\n".join(policies()) + "\n",
    }


def command_line() -> Iterator[str]:
    """Yield the page of the command line: `--help` of every verb and of the verbs below it, word for word."""
    yield from ("# The command line", "", f"{EXIT_CODES[0].upper()}{EXIT_CODES[1:]}.", "")
    parser = build_parser()
    yield from ("```text", parser.format_help().rstrip(), "```", "")
    verbs = _below(parser)
    for name in VERBS:
        yield from (f"## weighbridge {name}", "", "```text", verbs[name].format_help().rstrip(), "```", "")
        for action, below in _below(verbs[name]).items():
            yield from (f"### weighbridge {name} {action}", "", "```text", below.format_help().rstrip(), "```", "")


def _below(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the verbs of a parser, by name in order; none if it has none."""
    found = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return dict(next((action.choices for action in found), {}))


def plan() -> Iterator[str]:
    """Yield the page of the release plan: every field of its schema."""
    schema = plan_schema()
    yield from ("# The release plan", "", str(schema.get("description", "")), "")
    yield "The schema itself is [plan.schema.json](plan.schema.json); an editor that knows JSON Schema completes by it."
    yield from ("", "## Fields", "", *_fields(schema))
    for name, definition in schema["$defs"].items():
        if "properties" in definition:
            yield from ("", f"## {definition.get('title', name)}", "", str(definition.get("description", "")), "")
            yield from _fields(definition)


def probe_list() -> Iterator[str]:
    """Yield the page of the probes: what a plan may set for each, and the audits that always run."""
    found = probes()
    yield from ("# Probes", "", "What `weigh` in a plan may name, with its settings.", "")
    yield from ("## Always, in one pass over every version's bytes", "", "| audit | version | |", "|---|---|---|")
    for name, audit in found.files.items():
        yield f"| `{name}` | {audit.version} | {(audit.__class__.__doc__ or '').strip().splitlines()[0]} |"
    for name, probe in found.asking.items():
        yield from ("", f"## {name}", "", f"{probe.settings['description']} Version {probe.version}.", "")
        short = probe.settings.get("x-short")
        if short:
            yield from (f"A bare text in a plan stands for `{short}`.", "")
        if probe.settings["properties"]:
            yield from _fields(dict(probe.settings))
        else:
            yield "It has no settings."


def _fields(schema: dict[str, Any]) -> Iterator[str]:
    yield "| field | | what it is |"
    yield "|---|---|---|"
    required = set(schema.get("required", ()))
    for name, field in schema["properties"].items():
        facts = "required" if name in required else f"default `{field['default']}`" if "default" in field else ""
        choices = f" One of {', '.join(f'`{value}`' for value in field['enum'])}." if "enum" in field else ""
        text = str(field.get("description") or field.get("title") or COMMON.get(name, "See below.")) + choices
        yield f"| `{name}` | {facts} | {text.replace('|', '&#124;')} |"


def errors() -> Iterator[str]:
    """Yield the page of the errors: the tree, and what each means."""
    yield from ("# Errors", "", "With `--json` an error is a document with `error`, `message`, `place`, `hint`.", "")
    yield from ("| error | what it means | exit code |", "|---|---|---|")
    for module in pkgutil.walk_packages(weighbridge.__path__, "weighbridge."):
        # Migrations are scripts that only Alembic can load.
        if not module.name.endswith("__main__") and ".migrations" not in module.name:
            importlib.import_module(module.name)  # an error is known once the module that defines it is
    for error, depth in _tree(WeighbridgeError, 0):
        code = 2 if issubclass(error, InputError) else 1
        indent = "&nbsp;" * 4 * depth
        yield f"| {indent}`{error.__name__}` | {(error.__doc__ or '').strip().splitlines()[0]} | {code} |"


def _tree(error: type[WeighbridgeError], depth: int) -> Iterator[tuple[type[WeighbridgeError], int]]:
    yield error, depth
    for child in sorted(error.__subclasses__(), key=lambda child: child.__name__):
        yield from _tree(child, depth + 1)


def stages() -> Iterator[str]:
    """Yield the page of the stages: the table of moves."""
    yield from ("# Stages", "", "| from | to | needs |", "|---|---|---|")
    for stage, moves in TRANSITIONS.items():
        for target, needs in moves.items():
            yield f"| {stage} | {target} | {needs} |"
        if not moves:
            yield f"| {stage} | nowhere | |"
    yield from ("", "## On a hub behind an address", "")
    yield "A version there is a repository. Who finds it, and who gets its files, follows from its stage:"
    yield from ("", "| stage | repository | files |", "|---|---|---|")
    files = {
        None: "for everyone who finds it",
        "auto": "for whoever agrees to the conditions",
        "manual": "for whom the owner accepts",
    }
    for stage, visibility in VISIBILITY.items():
        yield f"| {stage} | {'private' if visibility.private else 'public'} | {files[visibility.gate]} |"
    yield "| superseded | as before | as before |"
    yield "| recalled | as before | for whom the owner accepts |"


def policies() -> Iterator[str]:
    """Yield the page of the named policies: every rule with its limit and why it is there."""
    yield from ("# Named policies", "")
    yield "A plan names one for a stage: `gates: {open: {policy: open-default}}`."
    yield "`weighbridge gate policies NAME --file` prints one as a file to start your own from"
    yield "([Write gates](../how-to/write-gates.md))."
    for name, named in named_policies().items():
        policy = shipped_policy(name)
        own = {rule.key for rule in named.rules}
        yield from ("", f"## {name}", "", named.summary, "")
        if named.extends:
            left_out = f", without {', '.join(f'`{key}`' for key in named.without)}" if named.without else ""
            yield from (f"For the stage {policy.stage}. All of [{named.extends}](#{named.extends}){left_out}, and:", "")
        else:
            yield from (f"For the stage {policy.stage}.", "")
        yield from ("| id | rule | why |", "|---|---|---|")
        for rule in policy.rules:
            if rule.key in own:
                yield f"| `{rule.key}` | {_cell(rule.text)} | {_cell(rule.why)} |"


def _cell(text: str) -> str:
    return text.replace("|", "&#124;").replace("*", "\\*")


def main() -> int:
    """Write the pages, or say which differ; return the exit code."""
    os.environ["COLUMNS"] = WIDTH  # argparse wraps by it
    check = "--check" in sys.argv[1:]
    stale = [name for name, text in pages().items() if not _same(REFERENCE / name, text)]
    for name in stale if not check else ():
        (REFERENCE / name).write_text(pages()[name], encoding="utf-8")
    if check and stale:
        sys.stderr.write(f"out of date: {', '.join(stale)}; run `make docs`\n")
    return int(check and bool(stale))


def _same(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
