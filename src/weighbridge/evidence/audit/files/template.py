"""What a chat template does, read from its syntax tree. Here it is parsed and never rendered.

A chat template is a program (Jinja) that whoever loads the model runs on every conversation. Nearly all of them loop
over messages and put marks around them. What such templates use is listed; whatever else one does is not understood,
what reaches for Python's inner parts or other files is hostile, and text of its own that it adds to every prompt is
shown.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from weighbridge.evidence.audit.files.code_encoded import encoded_texts
from weighbridge.evidence.audit.files.hidden_text import hidden_characters
from weighbridge.evidence.audit.files.seen import Seen, hostile, shown, suspect, unknown
from weighbridge.evidence.audit.files.template_flow import Flow, folded
from weighbridge.evidence.audit.files.template_kind import (
    CALLS,
    CONTEXT,
    FILTERS,
    MAX_COUNT,
    METHODS,
    SCHEMA_WORDS,
    WRITTEN,
    Kind,
    Kinds,
    is_mark,
    is_wordy,
    words,
)
from weighbridge.evidence.audit.files.template_wording import judge_own_text
from weighbridge.evidence.record import Severity

if TYPE_CHECKING:
    from jinja2 import Environment, nodes

MAX_TEMPLATE_CHARACTERS = 256 * 1024
MAX_NODES = 50_000
_MAX_ITEMS = 200

BOUNDED_RULES = frozenset(
    {
        "template-trigger",
        "template-reads-words",
        "template-unknown-name",
        "template-own-text",
        "template-instruction",
        "template-known-text",
        "template-address",
        "template-encoded",
    }
)
"""What may be unusual in a template whose work and length are bounded all the same, so that it can be rendered."""

_NODES = words(
    """Template Output TemplateData For If Macro Assign AssignBlock ExprStmt Scope Break Continue Name NSRef Const Tuple
    List Dict Pair Keyword CondExpr Filter Test Call Getattr Getitem Slice Concat Compare Operand And Or Not Add Sub
    Mod Neg Pos"""
)
_ASKING_TESTS = words(
    """boolean defined even false float integer iterable mapping none number odd sequence string true undefined"""
)
_COMPARING_TESTS = {"eq": "eq", "equalto": "eq", "==": "eq", "ne": "ne", "!=": "ne", "in": "in", "sameas": "eq"}
_TESTS = _ASKING_TESTS | _COMPARING_TESTS.keys()
_FIELDS = words(
    """role content type text image image_url video audio tool_calls tool_call tool_call_id name id arguments function
    parameters properties required description enum items return reasoning_content reasoning thinking input_audio"""
)
_HARMLESS: Kinds = frozenset({Kind.MARK, Kind.FLAG})
_INNER = re.compile(
    "__(class|globals|subclasses|builtins|import|mro|init|base|bases|dict|call|getattribute|getattr|code|reduce)__"
)
_DATE = re.compile(r"(%-?[A-Za-z]|[\s,:/.-])*")


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading a template gave.

    Attributes:
        seen: everything remarkable, each thing once.
        bounded: whether rendering it is known to need little work and to give little text.
        literals: texts of its own that it compares, searches or prints: what it may be waiting for.
        prints: texts of its own that it may print.
    """

    seen: tuple[Seen, ...]
    bounded: bool = False
    literals: tuple[str, ...] = ()
    prints: tuple[str, ...] = ()


def read_template(source: str, place: str = "") -> Reading:
    """Read one template from its syntax tree.

    Args:
        source: the template.
        place: where it stands in its file; empty if it is the file.
    """
    if len(source) > MAX_TEMPLATE_CHARACTERS:
        text = f"a chat template of {len(source):,} characters is too long to be looked at"
        return Reading((unknown("template-too-long", text, place),))
    found = list(hidden_characters(source, place, template=True))
    from jinja2 import TemplateError

    try:
        tree = environment().parse(source)
        reader = _Reader(place, tree)
        found += reader.read(tree)
    except (TemplateError, RecursionError) as error:
        text = "nested too deep" if isinstance(error, RecursionError) else (error.message or "")[:120]
        message = f"the chat template cannot be parsed: {text}"
        return Reading((*found, unknown("template-unparsable", message, place)))
    bounded = all(seen.rule in BOUNDED_RULES or seen.severity < Severity.LOW for seen in found)
    literals = tuple(dict.fromkeys((*reader.told, *reader.literals)))
    return Reading(tuple(found), bounded, literals, tuple(reader.prints))


def environment() -> "Environment":
    """Return a Jinja environment like the one in which transformers renders templates."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment(extensions=extensions())


def extensions() -> list[Any]:
    """Return what chat templates may use beside plain Jinja: loop controls and marks around what was generated."""
    from jinja2 import nodes
    from jinja2.ext import Extension

    class Generation(Extension):
        """`{% generation %}`, with which transformers marks what the assistant wrote."""

        tags = {"generation"}  # noqa: RUF012  # as jinja2 declares it

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body).set_lineno(line)

    return ["jinja2.ext.loopcontrols", Generation]


class _Reader:
    """Walks a tree and names what it finds, each thing once."""

    def __init__(self, place: str, tree: "nodes.Template") -> None:
        self.place = place
        self.flow = Flow(tree)
        self.seen: set[str] = set()
        self.told: list[str] = []
        self.literals: list[str] = []
        self.prints: list[str] = []
        self.complaints = {id(part) for part in _complaints(tree)}

    def read(self, tree: "nodes.Template") -> Iterator[Seen]:
        from jinja2 import nodes

        waiting: list[nodes.Node] = [tree]
        while waiting:
            node = waiting.pop()
            for sighting in self.look(node):
                if sighting.message not in self.seen:
                    self.seen.add(sighting.message)
                    yield sighting
            waiting.extend(node.iter_child_nodes())
        if self.flow.renamed:
            yield self.odd(tree, f"it gives {shown(self.flow.renamed[0])} a second meaning")
        if name := self.flow.grows():
            yield self.odd(tree, f"{shown(name)} may grow beyond all bounds")
        if self.flow.runs_long():
            yield self.odd(tree, "loops stand in loops, or a macro calls itself, more often than a conversation needs")

    def look(self, node: "nodes.Node") -> Iterator[Seen]:
        from jinja2 import nodes

        match node:
            case nodes.Include() | nodes.Import() | nodes.FromImport() | nodes.Extends():
                yield self.bad(node, "it loads another template")
            case _ if type(node).__name__ not in _NODES:
                yield self.odd(node, f"it uses {type(node).__name__}")
            case nodes.Name(ctx="load"):
                if node.name not in CONTEXT.keys() | CALLS | self.flow.macros.keys() | self.flow.sources.keys():
                    message = f"it reads {shown(node.name)}, which templates are not given"
                    yield self.odd(node, message, "template-unknown-name")
            case nodes.Getattr():
                if node.attr.startswith("_") or "__" in node.attr:
                    yield self.bad(node, f"it reaches for Python's inner parts: {shown(node.attr)}")
            case nodes.Getitem():
                yield from self.item(node)
            case nodes.Const() | nodes.TemplateData():
                yield from self.constant(node)
            case nodes.List() | nodes.Tuple() | nodes.Dict() | nodes.For():
                yield from self.collection(node)
            case nodes.Concat() | nodes.Add():
                spelled = "".join(folded(node))
                self.literals.append(spelled)
                if _INNER.search(spelled):
                    yield self.bad(node, "it spells a name of Python's inner parts out of pieces")
            case nodes.Mod():
                if not self.flow.kinds(node.left) | self.flow.kinds(node.right) <= {Kind.COUNT}:
                    yield self.odd(node, "it fills in a text (`%`)")
            case nodes.Filter():
                yield from self.filtered(node)
            case nodes.Test():
                yield from self.test(node)
            case nodes.Call():
                yield from self.call(node)
            case nodes.Compare():
                yield from self.compared(node)

    def item(self, node: "nodes.Getitem") -> Iterator[Seen]:
        from jinja2 import nodes

        arguments = [node.arg]
        if isinstance(node.arg, nodes.Slice):
            arguments = [part for part in (node.arg.start, node.arg.stop, node.arg.step) if part is not None]
        elif isinstance(node.arg, nodes.Const):
            return
        if not all(self.flow.kinds(argument) <= {Kind.COUNT, Kind.FLAG} for argument in arguments):
            yield self.odd(node, "it looks something up by a name that it computed")

    def collection(self, node: "nodes.Node") -> Iterator[Seen]:
        from jinja2 import nodes

        if isinstance(node, nodes.For):
            literal = isinstance(node.iter, nodes.List | nodes.Tuple)
            if node.recursive or (not literal and Kind.LITERAL in self.flow.kinds(node.iter)):
                yield self.odd(node, "it loops over a text of its own, or over itself")
        elif isinstance(node, nodes.Dict) and not all(isinstance(pair.key, nodes.Const) for pair in node.items):
            yield self.odd(node, "it builds names")
        elif isinstance(node, nodes.List | nodes.Tuple | nodes.Dict) and len(node.items) > _MAX_ITEMS:
            yield self.odd(node, f"it lists {len(node.items):,} things")

    def call(self, node: "nodes.Call") -> Iterator[Seen]:
        from jinja2 import nodes

        called = node.node
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            yield self.odd(node, "it calls with arguments that it computed")
        if isinstance(called, nodes.Name):
            if called.name in self.flow.macros:
                return
            if called.name not in CALLS:
                yield self.odd(node, f"it calls {shown(called.name)}")
            elif called.name == "range" and not all(self.is_small(argument) for argument in node.args):
                yield self.odd(node, "it counts to a number that no conversation needs")
            elif called.name == "namespace" and node.args:
                yield self.odd(node, "it makes a namespace of something that it computed")
            elif called.name == "strftime_now" and not all(_is_date(argument) for argument in node.args):
                yield self.odd(node, "it writes a date in a form that is not understood")
        elif not isinstance(called, nodes.Getattr):
            yield self.odd(node, "it calls something that it computed")
        elif called.attr not in METHODS or node.kwargs:
            yield self.odd(node, f"it calls the method {shown(called.attr)}")
        elif called.attr == "get":
            if not (node.args and isinstance(node.args[0], nodes.Const)):
                yield self.odd(node, "it looks something up by a name that it computed")
        else:
            yield from self.treated(node, called.node, node.args)

    def is_small(self, node: "nodes.Expr") -> bool:
        return self.flow.kinds(node) <= {Kind.COUNT}

    def filtered(self, node: "nodes.Filter") -> Iterator[Seen]:
        from jinja2 import nodes

        if node.name == "attr":
            yield self.bad(node, "it reaches for attributes by computed names (`attr`)")
        elif node.name not in FILTERS or node.node is None or node.dyn_args or node.dyn_kwargs:
            yield self.odd(node, f"it uses the filter {shown(node.name)}")
        elif node.name in ("default", "d"):
            return
        elif node.name in ("map", "select", "reject", "selectattr", "rejectattr"):
            yield from self.chosen(node)
        elif node.name == "tojson":
            if not all(isinstance(item, nodes.Const) for item in node.args + [pair.value for pair in node.kwargs]):
                yield self.odd(node, "it writes JSON in a form that is not understood")
            elif not all(_is_narrow(item) for item in node.args + [pair.value for pair in node.kwargs]):
                yield self.odd(node, "it indents more than anybody reads")
        elif node.name == "join" and all(isinstance(item, nodes.Const) for item in node.args) and not node.kwargs:
            return
        elif node.kwargs:
            yield self.odd(node, f"it uses the filter {shown(node.name)} in an unusual way")
        else:
            yield from self.treated(node, node.node, node.args)

    def chosen(self, node: "nodes.Filter") -> Iterator[Seen]:
        """Look at filters whose arguments name a field, and a test or a filter."""
        from jinja2 import nodes

        texts = [item.value if isinstance(item, nodes.Const) else None for item in node.args]
        names = [item.value.value if isinstance(item.value, nodes.Const) else None for item in node.kwargs]
        by_field = node.name.endswith("attr")
        field, *rest = texts if by_field else [*(("",) if texts else ()), *texts] or [""]
        test = rest[0] if rest else None
        if node.name == "map":
            usual = (not texts and [item.key for item in node.kwargs] == ["attribute"] and names[0] in _FIELDS) or (
                not node.kwargs and len(texts) == 1 and texts[0] in ("trim", "lower", "upper", "string", "tojson")
            )
        elif test in _COMPARING_TESTS and by_field:
            usual = field in ("role", "type") and len(rest) == 2 and not node.kwargs
        elif test in _COMPARING_TESTS and node.node is not None and self.flow.kinds(node.node) <= {Kind.META}:
            usual = len(rest) == 2 and not node.kwargs
        else:
            usual = len(rest) <= 1 and (not rest or test in _ASKING_TESTS) and not node.kwargs
        if not usual or (by_field and field not in _FIELDS):
            yield self.odd(node, f"it uses the filter {shown(node.name)} in an unusual way")

    def treated(self, node: "nodes.Node", what: "nodes.Node", arguments: "Sequence[nodes.Expr]") -> Iterator[Seen]:
        """Look at the arguments of what cuts, searches or changes a text."""
        from jinja2 import nodes

        for argument in arguments:
            if not isinstance(argument, nodes.Const):
                yield self.odd(node, "it cuts, searches or changes a text by something that it computed")
            elif isinstance(argument.value, int) and abs(argument.value) > MAX_COUNT:
                yield self.odd(node, "it uses a number that no conversation needs")
            elif argument.value == "" or (self.flow.kinds(what) & (WRITTEN | {Kind.STRUCTURE})):
                yield from self.word(node, argument, cut=argument is not arguments[-1] or len(arguments) == 1)

    def word(self, node: "nodes.Node", literal: "nodes.Const", *, cut: bool) -> Iterator[Seen]:
        if cut and literal.value == "":
            yield self.odd(node, "it searches for nothing")
        elif Kind.LITERAL in self.flow.kinds(literal):
            yield self.reads(node, (str(literal.value),))

    def test(self, node: "nodes.Test") -> Iterator[Seen]:
        if node.name not in _TESTS or node.kwargs or node.dyn_args or node.dyn_kwargs:
            yield self.odd(node, f"it uses the test {shown(node.name)}")
        elif node.name in _COMPARING_TESTS:
            yield from self.related(node, [node.node, *node.args], {_COMPARING_TESTS[node.name]})
        elif node.args:
            yield self.odd(node, f"it uses the test {shown(node.name)} in an unusual way")

    def compared(self, node: "nodes.Compare") -> Iterator[Seen]:
        sides = [node.expr, *(operand.expr for operand in node.ops)]
        how = {"in" if operand.op == "notin" else operand.op for operand in node.ops}
        yield from self.related(node, sides, how)

    def related(self, node: "nodes.Node", sides: "Sequence[nodes.Node]", how: set[str]) -> Iterator[Seen]:
        """Name words in messages that it acts on: so does a template that waits for its moment."""
        from jinja2 import nodes

        kinds = [self.flow.kinds(side) for side in sides]
        read = [side for side in kinds if side & (WRITTEN | {Kind.STRUCTURE})]
        literal = any(Kind.LITERAL in side for side in kinds)
        if not read or (not literal and how <= {"eq", "ne", "in"}):
            return
        if all(side <= _HARMLESS for side in kinds if side is not read[0]) and how <= {"eq", "ne", "in"}:
            return
        first = sides[0]
        if how == {"in"} and kinds[1] == {Kind.STRUCTURE} and isinstance(first, nodes.Const) and first.value in _FIELDS:
            return
        yield self.reads(node, tuple(str(side.value) for side in sides if isinstance(side, nodes.Const)))

    def reads(self, node: "nodes.Node", literals: Sequence[str]) -> Seen:
        self.told += literals
        what = shown(literals[0]) if literals else "it compares them"
        known = all(word in SCHEMA_WORDS or not is_wordy(word) for word in literals)
        rule = "template-reads-words" if known else "template-trigger"
        return self.odd(node, f"it reads the words of a message: {what}", rule)

    def constant(self, node: "nodes.Const | nodes.TemplateData") -> Iterator[Seen]:
        from jinja2 import nodes

        text = node.value if isinstance(node, nodes.Const) else node.data
        if not isinstance(text, str):
            return
        if _INNER.search(text) and isinstance(node, nodes.Const):
            yield self.bad(node, f"it names Python's inner parts in a text: {shown(text)}")
            return
        if id(node) in self.complaints:
            return
        if isinstance(node, nodes.Const) and is_wordy(text) and text not in _FIELDS and not is_mark(text):
            self.literals.append(text)
        for blob in encoded_texts(text):
            message = f"the chat template holds an encoded text: {blob.what}"
            yield hostile("template-encoded", message, self.where(node), Severity.HIGH)
        if "://" in text:
            yield self.odd(node, f"it names an address: {shown(text)}", "template-address")
        elif (judged := judge_own_text(text, self.where(node))) is not None:
            self.prints.append(text)
            yield judged

    def bad(self, node: "nodes.Node", message: str) -> Seen:
        return hostile("template-attack", f"the chat template is hostile: {message}", self.where(node))

    def odd(self, node: "nodes.Node", message: str, rule: str = "template-construct") -> Seen:
        text = f"the chat template is not fully understood here: {message}"
        if rule in ("template-trigger", "template-address"):
            return suspect(rule, text, self.where(node))
        severity = Severity.LOW if rule in BOUNDED_RULES else Severity.MEDIUM
        return unknown(rule, text, self.where(node), severity)

    def where(self, node: "nodes.Node") -> str:
        return f"{self.place}, line {node.lineno}" if self.place else f"line {node.lineno}"


def _is_date(node: "nodes.Node") -> bool:
    """Say whether a format of a date has nothing but the usual codes: a width could be any number."""
    from jinja2 import nodes

    return isinstance(node, nodes.Const) and isinstance(node.value, str) and _DATE.fullmatch(node.value) is not None


def _is_narrow(node: "nodes.Node") -> bool:
    from jinja2 import nodes

    value = node.value if isinstance(node, nodes.Const) else None
    return not (isinstance(value, int) and value > MAX_COUNT) and not (isinstance(value, str) and len(value) > 8)


def _complaints(tree: "nodes.Template") -> Iterator["nodes.Node"]:
    """Yield the texts with which a template refuses a conversation: nobody but the caller reads them."""
    from jinja2 import nodes

    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name == "raise_exception":
            for argument in call.args:
                yield argument
                yield from argument.find_all(nodes.Const)
