"""The one place that names concrete adapters, the clock and the machine."""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weighbridge.errors import InputError, MissingExtraError, VerificationError
from weighbridge.shell.hub.remote_address import TOKEN_VARIABLE, RemoteAddress, checked_address, is_address

if TYPE_CHECKING:
    from weighbridge.adopt.serve import ChatServer
    from weighbridge.dossier.signature import BundleSigner, Signer, Verifier
    from weighbridge.hub.folder import LocalHub
    from weighbridge.shell.hub.remote import RemoteHub
    from weighbridge.shell.line.line import Line
    from weighbridge.shell.line.publish import Publisher
    from weighbridge.shell.progress import Progress
    from weighbridge.shell.signing import EcKeySigner

DEFAULT_CONTEXT_TOKENS = 2048


@contextmanager
def line(
    plan_path: Path,
    *,
    work: Path | None = None,
    hub: Path | str | None = None,
    threads: int | None = None,
    token_variable: str = TOKEN_VARIABLE,
) -> "Iterator[Line]":
    """Load a plan, hold its work folder, and put a line together around it.

    Args:
        plan_path: the release plan.
        work: work folder; None for the plan's.
        hub: folder or address of the hub; None for the plan's.
        threads: how many to use; all cores by default.
        token_variable: name of the environment variable that holds the token for a hub behind an address.

    Raises:
        PlanError: if the plan is wrong.
        InputError: if model, work folder and hub lie inside each other.
        WorkspaceError: if the work folder is in use or not writable.
    """
    from weighbridge.derive.make import Workbench
    from weighbridge.derive.store import DerivationStore
    from weighbridge.shell.cli.output import TerminalProgress
    from weighbridge.shell.engine.llama_tools import LlamaCppTools
    from weighbridge.shell.executor import LocalExecutor
    from weighbridge.shell.line.derive import SCRUB_VERSION, scrub_with, withhold_step
    from weighbridge.shell.line.inputs import check_places
    from weighbridge.shell.line.line import Line
    from weighbridge.shell.plan import load_plan
    from weighbridge.shell.workspace import Workspace

    if threads is not None and threads < 1:
        raise InputError(f"{threads} threads cannot work", hint="Give at least 1.")
    plan = load_plan(plan_path)
    location = str(hub or plan.hub_url or plan.hub_path)
    check_places(plan.source_path, work or plan.work_path, plan.hub_path if is_address(location) else Path(location))
    count = threads or os.cpu_count() or 1
    with (
        Workspace(work or plan.work_path).held() as workspace,
        LocalExecutor(count) as executor,
        TerminalProgress() as progress,
    ):
        store = DerivationStore(workspace.derived)
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
            hub=hub_at(location, plan.owner, token_variable=token_variable, progress=progress),
        )


def hub_at(
    location: str, owner: str, *, token_variable: str = TOKEN_VARIABLE, progress: "Progress | None" = None
) -> "LocalHub | RemoteHub":
    """Return the hub in a folder or behind an address, to read from and to publish to.

    Args:
        location: folder or address.
        owner: whose models they are.
        token_variable: name of the environment variable that holds the token; where it is not set, nothing can be
            published, and only what is public is read.
        progress: told what is sent.

    Raises:
        InputError: if the address is none that can be used.
    """
    if is_address(location):
        from weighbridge.shell.hub.remote import RemoteHub

        address = RemoteAddress(
            url=checked_address(location), token=os.environ.get(token_variable, "").strip(), variable=token_variable
        )
        return RemoteHub(address, owner, progress)
    from weighbridge.hub.folder import LocalHub

    return LocalHub(Path(location))


def publisher(
    hub: Path | None,
    private_key: Path | None,
    *,
    signer: "Signer | BundleSigner | None" = None,
    hash_type: str = "sha256",
) -> "Publisher":
    """Return a publisher with the given key, or with this person's own, made on first use.

    Args:
        hub: folder to publish into; None for the plan's.
        private_key: a PEM file; None for this person's own key.
        signer: signs in place of that key: with certificates, or by a service.
        hash_type: hash of the files in signatures.
    """
    from weighbridge.dossier.signature import BundleSigner, CertifiedSigner
    from weighbridge.shell.line.publish import Publisher

    if isinstance(signer, BundleSigner):
        how = "--identity NAME --issuer URL"
        return Publisher(hub=hub, signer=signer, public_key=None, verify_with=how, hash_type=hash_type)
    if isinstance(signer, CertifiedSigner):
        how = "--certificates ROOTS.pem"
        return Publisher(hub=hub, signer=signer, public_key=None, verify_with=how, hash_type=hash_type)
    key, public = _own_or_given_key(private_key)
    return Publisher(hub=hub, signer=key, public_key=public, verify_with=f"--key {public}", hash_type=hash_type)


def _own_or_given_key(private_key: Path | None) -> "tuple[EcKeySigner, Path]":
    """Return the signer, and the file of its public half, which is written if it is not there."""
    from weighbridge.shell.home import load_signer, own_private_key, own_public_key
    from weighbridge.shell.signing import EcKeyVerifier, write_public_key

    signer, _ = load_signer(private_key)
    public = own_public_key() if private_key is None else private_key.with_suffix(".pub")
    if not os.path.lexists(public):
        # Another release may be writing the same.
        with suppress(InputError):
            write_public_key(signer, public)
    if EcKeyVerifier.load(public).public_key_pem != signer.public_key_pem:
        raise InputError(
            f"this is not the public half of {private_key or own_private_key()}",
            place=str(public),
            hint="Move it away; the right one is written in its place.",
        )
    return signer, public


@contextmanager
def served(options: argparse.Namespace, progress: "Progress") -> "Iterator[ChatServer]":
    """Serve the model that `weighbridge run` was asked for: a folder, or a name in a hub."""
    from weighbridge.shell.cli.hub_choice import chosen_version
    from weighbridge.shell.cli.trust_options import verifier_from

    chosen = chosen_version(options, options.model, progress)
    if chosen.note:
        progress.note(chosen.note)
    with serve_folder(
        chosen.folder,
        verifier_from(options),
        progress,
        alias=chosen.name,
        host=options.host,
        port=options.port,
        context_tokens=options.context,
        threads=options.threads,
    ) as server:
        yield server


@contextmanager
def serve_folder(
    folder: Path,
    verifier: "Verifier",
    progress: "Progress",
    *,
    alias: str,
    context_tokens: int | None = None,
    **settings: Any,
) -> "Iterator[ChatServer]":
    """Verify the version in `folder`, then serve its GGUF file under the name `alias`.

    Raises:
        VerificationError: if it is not what its publisher signed.
        InputError: if it holds no GGUF file, or its model's context is shorter than `context_tokens`.
    """
    from weighbridge.adopt.serve import ServerSettings
    from weighbridge.adopt.verify import verify_folder
    from weighbridge.shell.engine.server import LlamaServer

    folder = folder.resolve()
    model = gguf_file(folder)
    size = sum(path.lstat().st_size for path in folder.iterdir())
    advance = progress.begin("verifying the signature and every byte", size)
    verification = verify_folder(folder, verifier, on_bytes=advance, threads=settings.get("threads"))
    if not verification.ok:
        first, more = verification.problems[0], len(verification.problems) - 1
        others = f" ({more} more: `weighbridge verify` lists them)" if more else ""
        raise VerificationError(f"{first.kind}: {first.message}{others}", place=str(folder / first.path))
    progress.begin(f"loading {model.name} into llama.cpp")
    context = _context(model, context_tokens)
    served_as = ServerSettings(model=model, alias=alias, context_tokens=context, **settings)
    if not served_as.private:
        progress.note(f"warning: whoever can reach {served_as.host} can use this server; it asks for no key")
    with LlamaServer(served_as) as server:
        yield server


def _context(model: Path, wanted: int | None) -> int:
    """Return a context length that the model has; llama.cpp would try to allocate any."""
    from weighbridge.checkpoint.architecture import describe
    from weighbridge.checkpoint.folder import Checkpoint

    longest = describe(Checkpoint.open(model)).context_length
    if wanted is None:
        return min(DEFAULT_CONTEXT_TOKENS, longest or DEFAULT_CONTEXT_TOKENS)
    if longest is not None and wanted > longest:
        raise InputError(
            f"a context of {wanted:,} tokens is more than the model has: {longest:,}",
            place=str(model),
            hint=f"Give --context {longest} or less.",
        )
    return wanted


def gguf_file(folder: Path) -> Path:
    """Return the GGUF file to load: the only one, or the first part of a split one."""
    files = sorted(folder.glob("*.gguf"))
    if not files:
        raise InputError(
            "there is no GGUF file to serve",
            place=str(folder),
            hint="Run a GGUF version of the family; transformers or vLLM serve safetensors.",
        )
    return files[0]
