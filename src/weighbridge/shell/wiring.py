"""The one place that names concrete adapters, the clock and the machine."""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from weighbridge.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from weighbridge.adopt.serve import ChatServer
    from weighbridge.shell.line.line import Line
    from weighbridge.shell.line.publish import Publisher
    from weighbridge.shell.progress import Progress


@contextmanager
def line(plan_path: Path, *, work: Path | None = None, threads: int | None = None) -> "Iterator[Line]":
    """Load a plan, hold its work folder, and put a line together around it.

    Raises:
        PlanError: if the plan is wrong.
        WorkspaceError: if the work folder is in use or not writable.
    """
    from weighbridge.derive.make import Workbench
    from weighbridge.derive.store import DerivationStore
    from weighbridge.shell.cli.output import TerminalProgress
    from weighbridge.shell.engine.llama_tools import LlamaCppTools
    from weighbridge.shell.executor import LocalExecutor
    from weighbridge.shell.line.derive import SCRUB_VERSION, scrub_with, withhold_step
    from weighbridge.shell.line.line import Line
    from weighbridge.shell.plan import load_plan
    from weighbridge.shell.workspace import Workspace

    if threads is not None and threads < 1:
        raise InputError(f"--threads must be at least 1, not {threads}")
    plan = load_plan(plan_path)
    count = threads or os.cpu_count() or 1
    with (
        Workspace(work or plan.work_path).held() as workspace,
        LocalExecutor(count) as executor,
        TerminalProgress() as progress,
    ):
        store = DerivationStore(workspace.derived)
        store.sweep()
        try:
            gguf = LlamaCppTools()
        except MissingExtraError:
            gguf = None
        bench = Workbench(
            store=store,
            executor=executor,
            gguf=gguf,
            scrub=scrub_with(withhold_step(plan).keys),
            scrub_version=SCRUB_VERSION,
            notice=progress.begin,
        )
        yield Line(
            plan=plan,
            workspace=workspace,
            bench=bench,
            progress=progress,
            threads=count,
            clock=lambda: datetime.now(UTC),
        )


def publisher(hub: Path | None, private_key: Path | None) -> "Publisher":
    """Return a publisher with the given key, or with this person's own, made on first use."""
    from weighbridge.shell.home import load_signer, own_public_key
    from weighbridge.shell.line.publish import Publisher
    from weighbridge.shell.signing import write_public_key

    signer, _ = load_signer(private_key)
    public = own_public_key() if private_key is None else private_key.with_suffix(".pub")
    if not public.exists():
        write_public_key(signer, public)
    return Publisher(hub=hub, signer=signer, public_key=public)
