"""Read a file that somebody named and that ought to be small: whole, or not at all."""

import os
from pathlib import Path

from weighbridge.checkpoint.walk import open_regular, read_prefix
from weighbridge.errors import CheckpointError, InputError


def read_small(path: Path, most: int, what: str, *, hint: str = "Check the path.") -> bytes:
    """Return the bytes of a file.

    Args:
        path: the file; a link, pipe or device is refused.
        most: how many bytes it may have.
        what: what it is, for errors.
        hint: what to do if it cannot be read.

    Raises:
        InputError: if it cannot be read, or is larger.
    """
    try:
        descriptor = open_regular(path, place=str(path))
        try:
            data = read_prefix(descriptor, most + 1, place=str(path))
        finally:
            os.close(descriptor)
    except CheckpointError as error:
        raise InputError(f"{what}: {error.message}", place=str(path), hint=hint) from error
    if len(data) > most:
        raise InputError(f"{what} is larger than {most:,} bytes", place=str(path), hint=hint)
    return data
