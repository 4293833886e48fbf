"""Board files: every shipped one is complete, and every mistake in one is named."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from hwgen.board import Board, board_names, load_board, load_board_file
from hwgen.errors import UserInputError
from hwgen.resources import data_folder

SHIPPED = board_names()

# of the part, from the vendor's product tables: LUT, FF, BRAM36, DSP
PARTS = {
    "xc7z020clg400-1": (53200, 106400, 140, 220),
}


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
    assert (data_folder("templates") / "vivado" / board.family).is_dir()


def test_the_pynq_z2_is_the_board_we_mean() -> None:
    board = load_board("pynq-z2")
    assert (board.part, board.finn_board) == ("xc7z020clg400-1", "Pynq-Z2")
    assert (board.dma.bus_bytes, board.dma.max_length_bits) == (8, 26)
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


def edited(tmp_path: Path, *path: str, value: Any = None, remove: bool = False) -> Path:
    """The PYNQ-Z2's file with one thing changed."""
    values = yaml.safe_load((data_folder("boards") / "pynq-z2.yaml").read_text())
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
        (("dma", "bus_bytes"), 5, "dma.bus_bytes: Input should be 4, 8 or 16"),
        (("dma", "max_length_bits"), 27, "dma.max_length_bits: .* less than or equal to 26"),
        (("family",), "virtex", "family: Input should be 'zynq7'"),
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


@pytest.mark.parametrize("key", sorted(Board.model_fields))
def test_no_key_has_a_default(tmp_path: Path, key: str) -> None:
    with pytest.raises(UserInputError, match=f"{key}: Field required"):
        load_board_file(edited(tmp_path, key, remove=True))


@pytest.mark.parametrize("content", ["", "[1, 2]", "name: [", "\x00"])
def test_a_file_that_is_no_board_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "my.yaml").write_text(content)
    with pytest.raises(UserInputError, match="board file"):
        load_board_file(tmp_path / "my.yaml")
    with pytest.raises(UserInputError, match="cannot be read"):
        load_board_file(tmp_path / "none.yaml")
