"""Run the network on a PYNQ board; needs pynq and numpy alone.

python driver.py --exec_mode execute --inputfile x.npy --outputfile y.npy
python driver.py --exec_mode throughput_test --batchsize 1000

Input: floats (N, C, H, W) as the trained network reads them, or its integers (N, H, W, C).
Output: the network's integers, int64, (N, C) for a classifier. shapes.json has the shapes.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from packing import HERE, Design, load_design
from status import DriverError, IdentityError, Status

BATCH = 256  # frames a transfer, unless asked otherwise
BUFFER_BYTES = 16 << 20  # contiguous memory is scarce: at most so much in each direction
TIMEOUT_S = 10.0
DMA_CONTROL, DMA_RESET = 0x00, 0x4  # MM2S_DMACR and its bit that resets both channels
ERRORS = (DriverError, OSError, ValueError, RuntimeError, MemoryError)  # one line each


class HwgenOverlay:
    """The network on the board: the overlay, its DMA, its status registers, and buffers.

    ``status`` tells what the network does at any time.
    """

    def __init__(
        self,
        bitfile: Optional[str] = None,
        *,
        batchsize: int = BATCH,
        timeout_s: float = TIMEOUT_S,
        design: Optional[Design] = None,
    ) -> None:
        """Configure the board with ``bitfile``; ``batchsize`` frames go in one transfer at most."""
        self.design = design or load_design()
        self.bitfile = find_bitfile(bitfile)
        self.timeout_s = timeout_s
        self.batchsize = min(batchsize, self.max_batchsize)
        if self.batchsize < 1:
            raise DriverError(f"batchsize {batchsize} is not at least 1")
        try:
            import pynq
        except ImportError as error:
            raise DriverError(
                f"pynq cannot be imported ({error}); run this on the board, in PYNQ's Python"
            ) from error
        self._pynq = pynq
        self._buffers: Dict[int, Tuple[Any, Any]] = {}
        self._configure()

    @property
    def max_batchsize(self) -> int:
        """Frames that fit a transfer of the DMA and a buffer, both ways."""
        largest = max(self.design.input.frame_bytes, self.design.output.frame_bytes)
        limit = min(self.design.max_transfer_bytes, max(BUFFER_BYTES, largest))
        return limit // largest

    def execute(self, images: np.ndarray) -> np.ndarray:
        """The network's integers for ``images``, in batches."""
        frames = self.design.quantise(images)
        results = [
            self.design.output.unpack(self._transfer(self.design.input.pack(batch)))
            for batch in self._batches(frames)
        ]
        empty = np.zeros((0,) + self.design.output.shape, np.int64)
        return self.design.results(np.concatenate([empty] + results))

    def throughput_test(self, frames: int = BATCH, repeats: int = 10) -> Dict[str, Any]:
        """Time transfers of random frames, and count what the network does meanwhile.

        Seconds are those of the fastest of ``repeats``, and of the transfers alone. Cycles are
        of that repeat too, added up over its batches. ``bottleneck`` is what would have to be
        faster: network, input, output, batch (too few frames to fill the network) or processor.
        """
        stream = self.design.input
        random = np.random.RandomState(0).randint(
            stream.lo, stream.hi + 1, (frames,) + stream.shape, np.int64
        )
        batches = [stream.pack(batch) for batch in self._batches(random)]
        _, alone = self._measure([batches[0][:1]])
        seconds, counts = min(
            (self._measure(batches) for _ in range(repeats)), key=lambda found: found[0]
        )
        return {
            "batchsize": min(self.batchsize, frames),
            "frames": frames,
            "seconds": seconds,
            "frames_per_second": frames / seconds,
            "expected_frames_per_second": self.design.frames_per_second,
            "input_megabytes_per_second": frames * stream.frame_bytes / seconds / 1e6,
            "output_megabytes_per_second": frames * self.design.output.frame_bytes / seconds / 1e6,
            **account(counts, alone["busy"], len(batches), self.design.frame_cycles),
        }

    def _measure(self, batches: Sequence[np.ndarray]) -> Tuple[float, Dict[str, int]]:
        """Seconds of the transfers of all batches, and the counters added up."""
        seconds = 0.0
        counts: Dict[str, int] = {}
        for packed in batches:
            self._fill(packed)
            start = time.perf_counter()
            self._run(len(packed))
            seconds += time.perf_counter() - start
            for name, value in self.status.snapshot().items():
                counts[name] = counts.get(name, 0) + value
        return seconds, counts

    def close(self) -> None:
        """Give the buffers back."""
        for pair in self._buffers.values():
            for buffer in pair:
                buffer.freebuffer()
        self._buffers = {}

    def __enter__(self) -> "HwgenOverlay":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _configure(self) -> None:
        """Load the bitstream; also the only way to bring a stuck network back."""
        self._working = False
        self.overlay = self._pynq.Overlay(str(self.bitfile))
        self.dma = self._block("dma")
        self.status = Status(self._block("network"), self.design)
        self.status.check(str(self.bitfile))
        if self.dma.buffer_max_size < self.design.max_transfer_bytes:
            raise DriverError(
                f"the DMA of {self.bitfile} moves {self.dma.buffer_max_size} bytes at most, "
                f"shapes.json says {self.design.max_transfer_bytes}: they are of different builds"
            )
        self._working = True

    def _block(self, name: str) -> Any:
        """A block of the design that the processor can address."""
        try:
            return getattr(self.overlay, name)
        except AttributeError as error:
            raise IdentityError(
                f"{self.bitfile} is no bitstream of this driver: it has no block '{name}'; "
                "give the hwgen.bit and hwgen.hwh of this build"
            ) from error

    def _batches(self, frames: np.ndarray) -> List[np.ndarray]:
        return [
            frames[start : start + self.batchsize]
            for start in range(0, len(frames), self.batchsize)
        ]

    def _transfer(self, packed: np.ndarray) -> np.ndarray:
        """Bytes (N, frame_bytes) in, bytes (N, frame_bytes) out."""
        self._fill(packed)
        self._run(len(packed))
        return np.array(self._buffers[len(packed)][1])

    def _fill(self, packed: np.ndarray) -> None:
        """Put a batch into the send buffer of its size."""
        frames = len(packed)
        if frames not in self._buffers:
            # a buffer for every size, because a transfer is a whole buffer; batches have two
            # sizes at most, the full one and the rest
            for size in [size for size in self._buffers if size != self.batchsize]:
                for buffer in self._buffers.pop(size):
                    buffer.freebuffer()
            self._buffers[frames] = (
                self._pynq.allocate(shape=packed.shape, dtype=np.uint8),
                self._pynq.allocate(shape=(frames, self.design.output.frame_bytes), dtype=np.uint8),
            )
        self._buffers[frames][0][:] = packed

    def _run(self, frames: int) -> None:
        """Send and receive one batch; the receiver is ready before anything is sent."""
        if not self._working:
            self._configure()
        self._working = False  # until the batch is through
        try:
            self._exchange(frames)
        except BaseException:  # Ctrl-C as well
            self._halt()
            raise
        self._working = True

    def _exchange(self, frames: int) -> None:
        sent, received = self._buffers[frames]
        self.status.clear()
        self.dma.recvchannel.transfer(received)
        self.dma.sendchannel.transfer(sent)
        deadline = time.monotonic() + self.timeout_s
        self._wait(self.dma.sendchannel, "send", frames, deadline)
        self._wait(self.dma.recvchannel, "receive", frames, deadline)
        count = self.dma.recvchannel.transferred
        if count != received.nbytes:
            raise DriverError(
                f"the network returned {count} bytes for {frames} frames instead of "
                f"{received.nbytes}; the next call configures the board again"
            )

    def _halt(self) -> None:
        """Stop the DMA: it must not write to buffers that are given back."""
        self.dma.write(DMA_CONTROL, DMA_RESET)
        deadline = time.monotonic() + 1
        while self.dma.read(DMA_CONTROL) & DMA_RESET and time.monotonic() < deadline:
            pass

    def _wait(self, channel: Any, name: str, frames: int, deadline: float) -> None:
        """PYNQ's own wait has no end, so ask for idleness first."""
        while not channel.idle:
            if channel.error:
                break
            if time.monotonic() > deadline:
                raise DriverError(
                    f"the DMA did not {name} {frames} frames within {self.timeout_s:g} s: "
                    f"{self.status.explain(frames)}; the next call configures the board again"
                )
        if channel.error:
            raise DriverError(
                f"the DMA stopped with an error while it should {name} {frames} frames: "
                "more bytes than expected, or a memory that it cannot reach; "
                "the next call configures the board again"
            )
        channel.wait()


def account(counts: Dict[str, int], alone: int, batches: int, expected: int) -> Dict[str, Any]:
    """What the counters of ``batches`` batches say of speed and of who limits it.

    ``alone``: busy cycles of a frame on its own; ``expected``: cycles a frame by the model. Of a
    batch of n frames the network is busy for those of one frame and n - 1 intervals.
    """
    frames, more = counts["frames_out"], counts["frames_out"] - batches
    interval = (counts["busy"] - batches * alone) / more if more else float(alone)
    lost = {
        "input": counts["starved"],
        "output": counts["stalled"],
        "batch": batches * max(0, alone - expected),
        "processor": counts["cycles"] - counts["busy"],
    }
    excess = counts["cycles"] - 1.05 * frames * expected
    worst = max(lost, key=lambda name: lost[name])
    return {
        "cycles_per_frame": round(interval, 2),
        "expected_cycles_per_frame": expected,
        "latency_cycles": alone,
        "input_starved_cycles": lost["input"],
        "output_stalled_cycles": lost["output"],
        "fill_cycles": lost["batch"],
        "idle_cycles": lost["processor"],
        "total_cycles": counts["cycles"],
        "bottleneck": worst if excess > 0 and lost[worst] > excess / 4 else "network",
    }


def find_bitfile(name: Optional[str] = None) -> Path:
    """The bitstream, which must have its .hwh beside it."""
    usual = [HERE / "hwgen.bit", HERE.parent / "project" / "bitfile" / "hwgen.bit"]
    places = [Path(name)] if name else usual
    for path in places:
        if path.is_file():
            if not path.with_suffix(".hwh").is_file():
                raise DriverError(f"{path.with_suffix('.hwh')} is missing; PYNQ needs it")
            return path.resolve()
    raise DriverError(f"no bitfile at {' or '.join(str(p) for p in places)}; give --bitfile")


def read_array(path: str) -> np.ndarray:
    """The array of an .npy file."""
    try:
        with open(path, "rb") as stream:
            return np.lib.format.read_array(stream, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DriverError(f"{path} cannot be read as .npy: {error}") from error


def positive(text: str) -> int:
    """A whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


def report(error: Exception) -> int:
    """Show an error as one line; the exit status that goes with it."""
    print(f"{Path(sys.argv[0]).name}: {' '.join(str(error).split())}", file=sys.stderr)
    return 2


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=load_design().name)
    parser.add_argument("--exec_mode", choices=("execute", "throughput_test"), default="execute")
    parser.add_argument("--batchsize", type=positive, default=BATCH, help="frames a transfer")
    parser.add_argument("--bitfile", help="the bitstream, with its .hwh beside it")
    parser.add_argument("--inputfile", default="input.npy", help="execute: images")
    parser.add_argument("--outputfile", default="output.npy", help="execute: results")
    args = parser.parse_args(arguments)
    try:
        images = read_array(args.inputfile) if args.exec_mode == "execute" else None
        with HwgenOverlay(args.bitfile, batchsize=args.batchsize) as network:
            if images is None:
                print(json.dumps(network.throughput_test(args.batchsize), indent=2))
            else:
                results = network.execute(images)
                with open(args.outputfile, "wb") as stream:
                    np.save(stream, results)
                print(f"{len(results)} results in {args.outputfile}")
    except ERRORS as error:
        return report(error)
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
