"""Who a commit or a tag says made it."""

from weighbridge.hub.accounts.caller import Caller
from weighbridge.hub.git.objects import Person


def author_of(caller: Caller) -> Person:
    """Return the caller as Git names people: the account, and no address of theirs, which would be public for ever."""
    return Person.cleaned(caller.name or "anonymous", "")
