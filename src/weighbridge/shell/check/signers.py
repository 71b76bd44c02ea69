"""Whom we trust to sign, as the command line and the use file say it."""

from collections.abc import Callable, Sequence
from datetime import datetime

from weighbridge.errors import InputError
from weighbridge.shell.check.signed import TrustedSigner
from weighbridge.shell.check.use_file import SignerEntry


def trusted_signers(entries: Sequence[SignerEntry], clock: Callable[[], datetime]) -> tuple[TrustedSigner, ...]:
    """Return what verifies each.

    Raises:
        InputError: if a key or certificate cannot be read.
    """
    return tuple(_signer(entry, clock) for entry in entries)


def _signer(entry: SignerEntry, clock: Callable[[], datetime]) -> TrustedSigner:
    if entry.key is not None:
        from weighbridge.shell.signing import EcKeyVerifier

        return TrustedSigner(words=f"the key {entry.key}", verifier=EcKeyVerifier.load(entry.key))
    if entry.certificates is not None:
        from weighbridge.shell.certificates import CertificateChainVerifier

        verifier = CertificateChainVerifier.load(entry.certificates, clock=clock, subject=entry.signer_name)
        who = repr(entry.signer_name) if entry.signer_name else "somebody"
        return TrustedSigner(words=f"{who} whom {entry.certificates} vouches for", verifier=verifier)
    if entry.identity:
        from weighbridge.shell.sigstore_identity import SigstoreVerifier

        sigstore = SigstoreVerifier(identity=entry.identity, issuer=entry.issuer, trust_config=entry.trust_config)
        return TrustedSigner(words=f"{entry.identity} (by {entry.issuer})", verifier=sigstore)
    raise InputError("a signer is named by a key, certificates or an identity")
