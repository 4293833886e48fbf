"""The stream primitives pass every tool's front end, and memories become what is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rtl.tools import RTL, lint, luts, synthesise, yosys

CLEAN: list[tuple[str, dict[str, int]]] = [
    *(
        ("fifo", {"WIDTH": w, "DEPTH": d})
        for w, d in ((5, 0), (4, 1), (1, 2), (8, 3), (7, 64), (9, 5000))
    ),
    *(("fifo", {"WIDTH": 3, "DEPTH": d, "MEMORY": m}) for d, m in ((2, 1), (2, 2), (40, 2))),
    *(("fork_stream", {"OUTPUTS": n, "WIDTH": w}) for n, w in ((1, 1), (3, 8))),
    *(
        ("width_converter", {"IN_WIDTH": i, "OUT_WIDTH": o})
        for i, o in ((8, 8), (24, 8), (2, 24), (1, 2), (1152, 1))
    ),
    *(
        (
            "add_streams",
            {"PE": 2, "A_BITS": a, "A_SIGNED": s, "B_BITS": b, "B_SIGNED": t, "OUT_BITS": o},
        )
        for a, s, b, t, o in ((8, 1, 8, 1, 9), (8, 0, 3, 1, 10), (1, 0, 1, 0, 2), (4, 1, 4, 1, 16))
    ),
    *(
        ("global_sum", {"PIXELS": p, "CHANNELS": c, "PE": pe, "IN_SIGNED": s, "OUT_BITS": o})
        for p, c, pe, s, o in (
            (16, 8, 1, 1, 12),
            (1, 8, 8, 0, 8),
            (9, 6, 2, 0, 12),
            (1, 2, 1, 1, 8),
        )
    ),
    *(
        (f"axis_{way}", {"ELEM_BYTES": e, "BITS": b, "ELEMENTS": n, "LANES": lanes})
        for way in ("in", "out")
        for e, b, n, lanes in (
            (1, 8, 64, 8),
            (1, 3, 12, 4),
            (4, 31, 3, 1),
            (8, 64, 1, 1),
            (4, 8, 2, 2),
        )
    ),
    *(("axis_out", {"BITS": 8, "SIGNED": s, "ELEM_BYTES": e}) for s in (0, 1) for e in (1, 2)),
]

WRONG: list[tuple[str, dict[str, int], str]] = [
    ("fifo", {"DEPTH": 1, "MEMORY": 1}, "DEPTH must be at least 2"),
    ("fifo", {"DEPTH": 3, "MEMORY": 0}, "hold two beats only"),
    ("width_converter", {"IN_WIDTH": 6, "OUT_WIDTH": 4}, "one width must divide the other"),
    ("add_streams", {"A_BITS": 8, "OUT_BITS": 8}, "OUT_BITS must be greater"),
    ("global_sum", {"CHANNELS": 6, "PE": 4}, "PE must divide CHANNELS"),
    ("global_sum", {"IN_BITS": 8, "OUT_BITS": 7}, "at most OUT_BITS"),
    ("axis_in", {"BITS": 9}, "hold BITS"),
    ("axis_in", {"LANES": 3, "ELEMENTS": 6}, "LANES must divide"),
    ("axis_out", {"AXIS_BYTES": 6, "ELEM_BYTES": 4}, "must divide AXIS_BYTES"),
    ("axis_out", {"LANES": 4, "ELEMENTS": 6}, "LANES must divide"),
    ("fork_stream", {"OUTPUTS": 0}, "at least 1"),
]


def label(case: tuple[str, dict[str, int]]) -> str:
    return "-".join([case[0], *map(str, case[1].values())])


@pytest.mark.parametrize("case", CLEAN, ids=map(label, CLEAN))
def test_lint_is_clean(case: tuple[str, dict[str, int]]) -> None:
    assert lint(*case) == ""


@pytest.mark.parametrize(("module", "parameters", "message"), WRONG)
def test_impossible_parameters_are_refused_at_elaboration(
    module: str, parameters: dict[str, int], message: str
) -> None:
    assert message in lint(module, parameters)


FIFO_MEMORIES = [  # width, depth, memory, its cells, RAMB36
    (8, 2, 0, set(), 0),
    (8, 2, 1, {"RAM32M"}, 0),
    (8, 3, 1, {"RAM32M"}, 0),
    (12, 32, 1, {"RAM32M"}, 0),
    (9, 64, 1, {"RAM64M"}, 0),
    (64, 256, 1, {"RAM64M"}, 0),
    (36, 512, 2, {"RAMB18E1"}, 0.5),
    (8, 771, 2, {"RAMB18E1"}, 0.5),
    (64, 3000, 2, {"RAMB36E1"}, 6),
]


@pytest.mark.slow
def test_memories_become_what_is_meant(tmp_path: Path) -> None:
    pool = {"PIXELS": 64, "CHANNELS": 64, "PE": 4, "IN_BITS": 8, "OUT_BITS": 14}
    fifos = [("fifo", {"WIDTH": w, "DEPTH": d, "MEMORY": m}) for w, d, m, _, _ in FIFO_MEMORIES]
    *found, sums = synthesise([*fifos, ("global_sum", pool)], tmp_path)
    for (width, depth, _, memory, blocks), cells in zip(FIFO_MEMORIES, found, strict=True):
        rams = {cell for cell in cells if cell.startswith("RAM")}
        assert rams == memory, f"{width} x {depth}"
        assert cells["RAMB36E1"] + cells["RAMB18E1"] / 2 == blocks
        assert cells["FDRE"] < 40, "data or addresses have ended up in flip-flops"
    assert sums["RAM32M"] * 6 >= 4 * 14
    assert luts(sums) < 160


def test_the_control_of_a_fifo_takes_few_luts(tmp_path: Path) -> None:
    """Besides its memory, as synth_xilinx maps; a counter and two pointers that wrap took more."""
    depths = {2: 5, 4: 7, 8: 9, 16: 12, 32: 15}
    found = synthesise([("fifo", {"WIDTH": 6, "DEPTH": d, "MEMORY": 1}) for d in depths], tmp_path)
    for most, cells in zip(depths.values(), found, strict=True):
        assert cells["RAM32M"] == 1
        assert luts(cells) - 4 <= most


TYPICAL: list[tuple[str, dict[str, int]]] = [
    ("fifo", {"WIDTH": 4, "DEPTH": 2}),
    ("fifo", {"WIDTH": 4, "DEPTH": 20}),
    ("fifo", {"WIDTH": 4, "DEPTH": 20, "MEMORY": 2}),
    ("fork_stream", {"OUTPUTS": 2, "WIDTH": 8}),
    ("width_converter", {"IN_WIDTH": 12, "OUT_WIDTH": 4}),
    ("width_converter", {"IN_WIDTH": 4, "OUT_WIDTH": 12}),
    ("add_streams", {"PE": 2, "A_SIGNED": 0, "OUT_BITS": 10}),
    ("add_streams", {"PE": 2, "OUT_BITS": 8, "SUBTRACT": 1}),
    ("global_sum", {"PIXELS": 9, "CHANNELS": 6, "PE": 2}),
    ("axis_in", {"LANES": 2}),
    ("axis_out", {"LANES": 2, "ELEM_BYTES": 2}),
]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["synth_xilinx -noiopad -noclkbuf", "synth_ecp5", "synth"])
def test_every_family_synthesises_every_primitive(command: str, tmp_path: Path) -> None:
    for case, cells in zip(TYPICAL, synthesise(TYPICAL, tmp_path, command), strict=True):
        assert sum(cells.values()) > 0, case


@pytest.mark.parametrize(
    ("module", "parameters", "cut"),
    [
        ("fifo", {"WIDTH": 2, "DEPTH": 0}, False),
        ("fifo", {"WIDTH": 2, "DEPTH": 1}, True),
        ("fifo", {"WIDTH": 2, "DEPTH": 2}, True),
        ("fifo", {"WIDTH": 2, "DEPTH": 5}, True),
        ("fifo", {"WIDTH": 2, "DEPTH": 5, "MEMORY": 2}, True),
        ("fork_stream", {"WIDTH": 2}, False),
        ("width_converter", {"IN_WIDTH": 2, "OUT_WIDTH": 4}, False),
    ],
)
def test_only_a_fifo_cuts_every_path_between_handshakes(
    module: str, parameters: dict[str, int], cut: bool, tmp_path: Path
) -> None:
    """Looks for inputs in the cone of ready and valid, back to the flip-flops."""
    sets = "".join(f" -set {name} {value}" for name, value in parameters.items())
    yosys(
        [
            f"read_verilog -sv {RTL / module}.sv",
            f"chparam{sets} {module}",
            f"prep -flatten -top {module}",
            *("memory_map", "opt -full", "techmap", "dffunmap", "techmap", "opt_clean"),
            f"select -assert-{'none' if cut else 'any'} "
            "o:s_ready_o o:m_valid_o %u %ci*:-$_DFF_P_ i:* %i",
        ],
        tmp_path,
    )


def test_every_file_holds_one_module_of_its_name_and_explicit_nets() -> None:
    for path in RTL.glob("*.sv"):
        text = path.read_text()
        assert f"\nmodule {path.stem} " in text, path.name
        assert text.count("\nendmodule") == 1, path.name
        assert "`default_nettype none" in text, path.name
        assert text.endswith("`default_nettype wire\n"), path.name
