"""Frames on the serial line: bytes to meaning and back, without a port or a clock.

A frame is its body and the body's CRC-32 (that of zlib, lowest byte first), stuffed so that the
flag 0x7E stands only before and behind it. The shell's header comments say the same of hardware
(templates/shell/uart_deframer.sv, uart_inbox.sv, uart_outbox.sv).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

FLAG, ESCAPE, FLIP = 0x7E, 0x7D, 0x20
VERSION = 1
CHUNK = 256  # bytes of data in a frame, at most
WRAP = 1 << 16  # positions are counted modulo this
CRC_BYTES = 4
LONGEST = 4096  # what is longer between two flags is noise

_HOST = struct.Struct("<BBHH")
_BOARD = struct.Struct("<BBHHH")
_INFO = struct.Struct("<BBBQII")
_BIT7 = 0x80


class Kind(IntEnum):
    """What a frame is for; INFO comes from the board, QUERY and OPEN from the host."""

    INFO = 1
    QUERY = 1
    OPEN = 2
    STREAM = 3


@dataclass(frozen=True, slots=True)
class HostFrame:
    """Host to board: ``data`` stand at ``position``; results up to ``acknowledged`` are here.

    ``resend`` asks for all results from ``acknowledged`` on once more.
    """

    kind: Kind
    session: int
    position: int = 0
    acknowledged: int = 0
    data: bytes = b""
    resend: bool = False

    def encode(self) -> bytes:
        """The bytes on the line."""
        kind = self.kind | (_BIT7 if self.resend else 0)
        header = _HOST.pack(kind, self.session, self.position % WRAP, self.acknowledged % WRAP)
        return stuff(header + self.data)


@dataclass(frozen=True, slots=True)
class BoardFrame:
    """Board to host: what it took (``consumed``) and has (``accepted``), results at ``position``.

    ``gap``: a frame of the host's was damaged, or one is missing in front of the last. ``info``:
    ``data`` are no results but an ``Info``.
    """

    info: bool
    session: int
    consumed: int
    accepted: int
    position: int
    data: bytes
    gap: bool = False

    @classmethod
    def decode(cls, body: bytes) -> Self | None:
        """The meaning of a frame's body, None if it has none."""
        if len(body) < _BOARD.size:
            return None
        kind, session, consumed, accepted, position = _BOARD.unpack_from(body)
        if kind & ~_BIT7 not in (Kind.INFO, Kind.STREAM):
            return None
        info, gap = kind & ~_BIT7 == Kind.INFO, bool(kind & _BIT7)
        return cls(info, session, consumed, accepted, position, body[_BOARD.size :], gap)

    def encode(self) -> bytes:
        """The bytes on the line, as a board sends them."""
        kind = (Kind.INFO if self.info else Kind.STREAM) | (_BIT7 if self.gap else 0)
        numbers = (n % WRAP for n in (self.consumed, self.accepted, self.position))
        return stuff(_BOARD.pack(kind, self.session, *numbers) + self.data)


@dataclass(frozen=True, slots=True)
class Info:
    """What a board says of itself: rings in bytes, and the bytes of an image and of its results."""

    version: int
    inbox_bytes: int
    outbox_bytes: int
    build_id: int
    image_bytes: int
    result_bytes: int

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read an INFO frame; of another version, only ``version`` is known, the rest is 0."""
        if not data or data[0] != VERSION or len(data) < _INFO.size:
            return cls(data[0] if data else 0, 0, 0, 0, 0, 0)
        version, inbox, outbox, build_id, image_bytes, result_bytes = _INFO.unpack_from(data)
        return cls(version, 1 << inbox, 1 << outbox, build_id, image_bytes, result_bytes)

    @property
    def window(self) -> int:
        """Bytes that may wait in the board; the CRC of one more frame has to fit, too."""
        return self.inbox_bytes - CRC_BYTES


def stuff(body: bytes) -> bytes:
    """The whole frame of a body."""
    data = body + zlib.crc32(body).to_bytes(CRC_BYTES, "little")
    for special in (ESCAPE, FLAG):  # the escape first: it stands in what replaces a flag
        data = data.replace(bytes([special]), bytes([ESCAPE, special ^ FLIP]))
    return bytes([FLAG]) + data + bytes([FLAG])


def unstuff(between: bytes) -> bytes | None:
    """The body of what stood between two flags; None if it is damaged."""
    first, *rest = between.split(bytes([ESCAPE]))
    if not all(rest):  # an escape at the end, or in front of another
        return None
    data = first + b"".join(bytes([part[0] ^ FLIP]) + part[1:] for part in rest)
    body, crc = data[:-CRC_BYTES], data[-CRC_BYTES:]
    good = len(data) > CRC_BYTES and zlib.crc32(body).to_bytes(CRC_BYTES, "little") == crc
    return body if good else None


class Deframer:
    """Finds frames in bytes as they come; ``damaged`` counts what had no right CRC."""

    def __init__(self) -> None:
        self.damaged = 0
        self.pending = b""  # what no flag has ended yet

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Bodies that have ended within ``data``."""
        *ended, self.pending = (self.pending + data).split(bytes([FLAG]))
        if len(self.pending) > LONGEST:
            self.pending = self.pending[-LONGEST:]
        for between in filter(None, ended):
            body = unstuff(between)
            if body is None:
                self.damaged += 1
            else:
                yield body
