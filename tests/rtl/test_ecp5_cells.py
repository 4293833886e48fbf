"""What takes the place of 7-series cells on an ECP5, proven equal to Yosys' models of those."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hwgen.backends import systemverilog
from hwgen.dataflow import Dataflow, build_dataflow
from hwgen.technology import ECP5, SERIES7, Technology
from tests.networks import random_reactnet
from tests.rtl.test_compressor_cells import CELLS, MEANINGS, PROVEN
from tests.rtl.tools import RTL, ToolFailure, yosys

TWINS = RTL.parent / str(ECP5.cells)
INITS = ("96696996f99f9009", "6996966996696996", "177e7ee8e8808000", "5a665a66aaaaaaaa", "1b3c")

COMPARED = {
    "LUT6_2": "\n".join(
        f"  wire a{i}, b{i}, c{i}, d{i};\n"
        f"  LUT6_2 #(.INIT(64'h{init})) u{i} (.I0(in[0]), .I1(in[1]), .I2(in[2]), .I3(in[3]),"
        f" .I4(in[4]), .I5(in[5]), .O6(a{i}), .O5(b{i}));\n"
        f"  twin #(.INIT(64'h{init})) t{i} (.I0(in[0]), .I1(in[1]), .I2(in[2]), .I3(in[3]),"
        f" .I4(in[4]), .I5(in[5]), .O6(c{i}), .O5(d{i}));"
        for i, init in enumerate(INITS)
    )
    + "\n  assign equal = "
    + " && ".join(f"{{a{i}, b{i}}} == {{c{i}, d{i}}}" for i in range(len(INITS)))
    + ";",
    "FDRE": """
  wire a, b;
  FDRE u (.C(clk), .CE(in[0]), .R(in[1]), .D(in[2]), .Q(a));
  twin t (.C(clk), .CE(in[0]), .R(in[1]), .D(in[2]), .Q(b));
  assign equal = a == b;""",
    "carry_chain": "\n".join(
        f"  wire [{n - 1}:0] a{n}, b{n};\n"
        f"  carry_chain #(.LENGTH({n})) u{n} (.carry_i(in[31]), .s_i(in[{n - 1}:0]),"
        f" .d_i(in[{n + 12}:13]), .o_o(a{n}));\n"
        f"  twin #(.LENGTH({n})) t{n} (.carry_i(in[31]), .s_i(in[{n - 1}:0]),"
        f" .d_i(in[{n + 12}:13]), .o_o(b{n}));"
        for n in (1, 4, 13)
    )
    + "\n  assign equal = a1 == b1 && a4 == b4 && a13 == b13;",
}


def compare(cell: str, twin: str, work: Path) -> None:
    """Prove a twin equal to the cell, in every state that the two can reach."""
    assert twin.count(f"module {cell} ") == 1
    (work / "twin.sv").write_text(twin.replace(f"module {cell} ", "module twin "))
    text = f"module proof (input clk, input [31:0] in, output equal);\n{COMPARED[cell]}\nendmodule"
    (work / "proof.sv").write_text(text)
    log = yosys(
        [
            f"read_verilog -sv -defer {RTL / 'carry_chain.sv'} twin.sv proof.sv",
            "read_verilog +/xilinx/cells_sim.v",
            "hierarchy -top proof",
            "proc",
            "flatten",
            "opt",
            "sat -verify -tempinduct -prove equal 1 proof",
        ],
        work,
    )
    assert "SUCCESS!" in log


@pytest.mark.parametrize("cell", COMPARED)
def test_a_twin_equals_its_7_series_cell(cell: str, tmp_path: Path) -> None:
    compare(cell, (TWINS / f"{cell}.sv").read_text(), tmp_path)


def test_a_twin_whose_enable_beats_its_reset_is_found(tmp_path: Path) -> None:
    twin = (TWINS / "FDRE.sv").read_text()
    wrong = twin.replace("if (R)", "if (R && CE)")
    assert wrong != twin
    with pytest.raises(ToolFailure, match="proof did fail"):
        compare("FDRE", wrong, tmp_path)


@pytest.mark.parametrize("cell", MEANINGS)
def test_a_cell_made_of_twins_is_right_for_all_inputs(cell: str, tmp_path: Path) -> None:
    text = f"module proof (input [31:0] in, output equal);{MEANINGS[cell]}\nendmodule\n"
    (tmp_path / "proof.sv").write_text(text)
    ours = [RTL / f"{name}.sv" for name in CELLS if name != "carry_chain"]
    files = " ".join(str(path) for path in (*ours, *sorted(TWINS.glob("*.sv"))))
    log = yosys(
        [
            f"read_verilog -sv -defer {files} proof.sv",
            "hierarchy -check -top proof",
            "proc",
            "flatten",
            "opt",
            "sat -verify -prove equal 1 proof",
        ],
        tmp_path,
    )
    assert PROVEN in log


def design(technology: Technology) -> Dataflow:
    """A network so folded that compressor trees are taken: each layer's fastest folding but one."""
    graph = random_reactnet(width=8, blocks=2, size=(6, 6), classes=4)
    foldings = {layer.name: [*layer.foldings()][-2:][0] for layer in graph.layers}
    return build_dataflow(graph, foldings, bus_bytes=4, clock_mhz=50, technology=technology)


def instantiated(files: dict[str, bytes]) -> set[str]:
    """Modules that are instantiated, whatever a conditional says."""
    code = "\n".join(re.sub(r"//[^\n]*", "", text.decode()) for text in files.values())
    found = re.findall(r"^\s*(\w+)\s+(?:#\s*\(|u_\w+\s*\()", code, re.MULTILINE)
    return set(found) - {"module", "parameter"}


def test_a_build_for_an_ecp5_holds_every_module_that_it_names() -> None:
    """So no cell of another family is left, and Yosys' own models of such are not needed."""
    for technology, foreign in ((ECP5, set()), (SERIES7, {"LUT6_2", "CARRY4"})):
        files = systemverilog.emit(design(technology)).content
        sources = {name: data for name, data in files.items() if name.endswith(".sv")}
        assert "stream_probe" in instantiated(sources)
        missing = instantiated(sources) - {name[:-3] for name in sources} - {"stream_probe"}
        assert missing == foreign


def test_technologies_differ_in_cells_alone() -> None:
    """The kernels, their shapes, latencies and memories are the same; FIFOs are what is small."""
    one, other = (dict(systemverilog.emit(design(t)).content) for t in (SERIES7, ECP5))
    for content in (one, other):
        top = content["hwgen_top.sv"]
        content["hwgen_top.sv"] = re.sub(rb"\.DEPTH\(2\), \.MEMORY\([01]\)", b"", top)
    cells = {f"{path.stem}.sv" for path in TWINS.glob("*.sv")}
    assert {name for name in other if one.get(name) != other[name]} <= {*cells, "filelist.f"}
    assert set(one) <= set(other)
