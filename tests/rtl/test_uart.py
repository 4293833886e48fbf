"""Receiver, sender and framing of the serial shell, each against waveforms and bytes made here."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from hwgen.host.protocol import stuff
from tests.host.board import Unframer, framed
from tests.rtl.bench import ROUGH, RTL, Bench, Dut, Traffic
from tests.rtl.tools import lint

SHELL = RTL.parent / "shell"
MODULES = {path.stem: path.read_bytes() for path in SHELL.glob("uart_*.sv")}
RATES = ((8, 1), (100, 9), (25_000_000, 1_000_000), (100_000_000, 921_600))  # clock, baud
MOST_LEVELS = 40_000

PORTS = """
    input wire logic clk_i, input wire logic rst_i,
    input wire logic s_valid_i, output wire logic s_ready_o,
    input wire logic [IN-1:0] s_data_i,
    output wire logic m_valid_o, input wire logic m_ready_i, output wire logic [OUT-1:0] m_data_o
"""

# levels of the line, one a clock, to bytes and broken bytes
RX_PROBE = f"""module rx_probe #(
    parameter int unsigned CLOCK_HZ, parameter int unsigned BAUD,
    localparam int unsigned IN = 1, localparam int unsigned OUT = 9) ({PORTS});
  logic level;
  logic [7:0] data;
  logic valid, broken;
  assign s_ready_o = 1'b1;
  always_ff @(posedge clk_i) if (rst_i) level <= 1'b1; else if (s_valid_i) level <= s_data_i;
  uart_rx #(.CLOCK_HZ(CLOCK_HZ), .BAUD(BAUD)) dut (
      .clk_i(clk_i), .rst_i(rst_i), .rx_i(level),
      .valid_o(valid), .broken_o(broken), .data_o(data));
  fifo #(.WIDTH(9), .DEPTH(64)) queue (
      .clk_i(clk_i), .rst_i(rst_i), .s_valid_i(valid || broken), .s_ready_o(),
      .s_data_i({{broken, data}}),
      .m_valid_o(m_valid_o), .m_ready_i(m_ready_i), .m_data_o(m_data_o));
endmodule
"""

# bytes to the levels of the line, one a clock, from the first start bit on
TX_PROBE = f"""module tx_probe #(
    parameter int unsigned CLOCK_HZ, parameter int unsigned BAUD,
    localparam int unsigned IN = 8, localparam int unsigned OUT = 1) ({PORTS});
  logic started;
  logic [31:0] count;
  always_ff @(posedge clk_i)
    if (rst_i) begin
      started <= 1'b0;
      count <= '0;
    end else begin
      if (s_valid_i) started <= 1'b1;
      if (m_valid_o) count <= count + 1;
    end
  assign m_valid_o = started && count != {MOST_LEVELS};
  uart_tx #(.CLOCK_HZ(CLOCK_HZ), .BAUD(BAUD)) dut (
      .clk_i(clk_i), .rst_i(rst_i), .s_valid_i(s_valid_i), .s_ready_o(s_ready_o),
      .s_data_i(s_data_i), .tx_o(m_data_o));
endmodule
"""

# bytes, one in ten clocks, to {end, good, byte}
DEFRAMER_PROBE = f"""module deframer_probe #(
    localparam int unsigned IN = 8, localparam int unsigned OUT = 10) ({PORTS});
  logic [3:0] phase;
  logic [7:0] data;
  logic is_byte, is_end, good;
  always_ff @(posedge clk_i) phase <= rst_i || phase == 4'd9 ? '0 : phase + 1'b1;
  assign s_ready_o = phase == '0;
  uart_deframer dut (
      .clk_i(clk_i), .rst_i(rst_i), .valid_i(s_valid_i && s_ready_o), .broken_i(1'b0),
      .data_i(s_data_i), .byte_o(is_byte), .data_o(data), .end_o(is_end), .good_o(good));
  fifo #(.WIDTH(10), .DEPTH(4096)) queue (
      .clk_i(clk_i), .rst_i(rst_i), .s_valid_i(is_byte || is_end), .s_ready_o(),
      .s_data_i({{is_end, is_end && good, is_end ? 8'd0 : data}}),
      .m_valid_o(m_valid_o), .m_ready_i(m_ready_i), .m_data_o(m_data_o));
endmodule
"""

FRAMER_PROBE = f"""module framer_probe #(
    localparam int unsigned IN = 10, localparam int unsigned OUT = 8) ({PORTS});
  uart_framer dut (
      .clk_i(clk_i), .rst_i(rst_i), .s_valid_i(s_valid_i), .s_ready_o(s_ready_o),
      .s_check_i(s_data_i[9]), .s_flag_i(s_data_i[8]), .s_data_i(s_data_i[7:0]),
      .m_valid_o(m_valid_o), .m_ready_i(m_ready_i), .m_data_o(m_data_o));
endmodule
"""

FLAG, CHECK = 1 << 8, 1 << 9


def _dut(text: str, widths: tuple[int, int], rate: tuple[int, int] | None = None) -> Dut:
    name = text.split()[1]
    parameters = {} if rate is None else {"CLOCK_HZ": rate[0], "BAUD": rate[1]}
    return Dut(name, parameters, widths[:1], widths[1:], sources={**MODULES, name: text.encode()})


@pytest.fixture(scope="module")
def bench(bench_cache: Path) -> Bench:
    receivers = [_dut(RX_PROBE, (1, 9), rate) for rate in RATES]
    senders = [_dut(TX_PROBE, (8, 1), rate) for rate in RATES]
    framing = [_dut(DEFRAMER_PROBE, (8, 10)), _dut(FRAMER_PROBE, (10, 8))]
    return Bench.build([*receivers, *senders, *framing], bench_cache)


def levels(bits: Sequence[int], clocks_a_bit: float) -> list[int]:
    """A level for every clock, each bit exactly as long as said, on average."""
    ends = [math.floor(clocks_a_bit * (i + 1) + 0.5) for i in range(len(bits))]
    starts = [0, *ends[:-1]]
    return [bit for bit, a, b in zip(bits, starts, ends, strict=True) for _ in range(b - a)]


def bits_of(data: Sequence[int], idle: int = 0) -> list[int]:
    """Start bit, 8 bits, stop bit of every byte, and bits of idle line between."""
    return [bit for x in data for bit in (0, *(x >> i & 1 for i in range(8)), 1, *[1] * idle)]


def receive(bench: Bench, index: int, wave: list[int], count: int) -> list[int]:
    (found,) = bench.run(index, [wave], [count]).outputs
    return found


DATA = [0x00, 0xFF, 0x55, 0xAA, 0x7E, 0x01, 0x80, *random.Random(0).randbytes(40)]


@pytest.mark.parametrize("mismatch", [0.0, 0.02, -0.02])
@pytest.mark.parametrize("index", range(len(RATES)), ids=str)
def test_a_sender_two_percent_off_is_understood(bench: Bench, index: int, mismatch: float) -> None:
    clock, baud = RATES[index]
    wave = levels([1, 1, *bits_of(DATA), 1, 1], clock / baud * (1 + mismatch))
    assert receive(bench, index, wave, len(DATA)) == DATA


@pytest.mark.parametrize("index", range(len(RATES)), ids=str)
def test_a_sender_eight_percent_off_is_not(bench: Bench, index: int) -> None:
    """So that the test before can fail."""
    clock, baud = RATES[index]
    data = [0x55] * 20
    wave = levels([1, 1, *bits_of(data, idle=12), 1, 1], clock / baud * 1.08)
    assert receive(bench, index, wave, 20) != data


def test_spikes_of_a_clock_are_not_seen(bench: Bench) -> None:
    wave = levels([1, 1, *bits_of(DATA), 1, 1], 11.11)
    rng, at = random.Random(1), 5
    while at < len(wave):
        wave[at] ^= 1
        at += rng.randint(7, 30)
    assert receive(bench, 1, wave, len(DATA)) == DATA


def test_half_a_start_bit_starts_nothing(bench: Bench) -> None:
    low = [1] * 30 + [0] * 10 + [1] * 300  # of 25 clocks
    wave = low + levels(bits_of(DATA[:5]), 25)
    assert receive(bench, 2, [*wave, *[1] * 50], 5) == DATA[:5]


def test_a_missing_stop_bit_and_a_break_are_one_broken_byte_each(bench: Bench) -> None:
    without_stop = [0, *(0xA5 >> i & 1 for i in range(8)), 0, 1, 1]
    line_break = [0] * 40 + [1] * 2
    wave = levels([1, 1, *without_stop, *bits_of([0x42]), *line_break, *bits_of([0x43]), 1, 1], 25)
    broken = 1 << 8
    assert receive(bench, 2, wave, 4) == [broken | 0xA5, 0x42, broken | 0x00, 0x43]


@pytest.mark.parametrize("index", range(len(RATES)), ids=str)
def test_the_sender_keeps_its_rate_without_gaps_or_drift(bench: Bench, index: int) -> None:
    clock, baud = RATES[index]
    count = min(len(DATA), int(MOST_LEVELS * baud / clock / 10) - 1)
    data = DATA[:count]
    (wave,) = bench.run(len(RATES) + index, [data], [MOST_LEVELS]).outputs
    want = bits_of(data)
    for i, bit in enumerate(want):
        start, end = i * clock / baud, (i + 1) * clock / baud
        inside = wave[math.ceil(start) : math.floor(end)]
        assert inside
        assert set(inside) == {bit}, f"bit {i}"
    assert set(wave[math.ceil(len(want) * clock / baud) :]) == {1}


def events(line: bytes) -> list[int]:
    """What the deframer has to say of a line: {end, good, byte}."""
    out: list[int] = []
    for between in line.split(b"\x7e")[:-1]:
        if not between:
            continue
        escaped = False
        for byte in between:
            if byte == 0x7D:
                escaped = True
            else:
                out.append(byte ^ 0x20 if escaped else byte)
                escaped = False
        good = Unframer().feed(b"\x7e" + between + b"\x7e")[-1] is not None
        out.append(1 << 9 | good << 8)
    return out


@pytest.mark.parametrize("seed", range(3))
def test_the_deframer_finds_the_hosts_frames_among_damaged_ones(bench: Bench, seed: int) -> None:
    rng = random.Random(seed)
    line, good = bytearray(rng.randbytes(20)), 0
    for _ in range(25):
        body = bytes(rng.choice([0x7D, 0x7E, 0x5E, rng.randrange(256)]) for _ in range(30))
        frame = bytearray(stuff(body[: rng.randint(1, 30)]))
        if harmed := rng.random() < 0.4:
            frame[rng.randrange(1, len(frame) - 1)] ^= 1 << rng.randrange(8)
        good += not harmed
        line += frame
    line += b"\x7e"
    want = events(bytes(line))
    (found,) = bench.run(2 * len(RATES), [list(line)], [len(want)]).outputs
    assert found == want
    assert sum(event >> 8 == 3 for event in found) == good


@pytest.mark.parametrize("traffic", [t for t in ROUGH if t.reset_at < 0], ids=str)
def test_the_framer_makes_the_protocols_frames(bench: Bench, traffic: Traffic) -> None:
    rng = random.Random(traffic.seed)
    beats: list[int] = []
    want = b""
    for length in (1, 2, 9, 40):
        body = bytes(rng.choice([0x7D, 0x7E, rng.randrange(256)]) for _ in range(length))
        beats += [FLAG, *body, *[CHECK | rng.randrange(256) for _ in range(4)], FLAG]
        want += framed(body)
    (found,) = bench.run(2 * len(RATES) + 1, [beats], [len(want)], traffic).outputs
    assert bytes(found) == want


@pytest.mark.parametrize("module", sorted(MODULES))
def test_lint_is_clean(module: str) -> None:
    assert lint(module, {}, MODULES) == ""


def test_every_file_holds_one_module_of_its_name_and_explicit_nets() -> None:
    for name, text in MODULES.items():
        assert f"\nmodule {name} " in text.decode(), name
        assert text.count(b"\nendmodule") == 1, name
        assert b"`default_nettype none" in text, name
        assert text.endswith(b"`default_nettype wire\n"), name
