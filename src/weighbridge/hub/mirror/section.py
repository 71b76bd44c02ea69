"""One section of a bundle on its way in: bounded, and hashed as it is read."""

import hashlib
from typing import BinaryIO, Final

from weighbridge.hub.mirror.errors import BundleError
from weighbridge.hub.mirror.manifest import Front

_BLOCK_BYTES: Final = 1024 * 1024


class SectionReader:
    """Reads one section from its beginning, wherever the file stands. Raises `BundleError` for whatever is amiss."""

    def __init__(self, source: BinaryIO, front: Front, name: str, *, place: str) -> None:
        section = front.manifest.section(name)
        self._source = source
        self._at = front.manifest.offset_of(name, front.start)
        self._name = name
        self._place = place
        self._expected = section.sha256
        self._digest = hashlib.sha256()
        self.left = section.size_bytes
        source.seek(self._at)

    def wrong(self, message: str) -> BundleError:
        """Return the error for what was just read."""
        return BundleError(message, place=f"{self._place}, section {self._name}, byte {self._at}")

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        if size > self.left:
            raise self.wrong("a record is longer than its section")
        data = self._source.read(size)
        if len(data) != size:
            raise self.wrong("the file ends here")
        self._digest.update(data)
        self._at += size
        self.left -= size
        return data

    def finish(self) -> None:
        """Read what is left of the section; raise unless its bytes are those that were signed."""
        while self.left:
            self.take(min(self.left, _BLOCK_BYTES))
        if self._digest.hexdigest() != self._expected:
            raise BundleError(
                "its bytes are not those that were signed",
                place=f"{self._place}, section {self._name}, up to byte {self._at}",
            )
