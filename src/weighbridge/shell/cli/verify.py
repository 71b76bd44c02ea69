"""`weighbridge verify`: check the signature and every byte of a published version."""

import argparse
from pathlib import Path

from weighbridge.shell.cli.output import TerminalProgress, print_json, print_lines, readable_bytes
from weighbridge.shell.cli.plan_options import add_threads_argument


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="the folder of a published version")
    parser.add_argument("--key", type=Path, metavar="PEM", required=True, help="the publisher's public key")
    add_threads_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Verify; exit code 1 if the signature is bad or one byte or name differs."""
    from weighbridge.adopt.verify import verify_folder
    from weighbridge.shell.signing import EcKeyVerifier

    verifier = EcKeyVerifier.load(options.key)
    with TerminalProgress() as progress:
        size = sum(path.lstat().st_size for path in options.folder.rglob("*")) if options.folder.is_dir() else None
        advance = progress.begin(f"reading every byte of {options.folder}", size)
        result = verify_folder(options.folder, verifier, on_bytes=advance, threads=options.threads)
    if options.json:
        print_json(result.to_json())
    elif result.ok:
        print_lines([f"good: {result.files} files, {readable_bytes(result.size_bytes)}, signed by {options.key}"])
    else:
        print_lines(f"{problem.kind}: {problem.path}: {problem.message}" for problem in result.problems)
        print_lines(["", "Do not use these files. Download them again; if they still differ, tell the publisher."])
    return int(not result.ok)
