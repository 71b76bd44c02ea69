"""`weighbridge check`: may we take this model into use?"""

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from weighbridge.errors import HubError, InputError
from weighbridge.shell.cli.output import TerminalProgress, print_json
from weighbridge.shell.cli.plan_options import add_threads_argument

if TYPE_CHECKING:
    from weighbridge.adopt.check.check import Report
    from weighbridge.adopt.check.subject import Standing
    from weighbridge.shell.check.gather import Place
    from weighbridge.shell.check.use_file import SignerEntry, UseFile
    from weighbridge.terms.chain import Chain


_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
"""A tag of this form is the digest of a version."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.epilog = "exit codes: 0 pass, 1 fail, 2 unusable input, 3 unknown"
    parser.add_argument(
        "reference",
        metavar="REF",
        help="folder of a model; owner/name in --hub; or owner/name[@revision] on an endpoint",
    )
    parser.add_argument("--use", type=Path, metavar="YAML", required=True, help="who we are and what we plan")
    parser.add_argument(
        "--hub", metavar="DIR|URL", help="the publisher's hub: a folder or web address; asked for the model and recalls"
    )
    parser.add_argument("--endpoint", metavar="URL", help="a hub that speaks Hugging Face's protocol (or HF_ENDPOINT)")
    parser.add_argument("--root", type=Path, metavar="JSON", help="the publisher's root.json; needed once for a hub")
    trust = parser.add_argument_group("whom to trust", "in place of `trusted_signers` in the use file")
    trust.add_argument("--key", type=Path, metavar="PEM", help="the publisher's public key")
    trust.add_argument("--certificates", type=Path, metavar="PEM", help="root certificates")
    trust.add_argument("--signer-name", metavar="CN", default="", help="common name on the signer's certificate")
    trust.add_argument("--identity", metavar="NAME", default="", help="identity that Sigstore vouches for")
    trust.add_argument("--issuer", metavar="URL", default="", help="identity provider that Sigstore asked")
    trust.add_argument("--trust-config", type=Path, metavar="JSON", help="keys of a private Sigstore")
    out = parser.add_argument_group("what to write")
    out.add_argument("--html", type=Path, metavar="FILE", help="the report as a page")
    out.add_argument("--notices", type=Path, metavar="DIR", help="the notices that have to ship")
    out.add_argument("--vsa", type=Path, metavar="FILE", help="a signed verification summary")
    out.add_argument("--verifier-key", type=Path, metavar="PEM", help="private key that signs it (default: your own)")
    out.add_argument("--all", action="store_true", help="print what passed and what each answer rests on, too")
    out.add_argument("--measure", action="store_true", help="measure again on `sample` of the use file (minutes)")
    add_threads_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Check; exit code 0 pass, 1 fail, 3 unknown."""
    from weighbridge.shell.check.use_file import load_use

    use = load_use(options.use)
    now = datetime.now(UTC)
    with TerminalProgress() as progress:
        report = _report(options, use, progress, now)
    written = _write(options, report)
    if options.json:
        print_json({**report.to_json(), "written": written})
    else:
        from weighbridge.shell.check.terminal import print_report

        print_report(report, everything=options.all)
        for what, paths in written.items():
            print(f"{what}: {paths if isinstance(paths, str) else ', '.join(paths)}")  # noqa: T201
    return report.outcome.exit_code


def _report(options: argparse.Namespace, use: "UseFile", progress: TerminalProgress, now: datetime) -> "Report":
    from weighbridge.adopt.check.check import check
    from weighbridge.shell.check.found import total_bytes
    from weighbridge.shell.check.gather import gather
    from weighbridge.shell.check.signers import trusted_signers

    signers = trusted_signers(_signers(options, use), lambda: datetime.now(UTC))
    try:
        place, recalled = _place(options, progress)
    except HubError:
        # What was recalled is given out to nobody: that is the answer, and not that it cannot be had.
        _heed_recall(options, use)
        raise
    by_digest = use.ours.adapter_base if use.adapter_base is None else ""

    def standing(names: Sequence[str], digest: str, chain: "Chain | None") -> "Standing":
        from weighbridge.shell.check.standing import standing_of
        from weighbridge.shell.home import home

        root = options.root or use.root
        return standing_of(
            _asked(options, names), home(), root=root, names=names, digest=digest, chain=chain, catalogue_says=recalled
        )

    advance = progress.begin(f"reading every byte of {place.folder}", total_bytes(place.folder))
    subject = gather(
        place,
        signers,
        standing=standing,
        base=by_digest,
        base_folder=use.adapter_base,
        on_bytes=advance,
        threads=options.threads,
    )
    if use.sample is not None:
        from weighbridge.shell.check.measure import with_sample

        subject = with_sample(subject, use.sample, measure=options.measure, progress=progress, threads=options.threads)
    return check(subject, use.ours, now=now)


def _signers(options: argparse.Namespace, use: "UseFile") -> "tuple[SignerEntry, ...]":
    from weighbridge.shell.check.use_file import SignerEntry

    ways = [bool(options.key), bool(options.certificates), bool(options.identity)]
    if sum(ways) > 1:
        raise InputError("name one signer: --key, --certificates or --identity", hint="Several go into the use file.")
    if bool(options.identity) != bool(options.issuer):
        raise InputError("--identity and --issuer go together", hint="Anybody can have any name at some provider.")
    if not any(ways):
        return use.signers
    return (
        SignerEntry(
            key=options.key,
            certificates=options.certificates,
            signer_name=options.signer_name,
            identity=options.identity,
            issuer=options.issuer,
            trust_config=options.trust_config,
        ),
    )


def _place(options: argparse.Namespace, progress: TerminalProgress) -> "tuple[Place, str]":
    """Return where the model lies, and what a catalogue says against it."""
    from weighbridge.shell.check.gather import Place

    reference = options.reference
    folder = Path(reference)
    if folder.is_dir() and not options.hub:
        return Place(folder=folder, reference=reference), ""
    from weighbridge.shell.check.fetch import fetch, is_reference
    from weighbridge.shell.trust.fetch import is_address

    named = is_reference(reference) or not folder.exists()
    if options.hub and not is_address(options.hub) and named and (found := _in_hub(reference, options.hub)):
        return found
    if folder.is_dir():
        return Place(folder=folder, reference=reference), ""
    if folder.exists():
        raise InputError("this is a file", place=reference, hint="Name the folder that holds it.")
    endpoint = options.endpoint or os.environ.get("HF_ENDPOINT", "")
    if options.hub and is_address(options.hub) and not endpoint:
        from weighbridge.shell.hub.remote_address import checked_address

        endpoint = checked_address(options.hub)
    if endpoint and is_reference(reference):
        progress.begin(f"fetching {reference} from {endpoint}")
        return fetch(reference, endpoint, _cache(os.environ), os.environ), ""
    hint = "Give a folder; or owner/name with --hub DIR, or with --endpoint URL (or HF_ENDPOINT)."
    raise InputError(f"there is no folder {reference!r}, and no hub to find it in", hint=hint)


def _heed_recall(options: argparse.Namespace, use: "UseFile") -> None:
    """Return unless the publisher's signed word is that the version that was asked for is recalled.

    Raises:
        RecalledError: if it is; says why, and what to use in its place.
    """
    from weighbridge.dossier.status import State
    from weighbridge.hub.standing import recalled
    from weighbridge.shell.check.fetch import is_reference
    from weighbridge.shell.check.standing import standing_of
    from weighbridge.shell.home import home

    name, _, revision = options.reference.partition("@")
    if not options.hub or not is_reference(options.reference):
        return
    root, digest = options.root or use.root, revision if _DIGEST.match(revision) else ""
    standing = standing_of(_asked(options, (name,)), home(), root=root, names=(name,), digest=digest, chain=None)
    if standing.status is not None and standing.status.state is State.RECALLED:
        raise recalled(name, standing.status)


def _asked(options: argparse.Namespace, names: Sequence[str]) -> str:
    """Return where the publisher's signed word about a model is to be found; empty if nobody is to be asked."""
    from weighbridge.shell.trust.fetch import is_address

    owners = [name.partition("/")[0] for name in names if "/" in name]
    if not options.hub or not is_address(options.hub) or not owners:
        return options.hub or ""
    from weighbridge.shell.hub.remote_address import reading_address
    from weighbridge.shell.hub.remote_trust import statement_location

    return statement_location(reading_address(options.hub), owners[0])


def _in_hub(reference: str, hub: str) -> "tuple[Place, str] | None":
    from weighbridge.dossier.status import State
    from weighbridge.hub.catalogue import find
    from weighbridge.hub.folder import LocalHub
    from weighbridge.hub.standing import state_of
    from weighbridge.shell.check.gather import Place

    local = LocalHub(Path(hub))
    if Path(reference).is_dir() and reference not in local.catalogue():
        return None
    version = find(local.catalogue(), reference, place=hub)
    folder = local.path_of(version.name, even_recalled=True)
    recalled = state_of(version) is State.RECALLED
    says = f"The hub's catalogue says that {version.name} is recalled; that word is not signed." if recalled else ""
    return Place(folder=folder, reference=reference, name=version.name), says


def _cache(environment: Mapping[str, str]) -> Path:
    root = environment.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "weighbridge" / "checked"


def _write(options: argparse.Namespace, report: "Report") -> dict[str, str | list[str]]:
    written: dict[str, str | list[str]] = {}
    if options.notices is not None:
        from weighbridge.shell.check.output import write_notices

        written["notices"] = [str(path) for path in write_notices(options.notices, report)]
    if options.vsa is not None:
        from weighbridge.shell.check.output import write_summary

        written["vsa"] = str(write_summary(options.vsa, report, options.verifier_key))
    if options.html is not None:
        from weighbridge.shell.check.output import write_page

        written["html"] = str(write_page(options.html, report))
    return written
