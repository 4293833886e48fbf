"""Board files: every shipped one is complete, and every mistake in one is named."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from hwgen.board import FAMILIES, Zynq7, board_names, load_board, load_board_file
from hwgen.errors import UserInputError
from hwgen.resources import data_folder

SHIPPED = board_names()

# of the part, from the vendor's product tables: LUT, FF, BRAM36, DSP
PARTS = {
    "xc7z020clg400-1": (53200, 106400, 140, 220),
    "xc7a100tcsg324-1": (63400, 126800, 135, 240),
    "xczu3eg-sbva484-1-i": (70560, 141120, 216, 360),
    "xczu7ev-ffvc1156-2-e": (230400, 460800, 312, 1728),
    "xck26-sfvc784-2LV-c": (117120, 234240, 144, 1248),
    "LFE5U-85F-6BG381C": (83640, 83640, 208 // 2, 156),
    "LFE5U-25F-6BG381C": (24288, 24288, 56 // 2, 28),
}
FAMILY_OF = {"xc7z": "zynq7", "xc7a": "artix7", "xczu": "zynqmp", "xck2": "zynqmp", "LFE5": "ecp5"}


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_board_is_complete(name: str) -> None:
    board = load_board(name)
    assert board.name == name
    assert board.clock_mhz <= board.max_clock_mhz
    r = board.resources
    assert PARTS[board.part] == (r.LUT, r.FF, r.BRAM36, r.DSP)
    budget = board.budget()
    assert budget.lut == pytest.approx(r.LUT * board.usable)
    assert budget.bram36 == pytest.approx(r.BRAM36 * board.usable)
    assert board.family == FAMILY_OF[board.part[:4]]
    text = (data_folder("boards") / f"{name}.yaml").read_text()
    assert "# Sources: " in text.splitlines()[1]


def test_every_family_has_a_board() -> None:
    assert {load_board(name).family for name in SHIPPED} == set(FAMILIES)


@pytest.mark.parametrize("name", SHIPPED)
def test_finns_name_of_a_board_is_one_that_finn_has_with_this_part(name: str) -> None:
    board = load_board(name)
    if getattr(board, "finn_board", None):
        from finn.util.basic import pynq_part_map

        assert pynq_part_map[board.finn_board] == board.part


def test_the_pynq_z2_is_the_board_we_mean() -> None:
    board = load_board("pynq-z2")
    assert isinstance(board, Zynq7)
    assert (board.part, board.finn_board) == ("xc7z020clg400-1", "Pynq-Z2")
    assert (board.bus_bytes, board.dma.max_length_bits) == (8, 26)
    assert board.ps.ddr_port_bits == 64
    assert board.ps.config["PCW_CRYSTAL_PERIPHERAL_FREQMHZ"] == "50"


@pytest.mark.parametrize("name", ["pynq-z2", "PYNQ-Z2", "Pynq-Z2"])
def test_names_match_in_any_case(name: str) -> None:
    assert load_board(name).name == "pynq-z2"


def test_a_near_miss_is_suggested() -> None:
    with pytest.raises(UserInputError, match=r"unknown board 'pynqz2'; did you mean pynq-z2\?"):
        load_board("pynqz2")
    with pytest.raises(UserInputError, match=r"unknown board 'xyz'; boards: .*pynq-z2"):
        load_board("xyz")


def edited(
    tmp_path: Path, *path: str, value: Any = None, remove: bool = False, like: str = "pynq-z2"
) -> Path:
    """A board's file with one thing changed."""
    values = yaml.safe_load((data_folder("boards") / f"{like}.yaml").read_text())
    place = values
    for key in path[:-1]:
        place = place[key]
    if remove:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(values))
    return tmp_path / "my.yaml"


def test_a_file_of_ones_own_is_a_board_too(tmp_path: Path) -> None:
    path = edited(tmp_path, "clock_mhz", value=125)
    assert load_board(str(path)).clock_mhz == 125


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("clock_mzh",), 1, r"unknown key clock_mzh; did you mean clock_mhz\?"),
        (("resources", "LUTS"), 1, r"unknown key resources.LUTS; did you mean LUT\?"),
        (("ps", "ddr_prt"), "x", r"unknown key ps.ddr_prt; did you mean ddr_port\?"),
        (("colour",), "red", "unknown key colour$"),
        (("resources", "LUT"), 0, "resources.LUT: Input should be greater than 0"),
        (("usable",), 1.5, "usable: Input should be less than or equal to 1"),
        (("clock_mhz",), "fast", "clock_mhz: Input should be a valid number"),
        (("clock_mhz",), 300, "clock_mhz 300.0 is above max_clock_mhz"),
        (("bus_bytes",), 5, "bus_bytes: Input should be 4, 8 or 16"),
        (("dma", "max_length_bits"), 27, "dma.max_length_bits: .* less than or equal to 26"),
        (("family",), "virtex", "family: 'virtex' is not one of artix7, ecp5, zynq7, zynqmp$"),
        (("family",), ["zynq7"], "family: .* is not one of artix7, ecp5, zynq7, zynqmp$"),
        (("name",), "../x", "name: String should match"),
        (("part",), "x; exit", "part: String should match"),
        (("ps", "ddr_port"), "S_AXI_GP0", "ps.ddr_port: String should match"),
        (("ps", "board_part"), "pynq; exit", "ps.board_part: String should match"),
        (("ps", "config", "PCW_X"), "$[exit]", "ps.config.PCW_X: String should match"),
        (("ps", "config", "UART"), "1", "String should match pattern '.PCW_"),
        (("ps", "config", "PCW_X"), 1, "ps.config.PCW_X: Input should be a valid string"),
    ],
)
def test_a_mistake_is_one_line_with_the_key(
    tmp_path: Path, path: tuple[str, ...], value: Any, message: str
) -> None:
    file = edited(tmp_path, *path, value=value)
    with pytest.raises(UserInputError, match=message) as caught:
        load_board_file(file)
    assert str(caught.value).startswith(f"board file {file}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("like", "path", "value", "message"),
    [
        ("kv260", ("ps", "ddr_port"), "S_AXI_HP0", "ps.ddr_port: String should match"),
        ("kv260", ("ps", "control_port"), "M_AXI_GP0", "ps.control_port: String should match"),
        ("kv260", ("ps", "config", "PCW_X"), "1", "String should match pattern '.PSU__"),
        ("arty-a7-100t", ("dma",), {"max_length_bits": 26}, "^board file .*: unknown key dma$"),
        ("arty-a7-100t", ("finn_board",), "Arty", "unknown key finn_board$"),
        ("arty-a7-100t", ("shell", "tx_pn"), "A1", r"key shell.tx_pn; did you mean tx_pin\?"),
        ("arty-a7-100t", ("shell", "reset", "pni"), "A1", r"key shell.reset.pni; did you mean pin"),
        ("arty-a7-100t", ("shell", "clock_pin"), "clk", "shell.clock_pin: String should match"),
        ("arty-a7-100t", ("uart", "baud"), 300, "uart.baud: .* greater than or equal to 9600"),
        ("ulx3s-85f", ("shell", "io_standard"), "a;b", "shell.io_standard: String should match"),
    ],
)
def test_every_family_has_its_own_keys(
    tmp_path: Path, like: str, path: tuple[str, ...], value: Any, message: str
) -> None:
    with pytest.raises(UserInputError, match=message):
        load_board_file(edited(tmp_path, *path, value=value, like=like))


OPTIONAL = {"finn_board"}  # and shell.reset


@pytest.mark.parametrize("like", ["pynq-z2", "kv260", "arty-a7-100t", "ulx3s-85f"])
def test_no_key_has_a_default(tmp_path: Path, like: str) -> None:
    for key in {*FAMILIES[load_board(like).family].model_fields} - OPTIONAL:
        with pytest.raises(UserInputError, match=f"{key}: Field required"):
            load_board_file(edited(tmp_path, key, remove=True, like=like))


def test_a_board_needs_no_button_and_no_finn(tmp_path: Path) -> None:
    load_board_file(edited(tmp_path, "shell", "reset", remove=True, like="arty-a7-100t"))
    load_board_file(edited(tmp_path, "finn_board", remove=True))


@pytest.mark.parametrize("content", ["", "[1, 2]", "name: [", "\x00"])
def test_a_file_that_is_no_board_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "my.yaml").write_text(content)
    with pytest.raises(UserInputError, match="board file"):
        load_board_file(tmp_path / "my.yaml")
    with pytest.raises(UserInputError, match="cannot be read"):
        load_board_file(tmp_path / "none.yaml")
