"""The status registers of the design: which build it is, and counters of what it does.

shapes.json has the map (``registers``); README.md has it in words.
"""

from typing import Any, Dict

from packing import Design


class DriverError(Exception):
    """What the user can act on; shown as one line."""


class IdentityError(DriverError):
    """The bitstream is not the one that this driver was made for."""


class Status:
    """Registers behind ``block``, whose read(offset) and write(offset, value) move 32 bits."""

    def __init__(self, block: Any, design: Design) -> None:
        self._block, self._design, self._map = block, design, design.registers

    def check(self, bitfile: str) -> None:
        """Raise ``IdentityError`` unless the bitstream belongs to this build."""
        wanted = self._map["magic"]
        found = self._word("magic")
        if found != wanted:
            raise IdentityError(
                f"{bitfile} is no bitstream of hwgen: its register 0 is 0x{found:08x}, "
                f"not 0x{wanted:08x}; give the hwgen.bit and hwgen.hwh of this build"
            )
        version = self._word("version")
        if version != self._map["version"]:
            raise IdentityError(
                f"{bitfile} has status registers of version {version}, this driver reads version "
                f"{self._map['version']}; take bitfile and driver/ from the same build"
            )
        build = f"{self._long('build_id'):016x}"
        if build != self._design.build_id:
            raise IdentityError(
                f"{bitfile} is of build {build}, this driver of build {self._design.build_id} "
                "(shapes.json); take hwgen.bit, hwgen.hwh and driver/ from the same build"
            )

    def clear(self) -> None:
        """All counters start from 0."""
        self._block.write(self._map["offsets"]["control"], self._map["clear"])

    def snapshot(self) -> Dict[str, int]:
        """All counters in one cycle, and what the two streams do in it (0 or 1).

        ``beats``: those of an input frame that has not entered in full.
        """
        state = self._word("snapshot")  # this read latches the counters
        found = {name: state >> bit & 1 for bit, name in enumerate(self._map["state"])}
        found["beats"] = state >> self._map["beat_shift"]
        found.update((name, self._long(name)) for name in self._map["counters"])
        return found

    def explain(self, frames: int) -> str:
        """Where a batch of ``frames`` frames got stuck, in words."""
        now = self.snapshot()
        if not now["active"] and now["frames_out"] >= frames:
            reason = "the network is done, so the DMA has not finished"
        elif not now["active"]:
            reason = "nothing has reached the network, so the DMA does not send"
        elif now["output_valid"] and not now["output_ready"]:
            reason = "a result waits for the DMA to take it"
        elif now["input_ready"] and not now["input_valid"]:
            reason = "the network waits for input that the DMA does not send"
        else:
            reason = "the network itself is stuck"
        return (
            f"{reason} ({now['frames_in']} frames and {now['beats']} beats in, "
            f"{now['frames_out']} frames out, input starved for {now['starved']} cycles, "
            f"output stalled for {now['stalled']})"
        )

    def _word(self, name: str, half: int = 0) -> int:
        return int(self._block.read(self._map["offsets"][name] + 4 * half)) & 0xFFFFFFFF

    def _long(self, name: str) -> int:
        return self._word(name) | self._word(name, 1) << 32
