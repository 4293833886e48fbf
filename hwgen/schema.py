"""The JSON files of BUILD/report: what stands in each, typed, in one place.

``estimate`` and the engines write them, ``report`` reads them. Readers take unknown keys in
silence, so a writer may add some.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, RootModel, model_validator

Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Used(_Record):
    """FPGA resources; BRAM in blocks of 36 kbit."""

    LUT: Amount = 0
    FF: Amount = 0
    BRAM36: Amount = 0
    DSP: Amount = 0


class LayerCounts(_Record):
    """Work a frame and constants of a layer; ``parameter_bits`` in the smallest types."""

    binary_macs: Count = 0
    integer_macs: Count = 0
    parameters: Count = 0
    parameter_bits: Count = 0


class OpAndParamCounts(_Record):
    """op_and_param_counts.json; ``ops`` = binary MACs / 64 + integer MACs, as papers count."""

    layers: dict[str, LayerCounts]
    total: LayerCounts
    ops: Amount


class LayerCycles(RootModel[dict[str, Count]]):
    """estimate_layer_cycles.json: initiation interval by stage, as FINN writes it."""


class UnitChoice(_Record):
    """The circuit a layer takes, why, and the cost of each that would do, it included."""

    chosen: str
    why: str
    candidates: dict[str, Used]


class LayerResources(_Record):
    """estimate_layer_resources.json; the row ``streams`` is all FIFOs and width converters.

    ``activation_units``: the circuits of activations and binary products, by layer.
    """

    layers: dict[str, Used]
    total: Used
    activation_units: dict[str, UnitChoice] = {}


class NetworkPerformance(_Record):
    """estimate_network_performance.json; latency only where FIFOs were sized."""

    max_cycles: Annotated[int, Field(gt=0)]
    bottleneck: str
    clock_mhz: Annotated[float, Field(gt=0)]
    fps: Amount
    binary_lanes: Count
    latency_cycles: Count | None = None


class Fifo(_Record):
    """One FIFO: ``width`` bits, ``depth`` beats, ``beats`` of them a frame."""

    name: str
    source: str
    sink: str
    width: Count
    depth: Count
    beats: Count


class FifoSizing(_Record):
    """fifo_sizing.json; ``frame_bits``: what FIFOs of whole frames would hold."""

    fifos: tuple[Fifo, ...]
    bits: Count
    frame_bits: Count
    latency_cycles: Count


class Point(Used):
    """A design of least area at a rate, and whether it fits the board; ``taken``: this build's."""

    cycles: Annotated[int, Field(gt=0)]
    fps: Amount
    fits: bool
    taken: bool = False


class TradeOff(_Record):
    """trade_off.json: the least area at several rates, fastest first, without the AXI edges."""

    points: tuple[Point, ...]


class RtlsimPerformance(_Record):
    """rtlsim_performance.json: what the simulation measured.

    ``most_held``: by FIFO, the most beats that it held at full speed.
    """

    cycles_per_frame: Amount | None = None
    latency_cycles: Amount | None = None
    simulated_cycles_per_second: Amount | None = None
    model_cycles_per_frame: Amount | None = None
    most_held: dict[str, Count] = {}


class Timing(_Record):
    """The slowest path of a layer: an estimate, before placement; runs of cells as words."""

    lut_levels: Count
    carries: Count
    ns: Amount
    mhz: Amount
    start: str
    end: str
    cells: tuple[str, ...]


class DesignTiming(_Record):
    """The slowest layer and its clock; the LUT levels there is time for at the design's clock."""

    slowest: str
    mhz: Amount
    clock_mhz: Annotated[float, Field(gt=0)]
    lut_levels_at_clock: int
    max_levels: int | None = None  # as asked for
    warnings: tuple[str, ...] = ()


class Synthesised(Used):
    """A layer after synthesis."""

    timing_estimate: Timing | None = None


class SynthResources(Used):
    """synth_resources.json: primitives counted after synthesis; rows as in the estimate."""

    layers: dict[str, Synthesised]
    lut_per_binary_lane: Amount | None = None
    timing_estimate: DesignTiming | None = None
    tool: str


class Occupied(_Record):
    """Cells of a kind on a part."""

    used: Count
    available: Count


class Route(_Record):
    """A path of a routed design; ``through``: the instances of the top that it passes."""

    start: str
    end: str
    through: tuple[str, ...]
    ns: Amount
    logic_ns: Amount
    routing_ns: Amount
    luts: Count
    carries: Count

    @property
    def words(self) -> str:
        """In a sentence."""
        through = f", through {', '.join(self.through)}" if self.through else ""
        return (
            f"from {self.start} to {self.end}{through}: {self.ns:.1f} ns, "
            f"{self.logic_ns:.1f} in cells and {self.routing_ns:.1f} in nets; "
            f"{self.luts} LUTs, {self.carries} carries"
        )


class Ecp5Timing(_Record):
    """ecp5_timing.json: the clock that nextpnr reached for the routed design on a Lattice ECP5.

    ``fmax_mhz`` is None where no path leads from register to register. ``LUT4``: LUTs of the
    netlist; TRELLIS_COMB holds those of carries and LUTRAM too.
    """

    device: str
    package: str
    speed_grade: Count
    out_of_context: bool
    clock_mhz: Annotated[float, Field(gt=0)]
    fmax_mhz: Amount | None
    critical_path: Route | None
    LUT4: Count
    utilisation: dict[str, Occupied]
    tool: str


class Ecp5Bitstream(_Record):
    """ecp5_bitstream.json: the configuration of a board, and the clock it runs at.

    ``asked_mhz``: the clock that was planned; ``clocks``: what routing reached, in MHz by net;
    ``pll``: the parameters of board_top; ``fps``: frames a second at ``clock_mhz``, the serial
    line left aside; ``seconds``: what the bitstream took, results in the cache left out.
    """

    clock_mhz: Annotated[float, Field(gt=0)]
    asked_mhz: Annotated[float, Field(gt=0)]
    clocks: dict[str, Amount]
    pll: dict[str, Count]
    timing: Ecp5Timing
    bit_bytes: Count
    fps: Amount
    seconds: Amount


class VivadoUsed(_Record):
    """A module after synthesis by Vivado; keys as FINN has them."""

    LUT: Count
    SRL: Count = 0
    FF: Count
    BRAM_36K: Count
    BRAM_18K: Count
    URAM: Count = 0
    DSP: Count

    @property
    def used(self) -> Used:
        """In our units: blocks of 36 kbit."""
        bram = self.BRAM_36K + self.BRAM_18K / 2
        return Used(LUT=self.LUT, FF=self.FF, BRAM36=bram, DSP=self.DSP)


class PostSynthResources(RootModel[dict[str, VivadoUsed]]):
    """post_synth_resources.json: by module, ``(top)`` with the shell, ``hwgen_top`` without."""


class PostRouteTiming(_Record):
    """post_route_timing.json: slacks after routing; ``fmax_mhz`` is what the worst allows."""

    clock_mhz: Annotated[float, Field(gt=0)]
    fmax_mhz: Amount
    wns_ns: float
    tns_ns: float
    whs_ns: float
    ths_ns: float
    failing_endpoints: Count
    endpoints: Count


class EngineVerdict(_Record):
    """One engine's comparison with the integer graph."""

    images: Count
    mismatches: Count
    first_mismatch: dict[str, Any] | None = None
    seconds: Amount


class Verification(RootModel[dict[str, EngineVerdict]]):
    """verification.json: by engine."""


class Accuracy(_Record):
    """accuracy.json: share of right answers by stage (float, brevitas, integer, engines)."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, Share] = Field(init=False)

    images: Count | None = None

    @property
    def stages(self) -> dict[str, float]:
        """Accuracy by stage."""
        return dict(self.__pydantic_extra__ or {})


class FinnEstimates(_Record):
    """finn_estimates.json: FINN's own cycles and resources by layer."""

    cycles: dict[str, Count] = {}
    resources: dict[str, dict[str, Amount]] = {}
    max_cycles: Count | None = None


class FinnBuild(_Record):
    """finn_build.json: what was handed to FINN, and what ``finn build`` made of it.

    ``note`` says what to install and to run where it did not run; ``outputs`` are files below
    ``finn/output``; ``fps`` is FINN's own estimate of its build.
    """

    built: bool
    handed: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    note: str = ""
    log: str = ""
    fps: float | None = None


class Stream(_Record):
    """A tensor in words: shape (H, W, C) and type."""

    shape: tuple[Count, Count, Count]
    dtype: str


class Node(_Record):
    """A stage of the dataflow. ``role``: binary, integer, table, stream, edge or inserted."""

    name: str
    kind: str
    role: str
    inputs: tuple[Stream, ...]
    outputs: tuple[Stream, ...]
    folding: dict[str, Count | str]
    cycles: Count
    binary_lanes: Count = 0


class Edge(_Record):
    """A FIFO between two stages, with the ports it joins."""

    name: str
    source: str
    source_port: Count
    sink: str
    sink_port: Count
    width: Count
    depth: Count


class Graph(_Record):
    """dataflow.json: the drawing's content; nodes in topological order."""

    name: str
    nodes: Annotated[tuple[Node, ...], Field(min_length=1)]
    edges: tuple[Edge, ...]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        order = {node.name: i for i, node in enumerate(self.nodes)}
        if len(order) != len(self.nodes):
            raise ValueError("two nodes share a name")
        for edge in self.edges:
            if not order.get(edge.source, len(order)) < order.get(edge.sink, -1):
                raise ValueError(f"edge {edge.name} joins no node to a later one")
        return self
