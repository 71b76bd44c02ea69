"""The process in which llama.cpp's HTTP server runs: `python -m weighbridge.shell.engine.server_process`.

One JSON request comes as the first line of standard input. Once the model is loaded, `{"address": url}` goes to
standard output. The server ends when standard input does, which also happens when the parent dies.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

from weighbridge.shell.engine.child import open_answers

_EXIT_NOT_STARTED = 3


def main() -> int:
    """Serve until standard input ends."""
    say = open_answers()
    request = json.loads(sys.stdin.buffer.readline())
    import xllamacpp

    try:
        server = xllamacpp.Server(_parameters(xllamacpp.CommonParams(), request))
    except RuntimeError:
        # The reason is what llama.cpp has just logged; the parent shows those lines.
        return _EXIT_NOT_STARTED
    say({"address": server.listening_address})
    while sys.stdin.buffer.read(4096):
        pass
    del server
    return 0


def _parameters(parameters: Any, request: Mapping[str, Any]) -> Any:
    parameters.model.path = request["model"]
    parameters.model_alias = {request["alias"]}
    parameters.hostnames = [request["host"]]
    parameters.port = request["port"]
    parameters.n_ctx = request["context_tokens"]
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = request["threads"]
    if request["api_key"]:
        parameters.api_keys = [request["api_key"]]
    parameters.offline = True
    parameters.ui = False
    # No page in a browser may read answers, and nobody may read the prompts of others.
    parameters.cors_origins = ""
    parameters.endpoint_slots = False
    parameters.endpoint_props = False
    return parameters


if __name__ == "__main__":
    sys.exit(main())
