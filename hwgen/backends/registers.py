"""Status registers of a Zynq board's shell: the one table for RTL, driver and documents."""

from __future__ import annotations

from dataclasses import dataclass

from hwgen.backends.systemverilog import bit_range

MAGIC = 0x4857474E  # "HWGN"
VERSION = 1  # of the map; another number where a driver of today would misread it
ADDRESS_BITS = 12  # 4 KiB, the least that an AXI interconnect tells apart
COUNTER_BITS = 48  # 32 days at 100 MHz
STATE = ("active", "input_valid", "input_ready", "output_valid", "output_ready")  # from bit 0
BEAT_SHIFT = 8  # of the state: above it, the beats of an unfinished input frame
CLEAR = 1  # of the control register


@dataclass(frozen=True, slots=True)
class Register:
    """One register: ``value`` is the shell's Verilog expression of its ``words`` * 32 bits."""

    name: str
    value: str
    meaning: str
    words: int = 1
    access: str = "R"

    @property
    def bits(self) -> int:
        """Width."""
        return 32 * self.words


# Events that are counted, from counter 0; the shell has a net of each name.
EVENTS = {
    "frames_in": "frames that have entered the network",
    "frames_out": "frames that have left it",
    "cycles": "clock cycles",
    "busy": "cycles from the first beat of a batch into the network to its last beat out",
    "starved": "busy cycles in which the network took input and none came",
    "stalled": "cycles in which the network gave output and nobody took it",
}


def _counter(index: int) -> str:
    return f"{{{64 - COUNTER_BITS}'d0, counts[{COUNTER_BITS * index}+:{COUNTER_BITS}]}}"


TABLE = (
    Register("magic", f"32'h{MAGIC:08x}", "`HWGN` in ASCII"),
    Register("version", f"32'd{VERSION}", "of this map"),
    Register("build_id", "BUILD_ID", "64 bits of the digest of the build's RTL", words=2),
    Register("clock_khz", "CLOCK_KHZ", "the clock that was planned, kHz"),
    Register("frame_cycles", "FRAME_CYCLES", "cycles a frame by the cycle model"),
    Register("control", "32'd0", f"write {CLEAR}: all counters start from 0", access="W"),
    Register(
        "snapshot",
        "state",
        f"reading latches the counters; bits 0 to {len(STATE) - 1} say now: "
        f"{', '.join(name.replace('_', ' ') for name in STATE)}; "
        f"from bit {BEAT_SHIFT}: beats of an unfinished input frame",
    ),
    *(
        Register(name, _counter(index), meaning, words=2)
        for index, (name, meaning) in enumerate(EVENTS.items())
    ),
)
WORDS = sum(register.words for register in TABLE)


def offsets() -> dict[str, int]:
    """The byte address of every register, of its low word where it has two."""
    found, offset = {}, 0
    for register in TABLE:
        found[register.name] = offset
        offset += 4 * register.words
    return found


def rtl() -> dict[str, object]:
    """What hwgen_shell.v.j2 renders of the table."""
    place = offsets()
    rows = [
        {
            "offset": f"0x{place[register.name]:02x}",
            "name": register.name,
            "value": register.value,
            "bits": register.bits,
        }
        for register in TABLE
    ]
    writable = sum(1 << place[r.name] // 4 for r in TABLE if "W" in r.access)
    return {
        "rows": rows,
        "words": WORDS,
        "words_range": bit_range(WORDS),
        "address_bits": ADDRESS_BITS,
        "address_range": bit_range(ADDRESS_BITS),
        "counter_bits": COUNTER_BITS,
        "counts_range": bit_range(COUNTER_BITS * len(EVENTS)),
        "events": list(EVENTS),
        "state": list(STATE),
        "state_padding": f"{BEAT_SHIFT - len(STATE)}'d0",
        "writable": f"{WORDS}'h{writable:x}",
        "control": place["control"] // 4,
        "snapshot": place["snapshot"] // 4,
    }


def driver() -> dict[str, object]:
    """What the host's driver has to know, for its JSON."""
    return {
        "magic": MAGIC,
        "version": VERSION,
        "offsets": offsets(),
        "counters": list(EVENTS),
        "state": list(STATE),
        "beat_shift": BEAT_SHIFT,
        "clear": CLEAR,
    }


def markdown() -> str:
    """The register map as a table for documents."""
    place = offsets()
    lines = ["| offset | register | bits | | meaning |", "|---|---|---|---|---|"]
    lines += [
        f"| `0x{place[r.name]:02x}` | `{r.name}` | {r.bits} | {r.access} | {r.meaning} |"
        for r in TABLE
    ]
    return "\n".join(lines) + "\n"
