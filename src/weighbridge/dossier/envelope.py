"""A DSSE envelope around an in-toto statement: what a detached attestation is signed in.

Format: https://github.com/secure-systems-lab/dsse/blob/v1.0.0/envelope.md. The statement is parsed only after a
signature over its exact bytes was found good.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from weighbridge.checkpoint.document import parse_object
from weighbridge.dossier.signature import (
    PAYLOAD_TYPE,
    SignatureVerifier,
    Signer,
    key_hint,
    pre_authentication_encoding,
)
from weighbridge.dossier.statement import STATEMENT_TYPE, line
from weighbridge.errors import CheckpointError, VerificationError

MAX_ENVELOPE_BYTES = 16 * 1024 * 1024
MAX_SIGNATURES = 16

_MAX_DEPTH = 32
_MAX_VALUES = 1_000_000


def seal(statement: Mapping[str, Any], signer: Signer) -> bytes:
    """Return `statement` in an envelope that `signer` has signed, as one line of JSON.

    Raises:
        ValueError: if the statement holds a NaN or an infinity.
    """
    payload = line(statement)
    signature = signer.sign(pre_authentication_encoding(payload))
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"keyid": key_hint(signer.public_key_pem), "sig": base64.b64encode(signature).decode()}],
    }
    return json.dumps(envelope, separators=(",", ":")).encode() + b"\n"


def unseal(data: bytes, verifier: SignatureVerifier, *, predicate_type: str, place: str) -> Mapping[str, Any]:
    """Return the statement in the envelope `data`, once one of its signatures is found good.

    Args:
        data: the envelope, at most 16 MiB.
        verifier: holds the expected key. What the envelope says about keys decides nothing.
        predicate_type: what the statement has to be about; another kind proves something else.
        place: names the file in errors.

    Raises:
        VerificationError: if it is not an envelope, no signature is good, or it holds something else.
    """
    if len(data) > MAX_ENVELOPE_BYTES:
        raise VerificationError(f"an envelope of {len(data)} bytes is more than {MAX_ENVELOPE_BYTES}", place=place)
    envelope = _parse(data, place)
    if envelope.get("payloadType") != PAYLOAD_TYPE:
        raise VerificationError(f"its payload is a {envelope.get('payloadType')!r}, not {PAYLOAD_TYPE}", place=place)
    payload = _base64(envelope.get("payload"), "payload", place)
    _check_signatures(envelope.get("signatures"), payload, verifier, place)
    statement = _parse(payload, place)
    if statement.get("_type") != STATEMENT_TYPE or statement.get("predicateType") != predicate_type:
        raise VerificationError(
            f"it states {statement.get('predicateType')!r}, not {predicate_type}",
            place=place,
            hint="The signature is good, but about something else. Ask the publisher for the right file.",
        )
    return statement


def _check_signatures(signatures: object, payload: bytes, verifier: SignatureVerifier, place: str) -> None:
    if not isinstance(signatures, list) or not 1 <= len(signatures) <= MAX_SIGNATURES:
        raise VerificationError(f"an envelope has 1 to {MAX_SIGNATURES} signatures", place=place)
    message, last = pre_authentication_encoding(payload), None
    for position, item in enumerate(signatures):
        where = f"signatures[{position}].sig"
        signature = _base64(item.get("sig") if isinstance(item, dict) else None, where, place)
        try:
            verifier.verify(message, signature)
        except VerificationError as error:
            last = error
        else:
            return
    raise VerificationError("no signature on it was made with the expected key", place=place) from last


def _parse(data: bytes, place: str) -> Mapping[str, Any]:
    try:
        return parse_object(data, place=place, max_depth=_MAX_DEPTH, max_values=_MAX_VALUES)
    except CheckpointError as error:
        raise VerificationError(f"not an envelope around a statement: {error.message}", place=place) from error


def _base64(value: object, what: str, place: str) -> bytes:
    if not isinstance(value, str):
        raise VerificationError(f"its {what} is no text", place=place)
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise VerificationError(f"its {what} is not base64", place=place) from error
