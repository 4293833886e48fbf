"""A board on a serial line in Python, written from the protocol alone, and a line in virtual time.

It shares no code with hwgen/host: CRC by bits, unstuffing by a state machine, rings by lists.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

Network = Callable[[bytes], bytes]  # an image's bytes to its results' bytes


def crc32(data: bytes) -> int:
    """CRC-32 of IEEE 802.3, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        for i in range(8):
            low = (crc ^ byte >> i) & 1
            crc = crc >> 1 ^ (0xEDB88320 if low else 0)
    return crc ^ 0xFFFFFFFF


def framed(body: bytes) -> bytes:
    """A body as it stands on the line."""
    out = [0x7E]
    for byte in body + crc32(body).to_bytes(4, "little"):
        out += [0x7D, byte ^ 0x20] if byte in (0x7D, 0x7E) else [byte]
    return bytes([*out, 0x7E])


@dataclass
class Unframer:
    """Bytes to bodies; None stands for a damaged frame."""

    content: bytearray = field(default_factory=bytearray)
    escaped: bool = False
    begun: bool = False

    def feed(self, data: bytes) -> list[bytes | None]:
        found: list[bytes | None] = []
        for byte in data:
            if byte == 0x7E:
                body, crc = bytes(self.content[:-4]), bytes(self.content[-4:])
                good = not self.escaped and body and crc32(body).to_bytes(4, "little") == crc
                if self.begun:
                    found.append(body if good else None)
                self.content, self.escaped, self.begun = bytearray(), False, False
            else:
                self.begun = True
                if byte == 0x7D:
                    self.escaped = True
                else:
                    self.content.append(byte ^ 0x20 if self.escaped else byte)
                    self.escaped = False
        return found


@dataclass
class Board:
    """What the shell and a network do; ``images`` are those that entered, since power-on."""

    network: Network
    image_bytes: int
    result_bytes: int
    build_id: int = 0x1234
    version: int = 1
    ring_bits: int = 11
    images: list[bytes] = field(default_factory=list)
    unframer: Unframer = field(default_factory=Unframer)
    to_send: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """The reset button."""
        self.session = 0
        self.restart()
        self.unframer = Unframer()

    def restart(self) -> None:
        self.data, self.taken = bytearray(), 0  # of the session; bytes the network has
        self.results, self.tail, self.next = bytearray(), 0, 0

    def receive(self, data: bytes) -> None:
        for body in self.unframer.feed(data):
            self.frame(body)

    def frame(self, body: bytes | None) -> None:
        if body is None or len(body) < 6:
            if self.session:
                self.answer(gap=True)
            return
        kind, session = body[0] & 3, body[1]
        position, ack = (int.from_bytes(body[i : i + 2], "little") for i in (2, 4))
        if kind == 2 and session != self.session:
            self.session = session
            self.restart()
        if kind != 3 or session != self.session or not session:
            self.answer(info=True)
            return
        ahead = (position - len(self.data)) % 65536
        fits = len(self.data) + len(body) - 6 - self.taken <= 1 << self.ring_bits
        if ahead == 0 and fits:
            self.data += body[6:]
        acked = (ack - self.tail) % 65536
        if acked <= len(self.results) - self.tail:
            self.tail += acked
        if body[0] & 0x80:
            self.next = self.tail
        if ahead or not fits or body[0] & 0x80:
            self.answer(gap=ahead < 32768 if ahead else not fits)

    def work(self) -> None:
        """The network takes an image if one is there and its results have room; then it answers."""
        room = (1 << self.ring_bits) - (len(self.results) - self.tail)
        if len(self.data) - self.taken >= self.image_bytes and room >= self.result_bytes:
            image = bytes(self.data[self.taken : self.taken + self.image_bytes])
            self.taken += self.image_bytes
            self.images.append(image)
            self.results += self.network(image)
            self.answer()
        elif self.next < len(self.results):
            self.answer()

    def answer(self, *, info: bool = False, gap: bool = False) -> None:
        header = [(1 if info else 3) | (0x80 if gap else 0), self.session]
        for number in (self.taken, len(self.data), self.next):
            header += list((number % 65536).to_bytes(2, "little"))
        if info:
            sizes = (self.image_bytes, self.result_bytes)
            data = bytes([self.version, self.ring_bits, self.ring_bits])
            data += self.build_id.to_bytes(8, "little")
            data += b"".join(n.to_bytes(4, "little") for n in sizes)
        else:
            data = bytes(self.results[self.next : self.next + 128])
            self.next += len(data)
        self.to_send += framed(bytes(header) + data)


@dataclass
class VirtualLine:
    """A line with a board at its end; a read takes a millisecond of virtual time.

    ``harm`` (per byte: what arrives of it) damages both directions; ``reset_ms`` resets the board
    so often; ``slow`` is the milliseconds that the network takes for an image.
    """

    board: Board
    harm: Callable[[int], list[int]] = lambda byte: [byte]
    bytes_a_ms: int = 100
    reset_ms: int = 0
    slow: int = 1
    port: str = "virtual"
    baud: int = 1_000_000
    now: float = 0.0
    ticks: int = 0
    outgoing: bytearray = field(default_factory=bytearray)

    def monotonic(self) -> float:
        return self.now

    def write(self, data: bytes) -> None:
        for byte in data:
            self.outgoing += bytes(self.harm(byte))

    def read(self) -> bytes:
        self.now += 0.001
        self.ticks += 1
        self.board.receive(bytes(self.outgoing[: self.bytes_a_ms]))
        del self.outgoing[: self.bytes_a_ms]
        if self.ticks % self.slow == 0:
            self.board.work()
        if self.reset_ms and self.ticks % self.reset_ms == 0:
            self.board.reset()
        came = bytes(self.board.to_send[: self.bytes_a_ms])
        del self.board.to_send[: self.bytes_a_ms]
        return bytes(b for byte in came for b in self.harm(byte))

    def clear(self) -> None:
        pass

    def close(self) -> None:
        pass


@dataclass
class Harm:
    """Faults by kind, as the simulated board's; ``count`` is how many there were."""

    seed: int
    noise: float = 0.0
    drop: float = 0.0
    repeat: float = 0.0
    garbage: float = 0.0
    count: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def __call__(self, byte: int) -> list[int]:
        r, out = self.random, []
        if r.random() < self.garbage:
            self.count += 1
            out += [r.randrange(256) for _ in range(r.randint(1, 40))]
        if r.random() < self.drop:
            self.count += 1
            return out
        if r.random() < self.noise:
            self.count += 1
            byte ^= 1 << r.randrange(8)
        out.append(byte)
        if r.random() < self.repeat:
            self.count += 1
            out.append(byte)
        return out
