"""What goes wrong with a bundle, an inventory or another hub."""

from weighbridge.errors import HubError, InputError, VerificationError


class BundleError(VerificationError):
    """A bundle is not what was signed. `place` names the file and the byte."""

    hint = "Copy the bundle again; if it still differs, ask whoever exported it for a new one."


class TruncatedBundleError(BundleError):
    """A bundle ends too early: its transfer was cut off."""

    def __init__(self, *, place: str, held_bytes: int, total_bytes: int) -> None:
        super().__init__(
            f"it ends at byte {held_bytes}, {total_bytes - held_bytes} bytes before its end at {total_bytes}",
            place=place,
            hint=f"Resume the transfer at byte {held_bytes} (for example `rsync --append`), then import again.",
        )
        self.held_bytes = held_bytes
        self.total_bytes = total_bytes


class InventoryError(InputError):
    """Bytes that are no inventory, or a damaged one. `place` names the byte."""

    hint = "Make a new one with `weighbridge hub inventory` on the hub that will import."


class IncompleteError(VerificationError):
    """A repository that arrived names something that did not."""

    hint = "Nothing of it is visible. Pull or export it again; if it stays so, its source is damaged."


class SourceError(HubError):
    """Another hub cannot be reached, or does not answer as a hub should."""

    hint = "Check the address and the token, and try again: what has arrived is kept."


class LyingSourceError(VerificationError):
    """Another hub sent bytes that are not those it named."""

    hint = "Nothing of it is visible. Try again; if it happens again, do not trust that hub or what lies between."
