"""What a disk says, as errors of the store."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from weighbridge.hub.store.port import ByteStoreError, StoreFullError

_WRITABLE = "Give the server write permission to this folder, or name another one."
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_HINTS = {
    errno.ENOSPC: "Free some space on the disk and try again; what was stored before is untouched.",
    errno.EDQUOT: "The quota is used up; what was stored before is untouched.",
    errno.EFBIG: "The disk or a limit (`ulimit -f`) does not allow files of this size.",
    errno.EACCES: _WRITABLE,
    errno.EPERM: _WRITABLE,
    errno.EROFS: "The folder is on a read-only file system; name another one.",
    errno.EIO: "The disk reports a fault. Look at the system's log, and run `weighbridge hub verify` afterwards.",
    errno.EMFILE: "Allow the server more open files (`ulimit -n`).",
}


@contextmanager
def disk_errors(place: str, kind: type[ByteStoreError] | None = None) -> Iterator[None]:
    """Raise every `OSError` as a `ByteStoreError` about this place: of this kind, or `StoreFullError` where it is."""
    try:
        yield
    except OSError as error:
        raise (kind or (StoreFullError if error.errno in _NO_ROOM else ByteStoreError))(
            f"the disk cannot be used: {error.strerror or error}",
            place=place,
            hint=_HINTS.get(error.errno or 0, "Check the folder and its disk, and try again."),
        ) from error
