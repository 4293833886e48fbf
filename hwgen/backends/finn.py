"""FINN as the engine: what ``finn build`` needs, and its run where Vivado is."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import yaml

from hwgen.board import Board, Zynq
from hwgen.errors import ToolError, UserInputError
from hwgen.files import Files, to_json
from hwgen.layers.base import Settings
from hwgen.quant import IntArray
from hwgen.run import find_tool, run_tool
from hwgen.schema import FinnBuild

CONFIG, MODEL, FOLDING = "dataflow_build_config.yaml", "dataflow.onnx", "folding_config.json"
OUTPUT = "output"
PERFORMANCE = f"{OUTPUT}/report/estimate_network_performance.json"
BITFILE = f"{OUTPUT}/bitfile/finn-accel.bit"
HOURS = 24

# FINN's own steps from the point on where hwgen has brought the model. Widths stay as hwgen proved
# them: FINN's step would make the accumulators of XNOR layers too narrow.
STEPS = (
    "step_create_dataflow_partition",
    "step_specialize_layers",
    "step_apply_folding_config",
    "step_generate_estimate_reports",
    "step_generate_hardware",
    "step_create_stitched_ip",
    "step_measure_rtlsim_performance",
    "step_out_of_context_synthesis",
    "step_prepare_synthesis",
    "step_synthesize_bitfile",
    "step_make_driver",
    "step_deployment_package",
)
PRODUCTS = ("estimate_reports", "stitched_ip", "rtlsim_performance")


def emit(
    model: bytes,
    foldings: Mapping[str, Settings],
    board: Board,
    clock_mhz: float,
    *,
    example: tuple[IntArray, IntArray],
    synth: bool = False,
    bitstream: bool = False,
) -> Files:
    """FINN's model, folding, configuration, and one frame (N, H, W, C) with the logits it gives.

    ``foldings`` has PE and SIMD by the names that nodes have in ``finn build``.
    """
    wanted = [*PRODUCTS, *(["out_of_context_synth"] if synth else [])]
    if bitstream:
        wanted += ["bitfile", "pynq_driver", "deployment_package"]
    config = {
        "output_dir": OUTPUT,
        "model_path": MODEL,
        "board": board_name(board),
        "fpga_part": board.part,
        "shell_flow_type": "vivado_zynq",
        "synth_clk_period_ns": round(1000 / clock_mhz, 6),
        "folding_config_file": FOLDING,
        "minimize_bit_width": False,
        "verify_steps": ["stitched_ip_rtlsim"],
        "verify_input_npy": "input.npy",
        "verify_expected_output_npy": "expected_output.npy",
        "generate_outputs": wanted,
        "steps": list(STEPS),
    }
    frames, outputs = (array[:1].astype(np.float32) for array in example)
    return Files(
        {
            MODEL: model,
            FOLDING: to_json(foldings),
            CONFIG: yaml.safe_dump(config, sort_keys=False).encode(),
            "input.npy": _npy(frames),
            "expected_output.npy": _npy(outputs),
        }
    )


def board_name(board: Board) -> str:
    """FINN's name of the board; ``UserInputError`` where it builds nothing for it."""
    if isinstance(board, Zynq) and board.finn_board is not None:
        return board.finn_board
    raise UserInputError(
        f"FINN builds nothing for {board.name}: --engine finn needs a Zynq board that FINN knows "
        "(finn_board in the board file); use --engine rtl, or another board"
    )


def run(folder: Path, handed: tuple[str, ...], *, bitstream: bool = False) -> FinnBuild:
    """Run ``finn build`` in ``folder`` where Vivado is on PATH, else say what to do.

    Raises ``ToolError`` if FINN fails, or ends without its reports (or its bitfile).
    """
    try:
        find_tool("vivado")
    except ToolError:
        return FinnBuild(built=False, handed=handed, note=advice(folder))
    finn = find_tool("finn", path_first=True)
    expect = [folder / PERFORMANCE, *([folder / BITFILE] if bitstream else [])]
    log = folder / "finn_build.log"
    run_tool(
        [finn, "build", "--batch", CONFIG, MODEL],
        cwd=folder,
        log=log.resolve(),
        timeout_s=HOURS * 3600,
        expect=[path.resolve() for path in expect],
    )
    made = sorted(p.relative_to(folder / OUTPUT) for p in (folder / OUTPUT).rglob("*"))
    outputs = tuple(p.as_posix() for p in made if (folder / OUTPUT / p).is_file())
    return FinnBuild(
        built=True,
        handed=handed,
        outputs=outputs,
        log=log.name,
        fps=_throughput(folder / PERFORMANCE),
    )


def advice(folder: Path) -> str:
    """What to install and to run for FINN to go on from here."""
    return (
        "vivado is not on PATH, so FINN's part ends with its estimates; install AMD Vivado and "
        f"Vitis HLS 2022.2 or later, and then, in {folder}: finn build {CONFIG} {MODEL}"
    )


def _throughput(path: Path) -> float | None:
    try:
        return float(json.loads(path.read_text())["estimated_throughput_fps"])
    except (ValueError, KeyError, TypeError) as error:
        raise ToolError(f"finn wrote {path} without estimated_throughput_fps: {error}") from error


def _npy(array: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()
