"""Being told to stop, by Ctrl-C or SIGTERM.

The handler raises, so that every `with` block is left: engines in child processes end and temporary files go. Python
swallows what is raised inside finalisers and callbacks, and a signal may come just then; it is remembered, and raised
again when the next piece of work begins.
"""

import signal
import threading
from types import FrameType

_asked: type[BaseException] | None = None


class Terminated(BaseException):
    """SIGTERM came."""


def obey_signals() -> None:
    """Raise `KeyboardInterrupt` for SIGINT and `Terminated` for SIGTERM, in the main thread."""
    global _asked
    _asked = None
    if threading.current_thread() is not threading.main_thread():
        return
    signal.signal(signal.SIGTERM, _stop)
    # A shell starts background jobs with SIGINT ignored; that is its wish.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _stop)


def raise_if_asked() -> None:
    """Raise again what a signal raised, if it got lost."""
    if _asked is not None:
        raise _asked


def _stop(number: int, frame: FrameType | None) -> None:
    global _asked
    _asked = Terminated if number == signal.SIGTERM else KeyboardInterrupt
    raise _asked
