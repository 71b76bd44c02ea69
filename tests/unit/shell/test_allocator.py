"""What the allocator does with large blocks, as glibc itself counts them."""

import subprocess
import sys

import pytest

_COUNTED = """
import ctypes

from weighbridge.shell.hub.allocator import keep_blocks

libc = ctypes.CDLL(None)
mallinfo2 = libc.mallinfo2


class Counted(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks".split()]
    _fields_ += [(name, ctypes.c_size_t) for name in "uordblks fordblks keepcost".split()]


mallinfo2.restype = Counted


def mapped():
    block = bytearray(6 * 1024 * 1024)
    return mallinfo2().hblks


before = mapped()
print(before, keep_blocks(), mapped())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_a_block_of_six_megabytes_is_no_longer_mapped_anew() -> None:
    done = subprocess.run([sys.executable, "-c", _COUNTED], capture_output=True, text=True, check=True)
    before, obeyed, after = done.stdout.split()
    assert obeyed == "True"
    assert int(after) < int(before)
