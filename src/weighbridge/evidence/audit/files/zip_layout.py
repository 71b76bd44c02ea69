"""The layout of a zip, read strictly: what two readers could understand differently is refused.

Source: PKWARE's APPNOTE.TXT 6.3.10. One reader trusts the central directory, another the local headers, a third starts
at the first byte: only where all agree does everybody see the same members.
"""

import struct
from dataclasses import dataclass, field

from weighbridge.evidence.audit.files.kind import ZIP_END
from weighbridge.evidence.audit.files.view import FileView

MAX_MEMBERS = 100_000
MAX_DIRECTORY_BYTES = 48 << 20

END = struct.Struct("<4s4H2LH")
LOCAL_MAGIC = b"PK\x03\x04"
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_CENTRAL = struct.Struct("<4s4B4HL2L5H2L")
_LOCAL = struct.Struct("<4s2B4HL2L2H")
_DESCRIPTOR_FLAG, _UTF8_FLAG = 0x0008, 0x0800
_ENCRYPTED_FLAGS = 0x2041
_KNOWN_FLAGS = 0x080E
_MOST_COMMENT = 0xFFFF
_NEWEST_VERSION = 63
_LINK = 0o120000
_PLAIN_EXTRA = frozenset((0x0001, 0x000A, 0x5455, 0x5855, 0x7855, 0x7875))
"""Sizes of zip64, times of NTFS and Unix, owners of Unix."""
_MOST_EXTRA = 64
_PADDING = frozenset((0x0000, 0x4246, 0xD935, 0xFFFF, 0xCAFE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member, as the central directory states it.

    Attributes:
        name: decoded; may be anything.
        method: 0 stored, 8 deflated, 12 bzip2, 14 LZMA.
        size_bytes: length once expanded.
        packed_bytes: length in the file.
        crc: CRC-32 of the content.
        header: where its local header starts.
        start: where its bytes start; -1 where there is no local header.
        is_link: whether it would become a symbolic link.
        encrypted: whether it needs a password.
    """

    name: str
    method: int
    size_bytes: int
    packed_bytes: int
    crc: int
    header: int
    start: int
    is_link: bool
    encrypted: bool


@dataclass(slots=True)
class Layout:
    """A zip.

    Attributes:
        members: in the order of the central directory.
        comments: of the archive and its members, and extra fields that are not known: (what, bytes, member).
        problems: (rule, what is wrong, member) where readers could differ.
    """

    members: list[Member] = field(default_factory=list)
    problems: list[tuple[str, str, str]] = field(default_factory=list)
    comments: list[tuple[str, bytes, str]] = field(default_factory=list)


class NotZipError(ValueError):
    """There is no central directory that could be read."""


def read_layout(view: FileView) -> Layout:
    """Read and check the layout.

    Raises:
        NotZipError: if no end record or no central directory can be read.
    """
    layout = Layout()
    count, size, offset, end = _end_record(view, layout)
    if size > MAX_DIRECTORY_BYTES or count > MAX_MEMBERS:
        raise NotZipError(f"the central directory states {count:,} members in {size:,} bytes")
    if offset + size > end:
        raise NotZipError("the central directory does not lie before its end record")
    shift = end - size - offset
    if shift:
        # Readers that measure from the end find every member; others find other bytes.
        layout.problems.append(("zip-prefix", f"{shift:,} bytes stand before the archive or inside it", ""))
    directory = view.read(offset + shift, size)
    position = 0
    while position < len(directory):
        if len(layout.members) >= MAX_MEMBERS:
            raise NotZipError(f"there are more than {MAX_MEMBERS:,} members")
        position = _central(view, layout, directory, position, shift)
    if len(layout.members) != count:
        layout.problems.append(
            ("zip-count", f"the end record states {count:,} members, the directory {len(layout.members):,}", "")
        )
    _tiling(view, layout, offset + shift)
    return layout


def _end_record(view: FileView, layout: Layout) -> tuple[int, int, int, int]:
    """Return (members, directory size, directory offset, where the directory must end)."""
    length = min(view.size_bytes, _MOST_COMMENT + END.size + 4096)
    base = view.size_bytes - length
    tail = view.read(base, length)
    at = tail.rfind(ZIP_END)
    if at < 0 or at + END.size > len(tail):
        raise NotZipError("there is no end record")
    _, disk, first, here, count, size, offset, comment = END.unpack_from(tail, at)
    behind = len(tail) - at - END.size
    if behind > comment:
        layout.problems.append(("zip-suffix", f"{behind - comment:,} bytes stand behind the archive", ""))
    elif behind < comment:
        layout.problems.append(("zip-comment", "the comment is cut off", ""))
    if tail[at + END.size :]:
        layout.comments.append(("comment of the archive", tail[at + END.size :], ""))
    if tail.find(ZIP_END) != at and ZIP_END in tail[at + END.size :]:
        layout.problems.append(("zip-two-ends", "there are two end records", ""))
    position = base + at
    locator = view.read(position - _END64_LOCATOR.size, _END64_LOCATOR.size) if position >= 20 else b""
    if locator[:4] == b"PK\x06\x07":
        _, _, where, _ = _END64_LOCATOR.unpack(locator)
        record = view.read(where, _END64.size)
        if len(record) < _END64.size or record[:4] != b"PK\x06\x06":
            raise NotZipError("the zip64 end record is not where its locator says")
        wide = _END64.unpack(record)
        for what, narrow, limit, value in (
            ("members", here, 0xFFFF, wide[6]), ("size", size, 0xFFFFFFFF, wide[8]),
            ("offset", offset, 0xFFFFFFFF, wide[9]),
        ):  # fmt: skip
            if narrow not in (limit, value):
                layout.problems.append(("zip-ends-differ", f"the two end records state different {what}", ""))
        return wide[7], wide[8], wide[9], where
    if disk or first or here != count:
        layout.problems.append(("zip-disks", "the archive states several disks", ""))
    return count, size, offset, position


def _central(view: FileView, layout: Layout, directory: bytes, position: int, shift: int) -> int:
    """Read one entry and hold its local header against it; return where the next one starts."""
    if position + _CENTRAL.size > len(directory):
        raise NotZipError("the central directory is cut off")
    entry = _CENTRAL.unpack_from(directory, position)
    if entry[0] != b"PK\x01\x02":
        raise NotZipError("the central directory holds something that is no entry")
    system, flags, method, crc, packed, size = entry[2], entry[5], entry[6], entry[9], entry[10], entry[11]
    name_length, extra_length, comment_length, attributes, header = (
        entry[12],
        entry[13],
        entry[14],
        entry[17],
        entry[18],
    )
    at = position + _CENTRAL.size
    raw = directory[at : at + name_length]
    extra = directory[at + name_length : at + name_length + extra_length]
    wide = _wide(extra, [size == 0xFFFFFFFF, packed == 0xFFFFFFFF, header == 0xFFFFFFFF])
    size, packed, header = (
        value if value is not None else old for value, old in zip(wide, (size, packed, header), strict=True)
    )
    name = raw.decode("utf-8" if flags & _UTF8_FLAG else "cp437", "replace")
    local = _local(view, layout, header + shift, (raw, name, flags, method, crc, packed, size))
    layout.members.append(
        Member(
            name=name,
            method=method,
            size_bytes=size,
            packed_bytes=packed,
            crc=crc,
            header=header + shift,
            start=local,
            # The upper half of the attributes is a Unix mode if the writer says Unix or macOS.
            is_link=system in (3, 19) and (attributes >> 16) & 0o170000 == _LINK,
            encrypted=bool(flags & _ENCRYPTED_FLAGS),
        )
    )
    if entry[3] > _NEWEST_VERSION or entry[15]:
        layout.problems.append(("zip-version", "the entry asks for a newer reader, or for another disk", name))
    if flags & ~(_KNOWN_FLAGS | _ENCRYPTED_FLAGS):
        layout.problems.append(("zip-flags", f"the entry sets flags that are not known here ({flags:#06x})", name))
    end = int(at + name_length + extra_length + comment_length)
    if comment_length:
        layout.comments.append(("comment of the member", directory[end - comment_length : end], name))
    _extra(layout, extra, name)
    return end


def _local(view: FileView, layout: Layout, offset: int, stated: tuple[bytes, str, int, int, int, int, int]) -> int:
    """Return where the member's bytes start, or -1; report where the local header differs from the central one."""
    raw, name, flags, method, crc, packed, size = stated
    data = view.read(offset, _LOCAL.size) if offset < view.size_bytes else b""
    if len(data) < _LOCAL.size or data[:4] != LOCAL_MAGIC:
        layout.problems.append(("zip-no-local-header", "there is no local header where the directory says", name))
        return -1
    local = _LOCAL.unpack(data)
    rest = view.read(offset + _LOCAL.size, local[10] + local[11])
    extra = rest[local[10] :]
    local_size, local_packed = local[9], local[8]
    _extra(layout, extra, name)
    wide = _wide(extra, [local_size == 0xFFFFFFFF, local_packed == 0xFFFFFFFF])
    local_size, local_packed = (
        v if v is not None else old for v, old in zip(wide, (local_size, local_packed), strict=True)
    )
    later = bool(local[3] & _DESCRIPTOR_FLAG)
    pairs: list[tuple[str, object, object]] = [
        ("name", rest[: local[10]], raw),
        ("flags", local[3] & ~_UTF8_FLAG, flags & ~_UTF8_FLAG),
        ("method", local[4], method),
    ]
    numbers = (("CRC", local[7], crc), ("packed size", local_packed, packed), ("size", local_size, size))
    # What is only known once the member is written stands behind it, and zero here.
    pairs += [row for row in numbers if not (later and row[1] == 0)]
    for what, here, there in pairs:
        if here != there:
            layout.problems.append(
                ("zip-headers-differ", f"the local header states another {what} than the central directory", name)
            )
    return int(offset + _LOCAL.size + local[10] + local[11])


def _extra(layout: Layout, extra: bytes, name: str) -> None:
    """Note what the extra fields hold beside sizes, times, owners and padding."""
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, position)
        body = extra[position + 4 : position + 4 + length]
        # Padding is one byte over and over, as PyTorch ("FB") and zipalign write it.
        plain = kind in _PLAIN_EXTRA and len(body) == length <= _MOST_EXTRA
        if not plain and (len(body) != length or len(set(body)) > 1 or kind not in _PADDING):
            layout.comments.append((f"extra field {kind:#06x}", body, name))
        position += 4 + length
    if extra[position:].strip(b"\0"):
        layout.comments.append(("extra bytes", extra[position:], name))


def _wide(extra: bytes, wanted: list[bool]) -> list[int | None]:
    """Return the 64-bit values of the zip64 field for those that are wanted, in its fixed order."""
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, position)
        if kind == 1:
            body = extra[position + 4 : position + 4 + length]
            values: list[int | None] = []
            for want in wanted:
                if want and len(body) >= 8:
                    values.append(int.from_bytes(body[:8], "little"))
                    body = body[8:]
                else:
                    values.append(None)
            return values
        position += 4 + length
    return [None] * len(wanted)


def _tiling(view: FileView, layout: Layout, directory: int) -> None:
    """Require that members and headers cover the file from its first byte to the directory, without overlap."""
    position = 0
    for member in sorted(layout.members, key=lambda member: member.header):
        if member.start < 0:
            continue
        if member.header < position:
            layout.problems.append(("zip-overlap", "the member's bytes overlap those of another", member.name))
        elif member.header > position and not _descriptor(view, position, member.header):
            gap = member.header - position
            layout.problems.append(("zip-gap", f"{gap:,} bytes before the member belong to nothing", member.name))
        position = max(position, member.start + member.packed_bytes)
    if position > directory:
        layout.problems.append(("zip-overlap", "the last member reaches into the central directory", ""))
    elif position < directory and not _descriptor(view, position, directory):
        layout.problems.append(
            ("zip-gap", f"{directory - position:,} bytes before the directory belong to nothing", "")
        )


def _descriptor(view: FileView, start: int, end: int) -> bool:
    """Say whether what lies between is a data descriptor (12 to 24 bytes, with or without its magic number)."""
    length = end - start
    return length in (12, 20) or (length in (16, 24) and view.read(start, 4) == b"PK\x07\x08")
