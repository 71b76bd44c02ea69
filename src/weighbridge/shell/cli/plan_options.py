"""Options that every verb on a plan shares."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weighbridge.shell.line.line import Line


def add_plan_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the plan and where to work."""
    parser.add_argument("plan", type=Path, metavar="PLAN", help="the release plan, a YAML file")
    parser.add_argument("--work", type=Path, metavar="DIR", help="work folder (default: as the plan says)")
    parser.add_argument("--threads", type=int, metavar="N", help="threads to use (default: all cores)")


@contextmanager
def open_line(options: argparse.Namespace) -> Iterator["Line"]:
    """Load the plan, hold its work folder, and show progress on standard error."""
    from weighbridge.shell.wiring import line

    with line(options.plan, work=options.work, threads=options.threads) as opened:
        yield opened
