"""The report files made from a Dataflow, and the page made from the report files."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from hwgen import estimate, fifo, report, schema
from hwgen.board import load_board
from hwgen.dataflow import Dataflow, build_dataflow
from hwgen.diagram import BOX_H, draw
from hwgen.errors import UserInputError
from hwgen.files import write_bytes, write_json
from hwgen.folding import Point
from hwgen.layers.base import Folding, Resources
from tests.networks import random_reactnet

SECTIONS = (
    *("dataflow", "board", "timing", "throughput", "verification", "accuracy"),
    *("layers", "trade-off", "activations", "operations", "fifos", "times", "configuration"),
)
VOID = {"meta", "link", "br", "img", "hr", "input"}


@pytest.fixture(scope="module")
def dataflow() -> Dataflow:
    graph = random_reactnet(width=4, blocks=1, size=(5, 4), classes=3)
    foldings = {layer.name: next(layer.foldings()) for layer in graph.layers}
    foldings["MVAU_1"] = Folding(pe=4, simd=12)
    flow = build_dataflow(graph, foldings, bus_bytes=4, clock_mhz=100)
    return flow.with_depths(fifo.size(flow).depths)


@pytest.fixture
def build(tmp_path: Path, dataflow: Dataflow) -> Path:
    """A build folder as it is before synthesis and verification."""
    flow = dataflow
    sizing = fifo.size(flow)
    reports = {
        "op_and_param_counts": estimate.op_and_param_counts(flow.graph),
        "estimate_layer_cycles": estimate.estimate_layer_cycles(flow),
        "estimate_layer_resources": estimate.estimate_layer_resources(flow),
        "estimate_network_performance": estimate.estimate_network_performance(flow, sizing),
        "fifo_sizing": estimate.fifo_sizing(flow, sizing),
        "trade_off": estimate.trade_off(
            [Point(flow.max_cycles, Resources(1234, 5), True), Point(9**9, Resources(7), False)],
            flow,
        ),
        "dataflow": estimate.describe(flow),
    }
    for name, value in reports.items():
        write_json(tmp_path / "report" / f"{name}.json", value)
    config = {"name": "tiny", "clock_mhz": 100, "board": load_board("pynq-z2").model_dump()}
    write_bytes(tmp_path / "build_config.yaml", json.dumps(config).encode())
    write_json(tmp_path / "final_hw_config.json", {"Defaults": {}, "MVAU_1": {"PE": 4}})
    return tmp_path


def complete(folder: Path, **changed: Any) -> None:
    """Add every optional file."""
    cost: dict[str, object] = {"LUT": 10, "FF": 20, "BRAM36": 0.5, "DSP": 1}
    path = {"lut_levels": 17, "carries": 3, "start": "here[1]", "end": "there[2]"}
    path |= {"ns": 12.5, "mhz": 80.0, "cells": ["FDRE", "LUT6 x 17", "FDRE"]}
    design = {"slowest": "MVAU_1", "mhz": 80.0, "clock_mhz": 100, "lut_levels_at_clock": 14}
    files = {
        "synth_resources": {
            **{"LUT": 4321, "FF": 20, "BRAM36": 0.5, "DSP": 1, "tool": "yosys 0.70"},
            "layers": {"MVAU_1": cost | {"timing_estimate": path}, "streams": cost},
            "timing_estimate": design | {"warnings": ["MVAU_1 is too slow"]},
        },
        "rtlsim_performance": {"cycles_per_frame": 144.0, "latency_cycles": 777},
        "verification": {
            "cppsim": {"images": 8, "mismatches": 0, "first_mismatch": None, "seconds": 0.1},
            "rtlsim": {"images": 8, "mismatches": 0, "first_mismatch": None, "seconds": 0.5},
        },
        "accuracy": {"float": 0.9875, "integer": 0.975, "rtlsim": 0.975, "images": 80},
        "finn_estimates": {
            "cycles": {"MVAU_1": 111},
            "resources": {"MVAU_1": {"LUT": 2222.0, "BRAM_18K": 3.0, "DSP": 0.0}},
            "max_cycles": 111,
        },
    }
    for name, value in (files | changed).items():
        write_json(folder / "report" / f"{name}.json", value)
    write_json(folder / "time_per_step.json", {"import model": 3.25, "estimates": 0.5})


class Outline(HTMLParser):
    """Checks that tags balance; collects ids, attributes and text by section."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.section = ""
        self.text: dict[str, str] = {}
        self.attributes: list[tuple[str, str, str]] = []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag == "section":
            self.section = str(dict(attrs)["id"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text[self.section] = self.text.get(self.section, "") + data


def page(folder: Path) -> tuple[str, Outline]:
    text = report.write(folder).read_text()
    return text, Outline(text)


def test_a_complete_build_shows_every_section(build: Path) -> None:
    complete(build)
    text, outline = page(build)
    for section in SECTIONS:
        assert outline.text[section].strip(), section
    assert 'class="missing"' not in text.replace('<p class="missing">Simulated', "")
    assert "bit-exact in 2 engines" in outline.text[""]
    assert "4\u2009321" in outline.text["board"]
    assert "98.75" in outline.text["accuracy"]
    assert "2\u2009222" in outline.text["layers"]
    assert "1.5" in outline.text["layers"]  # three blocks of 18 kbit
    for words in ("17", "80", "here[1]", "there[2]", "LUT6 x 17", "MVAU_1 is too slow", "14 LUT"):
        assert words in outline.text["timing"]
    assert "777" in outline.text["throughput"]
    assert "3.25" in outline.text["times"]


def test_figures_of_vivado_stand_beside_the_others(build: Path) -> None:
    row = {"LUT": 7654, "SRL": 1, "FF": 9, "BRAM_36K": 5, "BRAM_18K": 3, "DSP": 0}
    slack = {"clock_mhz": 100, "fmax_mhz": 80.04, "wns_ns": -2.5, "tns_ns": -9, "whs_ns": 0.02}
    slack |= {"ths_ns": 0, "failing_endpoints": 17, "endpoints": 26011}
    complete(build, post_synth_resources={"(top)": row}, post_route_timing=slack)
    _, outline = page(build)
    for words in ("Vivado, all", "7\u2009654", "6.5", "yosys 0.70"):
        assert words in outline.text["board"]
    for words in ("-2.5 ns at 100.0 MHz", "80.0 MHz", "17 of 26011 endpoints fail"):
        assert words in outline.text["timing"]


def test_a_bitstream_is_shown_with_the_clock_that_it_runs_at(build: Path) -> None:
    timing = {
        **{"device": "LFE5U-25F", "package": "CABGA381", "speed_grade": 6, "out_of_context": False},
        **{"clock_mhz": 41.2, "fmax_mhz": 43.21, "critical_path": None, "LUT4": 5},
        **{"utilisation": {"DP16KD": {"used": 3, "available": 56}}, "tool": "nextpnr-ecp5 0"},
    }
    record = {
        **{"clock_mhz": 41.1765, "asked_mhz": 50, "clocks": {"clk": 43.21}, "pll": {}},
        **{"timing": timing, "bit_bytes": 318661, "fps": 12345.6, "seconds": 99.4},
    }
    complete(build, ecp5_bitstream=record)
    text = " ".join(page(build)[1].text["timing"].split())
    assert "0.32 MB for 41.18 MHz (50 MHz were asked for), 12,346 frames a second" in text
    assert "clk up to 43.2 MHz" in text
    assert "LFE5U-25F (speed grade 6)" in text
    assert "3 of 56 DP16KD" in text


def test_a_bare_build_says_how_to_get_the_rest(build: Path) -> None:
    _, outline = page(build)
    for section, command in {
        "board": "hwgen build --synth",
        "timing": "hwgen build --synth",
        "throughput": "hwgen verify BUILD_DIR --rtlsim",
        "verification": "hwgen verify BUILD_DIR",
        "accuracy": "hwgen verify BUILD_DIR",
    }.items():
        assert command in outline.text[section], section
    assert "not verified yet" in outline.text[""]
    assert "yosys" not in outline.text["layers"]


def test_the_page_needs_nothing_from_elsewhere(build: Path) -> None:
    complete(build)
    text, outline = page(build)
    references = re.findall(r"https?://[^\"' ]*", text)
    assert set(references) == {"http://www.w3.org/2000/svg"}
    for tag, name, value in outline.attributes:
        assert tag not in ("script", "link", "img", "iframe")
        assert not name.startswith("on")
        assert name not in ("src", "srcset")
        assert name != "href" or value.startswith("#")
    assert "@import" not in text
    assert "url(" not in text.replace('marker-end="url(#arrow)"', "")


def test_links_lead_to_sections_and_a_second_run_changes_nothing(build: Path) -> None:
    text, outline = page(build)
    ids = {value for _, name, value in outline.attributes if name == "id"}
    links = {value[1:] for _, name, value in outline.attributes if name == "href"}
    assert links == set(SECTIONS) <= ids
    assert page(build)[0] == text


def test_a_mismatch_is_shouted(build: Path) -> None:
    first = {"layer": "MVAU_1", "image": 3, "channel": 2, "expected": 5, "got": 6}
    verdict = {"images": 8, "mismatches": 2, "first_mismatch": first, "seconds": 1.0}
    complete(build, verification={"rtlsim": verdict})
    text, outline = page(build)
    assert "mismatch: rtlsim" in outline.text[""]
    assert "bit-exact" not in text
    assert "layer MVAU_1, image 3, channel 2, expected 5, got 6" in outline.text["verification"]


def test_no_image_is_no_proof(build: Path) -> None:
    verdict = {"images": 0, "mismatches": 0, "first_mismatch": None, "seconds": 0.0}
    complete(build, verification={"rtlsim": verdict})
    assert "verified on no image" in page(build)[1].text[""]


def test_text_from_files_is_escaped_everywhere(build: Path) -> None:
    evil = "<script>alert('x')</script>\"&"
    complete(build)
    for path in [*(build / "report").glob("*.json"), *build.glob("*.json")]:
        value = json.loads(path.read_text())
        renamed = json.loads(json.dumps(value).replace("MVAU_1", json.dumps(evil)[1:-1]))
        write_json(path, renamed)
    verdict = {"images": 1, "mismatches": 1, "first_mismatch": {evil: evil}, "seconds": 1}
    write_json(build / "report" / "verification.json", {evil: verdict})
    write_json(build / "time_per_step.json", {evil: 1})
    text, outline = page(build)
    assert "<script" not in text
    assert evil in outline.text["layers"]
    assert evil in outline.text["verification"]


REQUIRED = (
    *("report/dataflow.json", "report/op_and_param_counts.json", "report/fifo_sizing.json"),
    *("report/estimate_layer_cycles.json", "report/estimate_layer_resources.json"),
    *("report/estimate_network_performance.json", "build_config.yaml", "final_hw_config.json"),
)
OPTIONAL = (
    *("report/synth_resources.json", "report/rtlsim_performance.json", "time_per_step.json"),
    *("report/verification.json", "report/accuracy.json", "report/finn_estimates.json"),
)


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_file_is_named(build: Path, name: str) -> None:
    (build / name).unlink()
    with pytest.raises(UserInputError, match=re.escape(name)):
        report.write(build)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
@pytest.mark.parametrize("name", [*REQUIRED, *OPTIONAL])
def test_a_corrupt_file_is_named(build: Path, name: str, content: bytes) -> None:
    complete(build)
    (build / name).write_bytes(content)
    with pytest.raises(UserInputError, match=re.escape(name)):
        report.write(build)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("estimate_layer_cycles", {"MVAU_0": -1}),
        ("estimate_network_performance", {"max_cycles": 0}),
        ("op_and_param_counts", {"layers": 3}),
        ("rtlsim_performance", {"cycles_per_frame": "fast"}),
        ("synth_resources", {"LUT": 1, "layers": {"MVAU_0": {"LUT": None}}, "tool": "yosys"}),
        ("verification", {"rtlsim": {"images": 1}}),
        ("accuracy", {"float": 98.6}),
        ("finn_estimates", {"max_cycles": -1}),
    ],
)
def test_a_wrong_value_is_named(build: Path, name: str, value: object) -> None:
    complete(build, **{name: value})
    with pytest.raises(UserInputError, match=rf"{name}\.json is corrupt"):
        report.write(build)


def test_an_edge_to_nowhere_is_a_corrupt_file(build: Path) -> None:
    path = build / "report" / "dataflow.json"
    graph = json.loads(path.read_text())
    graph["edges"][0]["sink"] = "nothing"
    write_json(path, graph)
    with pytest.raises(UserInputError, match=r"dataflow\.json"):
        report.write(build)


def test_counts_equal_those_by_hand(dataflow: Dataflow) -> None:
    found = estimate.op_and_param_counts(dataflow.graph)
    # a 3x3 and a 1x1 binary convolution of 4 to 4 channels on 5x4 pixels
    assert found["layers"]["MVAU_1"]["binary_macs"] == 20 * 36 * 4
    assert found["layers"]["MVAU_2"]["binary_macs"] == 20 * 4 * 4
    assert found["layers"]["MVAU_1"]["parameter_bits"] == 36 * 4
    # stem: 3x3 of one channel; classifier: 4 to 3; each with a bias
    assert found["layers"]["MVAU_0"]["integer_macs"] == 20 * 9 * 4
    assert found["layers"]["MVAU_0"]["parameters"] == 9 * 4 + 4
    assert found["total"]["integer_macs"] == 20 * 9 * 4 + 12
    assert found["total"]["binary_macs"] == 20 * 40 * 4
    assert found["ops"] == 20 * 40 * 4 / 64 + 20 * 9 * 4 + 12


def test_estimates_add_up(dataflow: Dataflow) -> None:
    rows = estimate.estimate_layer_resources(dataflow)
    stages = [stage.resources for stage in dataflow.stages]
    streams = [stream.resources for stream in dataflow.streams]
    total = sum([*stages, *streams], Resources())
    assert rows["total"]["LUT"] == pytest.approx(total.lut, abs=0.1)
    for kind in ("LUT", "FF", "BRAM36", "DSP"):
        got = sum(row[kind] for row in rows["layers"].values())
        assert rows["total"][kind] == pytest.approx(got, abs=1)
    names = {layer.name for layer in dataflow.graph.layers} | {"axis_in", "axis_out", "streams"}
    assert set(rows["layers"]) == names
    performance = estimate.estimate_network_performance(dataflow)
    cycles = estimate.estimate_layer_cycles(dataflow)
    assert performance["max_cycles"] == max(cycles.values()) == cycles[performance["bottleneck"]]
    assert performance["fps"] == pytest.approx(100e6 / performance["max_cycles"])
    assert performance["binary_lanes"] == 4 * 12 + 1


def test_activations_list_every_circuit_and_why_one_is_taken(build: Path) -> None:
    """Random thresholds follow no lines; signs have one step."""
    _, outline = page(build)
    shown = outline.text["activations"]
    assert "binary search" in shown
    assert "not affine: channel 0 is not one line" in shown
    assert "a single step" in shown
    rows = json.loads((build / "report/estimate_layer_resources.json").read_text())
    units = rows["activation_units"]
    steps = {name for name in rows["layers"] if name.startswith("Thresholding")}
    assert set(units) == steps | {"MVAU_1", "MVAU_2"}  # the binary ones
    assert "XNOR pairs, compressor tree" in shown
    for name, unit in units.items():
        assert unit["candidates"][unit["chosen"]] == rows["layers"][name]


def test_several_circuits_are_shown_and_the_one_taken_is_marked(build: Path) -> None:
    path = build / "report/estimate_layer_resources.json"
    rows = json.loads(path.read_text())
    costs = {"binary search": {"LUT": 777}, "affine, DSP product": {"LUT": 42, "DSP": 3}}
    taken = {"chosen": "affine, DSP product", "why": "smallest", "candidates": costs}
    write_json(path, {**rows, "activation_units": {"Thresholding_1": taken}})
    _, outline = page(build)
    shown = "".join(outline.text["activations"].split())  # rows sorted by circuit, as the file is
    assert "Thresholding_1affine,DSPproduct42003✓smallestbinarysearch777000" in shown


def test_what_is_written_can_be_read_back(dataflow: Dataflow) -> None:
    sizing = fifo.size(dataflow)
    graph = schema.Graph.model_validate(json.loads(json.dumps(estimate.describe(dataflow))))
    assert [node.name for node in graph.nodes] == [stage.name for stage in dataflow.stages]
    roles = {node.name: node.role for node in graph.nodes}
    assert roles["MVAU_0"] == "integer"
    assert roles["MVAU_1"] == "binary"
    assert roles["Thresholding_0"] == "table"
    assert roles["DuplicateStreams_0"] == "stream"
    assert roles["axis_in"] == roles["axis_out"] == "edge"
    assert {role for name, role in roles.items() if name.startswith("width_")} == {"inserted"}
    found = schema.FifoSizing.model_validate(estimate.fifo_sizing(dataflow, sizing))
    assert {f.name: f.depth for f in found.fifos} == sizing.depths


def test_no_box_covers_another_and_every_line_ends_at_its_boxes(dataflow: Dataflow) -> None:
    graph = schema.Graph.model_validate(estimate.describe(dataflow))
    drawing = draw(graph)
    boxes = {box.node.name: box for box in drawing.boxes}
    assert set(boxes) == {node.name for node in graph.nodes}
    for a, b in combinations(drawing.boxes, 2):
        apart = a.right < b.x or b.right < a.x or a.y + BOX_H < b.y or b.y + BOX_H < a.y
        assert apart, (a, b)
    assert len(drawing.lines) == len(graph.edges)
    for line in drawing.lines:
        a, b = boxes[line.edge.source], boxes[line.edge.sink]
        assert line.path.startswith(f"M{a.right:g} ")
        end = re.findall(r"[-\d.]+", line.path)
        assert f"{b.x:g}" in end[-2:], line.path
    for box in drawing.boxes:
        assert 0 < box.x < box.right < drawing.width
        assert 0 < box.y < box.y + BOX_H <= drawing.height


def test_a_shortcut_runs_above_the_boxes_it_passes(dataflow: Dataflow) -> None:
    drawing = draw(schema.Graph.model_validate(estimate.describe(dataflow)))
    boxes = {box.node.name: box for box in drawing.boxes}
    shortcuts = [
        line
        for line in drawing.lines
        if line.edge.source.startswith("Duplicate") and line.edge.sink.startswith("Element")
    ]
    assert len(shortcuts) == 2
    for line in shortcuts:
        assert line.skips
        assert line.label_y < boxes[line.edge.source].y


def test_rates_and_their_resources_are_a_table_and_older_builds_have_none(
    build: Path, dataflow: Dataflow
) -> None:
    _, outline = page(build)
    text = " ".join(outline.text["trade-off"].split())
    assert f"{1e8 / dataflow.max_cycles:,.0f}".replace(",", " ") in text
    assert "1 234" in text
    assert "this build" in text
    assert "does not fit" in text
    (build / "report" / "trade_off.json").unlink()
    assert "trade-off" not in page(build)[1].text
