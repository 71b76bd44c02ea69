"""`weighbridge gate`: decide which versions of a plan may go out, and say why."""

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING

from weighbridge.shell.cli.output import print_json, print_lines
from weighbridge.shell.cli.plan_options import add_plan_arguments, open_line

if TYPE_CHECKING:
    from weighbridge.shell.line.decide import Decided

add_arguments = add_plan_arguments


def run(options: argparse.Namespace) -> int:
    """Derive, audit, weigh and decide; exit code 1 if any version is refused."""
    with open_line(options) as line:
        decided = line.decided()
    if options.json:
        print_json({"versions": [{"name": d.name, "verdict": d.verdict.to_json()} for d in decided]})
    else:
        print_lines(explain(decided))
    return int(not all(d.verdict.passed for d in decided))


def explain(decided: "Iterable[Decided]") -> Iterable[str]:
    """Yield every verdict with its answers, as lines."""
    for version in decided:
        yield f"{version.name}: {'passes' if version.verdict.passed else 'REFUSED'} for {version.verdict.stage}"
        for answer in version.verdict.answers:
            yield f"  {'+' if str(answer.outcome) == 'met' else '-'} {answer.rule}: {answer.outcome}"
            yield f"      {answer.reason}"
            if answer.remedy:
                yield f"      to change it: {answer.remedy}"
