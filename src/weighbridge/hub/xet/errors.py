"""What goes wrong with bytes that should be a xorb, a shard or a hash."""

from weighbridge.errors import InputError


class XetError(InputError):
    """Bytes or text that a Xet client sent cannot be used."""

    hint = "Upload the file again with a current hf_xet."


class HashTextError(XetError):
    """A text is not a hash: 64 lower-case hexadecimal digits."""

    hint = "Send the hash as 64 lower-case hexadecimal digits."


class XorbError(XetError):
    """A xorb is malformed, too large, or not what its hash says. `place` is `xorb HASH, chunk N` where known."""

    hint = "Upload the xorb again; if it fails again, clear the client's Xet cache and upload the file from the start."


class ShardError(XetError):
    """A shard is malformed, too large, or says of a file what its xorbs contradict. `place` names the byte or file."""

    hint = "Upload the file again from the start; if it fails again, clear the client's Xet cache."
