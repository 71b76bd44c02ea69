"""What belongs to a person and not to a release: the signing key."""

import os
from pathlib import Path

from weighbridge.errors import InputError
from weighbridge.shell.signing import EcKeySigner, create_key_pair


def home() -> Path:
    """Return `$WEIGHBRIDGE_HOME`, or the folder that the XDG base directory specification gives a program."""
    if chosen := os.environ.get("WEIGHBRIDGE_HOME"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "weighbridge"


def own_private_key() -> Path:
    """Return where this person's signing key lies."""
    return home() / "release.key"


def own_public_key() -> Path:
    """Return where the public half of this person's signing key lies."""
    return home() / "release.pub"


def present_public_key(*, hint: str) -> Path:
    """Return where the public half of this person's signing key lies.

    Raises:
        InputError: if they have none yet, with this hint.
    """
    if not own_public_key().exists():
        raise InputError("you have no signing key of your own", place=str(own_public_key()), hint=hint)
    return own_public_key()


def load_signer(private_key: Path | None) -> tuple[EcKeySigner, Path | None]:
    """Return the signer, and where its new public key was written if this call made the pair.

    Args:
        private_key: a PEM file; None for this person's own key, which is made on first use.

    Raises:
        InputError: if the key cannot be read or made.
    """
    if private_key is not None:
        return EcKeySigner.load(private_key), None
    if own_private_key().exists():
        return EcKeySigner.load(own_private_key()), None
    try:
        return create_key_pair(own_private_key(), own_public_key()), own_public_key()
    except InputError:
        if not own_private_key().exists():
            raise
        # Another release made it in the meantime.
        return EcKeySigner.load(own_private_key()), None
