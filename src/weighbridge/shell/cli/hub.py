"""`weighbridge hub`: serve a hub, say who may use it, keep it sound, move repositories between hubs."""

import argparse
import importlib
from typing import Any

VERBS = {
    "serve": "serve a hub that clients of the Hugging Face API push to and pull from",
    "user": "make, list, disable and remove users",
    "token": "make, list and revoke tokens",
    "org": "make, list and remove organisations, and say who is in them",
    "gc": "free the bytes that nothing uses any more",
    "verify": "reread every byte and name what is damaged and which revisions it touches",
    "backup": "copy the embedded hub into a folder while it serves",
    "restore": "make a hub's folder from such a copy",
    "pull": "copy a repository from another hub, every byte checked",
    "inventory": "write down which bytes this hub has, for `export` on the other side",
    "export": "write a signed bundle of repositories with only the bytes that the other side lacks",
    "import": "check such a bundle and add what it holds",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of every verb below."""
    verbs = parser.add_subparsers(dest="hub_verb", metavar="|".join(VERBS), required=True)
    for name, summary in VERBS.items():
        verb = verbs.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        _module(name).add_arguments(verb, name)
        # What the verb above them has, too: without a default of its own it does not undo what was given there.
        for option, words in (("--json", "print one JSON document"), ("--debug", "show the traceback of an error")):
            verb.add_argument(option, action="store_true", default=argparse.SUPPRESS, help=words)


def run(options: argparse.Namespace) -> int:
    """Do it."""
    code: int = _module(options.hub_verb).run(options)
    return code


_MODULES = {
    "serve": "hub_serve",
    "user": "hub_accounts",
    "token": "hub_accounts",
    "org": "hub_accounts",
    "gc": "hub_upkeep",
    "verify": "hub_upkeep",
    "backup": "hub_upkeep",
    "restore": "hub_upkeep",
    "pull": "hub_mirror",
    "inventory": "hub_mirror",
    "export": "hub_mirror",
    "import": "hub_mirror",
}


def _module(verb: str) -> Any:
    return importlib.import_module(f"weighbridge.shell.cli.{_MODULES[verb]}")
