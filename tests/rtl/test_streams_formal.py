"""Proofs without bound that the stream primitives keep order and lose nothing.

The mutations show that the proofs can fail: each breaks one line of a primitive.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rtl.formal import prove
from tests.rtl.tools import ToolFailure


def fifo(width: int, depth: int, memory: int) -> tuple[str, str, dict[str, int]]:
    return "formal_fifo", "fifo", {"WIDTH": width, "DEPTH": depth, "MEMORY": memory}


def fork(outputs: int, width: int) -> tuple[str, str, dict[str, int]]:
    return "formal_fork_stream", "fork_stream", {"OUTPUTS": outputs, "WIDTH": width}


def converter(before: int, after: int) -> tuple[str, str, dict[str, int]]:
    widths = {"IN_WIDTH": before, "OUT_WIDTH": after}
    return "formal_width_converter", "width_converter", widths


def add(pe: int) -> tuple[str, str, dict[str, int]]:
    return "formal_add_streams", "add_streams", {"PE": pe}


def add_exact(a_signed: int, b_signed: int, subtract: int = 0) -> tuple[str, str, dict[str, int]]:
    kind = {"A_SIGNED": a_signed, "B_SIGNED": b_signed, "SUBTRACT": subtract}
    return "formal_add_exact", "add_streams", kind


def axis(
    direction: str, bus: int, size: int, elements: int, lanes: int, **more: int
) -> tuple[str, str, dict[str, int]]:
    shape = {"AXIS_BYTES": bus, "ELEM_BYTES": size, "ELEMENTS": elements, "LANES": lanes}
    return f"formal_axis_{direction}", f"axis_{direction}", shape | more


PROOFS = [
    fifo(1, 1, 0),
    fifo(1, 2, 0),
    fifo(2, 2, 0),
    *(fifo(1, depth, memory) for depth in (2, 3, 4, 5) for memory in (1, 2)),
    fifo(2, 3, 1),
    *(fork(outputs, width) for outputs, width in ((1, 1), (2, 2), (3, 1))),
    *(converter(*w) for w in ((1, 2), (1, 3), (2, 8), (2, 1), (3, 1), (8, 2), (3, 3))),
    add(1),
    add(2),
    *(add_exact(a, b, s) for a in (0, 1) for b in (0, 1) for s in (0, 1)),
    axis("in", 4, 1, 6, 1),
    axis("in", 4, 1, 6, 2),
    axis("in", 4, 1, 8, 4),
    axis("in", 4, 2, 5, 1),
    axis("in", 2, 2, 3, 1),
    axis("in", 4, 1, 1, 1),
    axis("in", 8, 1, 3, 1),
    axis("out", 4, 1, 6, 1, SIGNED=0),
    axis("out", 4, 1, 6, 2, SIGNED=1),
    axis("out", 4, 1, 8, 4, SIGNED=0),
    axis("out", 4, 2, 5, 1, SIGNED=1),
    axis("out", 2, 2, 3, 1, SIGNED=0),
    axis("out", 4, 1, 1, 1, SIGNED=1),
    axis("out", 8, 1, 3, 1, SIGNED=0),
]

MUTATIONS = [
    # a register: a beat that waits is dropped, or overwritten
    (fifo(1, 1, 0), "m_valid_o ? !m_ready_i : s_valid_i", "s_valid_i"),
    (fifo(1, 1, 0), "if (s_ready_o) m_data_o <= s_data_i", "m_data_o <= s_data_i"),
    # two registers: the spare is overwritten, forgotten, or overtaken
    (fifo(1, 2, 0), "if (s_ready_o) spare <=", "spare <="),
    (fifo(1, 2, 0), "m_valid_o <= s_valid_i || !s_ready_o;", "m_valid_o <= s_valid_i;"),
    (fifo(1, 2, 0), "s_ready_o ? s_data_i : spare", "s_valid_i ? s_data_i : spare"),
    # ring: overflow, underflow, addresses that meet or part, a beat dropped while stalled
    (fifo(1, 3, 1), "pop || next_write != read_addr", "pop || write_addr != read_addr"),
    (fifo(1, 3, 1), "pop || next_write != read_addr", "1'b1"),
    (fifo(1, 3, 1), "push || next_read != write_addr", "1'b1"),
    (fifo(1, 3, 1), "push || next_read != write_addr", "push"),
    (fifo(1, 3, 1), "^ in_zeros", ""),
    (fifo(1, 3, 1), "if (push) write_addr <= next_write", "write_addr <= next_write"),
    (fifo(1, 3, 1), "(pop && next_read[0] != read_addr[0])", "(next_read[0] != read_addr[0])"),
    (fifo(1, 3, 1), "if (push != pop)", "if (push)"),
    (fifo(1, 3, 2), "filled && (m_ready_i || !m_valid_o)", "filled"),
    (fifo(1, 3, 2), "filled && (m_ready_i || !m_valid_o)", "filled && m_ready_i"),
    # fork: a beat twice, a beat lost for the slower reader, valid that waits for ready
    (fork(2, 1), "& ~done", ""),
    (fork(2, 1), "&served", "|served"),
    (fork(2, 1), "{OUTPUTS{s_valid_i}}", "{OUTPUTS{s_valid_i && s_ready_o}}"),
    # converter: a part lost, the parts reversed, the rest of a word dropped
    (converter(1, 3), "assign s_ready_o = m_ready_i || !m_valid_o;", "assign s_ready_o = 1'b1;"),
    (
        converter(1, 3),
        "{s_data_i, m_data_o[OUT_WIDTH-1:IN_WIDTH]}",
        "{m_data_o[OUT_WIDTH-IN_WIDTH-1:0], s_data_i}",
    ),
    (converter(3, 1), "(m_ready_i && last) || !m_valid_o", "m_ready_i || !m_valid_o"),
    (converter(3, 1), "if (m_valid_o && m_ready_i) part", "if (m_valid_o) part"),
    # add: b taken alone, a sum overwritten while stalled, the sign lost
    (add(1), "{fire, fire}", "{s_valid_i[1] && (!m_valid_o || m_ready_i), fire}"),
    (add(1), "s_valid_i[1] && (!m_valid_o || m_ready_i)", "s_valid_i[1]"),
    (add_exact(1, 0), "A_SIGNED != 0 ? OUT_BITS'($signed(a))", "A_SIGNED != 0 ? OUT_BITS'(a)"),
    # axis_in: padding taken for elements, the rest of a bus beat dropped
    (axis("in", 4, 1, 6, 1), "last_group = last_beat || ", "last_group = "),
    (axis("in", 4, 1, 6, 1), "(m_ready_i && last_group)", "m_ready_i"),
    # axis_out: frames share a bus beat, old data or keep in the tail, the last bit
    (axis("out", 4, 1, 6, 1, SIGNED=0), "last_group = last_beat || ", "last_group = "),
    (axis("out", 4, 1, 6, 1, SIGNED=0), "slot   <= '0;", ""),
    (axis("out", 4, 1, 6, 1, SIGNED=0), "filled <= 1'b0;", ""),
    (axis("out", 4, 1, 6, 1, SIGNED=0), "m_last_o <= last_beat", "m_last_o <= last_group"),
    (axis("out", 4, 1, 6, 1, SIGNED=1), "SIGNED != 0 ?", "SIGNED == 0 ?"),
]


def label(case: tuple[str, str, dict[str, int]]) -> str:
    wrapper, _, parameters = case
    return "-".join([wrapper.removeprefix("formal_"), *map(str, parameters.values())])


@pytest.mark.parametrize("case", PROOFS, ids=map(label, PROOFS))
def test_order_is_kept_and_nothing_is_lost(
    case: tuple[str, str, dict[str, int]], tmp_path: Path
) -> None:
    assert prove(*case, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("memory", [1, 2])
def test_a_deeper_fifo_keeps_order_too(memory: int, tmp_path: Path) -> None:
    assert prove(*fifo(1, 6, memory), tmp_path)


@pytest.mark.parametrize(
    ("case", "old", "new"),
    MUTATIONS,
    ids=[f"{label(c)}-{i}" for i, (c, *_) in enumerate(MUTATIONS)],
)
def test_a_broken_primitive_is_refuted(
    case: tuple[str, str, dict[str, int]], old: str, new: str, tmp_path: Path
) -> None:
    assert not prove(*case, tmp_path, mutation=(old, new))


def test_a_tool_without_verdict_is_no_proof(tmp_path: Path) -> None:
    with pytest.raises(ToolFailure):
        prove("formal_no_such_wrapper", "fifo", {}, tmp_path)
