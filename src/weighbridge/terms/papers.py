"""The papers that ship beside a model: LICENSE, NOTICE, the texts of inherited licences, and the policies they include.

Texts are kept word for word. Nothing is written here that the terms, the works or the publisher did not state.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from weighbridge.errors import InputError
from weighbridge.terms.chain import Chain, Work
from weighbridge.terms.expression import Leaf, parse, unreadable
from weighbridge.terms.fact import Activity, Duty, DutyKind, Source
from weighbridge.terms.force import DERIVATIVE
from weighbridge.terms.licence import Parent, notice
from weighbridge.terms.lineage import trace
from weighbridge.terms.registry import Registry, archived
from weighbridge.terms.terms import Obligation, Terms

LICENSE = "LICENSE"
NOTICE = "NOTICE"
THIRD_PARTY = "THIRD_PARTY"
USE_POLICY = "USE_POLICY"

_COPYRIGHT = "{copyright}"
_MAX_NAME = 100
_MAX_HOLDERS = 20
_RULE = "-" * 78


@dataclass(frozen=True, slots=True, kw_only=True)
class _Text:
    """A licence text to ship: `path` is where it lies; empty content if nobody has it."""

    path: str
    expression: str
    works: tuple[str, ...]
    content: bytes


def papers(
    terms: Terms,
    chain: Chain,
    registry: Registry,
    *,
    model: str,
    title: str = "",
    copyright_line: str = "",
    changes: Sequence[str] = (),
    license_text: bytes | str | None = None,
    beside: Mapping[str, str] | None = None,
) -> Mapping[str, bytes]:
    """Return the papers by their path in the release.

    Args:
        terms: what `resolve` made of `chain`.
        chain: everything that the model descends from.
        registry: the licences that are known.
        model: `owner/name` of the version.
        title: its title; `model` if empty.
        copyright_line: year and holder, without the word "Copyright".
        changes: what was done to the files, one sentence each.
        license_text: text of the licence that the publisher declares; the archived one if None.
        beside: licences of code and data that lie in the release beside the weights, by their path.

    Raises:
        InputError: if no text of the licence is there to be shipped.
    """
    shelf = _Shelf(terms=terms, chain=chain, registry=registry, copyright_line=copyright_line.strip())
    own = shelf.own(license_text)
    texts = tuple(shelf.texts(own))
    found: dict[str, bytes] = {}
    if len(terms.licences) == 1 and " OR " not in terms.expression:
        found[LICENSE] = own or next((text.content for text in texts if text.content), b"")
        if not found[LICENSE].strip():
            raise InputError(
                f"the text of {terms.expression} neither came along nor is archived here",
                place=LICENSE,
                hint="Put the text in a file and name it with `license_file`.",
            )
        texts = tuple(shelf.texts(own, besides=found[LICENSE]))
    else:
        found[LICENSE] = _index(model, terms, texts).encode("utf-8")
    found |= {text.path: text.content for text in texts if text.content}
    found |= shelf.texts_beside(beside or {}, [text.expression for text in texts])
    policies = dict(_policies(terms, chain, registry))
    found |= policies
    notice_text = _notice(terms, chain, model, title, copyright_line, changes, sorted(policies))
    found[NOTICE] = (notice_text + _beside(beside or {})).encode("utf-8")
    return dict(sorted(found.items()))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shelf:
    """Finds the texts of the licences in force. `read` remembers what each stated licence names."""

    terms: Terms
    chain: Chain
    registry: Registry
    copyright_line: str
    read: dict[str, tuple[Leaf, ...]] = field(default_factory=dict)

    def leaves(self, work: Work) -> tuple[Leaf, ...]:
        """Return the licences that `work` states; the root, if it states none, those in force."""
        return self._read(work.license or (self.terms.expression if work.ref == self.chain.root else ""))

    def _read(self, stated: str) -> tuple[Leaf, ...]:
        if stated not in self.read:
            try:
                self.read[stated] = parse(stated, self.registry).leaves
            except InputError:
                self.read[stated] = unreadable(stated).leaves
        return self.read[stated]

    def own(self, given: bytes | str | None) -> bytes:
        """Return the text of the licence that the root declares; empty if there is none."""
        if given is not None:
            return given.encode("utf-8") if isinstance(given, str) else given
        root = self.chain.by_ref()[self.chain.root]
        if root.license_text:
            return root.license_text.encode("utf-8")
        leaves = self.leaves(root)
        return (
            self.archived(leaves[0], self.copyright_line or f"the authors of {root.ref}") if len(leaves) == 1 else b""
        )

    def archived(self, leaf: Leaf, holder: str) -> bytes:
        """Return the archived text with `holder` in its copyright line; empty if there is none."""
        text = self.registry.text(leaf.licence) if leaf.licence else None
        return text.replace(_COPYRIGHT, holder).encode("utf-8") if text else b""

    def texts(self, own: bytes, *, besides: bytes = b"") -> Iterator[_Text]:
        """Yield every text of a licence in force: as it came along with each work, else as it is archived.

        What says the same as `besides` is left out.
        """
        taken: set[str] = set()
        root = self.chain.by_ref()[self.chain.root]
        if own and len(self.leaves(root)) > 1:
            path = _path(THIRD_PARTY, root.license, own, taken)
            yield _Text(path=path, expression=root.license, works=(root.ref,), content=own)
        for expression, (leaf, works) in sorted(self._holders().items()):
            distinct = self._distinct(leaf, works, own)
            if len(distinct) > 1:
                distinct.pop("", None)
            if besides:
                distinct.pop(_words(besides), None)
            for content, refs in distinct.values():
                path = _path(THIRD_PARTY, expression, content, taken)
                yield _Text(path=path, expression=expression, works=tuple(refs), content=content)

    def texts_beside(self, licences: Mapping[str, str], shipped: Iterable[str]) -> dict[str, bytes]:
        """Return the archived texts of code and data that are under other licences than those in force."""
        known = {leaf.expression: leaf for stated in licences.values() for leaf in self._read(stated)}
        for expression in (*shipped, self.terms.expression):
            known.pop(expression, None)
        holder = self.copyright_line or f"the authors of {self.chain.root}"
        texts = {f"{THIRD_PARTY}/{_safe(name)}.txt": self.archived(leaf, holder) for name, leaf in known.items()}
        return {path: text for path, text in texts.items() if text}

    def _holders(self) -> dict[str, tuple[Leaf, list[Work]]]:
        """Return the works of every licence in force, the root first, then by name."""
        lineage = trace(self.chain)
        in_force = frozenset(self.terms.licences)
        taught = lineage.teachers | lineage.distant
        found: dict[str, tuple[Leaf, list[Work]]] = {}
        for work in sorted(self.chain.works, key=lambda work: (work.ref != self.chain.root, work.ref)):
            for leaf in self.leaves(work):
                own = work.ref == self.chain.root
                held = work.ref in lineage.weights or (work.ref in taught and _carries(leaf))
                if own or (held and leaf.id in in_force):
                    found.setdefault(leaf.expression, (leaf, []))[1].append(work)
        return found

    def _distinct(self, leaf: Leaf, works: Iterable[Work], own: bytes) -> dict[str, tuple[bytes, list[str]]]:
        """Return each text under which any of `works` is, with their refs, by its words."""
        found: dict[str, tuple[bytes, list[str]]] = {}
        without: list[str] = []
        for work in works:
            if mine := self._came_along(work, leaf, own):
                found.setdefault(_words(mine), (mine, []))[1].append(work.ref)
            else:
                without.append(work.ref)
        if without:
            others = " and others" if without[_MAX_HOLDERS:] else ""
            content = self.archived(leaf, f"the authors of {', '.join(without[:_MAX_HOLDERS])}{others}")
            found.setdefault(_words(content), (content, []))[1].extend(without)
        return found

    def _came_along(self, work: Work, leaf: Leaf, own: bytes) -> bytes:
        """Return the text that came along with a work under this licence; empty if none did."""
        alone = len(self.leaves(work)) == 1
        if work.ref != self.chain.root:
            return (work.license_text or "").encode("utf-8") if alone else b""
        return own if alone else self.archived(leaf, self.copyright_line) if self.copyright_line else b""


def _carries(leaf: Leaf) -> bool:
    return leaf.licence is not None and leaf.licence.distilled_is_derivative.answer in DERIVATIVE


def _words(content: bytes) -> str:
    return " ".join(content.decode("utf-8", "replace").split())


def _index(model: str, terms: Terms, texts: Iterable[_Text]) -> str:
    lines = [
        f"{model} is under these licences:",
        "",
        f"    {terms.expression}",
        "",
        "Each text, and what of the model it comes from:",
        "",
    ]
    for text in texts:
        where = text.path if text.content else "its text did not come along; ask the publisher of the work for it"
        lines += [f"  - {text.expression}: {where}", *(f"      {ref}" for ref in text.works)]
    return "\n".join(lines) + "\n"


def _policies(terms: Terms, chain: Chain, registry: Registry) -> Iterator[tuple[str, bytes]]:
    """Yield the archived policies that the licences in force include."""
    sources: list[Source] = [source for work in chain.works for source in work.use_policies]
    for name in terms.licences:
        licence = registry.get(name)
        sources += [source for source in licence.sources if source.what == "use-policy"] if licence else []
    for source in sources:
        if not source.file:
            continue
        try:
            content = archived(source.file).encode("utf-8")
        except InputError:
            continue  # Archived elsewhere, by whoever stated the chain; its address stands in the NOTICE.
        digest = hashlib.sha256(content).hexdigest()
        yield f"{USE_POLICY}/{_safe(source.file.rpartition('.')[0])}@{digest[:12]}.txt", content


def _notice(
    terms: Terms,
    chain: Chain,
    model: str,
    title: str,
    copyright_line: str,
    changes: Sequence[str],
    policies: Sequence[str],
) -> str:
    works = chain.by_ref()
    parents = sorted({(edge.parent, edge.relation) for edge in chain.edges})
    first = notice(
        model,
        [Parent(ref=ref, relation=how, license=works[ref].license or "not stated") for ref, how in parents],
        license_id=terms.expression,
        title=title,
        copyright_line=copyright_line,
        changes=changes,
    ).rstrip("\n")
    blocks = [first, *_required(terms), *_addresses(chain)]
    if policies:
        blocks.append("Policies that the licences include:\n\n" + "\n".join(f"  - {path}" for path in policies))
    lineage = trace(chain)
    kept = (lineage.weights | lineage.teachers | lineage.code) - {chain.root}
    came = [(ref, works[ref].notice.strip()) for ref in sorted(kept)]
    blocks += [f"{_RULE}\nNOTICE of {ref}:\n\n{text}" for ref, text in came if text]
    return "\n\n".join(blocks) + "\n"


def _beside(licences: Mapping[str, str]) -> str:
    if not licences:
        return ""
    lines = "\n".join(f"  - {path}: {licence or 'licence not stated'}" for path, licence in sorted(licences.items()))
    return f"\nBeside the weights lie, under licences of their own:\n\n{lines}\n"


def _required(terms: Terms) -> Iterator[str]:
    """Yield the words that licences ask for, verbatim, each on a line of its own."""
    here = [x for x in terms.duties if {*x.duty.on} != {Activity.TRAIN_ON_OUTPUTS} or _taught(terms, x)]
    lines = sorted({x.duty.text for x in here if x.duty.kind is DutyKind.NOTICE_LINE})
    yield from lines
    badges = [x for x in here if x.duty.kind is DutyKind.BADGE]
    if always := sorted({x.duty.text for x in badges if not x.duty.above_threshold}):
        yield "To be shown prominently with the model and with what is built on it:\n\n" + "\n".join(always)
    for item in badges:
        if item.duty.above_threshold:
            yield f"{_limits(terms, item.licence, item.duty)}, to be shown prominently:\n\n{item.duty.text}"
    if terms.name_prefix:
        yield f"Names of models made from it have to begin with: {terms.name_prefix}"
    bound = sorted({x.licence for x in terms.fields if x.fact.flow_down})
    if bound:
        yield f"Recipients are bound to the limits of use in {', '.join(bound)}; whoever hands it on binds theirs, too."


def _taught(terms: Terms, item: Obligation) -> bool:
    return item.licence not in terms.licences


def _limits(terms: Terms, licence: str, duty: Duty) -> str:
    named = [x.fact for x in terms.thresholds if x.licence == licence and x.fact.duty == duty.id]
    amounts = " or ".join(f"{fact.above:,} ({fact.metric})" for fact in named)
    return f"Above {amounts or 'the threshold'} of {licence}"


def _addresses(chain: Chain) -> Iterator[str]:
    sources = sorted(
        {
            (x.url, str(x.seen or "an unknown day"), x.sha256 or "not recorded")
            for w in chain.works
            for x in w.use_policies
        }
    )
    if sources:
        lines = "\n".join(f"  - {url} (seen on {seen}, SHA-256 {sha256})" for url, seen, sha256 in sources)
        yield f"Policies that came with the works:\n\n{lines}"


def _path(folder: str, name: str, content: bytes, taken: set[str]) -> str:
    """Return a path that no other has, whatever the file system makes of case."""
    safe = _safe(name)
    if safe.lower() in taken:
        safe = f"{safe}-{hashlib.sha256(content).hexdigest()[:8]}"
    taken.add(safe.lower())
    return f"{folder}/{safe}.txt"


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.+]+", "-", name).strip("-.")[:_MAX_NAME].strip("-.") or "text"
