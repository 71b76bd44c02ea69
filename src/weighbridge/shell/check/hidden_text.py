"""Characters that a reader does not see: they turn the order of a line round, or hide a message.

Bidirectional controls: Unicode Standard Annex 9, and "Trojan Source" (Boucher and Anderson, 2021, arXiv:2111.00169).
Tag characters (U+E0000 to U+E007F) spell text that no screen shows and that a tokenizer reads.
"""

import re
from collections.abc import Iterator

from weighbridge.adopt.check.answer import Outcome
from weighbridge.adopt.check.subject import Sighting

_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
_TAGS = re.compile("[\U000e0000-\U000e007f]")
_UNSEEN = re.compile("[\u200b-\u200d\u2060-\u2064\ufeff\u00ad]")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_KINDS = (
    (_TURNING, "characters that turn the order of what is shown", True),
    (_TAGS, "characters that spell text which no screen shows", True),
    (_CONTROL, "control characters", False),
    (_UNSEEN, "characters that cannot be seen", False),
)


def hidden_characters(text: str, place: str, *, template: bool) -> Iterator[Sighting]:
    """Yield one sighting for each kind of hidden character in `text`.

    Args:
        text: what to look at.
        place: where it stands.
        template: whether it steers the model, so that what hides is hostile; in other texts it is unknown why.
    """
    for pattern, what, grave in _KINDS:
        # A joiner is part of words in several scripts; only a template has no use for one.
        if not template and not grave:
            continue
        found = pattern.findall(text)
        if found:
            names = ", ".join(sorted({f"U+{ord(char):04X}" for char in found})[:4])
            first = pattern.search(text)
            line = text.count("\n", 0, first.start() if first else 0) + 1
            outcome = Outcome.FAIL if grave and template else Outcome.UNKNOWN
            message = f"it hides {len(found):,} {what} ({names})"
            yield Sighting(place=f"{place}, line {line}", message=message, outcome=outcome, remedy="Look at its bytes.")
