"""hwgen_shell.v, between the DMA and the network: simulated with a stand-in of the network."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hwgen.backends import axi_shell, systemverilog
from hwgen.dataflow import Dataflow
from hwgen.errors import ResourceError
from hwgen.files import Files
from tests.backends.test_vivado import example, zynq
from tests.rtl.bench import ROUGH, STEADY, VERILATOR, Bench, Dut, Result, Traffic

BITS = 32  # of the bus here
SHELL = Path(__file__).parents[2] / "templates" / "shell"


@dataclass(frozen=True)
class Network:
    """Frames of ``beats_in`` beats give ``beats_out``, once the first ``need`` have come."""

    beats_in: int
    beats_out: int
    need: int

    @property
    def name(self) -> str:
        return f"{self.beats_in}_{self.beats_out}_{self.need}"


NETWORKS = (Network(3, 2, 3), Network(1, 1, 1), Network(5, 1, 2), Network(2, 4, 1))

# frame f, beat k of the output is 16 * f + k; a few frames at a time are inside
STANDIN = """
module hwgen_top_{name} (
    input  wire logic aclk, aresetn,
    input  wire logic [31:0] s_axis_tdata, input wire logic [3:0] s_axis_tkeep,
    input  wire logic s_axis_tlast, s_axis_tvalid, output wire logic s_axis_tready,
    output wire logic [31:0] m_axis_tdata, output wire logic [3:0] m_axis_tkeep,
    output wire logic m_axis_tlast, m_axis_tvalid, input wire logic m_axis_tready
);
  logic [31:0] taken, given;
  wire logic [31:0] begun = taken / {beats_in} + (taken % {beats_in} >= {need} ? 1 : 0);
  wire logic [31:0] left = given / {beats_out};
  wire logic [31:0] k = given % {beats_out};
  assign s_axis_tready = taken / {beats_in} < left + 3;
  assign m_axis_tvalid = left < begun;
  assign m_axis_tdata = 16 * left + k;
  assign m_axis_tlast = k == {beats_out} - 1;
  assign m_axis_tkeep = m_axis_tlast ? 4'h1 : 4'hf;
  wire logic unused = &{{1'b0, s_axis_tdata, s_axis_tkeep, s_axis_tlast}};
  always_ff @(posedge aclk) begin
    taken <= !aresetn ? 0 : taken + 32'(s_axis_tvalid && s_axis_tready);
    given <= !aresetn ? 0 : given + 32'(m_axis_tvalid && m_axis_tready);
  end
endmodule
"""
ADAPTER = """
module adapter_{name} (
    input  wire logic clk_i, rst_i,
    input  wire logic s_valid_i, output wire logic s_ready_o, input wire logic [32:0] s_data_i,
    output wire logic m_valid_o, input wire logic m_ready_i, output wire logic [36:0] m_data_o
);
  hwgen_shell_{name} shell (
      .aclk(clk_i), .aresetn(!rst_i),
      .s_axis_tdata(s_data_i[31:0]), .s_axis_tkeep(4'hf), .s_axis_tlast(s_data_i[32]),
      .s_axis_tvalid(s_valid_i), .s_axis_tready(s_ready_o),
      .m_axis_tdata(m_data_o[31:0]), .m_axis_tkeep(m_data_o[36:33]), .m_axis_tlast(m_data_o[32]),
      .m_axis_tvalid(m_valid_o), .m_axis_tready(m_ready_i),
      .s_axi_awaddr(12'd0), .s_axi_awvalid(1'b0), .s_axi_awready(), .s_axi_wdata(32'd0),
      .s_axi_wstrb(4'd0), .s_axi_wvalid(1'b0), .s_axi_wready(), .s_axi_bresp(), .s_axi_bvalid(),
      .s_axi_bready(1'b0), .s_axi_araddr(12'd0), .s_axi_arvalid(1'b0), .s_axi_arready(),
      .s_axi_rdata(), .s_axi_rresp(), .s_axi_rvalid(), .s_axi_rready(1'b0)
  );
endmodule
"""


def shell(beats_in: int) -> str:
    """The shell for a network with frames of ``beats_in`` beats on a bus of 32 bits."""
    board = zynq().model_copy(update={"bus_bytes": 4})
    dataflow = example(board, size=(4, beats_in))
    assert dataflow.axis_in.beats == beats_in
    return axi_shell.emit(dataflow, Files({})).content["hwgen_shell.v"].decode()


@pytest.fixture(scope="module")
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("shell")
    for name in axi_shell.KERNELS:
        shutil.copy(SHELL / name, folder)
    for network in NETWORKS:
        text = shell(network.beats_in)
        for name in ("hwgen_shell", "hwgen_top"):
            text = re.sub(rf"\b{name}\b", f"{name}_{network.name}", text)
        values = {**vars(network), "name": network.name}
        (folder / f"hwgen_shell_{network.name}.sv").write_text(text)
        (folder / f"hwgen_top_{network.name}.sv").write_text(STANDIN.format(**values))
        (folder / f"adapter_{network.name}.sv").write_text(ADAPTER.format(**values))
    duts = [Dut(f"adapter_{n.name}", {}, (BITS + 1,), (BITS + 1 + BITS // 8,)) for n in NETWORKS]
    cache = request.config.cache
    assert cache
    return Bench.build(duts, cache.mkdir("rtl"), folder)


def run(bench: Bench, network: Network, batches: list[int], traffic: Traffic) -> Result:
    """Send batches of frames; check every beat that comes back."""
    sent, wanted = [], []
    frames = 0
    for count in batches:
        for i in range(count):
            last_frame = i == count - 1
            for beat in range(network.beats_in):
                # TLAST within a frame, as after a split transfer, ends no batch
                last = last_frame if beat == network.beats_in - 1 else beat % 2 == 0
                sent.append(int(last) << BITS | 0xABC0 + beat)
            for beat in range(network.beats_out):
                last = last_frame and beat == network.beats_out - 1
                wanted.append(0xF << BITS + 1 | int(last) << BITS | 16 * frames + beat)
            frames += 1
    index = NETWORKS.index(network)
    result = bench.run(index, [sent], [len(wanted)], traffic)
    assert result.outputs == [wanted]
    return result


@pytest.mark.parametrize("traffic", ROUGH, ids=lambda t: f"seed{t.seed}")
@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.name)
def test_a_batch_comes_back_whole_with_one_tlast(
    bench: Bench, network: Network, traffic: Traffic
) -> None:
    run(bench, network, [3, 1, 1, 7, 2, 25], traffic)


def test_within_a_batch_the_shell_costs_no_cycle(bench: Bench) -> None:
    network = NETWORKS[0]
    result = run(bench, network, [40], STEADY)
    steps = result.in_cycles[0][1:] - result.in_cycles[0][:-1]
    assert set(steps.tolist()) == {1}


def test_the_last_beat_of_a_frame_waits_for_the_frame_to_enter(bench: Bench) -> None:
    network = NETWORKS[2]  # its result is there before its input has ended
    result = run(bench, network, [1], STEADY)
    assert result.out_cycles[0][-1] > result.in_cycles[0][-1]


@pytest.mark.parametrize("name", ["pynq-z2", "kv260"])
def test_the_shell_is_verilog_2001_and_fits_the_generated_top(name: str, tmp_path: Path) -> None:
    dataflow = example(zynq(name))
    rtl = systemverilog.emit(dataflow)
    rtl.write(tmp_path)
    axi_shell.emit(dataflow, rtl).write(tmp_path)
    command = [VERILATOR, "--lint-only", "-Wall", "--language", "1364-2001"]
    command += ["+1800-2017ext+sv", "--top-module", "hwgen_shell"]
    command += ["-F", "filelist.f", *axi_shell.KERNELS, "hwgen_shell.v"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    found = [line for line in done.stderr.splitlines() if line.startswith("%")]
    own = ("hwgen_shell.v", *axi_shell.KERNELS)
    ours = [x for x in found if any(name in x for name in own) and "'m_axis_tkeep'" not in x]
    assert ours == []  # the network's own TKEEP stays open
    assert not any(line.startswith("%Error") and "Exiting" not in line for line in found)


def test_the_state_word_holds_the_beats_of_the_largest_frame_that_the_dma_sends() -> None:
    flow = example(zynq().model_copy(update={"bus_bytes": 4}))
    text = axi_shell.emit(large(flow, 2**24), Files({})).content["hwgen_shell.v"].decode()
    assert "reg [23:0] beat;" in text
    assert re.search(r"wire \[31:0\] state = \{\s*beat, 3'd0, output_ready,", text)
    with pytest.raises(
        ResourceError, match="takes 16777217 beats of 4 bytes, the shell counts 16777216"
    ):
        axi_shell.emit(large(flow, 2**24 + 1), Files({}))


def large(flow: Dataflow, beats: int) -> Any:
    """What the shell asks of a dataflow, with frames of so many beats."""
    edge = SimpleNamespace(bus_bytes=4, beats=beats, input=flow.axis_in.input)
    rest = {name: getattr(flow, name) for name in ("graph", "clock_mhz", "max_cycles")}
    return SimpleNamespace(axis_in=edge, **rest)
