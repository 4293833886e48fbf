"""A board for the stand-in of PYNQ, without RTL: a function on bytes, and registers in Python."""

from collections.abc import Callable
from dataclasses import dataclass, field

from hwgen.backends import registers

OKAY, SLVERR = 0, 2
AT = registers.offsets()


@dataclass
class FakeBoard:
    """``design`` turns the bytes of a batch into those that come back, or is None: it hangs.

    Of a batch of n frames the counters get ``latency + (n - 1) * interval`` busy cycles,
    ``starved`` and ``stalled`` for every frame, and ``idle`` more in which nothing happens.
    """

    design: Callable[[bytes], bytes] | None
    build_id: int
    frame_bytes: int  # of the input
    latency: int = 0
    interval: int = 0
    starved: int = 0
    stalled: int = 0
    idle: int = 0
    state: int = 0
    last: bool = True  # whether TLAST comes
    values: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    latched: dict[str, int] = field(default_factory=dict)
    loaded: int = 0

    def load(self, bitfile: str) -> "FakeBoard":
        """What the stand-in calls for a bitfile."""
        self.loaded += 1
        self.counts = self.latched = dict.fromkeys(registers.EVENTS, 0)
        self.values = {
            "magic": registers.MAGIC,
            "version": registers.VERSION,
            "build_id": self.build_id,
        } | self.values
        return self

    def close(self) -> None:
        """Nothing to switch off."""

    def read(self, offset: int) -> tuple[int, int]:
        """Data and response."""
        if offset == AT["snapshot"]:
            self.latched = dict(self.counts)
            return self.state, OKAY
        for register in registers.TABLE:
            half = (offset - AT[register.name]) // 4
            if 0 <= half < register.words:
                value = {**self.values, **self.latched}.get(register.name, 0)
                return value >> 32 * half & 0xFFFFFFFF, OKAY
        return 0, SLVERR

    def write(self, offset: int, value: int, strobe: int = 15) -> int:
        """The response."""
        if offset != AT["control"]:
            return SLVERR
        if value & strobe & 1:
            self.counts = dict.fromkeys(registers.EVENTS, 0)
        return OKAY

    def exchange(self, data: bytes, room: int) -> tuple[bytes, bool, bool]:
        """What comes back, whether all was sent, whether TLAST came."""
        frames = len(data) // self.frame_bytes
        if self.design is None:
            return b"", False, False
        busy = self.latency + (frames - 1) * self.interval
        more = {
            "frames_in": frames,
            "frames_out": frames,
            "cycles": busy + self.idle,
            "busy": busy,
            "starved": frames * self.starved,
            "stalled": frames * self.stalled,
        }
        self.counts = {name: self.counts[name] + more[name] for name in more}
        return self.design(data), True, self.last
