"""A process that exports or imports, for tests that kill it: `python bundle_child.py export|import FOLDER FILE KEY`."""

import sys
from pathlib import Path

from weighbridge.hub.mirror.outgoing import Wanted
from weighbridge.shell.cli.output import TerminalProgress
from weighbridge.shell.hub.mirror_bundle import export, import_bundle
from weighbridge.shell.hub.wiring import open_hub
from weighbridge.shell.signing import EcKeySigner, EcKeyVerifier

verb, folder, file, key = sys.argv[1], *map(Path, sys.argv[2:5])
hub = open_hub(folder)
print("begun", flush=True)
with TerminalProgress() as progress:
    if verb == "export":
        wanted = (Wanted(kind="model", full_name="alice/m"),)
        export(hub, wanted, file, EcKeySigner.load(key), lacking=None, progress=progress)
    else:
        verifier = EcKeyVerifier.load(key)
        import_bundle(hub, file, verifier, owner=None, allow_rollback=False, progress=progress)
print("done", flush=True)
