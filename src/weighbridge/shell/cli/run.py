"""`weighbridge run`: serve a published version on an OpenAI-compatible endpoint."""

import argparse

from weighbridge.shell.cli.hub_choice import add_reading_arguments
from weighbridge.shell.cli.output import TerminalProgress, print_json, print_lines
from weighbridge.shell.cli.plan_options import add_threads_argument
from weighbridge.shell.cli.trust_options import add_verifier_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument(
        "model", metavar="MODEL", help="owner/name[@revision] in the hub, or the folder of a published version"
    )
    add_reading_arguments(parser, default="hub")
    add_verifier_arguments(parser, required=False)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8080, help="port to listen on, 0 for any (default: 8080)")
    parser.add_argument(
        "--context", type=int, metavar="TOKENS", help="context length (default: 2048, or the model's where it is less)"
    )
    add_threads_argument(parser)
    parser.add_argument("--ask", metavar="PROMPT", help="print the answer to one question and end")


def run(options: argparse.Namespace) -> int:
    """Verify, serve, and wait; exit code 1 if the version is not what its publisher signed."""
    from weighbridge.shell.wiring import served

    with TerminalProgress() as progress, served(options, progress) as server:
        progress.note(f"{server.alias} answers at {server.url}/v1 (OpenAI-compatible)")
        if options.ask is None:
            progress.note("press Ctrl-C to stop")
            server.wait()
            return 0
        progress.begin("asking")
        answer = server.ask(options.ask, max_tokens=128)
    if options.json:
        print_json({"model": server.alias, "base_url": f"{server.url}/v1", "prompt": options.ask, "answer": answer})
    else:
        print_lines([answer])
    return 0
