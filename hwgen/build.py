"""The pipeline from a QONNX file to a build folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwgen import estimate, fifo, folding, report
from hwgen.backends import (
    cpp,
    ecp5,
    finn,
    kernel_timing,
    nextpnr,
    reference,
    rtlsim,
    systemverilog,
    yosys,
)
from hwgen.backends.ecp5_part import LFE5U_85F, Part
from hwgen.board import Artix7, Board, Ecp5
from hwgen.config import BuildConfig
from hwgen.data import VerificationData, load_data
from hwgen.dataflow import SINK, SOURCE, Dataflow
from hwgen.engine import interpret
from hwgen.errors import UserInputError
from hwgen.files import Files, require_writable, seal, sweep, unseal, write_json
from hwgen.journal import Journal
from hwgen.layers.axis import AxisIn, AxisOut
from hwgen.layers.base import Folding, Settings
from hwgen.layers.pipeline import LEAST
from hwgen.quant import IntArray, QuantGraph, quantise_input
from hwgen.saved import DATA, describe_build
from hwgen.search import Foldings
from hwgen.target import for_board, make_bitstream, require_bitstream

GENERATED = (
    *("rtl", "reference", "driver", "host", "project", "pynqsim"),
    *("intermediate_models", "finn"),
)
EXAMPLES = 4  # frames that the driver carries to try itself


@dataclass(frozen=True, slots=True)
class Built:
    """A build folder and the hardware in it."""

    folder: Path
    dataflow: Dataflow
    board: Board


def build(config: BuildConfig, model: Path) -> Built:
    """Generate everything a build holds; ``verify`` then proves it.

    Until the last generated file is written, the folder holds no manifest, and no later command
    trusts it.
    """
    board = config.loaded_board()
    if not model.is_file():
        raise UserInputError(f"{model} does not exist or is not a file")
    if config.engine == "finn":
        finn.board_name(board)
        if config.max_levels is not None:
            raise UserInputError(
                "--max-levels bounds hwgen's own kernels: leave it or --engine finn out"
            )
    elif config.bitstream:
        require_bitstream(board)
    folder = config.out or Path("build") / f"{model.stem}-{board.name}"
    data = verification_data(config.images, model)
    require_writable(folder)
    unseal(folder)
    sweep(folder, ("report", "verification_output"), keep=Files())
    own = config.engine == "rtl"
    synth = config.synth or (config.max_levels is not None and not isinstance(board, Ecp5))
    total = 6 + synth + config.pnr + config.bitstream if own else 7
    journal = Journal(folder / "build.log", total, title=f"build {folder}")
    with journal.running():
        with journal.step("import model"):
            imported = _import(config, model, data, journal)
            graph = imported.graph.pipelined(_levels(config, board))
        with journal.step("choose folding"):
            foldings = choose_foldings(config, graph, board)
            clock_mhz = config.clock_mhz or board.clock_mhz
            flow, sizing = folding.plan(graph, board, foldings, clock_mhz)
            folding.require_fit(flow.resources, board, "the design")
            line = line_cycles(graph, board, clock_mhz)
            if line and config.fps is None and config.folding is None:
                fps = 1e6 * clock_mhz / line
                journal.say(
                    f"planned for the board's serial line, which carries {fps:,.0f} frames/s; "
                    "--fps asks for another rate"
                )
            journal.detail("choose folding: other rates")
            points = folding.trade_off(graph, board, flow.max_cycles)
        with journal.step("FINN dataflow model"):
            models, finn_report, names = _finn(imported, foldings, board)
        with journal.step("generate hardware and software"):
            data = data or VerificationData(imported.images)
            frames = quantise_input(flow.graph, data.images[:EXAMPLES])
            files = generate(flow, board, frames) if own else software(flow)
            files |= describe_build(flow, board, config.engine) | models
            if not own:
                files |= _for_finn(config, flow, board, models, names, frames)
            files |= Files({DATA: data.to_bytes()})
            files.write(folder)
            sweep(folder, GENERATED, keep=files)
            seal(folder, files)
        with journal.step("estimates"):
            _write_estimates(folder, flow, sizing, finn_report, points)
        if not own:
            with journal.step("finn build"):
                _run_finn(folder, files, config, journal)
        if own and synth:
            with journal.step("synthesise with Yosys"):
                synthesise(folder, flow, board, journal)
        if own and config.pnr:
            with journal.step("place and route with nextpnr"):
                place_and_route(folder, flow, board, journal)
        if own and config.bitstream:
            with journal.step("bitstream"):
                router = _router(folder, flow, board, journal)
                seal(folder, files | make_bitstream(folder, flow, board, router, journal))
        with journal.step("report"):
            journal.save_times(folder / "time_per_step.json")
            report.write(folder)
    return Built(folder, flow, board)


def _levels(config: BuildConfig, board: Board) -> int | None:
    """The bound on LUT levels: as asked for, or the least where an ECP5's clock needs it."""
    clock_mhz = config.clock_mhz or board.clock_mhz
    needed = isinstance(board, Ecp5) and clock_mhz > ecp5.PLAIN_MHZ
    return config.max_levels or (LEAST if needed else None)


def verification_data(images: Path | None, model: Path) -> VerificationData | None:
    """The images a build is verified on: those given, or those exported beside the model."""
    beside = model.with_suffix(".data.npz")
    if images is not None:
        return load_data(images)
    return load_data(beside) if beside.is_file() else None


def choose_foldings(config: BuildConfig, graph: QuantGraph, board: Board) -> Foldings:
    """From a file, for a rate, or the fastest that fits; on a serial line, for the line's rate."""
    if config.folding is not None:
        if config.fps is not None:
            raise UserInputError("--folding and --fps exclude one another")
        return folding.read_config(config.folding, graph)
    if config.fps is not None:
        clock_hz = (config.clock_mhz or board.clock_mhz) * 1e6
        return folding.for_rate(graph, board, max_cycles=int(clock_hz / config.fps))
    return folding.fastest(graph, board, line_cycles(graph, board, config.clock_mhz))


def line_cycles(graph: QuantGraph, board: Board, clock_mhz: float | None = None) -> int:
    """Cycles in which the serial line of a board carries a frame; 0 where there is no such line."""
    if not isinstance(board, Artix7 | Ecp5):
        return 0
    into = AxisIn.of(SOURCE, graph.input, board.bus_bytes)
    out = AxisOut.of(SINK, graph.output, board.bus_bytes)
    bits = 10 * max(into.frame_bytes, out.frame_bytes)  # start and stop bits included
    return int((clock_mhz or board.clock_mhz) * 1e6 * bits / board.uart.baud)


def generate(flow: Dataflow, board: Board, frames: IntArray) -> Files:
    """All generated files of all backends, in memory; ``frames`` are the driver's example."""
    rtl = systemverilog.emit(flow)
    expected = interpret(flow.graph, frames, keep=False)[flow.graph.output.name]
    return (
        rtl.under("rtl")
        | software(flow)
        | rtlsim.emit(flow).under("rtlsim")
        | for_board(flow, board, rtl, (frames, expected))
    )


def software(flow: Dataflow) -> Files:
    """The models in numpy and in C++, which every engine's hardware must equal."""
    return reference.emit(flow.graph).under("reference") | cpp.emit(flow.graph).under("cppsim")


def _for_finn(
    config: BuildConfig,
    flow: Dataflow,
    board: Board,
    models: Files,
    names: Mapping[str, Settings],
    frames: IntArray,
) -> Files:
    """What is handed to ``finn build``, in the folder ``finn``."""
    expected = interpret(flow.graph, frames, keep=False)[flow.graph.output.name]
    return finn.emit(
        models.content["intermediate_models/dataflow.onnx"],
        names,
        board,
        flow.clock_mhz,
        example=(frames, expected),
        synth=config.synth,
        bitstream=config.bitstream,
    ).under("finn")


def _run_finn(folder: Path, files: Files, config: BuildConfig, journal: Journal) -> None:
    """Run FINN where it can run; write report/finn_build.json either way."""
    handed = tuple(path for path in files if path.startswith("finn/"))
    found = finn.run(folder / "finn", handed, bitstream=config.bitstream)
    if not found.built:
        journal.say(f"{', '.join(found.handed)} written; {found.note}")
    write_json(folder / "report" / "finn_build.json", found.model_dump(mode="json"))


def synthesise(folder: Path, flow: Dataflow, board: Board, journal: Journal) -> None:
    """Synthesise every kernel with Yosys and write report/synth_resources.json."""

    def progress(done: int, total: int, name: str) -> None:
        journal.detail(f"synthesise with Yosys: {done}/{total} {name}")

    found = yosys.synthesise(flow, folder / "rtl", yosys_cache(), board=board, progress=progress)
    write_json(folder / "report" / "synth_resources.json", found.to_json())
    if found.max_levels is not None:
        kernel_timing.require_levels(found.timing, found.max_levels)
    timing = found.design_timing
    if timing is not None:
        journal.detail(f"about {timing.mhz:g} MHz before placement; slowest: {timing.slowest}")
        for warning in timing.warnings:
            journal.say(f"timing estimate: {warning}")


def place_and_route(folder: Path, flow: Dataflow, board: Board, journal: Journal) -> None:
    """Place and route the design on an ECP5 and write report/ecp5_timing.json."""
    found = _router(folder, flow, board, journal).design(flow)
    write_json(folder / "report" / "ecp5_timing.json", found.model_dump(mode="json"))
    if found.fmax_mhz is not None:
        path = f"; slowest {found.critical_path.words}" if found.critical_path else ""
        journal.say(f"{found.device}: {found.fmax_mhz:.1f} MHz routed{path}")


def _router(folder: Path, flow: Dataflow, board: Board, journal: Journal) -> nextpnr.Router:
    """Of a build's kernels, for the board's part; of other families for the largest ECP5."""

    def progress(done: int, total: int, name: str) -> None:
        journal.detail(f"synthesise for ECP5: {done}/{total} {name}")

    return nextpnr.Router(
        folder / "rtl",
        flow.clock_mhz,
        nextpnr.Caches(yosys_cache(), yosys_cache().with_name("nextpnr")),
        part=Part.of(board.part) if isinstance(board, Ecp5) else LFE5U_85F,
        progress=progress,
        say=journal.detail,
    )


def yosys_cache() -> Path:
    """Where synthesis results are kept by content, for all builds of this user."""
    return Path.home() / ".cache" / "hwgen" / "yosys"


def _import(
    config: BuildConfig, model: Path, data: VerificationData | None, journal: Journal
) -> Any:
    from hwgen.frontend.importer import import_model  # heavy: qonnx and finn

    def say(step: str) -> None:
        journal.detail(f"import model: {step}")

    images = None if data is None else data.images
    return import_model(model, images, top_k=config.top_k, say=say)


def _finn(
    imported: Any, foldings: Mapping[str, Folding], board: Board
) -> tuple[Files, dict[str, Any] | None, dict[str, Settings]]:
    """FINN's models with our folding, its own estimates of them, and the folding in its names.

    There are no estimates for a part that FINN does not know.
    """
    from hwgen.frontend.importer import finn_estimates, finn_folding, fold, to_bytes

    folded = fold(imported, foldings)
    files = {
        "imported": to_bytes(imported.imported),
        "streamlined": to_bytes(imported.streamlined),
        "dataflow": to_bytes(folded),
    }
    models = Files({f"intermediate_models/{name}.onnx": data for name, data in files.items()})
    part = board.finn_part
    if part is None:
        return models, None, {}
    return models, finn_estimates(folded, part), finn_folding(folded, part)


def _write_estimates(
    folder: Path,
    flow: Dataflow,
    sizing: fifo.FifoSizing,
    finn_report: dict[str, Any] | None,
    points: Sequence[folding.Point],
) -> None:
    reports = {
        "op_and_param_counts": estimate.op_and_param_counts(flow.graph),
        "estimate_layer_cycles": estimate.estimate_layer_cycles(flow),
        "estimate_layer_resources": estimate.estimate_layer_resources(flow),
        "estimate_network_performance": estimate.estimate_network_performance(flow, sizing),
        "fifo_sizing": estimate.fifo_sizing(flow, sizing),
        "trade_off": estimate.trade_off(points, flow),
        "dataflow": estimate.describe(flow),
        **({} if finn_report is None else {"finn_estimates": finn_report}),
    }
    for name, value in reports.items():
        write_json(folder / "report" / f"{name}.json", value)
