"""Settings of the C library's allocator for a process through which many large blocks pass."""

import ctypes
from typing import Final

# From <malloc.h>: parameters of `mallopt`, which returns 1 where it obeyed.
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8

_KEPT_BYTES: Final = 16 * 1024 * 1024
_BLOCK_BYTES: Final = 8 * 1024 * 1024
_ARENAS: Final = 4


def keep_blocks() -> bool:
    """Let freed blocks of up to 8 MiB be used again instead of going back to the system, and say whether that is so.

    By default each larger block is mapped anew: the kernel then clears its pages one fault at a time, which costs an
    upload more than verifying its bytes. Up to 16 MiB are kept in each of four arenas. Source: `man 3 mallopt`; other C
    libraries than glibc have no such function.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    settings = ((_ARENA_MAX, _ARENAS), (_MMAP_THRESHOLD, _BLOCK_BYTES), (_TRIM_THRESHOLD, _KEPT_BYTES))
    obeyed = [mallopt(parameter, value) == 1 for parameter, value in settings]
    return all(obeyed)
