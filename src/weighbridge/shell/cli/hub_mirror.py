"""`weighbridge hub pull|inventory|export|import`."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weighbridge.shell.cli.hub_options import add_hub_options, opened
from weighbridge.shell.cli.output import TerminalProgress, print_json, print_lines, readable_bytes

if TYPE_CHECKING:
    from weighbridge.hub.mirror.landing import RefChange
    from weighbridge.hub.mirror.outgoing import Wanted

KEPT_BACK = 1
"""The exit code if a ref stayed where it was although something else came."""

KINDS = ("model", "dataset", "space")


def add_arguments(parser: argparse.ArgumentParser, verb: str) -> None:
    """Add the options of this verb."""
    {"pull": _pull_options, "inventory": _inventory_options, "export": _export_options, "import": _import_options}[
        verb
    ](parser)
    add_hub_options(parser)


def run(options: argparse.Namespace) -> int:
    """Do it."""
    return {"pull": _pull, "inventory": _inventory, "export": _export, "import": _import}[options.hub_verb](options)


def _pull_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("repository", metavar="OWNER/NAME", help="the repository on the other hub")
    parser.add_argument("--from", dest="source", metavar="URL", required=True, help="https://huggingface.co, say")
    parser.add_argument("--kind", choices=KINDS, default="model", help="what it is (default: model)")
    parser.add_argument("--to", metavar="OWNER/NAME", help="its name here (default: the same)")
    parser.add_argument(
        "--revision", action="append", default=[], metavar="REF", help="this branch or tag only; may be repeated"
    )
    parser.add_argument(
        "--token-env", metavar="NAME", default="HF_TOKEN", help="variable that holds the token (default: HF_TOKEN)"
    )
    parser.add_argument("--allow-rollback", action="store_true", help="also undo what was changed here")


def _inventory_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", type=Path, metavar="OUT", help="the file to write; an older one is replaced")


def _export_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", type=Path, metavar="OUT", help="the bundle; OUT.partial until it is whole")
    parser.add_argument(
        "--repo",
        action="append",
        required=True,
        metavar="KIND:OWNER/NAME[@REF]",
        help="model:acme/bert, or only its branch or tag REF; may be repeated",
    )
    parser.add_argument("--lacking", type=Path, metavar="INVENTORY", help="send only what this inventory lacks")
    parser.add_argument("--key", type=Path, metavar="PEM", help="private key to sign with (default: your own)")


def _import_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="what `weighbridge hub export` wrote")
    parser.add_argument(
        "--trust", type=Path, metavar="PEM", required=True, help="public key of whoever exported it, from a safe source"
    )
    parser.add_argument("--owner", metavar="NAME", help="put the repositories under this user or organisation")
    parser.add_argument(
        "--allow-rollback", action="store_true", help="also move branches and tags backwards, and undo changes here"
    )


def _pull(options: argparse.Namespace) -> int:
    hub = opened(options, make=True)
    from weighbridge.shell.hub.mirror_pull import PullWish, pull

    wish = PullWish(
        address=options.source,
        kind=options.kind,
        full_name=options.repository,
        target=options.to or options.repository,
        revisions=tuple(options.revision),
        allow_rollback=options.allow_rollback,
    )
    with TerminalProgress() as progress:
        pulled = pull(hub, wish, token=os.environ.get(options.token_env, ""), progress=progress)
    if options.json:
        print_json(
            {
                "repository": f"{options.kind}:{pulled.full_name}",
                "by": pulled.way,
                "fetched_bytes": pulled.fetched_bytes,
                "fetched_files": pulled.fetched_files,
                "missing_at_source": list(pulled.missing),
                "refs": _refs(pulled.changes),
            }
        )
    else:
        fetched = f"{pulled.fetched_files} large files, {readable_bytes(pulled.fetched_bytes)}, fetched by {pulled.way}"
        print_lines([f"{options.kind}:{pulled.full_name}: {fetched}", *_lines(pulled.changes)])
        print_lines(f"  {sha256} is missing at the source" for sha256 in pulled.missing)
    return _code(pulled.changes)


def _inventory(options: argparse.Namespace) -> int:
    hub = opened(options)
    from weighbridge.shell.hub.mirror_bundle import take_inventory

    size = take_inventory(hub, options.out)
    if options.json:
        print_json({"inventory": str(options.out), "size_bytes": size})
    else:
        print_lines([f"{options.out}: {readable_bytes(size)}; give it to `weighbridge hub export --lacking`"])
    return 0


def _export(options: argparse.Namespace) -> int:
    hub = opened(options)
    from weighbridge.shell.home import load_signer
    from weighbridge.shell.hub.mirror_bundle import export

    wanted = _wanted(options.repo)
    signer, new_key = load_signer(options.key)
    with TerminalProgress() as progress:
        done = export(hub, wanted, options.out, signer, lacking=options.lacking, progress=progress)
    if options.json:
        print_json(
            {
                "bundle": str(done.path),
                "size_bytes": done.size_bytes,
                "chunk_bytes": done.xorb_bytes,
                "resumed_at": done.kept_bytes,
                "repositories": [f"{each.kind}:{each.full_name}" for each in done.repositories],
                "new_public_key": str(new_key) if new_key else None,
            }
        )
        return 0
    lines = [f"{done.path}: {readable_bytes(done.size_bytes)}, of which {readable_bytes(done.xorb_bytes)} are chunks"]
    lines += [f"  {each.kind}:{each.full_name}, {len(each.refs)} refs" for each in done.repositories]
    if new_key:
        lines.append(f"signed with a new key of yours: whoever imports needs {new_key}")
    print_lines(lines)
    return 0


def _import(options: argparse.Namespace) -> int:
    from weighbridge.shell.signing import EcKeyVerifier

    verifier = EcKeyVerifier.load(options.trust)
    hub = opened(options, make=True)
    from weighbridge.shell.hub.mirror_bundle import import_bundle

    with TerminalProgress() as progress:
        done = import_bundle(
            hub,
            options.bundle,
            verifier,
            owner=options.owner,
            allow_rollback=options.allow_rollback,
            progress=progress,
        )
    if options.json:
        rows = [
            {"repository": f"{each.kind}:{each.full_name}", "refs": _refs(each.changes)} for each in done.repositories
        ]
        print_json({"new_bytes": done.new_bytes, "repositories": rows})
    else:
        print_lines([f"every byte verified; {readable_bytes(done.new_bytes)} of chunks were new here"])
        for each in done.repositories:
            print_lines([f"{each.kind}:{each.full_name}", *_lines(each.changes)])
    return max((_code(each.changes) for each in done.repositories), default=0)


def _wanted(texts: list[str]) -> "tuple[Wanted, ...]":
    from weighbridge.errors import InputError
    from weighbridge.hub.mirror.outgoing import Wanted

    revisions: dict[tuple[str, str], list[str]] = {}
    for text in texts:
        name, _, revision = text.partition("@")
        kind, colon, full_name = name.partition(":")
        if not colon or kind not in KINDS or full_name.count("/") != 1:
            raise InputError(
                "this names no repository",
                place=f"--repo {text}",
                hint="Give model:OWNER/NAME or model:OWNER/NAME@REF.",
            )
        chosen = revisions.setdefault((kind, full_name), [])
        # The whole repository is more than any of its branches.
        chosen.append(revision)
    return tuple(
        Wanted(kind=kind, full_name=full_name, revisions=() if "" in chosen else tuple(dict.fromkeys(chosen)))
        for (kind, full_name), chosen in revisions.items()
    )


def _refs(changes: "tuple[RefChange, ...]") -> list[dict[str, Any]]:
    return [
        {"name": each.name, "change": each.change.name.lower(), "before": each.before, "after": each.after}
        for each in changes
    ]


def _lines(changes: "tuple[RefChange, ...]") -> list[str]:
    return [f"  {each.name}  {each.after[:12] or '-'}  {each.change.value}" for each in changes]


def _code(changes: "tuple[RefChange, ...]") -> int:
    return KEPT_BACK if any(each.change.is_kept for each in changes) else 0
