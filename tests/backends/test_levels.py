"""Longest paths of netlists made by hand: every kind of cell that lies on one, and its ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from hwgen.backends import cell_times as t
from hwgen.backends import kernel_timing, levels
from hwgen.backends.levels import Path
from hwgen.errors import UserInputError

OUTPUTS = ("Q", "O", "O5", "O6", "CO", "DOA", "DOB", "DOC", "DOD", "DPO", "SPO", "P", "DOADO")
Bits = int | Sequence[int | str]


def cell(kind: str, parameters: Mapping[str, Any] | None = None, **pins: Bits) -> dict[str, Any]:
    """A cell with its pins; clocks are bit 1."""
    return {
        "type": kind,
        "parameters": dict(parameters or {}),
        "port_directions": {p: "output" if p in OUTPUTS else "input" for p in pins},
        "connections": {p: [b] if isinstance(b, int) else list(b) for p, b in pins.items()},
    }


def ff(d: int, q: int, **pins: int) -> dict[str, Any]:
    return cell("FDRE", C=1, D=d, Q=q, **pins)


def lut(o: int, *reads: int) -> dict[str, Any]:
    return cell(f"LUT{len(reads)}", O=o, **{f"I{i}": bit for i, bit in enumerate(reads)})


def paths(
    *cells: dict[str, Any],
    inputs: Sequence[int] = (),
    outputs: Sequence[int] = (),
    rigid: frozenset[int] = frozenset(),
) -> list[Path]:
    """The slowest paths of a module whose bit n is called ``bn``."""
    ports = {f"i{b}": {"direction": "input", "bits": [b]} for b in inputs}
    ports |= {f"o{b}": {"direction": "output", "bits": [b]} for b in outputs}
    bits = {b for c in cells for pins in c["connections"].values() for b in pins}
    nets = {f"b{b}": {"hide_name": 0, "bits": [b]} for b in bits if isinstance(b, int)}
    module = {"ports": ports, "cells": {f"c{i}": c for i, c in enumerate(cells)}, "netnames": nets}
    return levels.longest(module, rigid)


def only(*cells: dict[str, Any], **ports: Any) -> Path:
    (path,) = paths(*cells, **ports)
    return path


def chain(start: int, length: int) -> list[dict[str, Any]]:
    """LUTs in a row from bit ``start`` to bit ``start + length``."""
    return [lut(start + i + 1, start + i, 2) for i in range(length)]


@pytest.mark.parametrize("length", [0, 1, 2, 7])
def test_luts_between_flip_flops(length: int) -> None:
    path = only(ff(99, 10), *chain(10, length), ff(10 + length, 50))
    assert (path.start, path.end) == ("b10", "b50")
    assert (path.luts, path.carries) == (length, 0)
    assert path.cells == ("FDRE", *["LUT2"] * length, "FDRE")
    nets = max(length, 1)  # the last LUT stands beside its flip-flop
    expected = t.CLOCK_TO_OUT + nets * t.NET + length * t.LUT + t.SETUP
    assert path.ns == pytest.approx(expected, abs=0.01)


def test_the_longest_of_two_branches_is_found() -> None:
    short = [lut(60, 10)]
    path = only(ff(99, 10), *chain(10, 3), *short, lut(70, 13, 60), ff(70, 50))
    assert path.luts == 4


def test_a_shared_output_leaves_the_slice_on_its_way_to_a_flip_flop() -> None:
    alone = only(ff(99, 10), lut(11, 10), ff(11, 50))
    shared = only(ff(99, 10), lut(11, 10), ff(11, 50), ff(11, 51))
    assert shared.ns == pytest.approx(alone.ns + t.NET, abs=0.01)


def test_enables_and_resets_are_ends() -> None:
    path = only(ff(99, 10), lut(11, 10), ff(99, 50, CE=11))
    assert path.end == "b50 (CE)"
    assert path.ns == pytest.approx(t.CLOCK_TO_OUT + t.LUT + 2 * t.NET + t.ENABLE, abs=0.01)
    assert only(ff(99, 10), ff(99, 50, R=10)).end == "b50 (R)"


def test_a_carry_chain_counts_its_blocks_and_not_a_level_each() -> None:
    def block(carry_in: int | str, first: int) -> dict[str, Any]:
        sums = [first + 4 + i for i in range(4)]
        carried: list[int | str] = ["x", "x", "x", first + 8]
        zeros = ["0"] * 4
        return cell("CARRY4", CI=[carry_in], S=[20, 21, 22, 23], DI=zeros, O=sums, CO=carried)

    luts = [lut(20 + i, 10) for i in range(4)]
    blocks = [block("0", 100), block(108, 200), block(208, 300)]
    path = only(ff(99, 10), *luts, *blocks, ff(307, 50))
    assert (path.luts, path.carries) == (1, 3)
    assert path.cells == ("FDRE", "LUT1", "CARRY4", "CARRY4", "CARRY4", "FDRE")
    inside = t.LUT + t.CARRY_IN + 2 * t.CARRY + t.CARRY_OUT
    assert path.ns == pytest.approx(t.CLOCK_TO_OUT + t.NET * 2 + inside + t.SETUP, abs=0.01)


def test_a_sum_does_not_hang_on_higher_operands() -> None:
    block = cell("CARRY4", CI=["0"], S=[20, 21, 22, 23], DI=[30, 31, 32, 33], O=[40, 41, 42, 43])
    late = [*chain(10, 5), lut(23, 15)]  # only the top operand is late
    early = [ff(99, 30 + i) for i in range(4)] + [lut(20 + i, 10) for i in range(3)]
    path = only(ff(99, 10), *early, *late, block, ff(42, 50))
    assert path.luts == 1


def test_both_outputs_of_lut6_2_and_that_o5_does_not_read_i5() -> None:
    two = cell("LUT6_2", O5=30, O6=31, **{f"I{i}": 10 + i for i in range(6)})
    regs = [ff(99, 10 + i) for i in range(5)]
    late = [ff(99, 70), lut(15, 70)]  # I5 comes a level later
    assert only(*regs, *late, two, ff(31, 50)).luts == 2
    assert only(*regs, *late, two, ff(30, 50)).luts == 1


def test_reading_a_lutram_is_a_level_and_its_writing_an_end() -> None:
    def read(**addresses: int) -> Path:
        """Bit 14 comes three levels after bit 11."""
        spread = {pin: [bit] * 5 for pin, bit in addresses.items()}
        ram = cell("RAM32M", WCLK=1, WE=60, DIA=[62, 62], DOA=[20, 21], DOB=[22, 23], **spread)
        return only(ff(99, 11), *chain(11, 3), ram, lut(40, 20), ff(40, 50))

    assert read(ADDRA=14, ADDRB=11).cells == ("FDRE", *["LUT2"] * 3, "RAM32M", "LUT1", "FDRE")
    assert read(ADDRA=14, ADDRB=11).luts == 5
    other = read(ADDRA=11, ADDRB=14)  # does not reach DOA, which the clock reaches later then
    assert (other.cells, other.luts) == (("RAM32M", "LUT1", "FDRE"), 1)
    written = only(ff(99, 10), *chain(10, 2), cell("RAM32M", WCLK=1, DIA=[12, 12], DOA=[20, 21]))
    assert (written.end, written.luts) == ("b20 (DIA)", 2)


def test_a_shift_register_is_read_by_address_and_launches() -> None:
    srl = cell("SRL16E", CLK=1, D=60, CE=61, A0=10, A1="1", A2="1", A3="1", Q=20)
    path = only(ff(99, 10), srl, lut(30, 20), ff(30, 50))
    assert path.cells == ("SRL16E", "LUT1", "FDRE")
    assert path.ns == pytest.approx(t.SHIFT_TO_OUT + t.NET + t.LUT + t.SETUP, abs=0.01)
    assert only(ff(99, 10), *chain(11, 4), lut(11, 10), cell("SRL16E", CLK=1, D=15, Q=20)).luts == 5


def test_muxes_and_inverters_are_no_levels() -> None:
    mux = cell("MUXF7", I0=11, I1=12, S=13, O=20)
    path = only(ff(99, 10), lut(11, 10), lut(12, 10), ff(99, 13), mux, ff(20, 50))
    assert path.luts == 1
    inverter = cell("INV", I=10, O=11)
    absorbed = only(ff(99, 10), inverter, lut(12, 11), ff(12, 50))
    plain = only(ff(99, 10), lut(12, 10), ff(12, 50))
    assert (absorbed.luts, absorbed.ns, absorbed.cells) == (1, plain.ns, plain.cells)
    real = only(ff(99, 10), inverter, ff(11, 50), rigid=frozenset([11]))
    assert real.luts == 1


@pytest.mark.parametrize(
    ("registers", "luts_before", "ns"),
    [
        ({"AREG": 1, "BREG": 1, "MREG": 1, "PREG": 1}, 1, t.DSP_SETUP),
        ({"AREG": 0, "BREG": 0, "MREG": 1, "PREG": 1}, 1, t.MULTIPLY),
        ({"AREG": 0, "BREG": 0, "MREG": 0, "PREG": 1}, 1, t.MULTIPLY + t.ALU),
    ],
)
def test_a_dsp_block_ends_a_path_at_its_first_register(
    registers: dict[str, int], luts_before: int, ns: float
) -> None:
    digits = {name: f"{value:032b}" for name, value in registers.items()}
    dsp = cell("DSP48E1", digits, CLK=1, A=[11], B=["1"], P=[20])
    path = only(ff(99, 10), lut(11, 10), dsp)
    assert path.luts == luts_before
    assert path.ns == pytest.approx(t.CLOCK_TO_OUT + t.LUT + 2 * t.NET + ns, abs=0.01)


def test_a_dsp_block_without_registers_is_passed() -> None:
    none = dict.fromkeys(("AREG", "BREG", "CREG", "MREG", "PREG"), "0")
    dsp = cell("DSP48E1", none, A=[10], B=["1"], P=[20])
    path = only(ff(99, 10), dsp, ff(20, 50))
    assert path.cells == ("FDRE", "DSP48E1", "FDRE")
    assert path.ns > t.MULTIPLY + t.ALU


def test_an_output_register_makes_a_block_ram_fast() -> None:
    slow = only(cell("RAMB18E1", CLKARDCLK=1, DOADO=[10]), ff(10, 50))
    fast = only(cell("RAMB18E1", {"DOA_REG": "1"}, CLKARDCLK=1, DOADO=[10]), ff(10, 50))
    assert slow.ns - fast.ns == pytest.approx(t.BLOCK_TO_OUT - t.BLOCK_REGISTER, abs=0.01)


def test_ports_are_ends_of_their_own_and_the_clock_is_none() -> None:
    found = paths(ff(20, 10), *chain(10, 1), lut(20, 5, 11), inputs=(1, 5), outputs=(20, 11))
    ends = {(path.start, path.end): path.luts for path in found}
    assert ends == {
        ("b10", "b10"): 2,
        ("b10", "port o20"): 2,
        ("b10", "port o11"): 1,
        ("port i5", "b10"): 1,
        ("port i5", "port o20"): 1,
    }


def test_a_combinational_loop_is_an_error() -> None:
    with pytest.raises(ValueError, match="combinational loop"):
        paths(lut(10, 11), lut(11, 10))


def test_json_brings_paths_back_and_refuses_another_form() -> None:
    found = paths(ff(99, 10), *chain(10, 3), ff(13, 50))
    assert levels.from_json(levels.to_json(found)) == tuple(found)
    with pytest.raises((KeyError, TypeError)):
        levels.from_json([{"cells": [], "length": 3}])


def test_a_handshake_is_followed_through_the_kernel_into_its_fifos() -> None:
    through = Path("port m_ready_i", "port s_ready_o", ("LUT2",), 1, 0, 0.62)
    inside = Path("a", "b", ("FDRE", "FDRE"), 0, 0, 1.0)
    out = Path("spare", "port s_ready_o", ("FDRE", "LUT3"), 1, 0, 1.1)
    into = Path("port m_ready_i", "count", ("LUT6", "CARRY4", "FDRE"), 1, 1, 2.0)
    data = Path("ram", "port m_data_o", ("RAM32M",), 1, 0, 9.0)  # which the kernel has no path from
    path = kernel_timing.slowest([inside, through], {"f": [out, data], "g": [into]})
    assert path is not None
    assert (path.start, path.end) == ("f.spare", "g.count")
    assert path.cells == ("FDRE", "LUT3", "LUT2", "LUT6", "CARRY4", "FDRE")
    assert (path.luts, path.carries) == (3, 1)
    assert path.ns == pytest.approx(1.1 + 0.62 + 2.0)
    alone = kernel_timing.slowest([through], {})
    assert alone is not None
    assert alone.start == kernel_timing.REGISTER


def test_a_layer_too_slow_for_the_clock_is_named_with_its_path() -> None:
    fast, slow = Path("a", "b", (), 2, 0, 3.0), Path("c", "d", ("LUT6",) * 16, 16, 2, 11.0)
    rows = {"A": kernel_timing.of_path(fast), "B": kernel_timing.of_path(slow)}
    found = kernel_timing.of_design({k: v for k, v in rows.items() if v}, 100)
    assert found is not None
    assert (found.slowest, found.mhz) == ("B", pytest.approx(90.9))
    assert found.lut_levels_at_clock == 14
    (warning,) = found.warnings
    assert warning.startswith("B: 16 LUT levels and 2 CARRY4 from c to d, about 11.0 ns")
    assert rows["B"] is not None
    assert rows["B"].cells == ("LUT6 x 16",)


@pytest.mark.parametrize(
    ("ns", "levels"), [(t.OVERHEAD + 4 * t.LEVEL, 4), (t.OVERHEAD + 4.5 * t.LEVEL, 5)]
)
def test_a_bound_that_a_kernel_exceeds_is_refused_with_its_path(ns: float, levels: int) -> None:
    path = Path("a.x", "a.y", ("FDRE", "LUT2", "CARRY4", "FDRE"), 1, 1, ns)
    timing = kernel_timing.of_path(path)
    assert timing is not None
    kernel_timing.require_levels({"MVAU_0": timing}, levels)
    with pytest.raises(UserInputError, match=rf"MVAU_0: 1 LUT.*a\.x to a\.y.* {levels} levels"):
        kernel_timing.require_levels({"MVAU_0": timing}, levels - 1)


@pytest.mark.parametrize("levels", [4, 6, 11])
def test_the_clock_of_a_bound_has_time_for_so_many_levels(levels: int) -> None:
    fits, late = (
        only(ff(99, 10), *chain(10, length), ff(10 + length, 50)).ns
        for length in (levels, levels + 1)
    )
    assert fits <= 1000 / kernel_timing.clock_of(levels) < late


def test_a_fifo_behind_a_kernel_does_not_lie_on_its_way_in() -> None:
    fifo = [
        Path("a", "port s_ready_o", (), 0, 0, 1.0),
        Path("b", "port m_valid_o", (), 0, 0, 2.0),
        Path("port m_ready_i", "c", (), 0, 0, 3.0),
        Path("d", "e", (), 0, 0, 4.0),
    ]
    assert kernel_timing.at_side(fifo, "s") == fifo[:1]
    assert kernel_timing.at_side(fifo, "m") == fifo[1:3]
