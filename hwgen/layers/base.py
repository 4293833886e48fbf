"""What a layer kind has to tell: its meaning, its hardware, its cost.

Everything that is known about a kind stands in its one module; backends, passes and reports
only call these methods. To add a kind, write ``layers/x.py``, ``templates/rtl/x.sv`` and
``templates/cpp/x.hpp`` and name the class in ``layers/__init__.py``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from hwgen import ops
from hwgen.errors import FoldingError, UnsupportedError
from hwgen.quant import IntArray, Range, Tensor

RAM_STYLES = ("auto", "block", "distributed")


@dataclass(frozen=True, slots=True)
class Folding:
    """FINN's two degrees of parallelism: ``pe`` outputs and ``simd`` inputs a cycle.

    ``ram_style``, FINN's name too: whether weights lie in block RAM, in LUTs, or where their
    number and the depth of the memory suggest. ``unit``: the circuit of a staircase, as reports
    name it, or the smallest.
    """

    pe: int = 1
    simd: int = 1
    ram_style: str = "auto"
    unit: str = "auto"

    @property
    def words(self) -> dict[str, str]:
        """What is not left to the layer, as configurations have it."""
        found = {"ram_style": self.ram_style, "unit": self.unit}
        return {key: value for key, value in found.items() if value != "auto"}


Settings = dict[str, int | str]
"""A folding as FINN's configuration has it."""


@dataclass(frozen=True, slots=True)
class Resources:
    """FPGA resources; BRAM in units of 36 kbit (a half is one 18 kbit block)."""

    lut: float = 0
    ff: float = 0
    bram36: float = 0
    dsp: float = 0

    def __add__(self, other: Resources) -> Resources:
        return Resources(
            self.lut + other.lut,
            self.ff + other.ff,
            self.bram36 + other.bram36,
            self.dsp + other.dsp,
        )


@dataclass(frozen=True, slots=True)
class Schedule:
    """What a kernel does in one frame, firing by firing; one firing takes one cycle.

    A firing is one cycle in which the kernel is not stalled, so the layer's initiation interval
    is ``firings``, or its input beats where those are more. All counts are cumulative beats
    since the start of the frame. ``need`` and ``free`` hold for every input alike, or have a row
    for every input; ``emit`` likewise for outputs.

    need:    input beats that must have arrived before firing i.
    free:    input beats whose buffer space is given back by firing i.
    emit:    output beats made up to and including firing i.
    buffer:  input beats the kernel can hold inside, apart from the FIFO before it.
    latency: cycles from a firing to its output beat standing at the output port.
    """

    need: IntArray
    free: IntArray
    emit: IntArray
    buffer: int
    latency: int

    @property
    def cycles(self) -> int:
        """The initiation interval in cycles a frame."""
        return max(self.firings, int(np.max(self.free[..., -1])))

    @property
    def firings(self) -> int:
        """Firings a frame."""
        return int(self.emit.shape[-1])

    def need_of(self, port: int) -> IntArray:
        """``need`` of one input."""
        return self.need if self.need.ndim == 1 else self.need[port]

    def free_of(self, port: int) -> IntArray:
        """``free`` of one input."""
        return self.free if self.free.ndim == 1 else self.free[port]

    def emit_of(self, port: int) -> IntArray:
        """``emit`` of one output."""
        return self.emit if self.emit.ndim == 1 else self.emit[port]


@dataclass(frozen=True, slots=True)
class Choice:
    """The circuit that a layer takes, among those that compute it, with their costs, and why."""

    chosen: str
    why: str
    candidates: Mapping[str, Resources]


Parameter = int | str | tuple[int, ...]


def literal(value: Parameter) -> str:
    """A parameter's value as SystemVerilog writes it."""
    if isinstance(value, tuple):
        return f"{32 * len(value)}'h" + "".join(f"{x:08x}" for x in reversed(value))
    return f'"{value}"' if isinstance(value, str) else str(value)


@dataclass(frozen=True, slots=True)
class RtlInstance:
    """A kernel as the top instantiates it: parameters by name, memory files by file name.

    String parameters name memory files; ``memories`` holds their contents by file name. A tuple is
    a flat vector of 32 bits an element, element 0 lowest. ``sources`` are modules that were made
    for this instance, by name; all others stand in templates/rtl.
    """

    module: str
    parameters: Mapping[str, Parameter]
    memories: Mapping[str, bytes] = field(default_factory=dict)
    sources: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def literals(self) -> dict[str, str]:
        """The parameters as SystemVerilog writes them."""
        return {name: literal(value) for name, value in self.parameters.items()}


@dataclass(frozen=True, slots=True)
class Call:
    """A layer as software calls it: ``function`` of hwgen/ops.py and of templates/cpp."""

    function: str
    scalars: Mapping[str, int] = field(default_factory=dict)
    arrays: Mapping[str, IntArray] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FinnNode:
    """A FINN hardware layer as plain data, so that only ``frontend`` knows onnx."""

    op_type: str
    name: str
    attributes: Mapping[str, Any]
    inputs: tuple[Tensor, ...]
    constants: tuple[IntArray, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class Layer(ABC):
    """A node of the QuantGraph. ``name`` is the FINN node's name."""

    finn_ops: ClassVar[tuple[str, ...]] = ()
    words: ClassVar[tuple[str, ...]] = ()  # what a folding file may say of it, beside numbers

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    levels: int | None = field(default=None, kw_only=True)  # see pipeline.py

    @classmethod
    @abstractmethod
    def from_finn(cls, node: FinnNode) -> Self:
        """Read the layer off a FINN node whose op_type is in ``finn_ops``."""

    @abstractmethod
    def check(self) -> None:
        """Raise ``UnsupportedError`` unless shapes and types fit together soundly."""

    @abstractmethod
    def call(self) -> Call:
        """The software function and its constants: the layer's integer meaning."""

    def evaluate(self, *inputs: IntArray) -> tuple[IntArray, ...]:
        """Apply the layer to arrays (N, H, W, C); one array for every output."""
        call = self.call()
        found = getattr(ops, call.function)(*inputs, **call.scalars, **call.arrays)
        return found if isinstance(found, tuple) else (found,)

    def ranges(self, *inputs: Range) -> tuple[Range, ...]:
        """Bounds of every output for inputs within ``inputs``; a kind may know closer ones."""
        del inputs
        return tuple(tensor.dtype.range for tensor in self.outputs)

    def within(self, *inputs: Range) -> Self:
        """The layer, told that its inputs never leave ``inputs``; most have no use for it."""
        del inputs
        return self

    @abstractmethod
    def foldings(self) -> Iterator[Folding]:
        """Every legal folding, the slowest first."""

    def variants(self, folding: Folding) -> Iterator[Folding]:
        """``folding`` and others of the same lanes with another circuit."""
        yield folding

    @abstractmethod
    def lanes(self, folding: Folding) -> tuple[int, int]:
        """Elements a beat at each input and at each output."""

    @abstractmethod
    def schedule(self, folding: Folding) -> Schedule:
        """The kernel's cycle behaviour over one frame."""

    @abstractmethod
    def cycles(self, folding: Folding) -> int:
        """The initiation interval; equals ``schedule(folding).cycles``, without the arrays."""

    @abstractmethod
    def resources(self, folding: Folding) -> Resources:
        """Estimated cost; fitted to Yosys results."""

    @abstractmethod
    def rtl(self, folding: Folding) -> RtlInstance:
        """The kernel instance."""

    def choice(self, folding: Folding) -> Choice | None:
        """What the layer chose its circuit among; None where there is but one."""
        del folding
        return None

    def binary_lanes(self, folding: Folding) -> int:
        """Binary multiply-accumulates a cycle; 0 for layers that have none."""
        del folding
        return 0

    @property
    def parts(self) -> tuple[Layer, ...]:
        """The layers of the graph that it stands for: itself, where hardware fuses nothing."""
        return (self,)

    @property
    def input(self) -> Tensor:
        """The only input."""
        (tensor,) = self.inputs
        return tensor

    @property
    def output(self) -> Tensor:
        """The only output."""
        (tensor,) = self.outputs
        return tensor

    def folding_keys(self) -> tuple[str, ...]:
        """The names, PE or SIMD or both, that a folding file uses for this layer."""
        found = list(self.foldings())
        keys = []
        if any(f.pe != found[0].pe for f in found):
            keys.append("PE")
        if any(f.simd != found[0].simd for f in found):
            keys.append("SIMD")
        return tuple(keys)

    def settings(self, folding: Folding) -> Settings:
        """A folding as FINN's configuration has it."""
        values = {"PE": folding.pe, "SIMD": folding.simd}
        found: Settings = {key: values[key] for key in self.folding_keys()}
        return found | folding.words

    def read_settings(self, settings: Mapping[str, int]) -> Folding:
        """The folding of an entry of FINN's configuration; what it does not name is 1."""
        return Folding(settings.get("PE", 1), settings.get("SIMD", 1))

    def legal(self, folding: Folding) -> Folding:
        """Return ``folding``, or raise ``FoldingError`` that shows the legal values."""
        found = list(self.foldings())
        if Folding(folding.pe, folding.simd) not in found:
            pes = sorted({f.pe for f in found})
            simds = sorted({f.simd for f in found})
            raise FoldingError(
                f"layer {self.name}: PE={folding.pe}, SIMD={folding.simd} is not possible; "
                f"legal PE: {pes}, legal SIMD: {simds}"
            )
        return folding

    def fail(self, why: str) -> UnsupportedError:
        """An error about this layer, to be raised by the caller."""
        return UnsupportedError(f"layer {self.name} ({type(self).__name__}): {why}")


def divisors(n: int) -> list[int]:
    """All divisors of ``n``, ascending."""
    return [d for d in range(1, n + 1) if n % d == 0]


def one_to_one(beats: int, latency: int) -> Schedule:
    """The schedule of a kernel that turns every input beat into one output beat."""
    count = np.arange(1, beats + 1, dtype=np.int64)
    return Schedule(need=count, free=count, emit=count, buffer=0, latency=latency)


def lane_foldings(channels: int) -> Iterator[Folding]:
    """Foldings of a kernel that works on ``pe`` channels a cycle."""
    return (Folding(pe=d) for d in divisors(channels))
