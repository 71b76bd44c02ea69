"""`weighbridge verify`: check the signature and every byte of a published version."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from weighbridge.shell.cli.hub_choice import add_reading_arguments, chosen_version
from weighbridge.shell.cli.output import TerminalProgress, print_json, print_lines, readable_bytes
from weighbridge.shell.cli.plan_options import add_threads_argument
from weighbridge.shell.cli.trust_options import add_verifier_arguments, verifier_from

if TYPE_CHECKING:
    from weighbridge.dossier.signature_reader import ShardSignatureError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument(
        "version", metavar="DIR|NAME", help="the folder of a published version, or owner/name[@revision] in --hub"
    )
    add_reading_arguments(parser, default=None)
    parser.add_argument(
        "--attestation", type=Path, metavar="JSON", help="the publisher's detached attestation: is this that release?"
    )
    add_verifier_arguments(parser, required=True)
    add_threads_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Verify; exit code 1 if the signature is bad or one byte or name differs."""
    from weighbridge.adopt.verify import verify_attestation, verify_folder
    from weighbridge.dossier.envelope import MAX_ATTESTATION_BYTES
    from weighbridge.dossier.signature_reader import ShardSignatureError
    from weighbridge.shell.hub.downloaded import plain, without_leftovers
    from weighbridge.shell.small_file import read_small

    verifier = verifier_from(options)
    with TerminalProgress() as progress:
        chosen = chosen_version(options, options.version, progress)
        if chosen.note:
            progress.note(chosen.note)
        try:
            with plain(chosen.folder) as folder:
                size = sum(path.lstat().st_size for path in folder.rglob("*")) if folder.is_dir() else None
                advance = progress.begin(f"reading every byte of {chosen.folder}", size)
                found = verify_folder(folder, verifier, on_bytes=advance, threads=options.threads)
        except ShardSignatureError as error:
            return _verify_shards(options, chosen.folder, error)
        result = without_leftovers(found, chosen.folder)
    released = ""
    if result.ok and options.attestation:
        attestation = read_small(options.attestation, MAX_ATTESTATION_BYTES, "the attestation")
        released = verify_attestation(result, attestation, verifier, place=str(options.attestation))
    if options.json:
        print_json({**result.to_json(), "released_as": released or None})
    elif result.ok:
        print_lines([f"released as {released}"] if released else [])
        print_lines([f"good: {result.files} files, {readable_bytes(result.size_bytes)}, signed by {_who(options)}"])
    else:
        print_lines(f"{problem.kind}: {problem.path}: {problem.message}" for problem in result.problems)
        print_lines(["", "Do not use these files. Download them again; if they still differ, tell the publisher."])
    return int(not result.ok)


def _verify_shards(options: argparse.Namespace, folder: Path, found: "ShardSignatureError") -> int:
    """Let the code that signs shards verify them; it knows bare keys."""
    from weighbridge.adopt.verify import SIGNATURE_NAME
    from weighbridge.shell.sigstore_identity import verify_shards

    if not options.key or options.attestation:
        raise found
    signature = folder / SIGNATURE_NAME
    verify_shards(folder, signature, options.key, algorithm=found.hash_type, shard_bytes=found.shard_bytes)
    if options.json:
        print_json({"root": str(folder), "ok": True, "problems": [], "shard_bytes": found.shard_bytes})
    else:
        print_lines([f"good: in shards of {readable_bytes(found.shard_bytes)}, signed by {options.key}"])
    return 0


def _who(options: argparse.Namespace) -> str:
    vouched = f"somebody that {options.certificates} vouches for"
    return str(options.key or options.identity or options.signer_name or vouched)
