"""The words of a vocabulary, and tokens that nobody sees.

A model writes a token as one piece. Parts of addresses and commands are tokens of honest vocabularies; a whole address
with what is to be fetched from it, or a whole command for a shell, is none that a language needs.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator

from weighbridge.evidence.audit.files.seen import Seen, shown, suspect

_MESSAGES = 5
_MIN_CHARACTERS, _MAX_CHARACTERS = 8, 10_000
_ADDRESS = re.compile(
    r"\b[a-z][a-z0-9+.-]{1,20}://(?:[^/@\s]{1,64}@)?([\w.-]{1,253})(?::\d{1,5})?/[\w~%-]", re.IGNORECASE
)
# Addresses on these are in licences, namespaces and quotations of every large text, so that learned vocabularies have
# them whole.
_OFTEN_QUOTED = re.compile(
    r"""(?:\A|\.)(?:w3|apache|gnu|wikipedia|wikimedia|mozilla|creativecommons|opensource|doi|arxiv|openstreetmap
    |python|eclipse|xmlsoap|purl|jquery|php)\.org\Z
    |(?:\A|\.)(?:google|googleapis|youtube|github|twitter|facebook|instagram|linkedin|imgur|reddit|flickr|amazon|android
    |microsoft|adobe|stackoverflow|stackexchange|blogspot|wordpress)\.com\Z|\A(?:t\.co|youtu\.be|goo\.gl)\Z""",
    re.VERBOSE | re.IGNORECASE,
)
_COMMAND = re.compile(
    r"""\b(?:curl|wget)\s[^|;&\n]{1,300}\|\s*(?:sudo\s+)?(?:ba|z|da)?sh\b|://[^\s|]{1,300}\|\s*(?:ba|z|da)?sh\b
    |/bin/(?:ba|z|da)?sh\s+-[ic]\b|\b(?:bash|sh)\s+-[ic]\s|/dev/tcp/|\bpowershell(?:\.exe)?\s+-|\bnc\s+-e\b
    |;\s*rm\s+-rf\b|\brm\s+-rf\s+[/~]|\bpython3?\s+-c\s|\b(?:os\.system|subprocess\.\w+|eval|exec)\([^)]{3,}\)""",
    re.VERBOSE | re.IGNORECASE,
)


def inspect_words(tokens: Iterable[object], place: str) -> Iterator[Seen]:
    """Yield ordinary tokens that are whole addresses or commands.

    Args:
        tokens: the texts of a vocabulary; what is no text is passed over.
        place: where they stand.
    """
    told = 0
    for token in tokens:
        if not isinstance(token, str) or not _MIN_CHARACTERS <= len(token) <= _MAX_CHARACTERS:
            continue
        # How vocabularies of bytes and of pieces write a space and a new line.
        text = token.replace("\u0120", " ").replace("\u2581", " ").replace("\u010a", "\n")
        if _COMMAND.search(text):
            what = "a command for a shell"
        elif (match := _ADDRESS.search(text)) and not _OFTEN_QUOTED.search(match.group(1)):
            what = "a whole address"
        else:
            continue
        yield suspect("vocabulary-word", f"a token of the vocabulary is {what}: {shown(text)}", place)
        told += 1
        if told >= _MESSAGES:
            return


def is_unseen(content: str) -> bool:
    """Say whether a token has characters that are no white space, and none of them can be seen."""
    solid = [letter for letter in content if not letter.isspace()]
    return bool(solid) and all(
        unicodedata.category(letter) in ("Cf", "Cc", "Cn") or letter in "\u034f\u115f\u1160\u3164\uffa0"
        for letter in solid
    )
