"""Options that every verb on a plan shares."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from weighbridge.shell.hub.remote_address import TOKEN_VARIABLE

if TYPE_CHECKING:
    from weighbridge.shell.line.line import Line

MAX_THREADS = 1024


def thread_count(text: str) -> int:
    """Read `--threads`."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= MAX_THREADS:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of threads: give 1 to {MAX_THREADS}")
    return int(text)


def add_threads_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--threads`."""
    parser.add_argument("--threads", type=thread_count, metavar="N", help="threads to use (default: all cores)")


def add_plan_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the plan and where to work."""
    parser.add_argument("plan", type=Path, metavar="PLAN", help="the release plan, a YAML file")
    parser.add_argument("--work", type=Path, metavar="DIR", help="work folder (default: as the plan says)")
    add_threads_argument(parser)


@contextmanager
def open_line(options: argparse.Namespace) -> Iterator["Line"]:
    """Load the plan, hold its work folder, and show progress on standard error."""
    from weighbridge.shell.wiring import line

    hub, token_variable = getattr(options, "hub", None), getattr(options, "token_env", TOKEN_VARIABLE)
    with line(
        options.plan, work=options.work, hub=hub, threads=options.threads, token_variable=token_variable
    ) as opened:
        yield opened
