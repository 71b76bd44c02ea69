"""A signal is obeyed at once, and again where Python swallowed what its handler raised."""

import signal
import subprocess
import sys

import pytest

SWALLOWED = """
import os, signal, sys
from weighbridge.shell.cli.output import TerminalProgress
from weighbridge.shell.stop import obey_signals
class Finaliser:
    def __del__(self):
        os.kill(os.getpid(), int(sys.argv[1]))
        for _ in range(1000):
            pass  # the handler runs here, and what it raises is printed and dropped
obey_signals()
with TerminalProgress() as progress:
    progress.begin("before")
    del (it := [Finaliser()])[:]
    progress.begin("after")
    print("went on")
"""


def _with_sigint() -> None:
    """Undo what a shell does to background jobs, this suite perhaps among them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, "KeyboardInterrupt"), (signal.SIGTERM, "Terminated")])
def test_a_stop_that_was_swallowed_is_obeyed_when_the_next_work_begins(number: int, error: str) -> None:
    command = [sys.executable, "-c", SWALLOWED, str(int(number))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=_with_sigint)
    assert "Exception ignored" in done.stderr
    assert "went on" not in done.stdout
    assert error in done.stderr.splitlines()[-1]


def test_a_job_in_the_background_keeps_ignoring_sigint() -> None:
    command = [sys.executable, "-c", SWALLOWED, str(int(signal.SIGINT))]
    ignored = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert ignored.returncode == 0
    assert "went on" in ignored.stdout
