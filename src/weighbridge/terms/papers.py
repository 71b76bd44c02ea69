"""The papers that ship beside a model: LICENSE, NOTICE, the texts of inherited licences, and the policies they include.

Texts are kept word for word. Nothing is written here that the terms, the works or the publisher did not state.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from weighbridge.errors import InputError
from weighbridge.terms.chain import Chain, Work
from weighbridge.terms.expression import Leaf, parse, unreadable
from weighbridge.terms.fact import Activity, Duty, DutyKind, Source
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

    Raises:
        InputError: if no text of the licence is there to be shipped.
    """
    own = _own_text(terms, chain, registry, copyright_line, license_text)
    texts = tuple(_texts(terms, chain, registry, own))
    found: dict[str, bytes] = {}
    if len(terms.licences) == 1 and " OR " not in terms.expression:
        found[LICENSE] = own or next((text.content for text in texts if text.content), b"")
        if not found[LICENSE].strip():
            raise InputError(
                f"the text of {terms.expression} neither came along nor is archived here",
                place=LICENSE,
                hint="Put the text in a file and name it with `license_file`.",
            )
        texts = tuple(_texts(terms, chain, registry, own, besides=found[LICENSE]))
    else:
        found[LICENSE] = _index(model, terms, texts).encode("utf-8")
    found |= {text.path: text.content for text in texts if text.content}
    policies = dict(_policies(terms, chain, registry))
    found |= policies
    found[NOTICE] = _notice(terms, chain, model, title, copyright_line, changes, sorted(policies)).encode("utf-8")
    return dict(sorted(found.items()))


def _own_text(terms: Terms, chain: Chain, registry: Registry, copyright_line: str, given: bytes | str | None) -> bytes:
    if given is not None:
        return given.encode("utf-8") if isinstance(given, str) else given
    root = chain.by_ref()[chain.root]
    if root.license_text:
        return root.license_text.encode("utf-8")
    leaves = _leaves(root.license or terms.expression, registry)
    text = registry.text(leaves[0].licence) if len(leaves) == 1 and leaves[0].licence else None
    if text is None:
        return b""
    holder = copyright_line.strip() or f"the authors of {chain.root}"
    return text.replace(_COPYRIGHT, holder).encode("utf-8")


def _texts(terms: Terms, chain: Chain, registry: Registry, own: bytes, *, besides: bytes = b"") -> Iterator[_Text]:
    """Yield every text of a licence in force: as it came along with each work, else as it is archived.

    What says the same as `besides` is left out.
    """
    holders = _holders(terms, chain, registry)
    taken: set[str] = set()
    declared = chain.by_ref()[chain.root].license
    if own and len(_leaves(declared, registry)) > 1:
        yield _Text(
            path=_path(THIRD_PARTY, declared, own, taken), expression=declared, works=(chain.root,), content=own
        )
    for expression, (leaf, works) in sorted(holders.items()):
        distinct: dict[str, tuple[bytes, list[str]]] = {}
        for work in works:
            content = _text_of(work, leaf, registry, own if work.ref == chain.root else b"")
            distinct.setdefault(_words(content), (content, []))[1].append(work.ref)
        if len(distinct) > 1:
            distinct.pop("", None)
        if besides:
            distinct.pop(_words(besides), None)
        for content, refs in distinct.values():
            path = _path(THIRD_PARTY, expression, content, taken)
            yield _Text(path=path, expression=expression, works=tuple(refs), content=content)


def _holders(terms: Terms, chain: Chain, registry: Registry) -> dict[str, tuple[Leaf, list[Work]]]:
    """Return the works of every licence in force, the root first, then by name."""
    lineage = trace(chain)
    in_force = frozenset(terms.licences)
    related = {chain.root} | lineage.weights | lineage.teachers | lineage.distant
    found: dict[str, tuple[Leaf, list[Work]]] = {}
    for work in sorted(chain.works, key=lambda work: (work.ref != chain.root, work.ref)):
        if work.ref not in related:
            continue
        stated = work.license or (terms.expression if work.ref == chain.root else "")
        for leaf in _leaves(stated, registry):
            if leaf.id in in_force or work.ref == chain.root:
                found.setdefault(leaf.expression, (leaf, []))[1].append(work)
    return found


def _leaves(stated: str, registry: Registry) -> tuple[Leaf, ...]:
    try:
        return parse(stated, registry).leaves
    except InputError:
        return unreadable(stated).leaves


def _text_of(work: Work, leaf: Leaf, registry: Registry, own: bytes) -> bytes:
    """Return the text under which `work` is; empty if nobody has it."""
    alone = len(_leaves(work.license, registry)) == 1
    if alone and own:
        return own
    if alone and work.license_text:
        return work.license_text.encode("utf-8")
    text = registry.text(leaf.licence) if leaf.licence else None
    return text.replace(_COPYRIGHT, f"the authors of {work.ref}").encode("utf-8") if text else b""


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
