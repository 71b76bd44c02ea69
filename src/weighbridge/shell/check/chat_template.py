"""What a chat template does, read from its syntax tree. It is parsed and never rendered.

A chat template is a program (Jinja) that whoever loads the model runs on every conversation. Nearly all of them loop
over messages and put marks around them. What goes beyond that is named: what reaches for Python's inner parts or other
files fails, what is merely not understood is unknown, and text of its own that it adds to every prompt is shown.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from weighbridge.adopt.check.answer import Outcome
from weighbridge.adopt.check.subject import Sighting
from weighbridge.shell.check.hidden_text import hidden_characters

if TYPE_CHECKING:
    from jinja2 import Environment, nodes

MAX_TEMPLATE_CHARACTERS = 256 * 1024
_MAX_SHOWN = 120
_MAX_RANGE = 100_000
_LONG_TEXT = 40


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FILTERS = _words(
    """abs batch capitalize count d default dictsort e escape first float forceescape groupby indent int items join last
    length list lower map max min reject rejectattr replace reverse round safe select selectattr slice sort string sum
    title tojson trim truncate unique upper"""
)
_TESTS = _words(
    """boolean callable defined divisibleby eq equalto even false filter float ge gt greaterthan in integer iterable le
    lessthan lower lt mapping ne none number odd sameas sequence string test true undefined upper"""
)
_CALLS = frozenset({"raise_exception", "strftime_now", "namespace", "range", "dict", "cycler", "joiner", "caller"})
_METHODS = _words(
    """append capitalize count endswith extend find get index insert items join keys lower lstrip pop replace
    rfind rsplit rstrip split splitlines startswith strip title update upper values isdigit"""
)
_ADVICE = "Read it, or replace it by a template that you wrote."


def template_sightings(source: str, place: str) -> Iterator[Sighting]:
    """Yield what is remarkable about the template `source`, which stands at `place`."""
    if len(source) > MAX_TEMPLATE_CHARACTERS:
        text = f"a chat template of {len(source):,} characters is too long to be looked at"
        yield Sighting(place=place, message=text, outcome=Outcome.UNKNOWN, remedy=_ADVICE)
        return
    yield from hidden_characters(source, place, template=True)
    from jinja2 import TemplateError

    try:
        tree = _environment().parse(source)
        yield from _Reader(place).read(tree)
    except (TemplateError, RecursionError) as error:
        text = "nested too deep" if isinstance(error, RecursionError) else (error.message or "")[:_MAX_SHOWN]
        message = f"the chat template cannot be parsed: {text}"
        yield Sighting(place=place, message=message, outcome=Outcome.UNKNOWN, remedy=_ADVICE)


def _environment() -> "Environment":
    from jinja2 import nodes
    from jinja2.ext import Extension
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}`, with which transformers marks what the assistant wrote."""

        tags = {"generation"}  # noqa: RUF012  # as jinja2 declares it

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body).set_lineno(line)

    # transformers renders templates in this environment.
    return ImmutableSandboxedEnvironment(extensions=["jinja2.ext.loopcontrols", Generation])


class _Reader:
    """Walks a tree and names what it finds, each thing once."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.macros: set[str] = set()
        self.seen: set[str] = set()

    def read(self, tree: "nodes.Template") -> Iterator[Sighting]:
        from jinja2 import nodes

        self.macros = {macro.name for macro in tree.find_all(nodes.Macro)}
        waiting: list[nodes.Node] = [tree]
        while waiting:
            node = waiting.pop()
            for sighting in self.look(node):
                if sighting.message not in self.seen:
                    self.seen.add(sighting.message)
                    yield sighting
            waiting.extend(node.iter_child_nodes())

    def look(self, node: "nodes.Node") -> Iterator[Sighting]:
        from jinja2 import nodes

        match node:
            case nodes.Include() | nodes.Import() | nodes.FromImport() | nodes.Extends():
                yield self.bad(node, "it loads another template")
            case nodes.Getattr():
                yield from self.attribute(node, node.attr)
            case nodes.Const():
                yield from self.constant(node)
            case nodes.TemplateData():
                yield from self.data(node)
            case nodes.Filter():
                if node.name == "attr":
                    yield self.bad(node, "it reaches for attributes by computed names (`attr`)")
                elif node.name not in _FILTERS:
                    yield self.odd(node, f"it uses the filter {_shown(node.name)}")
            case nodes.Test():
                if node.name not in _TESTS:
                    yield self.odd(node, f"it uses the test {_shown(node.name)}")
            case nodes.Call():
                yield from self.call(node)
            case nodes.Compare():
                yield from self.comparison(node)

    def call(self, node: "nodes.Call") -> Iterator[Sighting]:
        from jinja2 import nodes

        called = node.node
        if isinstance(called, nodes.Name):
            if called.name not in _CALLS | self.macros:
                yield self.odd(node, f"it calls {_shown(called.name)}")
            if called.name == "range" and any(
                isinstance(arg, nodes.Const) and isinstance(arg.value, int) and arg.value > _MAX_RANGE
                for arg in node.args
            ):
                yield self.odd(node, "it counts to a number that no conversation needs")
        elif isinstance(called, nodes.Getattr):
            if called.attr not in _METHODS:
                yield self.odd(node, f"it calls the method {_shown(called.attr)}")
        else:
            yield self.odd(node, "it calls something that it computed")

    def attribute(self, node: "nodes.Node", name: str) -> Iterator[Sighting]:
        if name.startswith("_") or "__" in name:
            yield self.bad(node, f"it reaches for Python's inner parts: {_shown(name)}")

    def constant(self, node: "nodes.Const") -> Iterator[Sighting]:
        if not isinstance(node.value, str):
            return
        inner = ("__class__", "__globals__", "__subclasses__", "__builtins__", "__import__", "__mro__", "__init__")
        if any(word in node.value for word in inner):
            yield self.bad(node, f"it names Python's inner parts in a text: {_shown(node.value)}")
        elif "://" in node.value:
            yield self.odd(node, f"it names an address: {_shown(node.value)}")
        elif _is_prose(node.value):
            yield self.own_text(node, node.value)

    def data(self, node: "nodes.TemplateData") -> Iterator[Sighting]:
        if "://" in node.data:
            yield self.odd(node, f"it names an address: {_shown(node.data)}")
        elif _is_prose(node.data):
            yield self.own_text(node, node.data)

    def comparison(self, node: "nodes.Compare") -> Iterator[Sighting]:
        """Name words in messages that it acts on: so does a template that waits for its moment."""
        from jinja2 import nodes

        sides = [node.expr, *(operand.expr for operand in node.ops)]
        if any(_is_content(side) for side in sides):
            for side in sides:
                if isinstance(side, nodes.Const) and isinstance(side.value, str) and _is_word(side.value):
                    yield self.odd(node, f"it acts on a word in messages: {_shown(side.value)}")

    def bad(self, node: "nodes.Node", message: str) -> Sighting:
        where = f"{self.place}, line {node.lineno}"
        remedy = "Do not load this model: its template was made to attack whoever does. Tell the publisher."
        return Sighting(
            place=where, message=f"the chat template is hostile: {message}", outcome=Outcome.FAIL, remedy=remedy
        )

    def odd(self, node: "nodes.Node", message: str) -> Sighting:
        where = f"{self.place}, line {node.lineno}"
        text = f"the chat template does something that is not understood here: {message}"
        return Sighting(place=where, message=text, outcome=Outcome.UNKNOWN, remedy=_ADVICE)

    def own_text(self, node: "nodes.Node", text: str) -> Sighting:
        where = f"{self.place}, line {node.lineno}"
        message = f"the chat template may add a text of its own to the conversation: {_shown(text)}"
        return Sighting(place=where, message=message, outcome=None)


def _is_content(node: "nodes.Node") -> bool:
    """Say whether an expression is what somebody wrote: `content`, possibly cut or in lower case."""
    from jinja2 import nodes

    while True:
        match node:
            case nodes.Filter() if node.node is not None:
                node = node.node
            case nodes.Call() if isinstance(node.node, nodes.Getattr):
                node = node.node.node
            case nodes.Getattr():
                return node.attr in ("content", "text")
            case nodes.Getitem():
                if isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
                    return node.arg.value in ("content", "text")
                node = node.node
            case nodes.Name():
                return "content" in node.name or node.name in ("text", "message_text")
            case _:
                return False


def _is_word(text: str) -> bool:
    """Say whether a text is a word of a language and not one of the marks that models are trained with."""
    return any(char.isalpha() for char in text) and not any(char in "<>[]{}|/\u2581\uff5c" for char in text)


def _is_prose(text: str) -> bool:
    return len(text.split()) >= 6 and len(text) >= _LONG_TEXT


def _shown(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= _MAX_SHOWN else f"{line[: _MAX_SHOWN - 1]}…")
