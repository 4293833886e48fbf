"""Proofs without bound that axil_registers keeps AXI4-Lite, and that they can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rtl.formal import HERE, prove

SHELL = Path(__file__).parents[2] / "templates" / "shell"


def proved(work: Path, mutation: tuple[str, str] | None = None) -> bool:
    return prove(
        "formal_axil_registers",
        "axil_registers",
        {"WORDS": 3},
        work,
        mutation,
        wrappers=HERE / "formal_axil.sv",
        folder=SHELL,
    )


def test_every_access_is_answered_once_and_in_order(tmp_path: Path) -> None:
    assert proved(tmp_path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # reads: an answer taken back, an address taken too early, data of another moment
        ("(ar_take || s_rready_i)", "(ar_take || s_rvalid_o)"),
        ("assign s_rvalid_o = !s_arready_o;", "assign s_rvalid_o = !s_arready_o || s_arvalid_i;"),
        ("if (ar_take) begin", "if (!s_rready_i) begin"),
        ("|ar_select ? OKAY : SLVERR", "OKAY"),
        # writes: without data, over a response, of a later address or data, never answered
        ("!s_awready_o && !s_wready_o && !s_bvalid_o", "!s_awready_o && !s_bvalid_o"),
        ("!s_awready_o && !s_wready_o && !s_bvalid_o", "!s_awready_o && !s_wready_o"),
        ("if (s_awready_o) selected", "if (s_awvalid_i) selected"),
        ("if (s_wready_o) begin", "if (s_wvalid_i) begin"),
        ("? !s_wvalid_i : commit", "? !s_wvalid_i : 1'b1"),
        ("s_bvalid_o ? !s_bready_i : commit", "s_bvalid_o && !s_bready_i"),
        ("&& WRITABLE[i]", ""),
    ],
)
def test_a_broken_slave_is_refuted(old: str, new: str, tmp_path: Path) -> None:
    assert not proved(tmp_path, (old, new))
