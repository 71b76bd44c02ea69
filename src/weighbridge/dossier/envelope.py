"""Detached attestations: an in-toto statement in a Sigstore bundle, signed in each way that a version can be signed in.

Formats: https://docs.sigstore.dev/about/bundle/ and https://github.com/secure-systems-lab/dsse (envelope, v1.0.0). The
statement is parsed only after the signature over its exact bytes was found good.
"""

from collections.abc import Mapping
from typing import Any

from weighbridge.dossier.signature import BundleSigner, Signer, Verifier, sign_statement
from weighbridge.dossier.signature_reader import read_statement
from weighbridge.dossier.statement import STATEMENT_TYPE, line
from weighbridge.errors import VerificationError

MAX_ATTESTATION_BYTES = 16 * 1024 * 1024


def seal(statement: Mapping[str, Any], signer: Signer | BundleSigner) -> bytes:
    """Return `statement` in a bundle that `signer` has signed, as one line of JSON.

    Raises:
        ValueError: if the statement holds a NaN or an infinity.
    """
    return sign_statement(line(statement), signer) + b"\n"


def unseal(data: bytes, verifier: Verifier, *, predicate_type: str, place: str) -> Mapping[str, Any]:
    """Return the statement in the bundle `data`, once its signature is found good.

    Args:
        data: the bundle, at most 16 MiB.
        verifier: whom to trust. What the bundle says about keys decides nothing.
        predicate_type: what the statement has to be about; another kind proves something else.
        place: names the file in errors.

    Raises:
        VerificationError: if it is no such bundle, its signature is not good, or it holds something else.
    """
    if len(data) > MAX_ATTESTATION_BYTES:
        raise VerificationError(f"an attestation of more than {MAX_ATTESTATION_BYTES:,} bytes", place=place)
    statement = read_statement(data, verifier, place=place)
    if statement.get("_type") != STATEMENT_TYPE or statement.get("predicateType") != predicate_type:
        raise VerificationError(
            f"it states {statement.get('predicateType')!r}, not {predicate_type}",
            place=place,
            hint="The signature is good, but about something else. Ask the publisher for the right file.",
        )
    return statement
