"""FINN as the engine: configuration, names, and its run where Vivado is and where it is not."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest
from finn.builder.build_dataflow_config import DataflowBuildConfig, default_build_dataflow_steps
from finn.transformation.fpgadataflow.create_dataflow_partition import CreateDataflowPartition
from finn.transformation.fpgadataflow.specialize_layers import SpecializeLayers
from finn.transformation.general import ApplyConfig
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp
from qonnx.transformation.general import GiveUniqueNodeNames

from hwgen.backends import finn
from hwgen.build import Built, build
from hwgen.config import BuildConfig
from hwgen.errors import ToolError, UserInputError
from hwgen.verify import verify
from tests.frontend.test_family import binary_network
from tests.qonnx_models import ModelBuilder, reducing_reactnet


def binary_cnn() -> ModelBuilder:
    """An ordinary one: sign, binary convolution, batch norm, 4-bit quantiser, classifier."""
    return binary_network((1, 4, 8), 3)


def reactnet_of_4_bits() -> ModelBuilder:
    return reducing_reactnet(5, [(2, True)], bits=4)


def built_by_finn(builder: ModelBuilder, folder: Path, **options: object) -> Built:
    model = builder.save(folder / "m.onnx")
    config = BuildConfig(engine="finn", out=folder / "b", fps=20000, **options)
    return build(config, model)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Built:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", without_vivado())
        return built_by_finn(reactnet_of_4_bits(), tmp_path_factory.mktemp("finn"))


def without_vivado() -> str:
    folders = os.environ["PATH"].split(os.pathsep)
    return os.pathsep.join(f for f in folders if not (Path(f) / "vivado").exists())


def read(built: Built, name: str) -> dict:
    return json.loads((built.folder / name).read_text())


def test_finn_accepts_the_configuration(made: Built) -> None:
    config = DataflowBuildConfig.construct_from(made.folder / "finn" / finn.CONFIG)
    assert config.folding_config_file == (made.folder / "finn" / finn.FOLDING).absolute()
    assert config._resolve_fpga_part() == made.board.part
    assert config.synth_clk_period_ns == pytest.approx(1000 / made.dataflow.clock_mhz)
    assert not config.minimize_bit_width
    order = [default_build_dataflow_steps.index(step) for step in config.steps or []]
    assert order == sorted(order)


@pytest.mark.parametrize("board", ["zybo-z7-20", "arty-a7-100t", "ulx3s-85f"])
def test_a_board_that_finn_does_not_know_is_refused_before_any_work(
    tmp_path: Path, board: str
) -> None:
    with pytest.raises(UserInputError, match=f"FINN builds nothing for {board}: .*--engine rtl"):
        built_by_finn(binary_cnn(), tmp_path, board=board)
    assert not (tmp_path / "b").exists()


def test_a_bitstream_and_synthesis_are_asked_of_finn() -> None:
    from hwgen.board import load_board

    array = np.zeros((1, 1, 1, 1), np.int64)
    asked = {
        "example": (array, array),
        "synth": True,
        "bitstream": True,
    }
    files = finn.emit(b"", {}, load_board("pynq-z2"), 100.0, **asked)
    config = DataflowBuildConfig.from_yaml(files.content[finn.CONFIG].decode())
    names = {output.value for output in config.generate_outputs}
    assert {"out_of_context_synth", "bitfile", "pynq_driver", "estimate_reports"} <= names


def test_the_folding_is_keyed_by_the_names_of_finns_own_flow(made: Built, tmp_path: Path) -> None:
    model = ModelWrapper(str(made.folder / "finn" / finn.MODEL))
    parent = model.transform(CreateDataflowPartition(partition_model_dir=str(tmp_path)))
    (partition,) = parent.get_nodes_by_op_type("StreamingDataflowPartition")
    child = ModelWrapper(getCustomOp(partition).get_nodeattr("model"))
    child = child.transform(SpecializeLayers(made.board.part)).transform(GiveUniqueNodeNames())
    folding = read(made, f"finn/{finn.FOLDING}")
    assert set(folding) - {"Defaults"} == {node.name for node in child.graph.node}
    for node in child.graph.node:  # as if FINN had forgotten them
        for key in folding[node.name]:
            getCustomOp(node).set_nodeattr(key, 1)
    child = child.transform(ApplyConfig(made.folder / "finn" / finn.FOLDING))
    foldings = {stage.name: stage.folding for stage in made.dataflow.stages}
    ours = sorted((foldings[n].pe, foldings[n].simd) for n in foldings if n.startswith("MVAU"))
    theirs = [getCustomOp(n) for n in child.graph.node if n.op_type.startswith("MVAU")]
    assert sorted((op.get_nodeattr("PE"), op.get_nodeattr("SIMD")) for op in theirs) == ours


def test_without_vivado_the_build_says_what_it_made_and_what_to_install(made: Built) -> None:
    found = read(made, "report/finn_build.json")
    assert not found["built"]
    assert set(found["handed"]) == {
        f"finn/{name}"
        for name in (
            finn.MODEL, finn.CONFIG, finn.FOLDING, "input.npy", "expected_output.npy",
        )
    }  # fmt: skip
    assert all((made.folder / name).is_file() for name in found["handed"])
    assert "install AMD Vivado" in found["note"]
    assert f"finn build {finn.CONFIG}" in found["note"]
    assert "install AMD Vivado" in (made.folder / "build.log").read_text()


def test_finns_estimates_stand_beside_ours(made: Built) -> None:
    page = (made.folder / "report" / "index.html").read_text()
    assert "install AMD Vivado" in page
    estimates = read(made, "report/finn_estimates.json")
    layers = {layer.name for layer in made.dataflow.graph.layers}
    assert layers <= set(estimates["cycles"])
    assert layers <= set(estimates["resources"])
    section = page[page.index('id="finn"') :]
    assert f"<td>{estimates['max_cycles']:,}</td>".replace(",", "\u2009") in section


@pytest.mark.parametrize("make", [reactnet_of_4_bits, binary_cnn])
def test_networks_go_this_way_and_finns_graph_is_exact(
    tmp_path: Path, make: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", without_vivado())
    built = built_by_finn(make(), tmp_path)  # type: ignore[operator]
    assert not (built.folder / "rtl").exists()
    verdicts = verify(built.folder, engines=("finn", "reference", "rtlsim"))
    assert set(verdicts) == {"finn", "reference"}
    assert not any(v.mismatches for v in verdicts.values())
    assert verdicts["finn"].images == 2
    with pytest.raises(UserInputError, match="no RTL"):
        verify(built.folder, engines=("rtlsim",))


def test_the_example_is_what_the_model_computes(made: Built) -> None:
    from hwgen.frontend.importer import run_dataflow_model

    frames = np.load(made.folder / "finn" / "input.npy").astype(np.int64)
    run = run_dataflow_model(made.folder / "finn" / finn.MODEL, made.dataflow.graph, frames)
    np.testing.assert_array_equal(run.output, np.load(made.folder / "finn/expected_output.npy"))


# -- with stand-ins for the tools --------------------------------------------------------------


FINN = """#!/bin/sh
echo "$@" > arguments
[ -f "$3" ] && [ -f "$4" ] || exit 9
mkdir -p output/report output/stitched_ip output/bitfile
echo '{"estimated_throughput_fps": 1234.5}' > output/report/estimate_network_performance.json
echo ip > output/stitched_ip/finn_design.xpr
"""


def stand_in(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(script)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in front of PATH, with a vivado in it."""
    folder = tmp_path / "bin"
    stand_in(folder, "vivado", "#!/bin/sh\n")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


@pytest.fixture
def handed(made: Built, tmp_path: Path) -> Path:
    """What a build hands to FINN, in a folder of its own."""
    folder = tmp_path / "finn"
    folder.mkdir()
    for path in (made.folder / "finn").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_finn_builds_where_vivado_is(tools: Path, handed: Path) -> None:
    stand_in(tools, "finn", FINN)
    found = finn.run(handed, ("finn/x",))
    assert found.built
    assert found.fps == 1234.5
    assert set(found.outputs) == {
        "report/estimate_network_performance.json",
        "stitched_ip/finn_design.xpr",
    }
    assert (handed / found.log).is_file()
    assert (handed / "arguments").read_text().split()[:2] == ["build", "--batch"]


def test_a_whole_build_collects_what_finn_made(tools: Path, tmp_path: Path) -> None:
    stand_in(tools, "finn", FINN)
    built = built_by_finn(binary_cnn(), tmp_path)
    assert read(built, "report/finn_build.json")["built"]
    page = (built.folder / "report" / "index.html").read_text()
    assert "left 2 files" in page
    assert "1234 frames a second" in page or "1235 frames a second" in page


def test_a_failure_of_finn_is_told_with_its_log(tools: Path, handed: Path) -> None:
    stand_in(tools, "finn", "#!/bin/sh\necho 'ERROR: no such part'\nexit 3\n")
    with pytest.raises(ToolError, match=r"finn failed \(exit status 3\).*(?s:.)*no such part"):
        finn.run(handed, ())


def test_an_end_without_results_is_a_failure(tools: Path, handed: Path) -> None:
    stand_in(tools, "finn", "#!/bin/sh\nexit 0\n")
    with pytest.raises(ToolError, match="estimate_network_performance"):
        finn.run(handed, ())
    stand_in(tools, "finn", FINN)
    with pytest.raises(ToolError, match=r"finn-accel\.bit"):
        finn.run(handed, (), bitstream=True)


def test_a_report_without_its_figure_is_a_failure(tools: Path, handed: Path) -> None:
    stand_in(tools, "finn", FINN.replace("estimated_throughput_fps", "other"))
    with pytest.raises(ToolError, match="without estimated_throughput_fps"):
        finn.run(handed, ())


def test_finn_past_its_time_is_stopped(
    tools: Path, handed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tools, "finn", "#!/bin/sh\nsleep 60\n")
    monkeypatch.setattr(finn, "HOURS", 1 / 3600)
    with pytest.raises(ToolError, match="finn ran past 1 s"):
        finn.run(handed, ())
