"""The card of a recalled version: its text as it was, below a notice."""

import re

from weighbridge.dossier.markdown import escape
from weighbridge.dossier.status import Status, utc_text

_BEGIN, _END = "<!-- recall -->", "<!-- end of recall -->"
_NOTICE = re.compile(re.escape(_BEGIN) + ".*?" + re.escape(_END) + r"(?:\r?\n){0,2}", re.DOTALL)
_FRONT = re.compile(r"\A---\r?\n.*?^---[ \t]*\r?\n", re.DOTALL | re.MULTILINE)


def with_notice(card: str, status: Status) -> str:
    """Return a card with what its publisher says at its top, behind its metadata; an older notice goes.

    Args:
        card: the card's Markdown, its YAML metadata included.
        status: what is said.
    """
    card = _NOTICE.sub("", card)
    use = f" Use **{escape(status.successor)}** in its place." if status.successor else ""
    said = f"> **This version is {status.state}** since {utc_text(status.since)}: {escape(status.reason)}{use}"
    kept = "> The signed card and files are at the tag that is the version's digest."
    front = _FRONT.match(card)
    at = front.end() if front else 0
    return f"{card[:at]}{_BEGIN}\n{said}\n>\n{kept}\n{_END}\n\n{card[at:]}"
