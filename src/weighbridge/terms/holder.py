"""Which lines name the year and holder of a copyright, and nothing else.

A line counts only if every word of it has a place: the mark, years, names, links. A name is short, its words begin with
a capital or are among the few that join names, and no other punctuation may stand in it: so there is no room for a
sentence, in whatever language. What is no such line is for a human to read.
"""

import re
import unicodedata

_MAX_LINE = 200
_MAX_WORDS = 16
_MAX_NAME_WORDS = 8
_MAX_UNCASED = 12
_MAX_UNCASED_WORDS = 2

_RESERVED = re.compile(r"(?:^|[\s.,])\s*All rights reserved\.?\s*\Z", re.IGNORECASE)
_MARK = re.compile(r"\s*(?:(?:Copyright|COPYRIGHT)(?=[\s\u00a9(]|\Z)|\([cC]\)|\u00a9)")
_YEAR = r"(?:19|20)\d\d"
_YEARS = rf"{_YEAR}(?:\s?-\s?(?:{_YEAR}|\d\d|present|now|today)|-)?(?![\w-])"
_ADDRESS = r"[\w.+-]{1,64}@[\w-]{1,40}(?:\.[\w-]{1,40}){1,4}"
_SITE = r"(?:https?://)?[\w-]{1,40}(?:\.[\w-]{1,40}){1,4}(?:/[\w.~@-]{0,39}){0,3}"
_BARE_SITE = r"https?://[\w-]{1,40}(?:\.[\w-]{1,40}){1,4}(?:/[\w~@-]{0,39}){0,3}"
_LINK = rf"<(?:mailto:)?{_ADDRESS}>|<{_SITE}>|\((?:{_ADDRESS}|{_SITE})\)|{_BARE_SITE}"
_BLANK = (
    r"\[yyyy\]|\{yyyy\}|[<\[{]year[>\]}]|[<\[{]name of (?:copyright owner|author)[>\]}]"
    r"|[<\[{](?:copyright holders?|fullname|owner)[>\]}]"
)
_ABBREVIATION = r"(?:[^\W\d_]\.)+(?:[^\W\d_](?!\w))?|(?:Inc|Ltd|Co|Corp|Pte|Pty|Jr|Sr|Dr|Prof|St|al)\."
_WORD = r"[^\W_]+(?:['/_-][^\W_]+)*(?:\.[A-Za-z]{2,4}(?!\w))?"
_TOKEN = re.compile(
    rf"\s*(?:(?P<years>{_YEARS})|(?P<link>{_LINK})|(?P<blank>{_BLANK})|(?P<part>[,&])"
    rf"|(?P<word>{_ABBREVIATION}|{_WORD}))"
)
# What `papers` writes where nobody said who the holder is.
_REF = r"[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,200}"
_AUTHORS = re.compile(rf"Copyright \(c\) the authors of {_REF}(?:, {_REF}){{0,30}}(?: and others)?\Z")
_LETTERS = re.compile(r"[^\W\d_]+")
_JOINING_WORDS = """
    a affiliate affiliates al and and/or author authors by contributing contributor contributors da de del den der des
    developer developers di do dos du e el et for group in individual its la le maintainer maintainers member members of
    on or original other others project team ten ter the to und van von y zu
"""
_JOINING = frozenset(_JOINING_WORDS.split())
# A second bar, for terms that are written like a name. Beginnings of words, in lower case.
_TERM = re.compile(
    r"""(?:
    may|must|shall|can|cannot|never|not|non|no|only|except|unless|if|without|with|
    companies|company\Z|business(?:es)?|firms?|pays?|paid|paying|fees?|price|cost|eur|euros?|usd|dollars?|
    personal|private|privately|academic|educational|evaluation|military|
    nur|keine?n?|nicht|privat|fuer|für|kosten|zahlen|verboten|untersagt|seul|uniquement|pas|sans|interdit|usage|
    solo|sólo|sin|prohibido|uso|solamente|senza|vietato|proibido|только|без|нельзя|запрещ\w*|не
    )\Z
    |(?:provid|prohibit|forbid|permi|grant|requir|subject|condition|us(?:e|es|ed|ing)\Z|cop(?:y|ies|ying)\Z|distribut
    |modif|sell|selling|licen[cs]|sublicen|terms?\Z|agree|terminat|revok|restrict|exclu|commerc|noncommerc|nonprofit
    |kommerz|nichtkomm|nutz|comerc|commerz|некомм|коммерч|использ)""",
    re.VERBOSE,
)
_UNCASED_TERM = re.compile("[禁不止須须需非仅僅限付费費許许商用可得]|금지|상업|허가|בלבד|فقط")


def names_holder(line: str) -> bool:
    """Say whether `line` names year and holder of a copyright, or reserves all rights, and says nothing else."""
    line = " ".join(unicodedata.normalize("NFC", line).split())
    if _AUTHORS.match(line):
        return _says_no_term(line.partition(" the authors of ")[2])
    if len(line) > _MAX_LINE:
        return False
    bare = _RESERVED.sub("", line)
    if bare != line and not bare.strip():
        return True
    start = 0
    while mark := _MARK.match(bare, start):
        start = mark.end()
    return start > 0 and _only_names(bare[start:].rstrip().removesuffix("."))


def _only_names(text: str) -> bool:
    """Whether `text` is years, names and links, at least one of them."""
    name: list[str] = []
    names: list[list[str]] = [name]
    start, found = 0, False
    while start < len(text):
        if (token := _TOKEN.match(text, start)) is None:
            return False
        start = token.end()
        if token["word"]:
            name.append(token["word"])
        elif name:
            name = []
            names.append(name)
        found = found or not token["part"]
    names = [words for words in names if words]
    words = [word for each in names for word in each]
    sound = len(words) <= _MAX_WORDS and all(_is_name(each, first=each is names[0]) for each in names)
    return found and sound and _says_no_term(text) and _script_holds(words)


def _is_name(words: list[str], *, first: bool) -> bool:
    """Whether words may be one name. Only the first holder's may be a handle, which begins with a small letter."""
    proper = [word for word in words if word.lower() not in _JOINING]
    small = [word for word in proper if word[0].islower()]
    if len(words) > _MAX_NAME_WORDS or any(word.isdigit() for word in words):
        return False
    return not small or (first and small == proper[:1])


def _says_no_term(text: str) -> bool:
    words = [word.casefold() for word in _LETTERS.findall(text)]
    if "for" in words and "research" in words:
        return False
    return not any(map(_TERM.match, words)) and not _UNCASED_TERM.search(text)


def _script_holds(words: list[str]) -> bool:
    """Whether no word mixes scripts, and words without capitals, which show no name, are all that there is, and few."""
    for word in words:
        if len({_script(letter) for letter in word if letter.isalpha()}) > 1:
            return False
    uncased = [word for word in words if any(_is_uncased(letter) for letter in word)]
    return not uncased or (len(uncased) == len(words) <= _MAX_UNCASED_WORDS and sum(map(len, words)) <= _MAX_UNCASED)


def _is_uncased(letter: str) -> bool:
    return letter.isalpha() and letter.lower() == letter.upper()


def _script(letter: str) -> str:
    """Return the script of a letter, which its Unicode name begins with."""
    return unicodedata.name(letter, "?").split(maxsplit=1)[0].split("-")[0]
