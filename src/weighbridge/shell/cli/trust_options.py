"""Options that several verbs share: who signs, and whom to trust."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from weighbridge.errors import InputError

if TYPE_CHECKING:
    from weighbridge.dossier.signature import BundleSigner, Signer, Verifier


def add_verifier_arguments(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Add the ways of saying whom to trust: by a key, by certificates, or by an identity."""
    group = parser.add_argument_group("whom to trust")
    ways = group.add_mutually_exclusive_group(required=required)
    default = "" if required else " (default: your own)"
    ways.add_argument("--key", type=Path, metavar="PEM", help=f"the publisher's public key{default}")
    ways.add_argument("--certificates", type=Path, metavar="PEM", help="root certificates that vouch for publishers")
    ways.add_argument("--identity", metavar="NAME", help="e-mail address or URI that Sigstore vouches for")
    group.add_argument("--signer-name", metavar="NAME", default="", help="common name that the certificate must carry")
    group.add_argument("--issuer", metavar="URL", help="identity provider that Sigstore asked, with --identity")
    group.add_argument("--trust-config", type=Path, metavar="JSON", help="keys of a private Sigstore")


def verifier_from(options: argparse.Namespace) -> "Verifier":
    """Return the verifier that the options of `add_verifier_arguments` ask for; one's own key if they ask for none.

    Raises:
        InputError: if a file cannot be read, or options do not go together.
    """
    _refuse(options.signer_name and not options.certificates, "--signer-name goes together with --certificates")
    _refuse(options.issuer and not options.identity, "--issuer goes together with --identity")
    _refuse(options.trust_config and not options.identity, "--trust-config goes together with --identity")
    if options.identity:
        _refuse(not options.issuer, "--identity needs --issuer: anybody may have an identity of that name elsewhere")
        from weighbridge.shell.sigstore_identity import SigstoreVerifier

        return SigstoreVerifier(identity=options.identity, issuer=options.issuer, trust_config=options.trust_config)
    if options.certificates:
        from datetime import UTC, datetime

        from weighbridge.shell.certificates import CertificateChainVerifier

        return CertificateChainVerifier.load(
            options.certificates, clock=lambda: datetime.now(UTC), subject=options.signer_name
        )
    from weighbridge.shell.home import present_public_key
    from weighbridge.shell.signing import EcKeyVerifier

    if options.key:
        return EcKeyVerifier.load(options.key)
    return EcKeyVerifier.load(present_public_key(hint="Give the publisher's public key with --key."))


def add_signer_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the ways of signing: with a key, with certificates for it, or by Sigstore."""
    group = parser.add_argument_group("who signs")
    group.add_argument(
        "--key", type=Path, metavar="PEM", help="private signing key (default: your own, made on first use)"
    )
    group.add_argument("--certificate", type=Path, metavar="PEM", help="certificate that was issued for the key")
    group.add_argument("--chain", type=Path, metavar="PEM", help="certificates between it and its root")
    group.add_argument("--sigstore", action="store_true", help="sign as an identity that Sigstore vouches for")
    group.add_argument("--identity-token", type=Path, metavar="FILE", help="token of that identity (default: ambient)")
    group.add_argument("--trust-config", type=Path, metavar="JSON", help="addresses and keys of a private Sigstore")
    group.add_argument(
        "--file-hash",
        choices=("sha256", "blake3", "blake2b"),
        default="sha256",
        help="hash of the files in the signature (default: sha256)",
    )


def signer_from(options: argparse.Namespace) -> "Signer | BundleSigner | None":
    """Return the signer that the options of `add_signer_arguments` ask for; None for a bare key, or one's own.

    Raises:
        InputError: if a file cannot be read, or options do not go together.
    """
    if options.sigstore:
        _refuse(options.key or options.certificate, "--sigstore signs without a key: leave --key and --certificate out")
        from weighbridge.shell.sigstore_identity import SigstoreSigner

        return SigstoreSigner.load(options.identity_token, trust_config=options.trust_config)
    _refuse(options.identity_token or options.trust_config, "--identity-token and --trust-config go with --sigstore")
    _refuse(options.chain and not options.certificate, "--chain goes together with --certificate")
    if options.certificate:
        _refuse(not options.key, "--certificate needs the --key that it was issued for")
        from weighbridge.shell.certificates import CertificateSigner

        return CertificateSigner.load(options.key, options.certificate, options.chain)
    return None


def _refuse(wrong: object, message: str) -> None:
    if wrong:
        raise InputError(message, hint="`--help` lists what goes together.")
