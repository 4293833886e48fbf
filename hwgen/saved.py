"""A finished build read back: the Dataflow it was generated from."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import yaml

from hwgen.board import Board, parse_board
from hwgen.dataflow import Dataflow
from hwgen.files import Files, check_seal, to_json
from hwgen.folding import plan, read_config, to_config
from hwgen.quant import Scaling

CONFIG = "build_config.yaml"
FOLDING = "final_hw_config.json"
MODEL = "intermediate_models/dataflow.onnx"
DATA = "verification_output/data.npz"


def describe_build(flow: Dataflow, board: Board, engine: str = "rtl") -> Files:
    """The files that, with the dataflow model, let ``load_dataflow`` rebuild the Dataflow."""
    config = {
        "name": flow.graph.name,
        "engine": engine,
        "clock_mhz": flow.clock_mhz,
        "max_levels": flow.graph.levels,
        "scaling": asdict(flow.graph.scaling),
        "board": board.model_dump(),
    }
    return Files(
        {
            CONFIG: yaml.safe_dump(config, sort_keys=True).encode(),
            FOLDING: to_json(to_config(flow.graph, flow.foldings)),
        }
    )


def load_build(folder: Path) -> tuple[Dataflow, Board]:
    """Check the build's manifest, then rebuild its Dataflow exactly as it was generated.

    Raises ``UserInputError`` for a folder that is no finished build, was edited since, or is of a
    version of hwgen that described boards otherwise.
    """
    check_seal(folder)
    from hwgen.frontend.importer import read_dataflow_model  # heavy: qonnx and finn

    config = yaml.safe_load((folder / CONFIG).read_text())
    where = f"{folder / CONFIG} is of another version of hwgen; run hwgen build again"
    board = parse_board(config["board"], where)
    scaling = Scaling.parse(config["scaling"])
    graph = read_dataflow_model(folder / MODEL, config["name"], scaling)
    graph = graph.pipelined(config.get("max_levels"))
    foldings = read_config(folder / FOLDING, graph)
    flow, _ = plan(graph, board, foldings, config["clock_mhz"])
    return flow, board


def engine_of(folder: Path) -> str:
    """Whose hardware a build is: ``rtl`` or ``finn``."""
    return str(yaml.safe_load((folder / CONFIG).read_text()).get("engine", "rtl"))


def read_json(path: Path) -> dict[str, object]:
    """A JSON object from the build, empty if the file does not exist."""
    if not path.is_file():
        return {}
    found = json.loads(path.read_text())
    assert isinstance(found, dict), path
    return found
