"""cppsim, compiled and run, against the integer graph; and what it says when it cannot run.

The flags a build uses, and a build that stops at the first undefined behaviour, both have to give
the integers of the graph without a warning from the compiler.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from hwgen.backends import cpp
from hwgen.backends.cpp_library import Library
from hwgen.backends.software import read_dump
from hwgen.engine import interpret, require_equal
from hwgen.errors import ToolError, UserInputError
from hwgen.quant import IntArray
from tests.backends.engines import NETWORKS, REACTNETS, STAIRS, frames

STRICT = ("-Wall", "-Wextra", "-Werror")
QUICK = ("-std=c++17", "-O1", "-pthread")
CHECKED = (
    *("-std=c++17", "-O0", "-pthread"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
)
FIRST = next(iter(REACTNETS))
OTHERS = [name for name in NETWORKS if name not in (FIRST, "odd")]


def _levels() -> tuple[str, ...]:
    """The levels of SIMD that this processor has."""
    features = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    wanted = {"portable": "", "avx2": " avx2", "avx512": " avx512_vpopcntdq"}
    return tuple(level for level, feature in wanted.items() if feature in features)


LEVELS = _levels()


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Folder of a network's compiled cppsim; each is compiled once."""
    done: dict[tuple[str, tuple[str, ...]], Path] = {}

    def get(name: str, flags: tuple[str, ...] = QUICK) -> Path:
        if (name, flags) not in done:
            done[name, flags] = folder = tmp_path_factory.mktemp("cppsim")
            cpp.emit(NETWORKS[name]).write(folder)
            cpp.build(folder, folder / "build.log", (*flags, *STRICT))
        return done[name, flags]

    return get


@pytest.fixture
def first(compiled: Callable[..., Path]) -> Path:
    return compiled(FIRST, cpp.FLAGS)


def _library(folder: Path) -> Library:
    (path,) = folder.glob("libcppsim-*.so")
    return Library.open(path)


def _run(library: Library, images: IntArray, simd: str, threads: int = 1) -> IntArray:
    output = library.outputs(len(images))
    library.run(images, output, threads=threads, simd=simd)
    return output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "flags"), [(FIRST, cpp.FLAGS), ("odd", cpp.FLAGS), *((n, QUICK) for n in OTHERS)]
)
def test_every_tensor_equals_the_integer_graph_at_every_level(
    compiled: Callable[..., Path], name: str, flags: tuple[str, ...]
) -> None:
    graph = NETWORKS[name]
    images = frames(graph, 37)  # not a multiple of a batch
    expected = interpret(graph, images)
    library = _library(compiled(name, flags))
    for level in LEVELS:
        output = library.outputs(len(images))
        found = library.run(images, output, threads=3, simd=level, record=True)
        files = cpp.dump_names(graph)
        assert set(found) == set(files.values())
        tensors = {tensor: found[file] for tensor, file in files.items()}
        require_equal(graph, expected, tensors, f"cppsim, {level}")
        np.testing.assert_array_equal(output, expected[graph.output.name])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["odd", "pooled"])
def test_nothing_undefined_happens_at_any_level(compiled: Callable[..., Path], name: str) -> None:
    graph, folder = NETWORKS[name], compiled(name, CHECKED)
    images = frames(graph, 5)
    expected = interpret(graph, images)
    for level in LEVELS:
        _command(folder, images, ["--simd", level, "--dump", str(folder / level), "--threads", "2"])
        dumped = read_dump(graph, folder / level)
        require_equal(graph, expected, dumped, f"cppsim, {level}")


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("count", [1, 2, 16, 33, 130])
def test_batches_threads_and_levels_give_the_same(first: Path, count: int, threads: int) -> None:
    graph, library = NETWORKS[FIRST], _library(first)
    images = frames(graph, max(count, 2))[:count]
    expected = interpret(graph, images, keep=False)[graph.output.name]
    for level in ("auto", *LEVELS):
        np.testing.assert_array_equal(_run(library, images, level, threads), expected)


@pytest.mark.parametrize("bits", STAIRS)
def test_staircases_are_exact_at_every_integer(tmp_path: Path, bits: int) -> None:
    graph = STAIRS[bits]
    dtype = graph.input.dtype
    values = np.arange(dtype.lo, dtype.hi + 1)
    if bits > 12:  # around every threshold of every channel, and some between
        (table,) = (layer.call().arrays["thresholds"] for layer in graph.layers)
        near = np.concatenate([table.ravel(), table.ravel() - 1, values[::97], values[[0, -1]]])
        values = np.unique(np.clip(near, dtype.lo, dtype.hi))
    images = np.broadcast_to(values[:, None, None, None], (len(values), *graph.input.shape))
    cpp.emit(graph).write(tmp_path)
    library = Library.open(cpp.build(tmp_path, tmp_path / "build.log", (*QUICK, *STRICT)))
    expected = interpret(graph, images, keep=False)[graph.output.name]
    for level in LEVELS:
        np.testing.assert_array_equal(_run(library, images, level, 2), expected)


def test_a_level_the_processor_lacks_or_nobody_knows_is_refused(first: Path) -> None:
    graph = NETWORKS[FIRST]
    with pytest.raises(UserInputError, match="'sse9' is no level of SIMD"):
        _run(_library(first), frames(graph, 2), "sse9")
    _refused([first / "cppsim", "in.npy", "out.npy", "--simd", "sse9"], "no level of SIMD")


def test_a_profile_lists_every_layer_with_its_binary_rate(first: Path) -> None:
    graph = NETWORKS[FIRST]
    np.save(first / "in.npy", frames(graph, 5))
    command = [first / "cppsim", first / "in.npy", first / "out.npy", "--profile", "--repeat", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}
    for layer in graph.layers:
        kind, _, share, *rate = rows[layer.name]
        assert kind == layer.call().function
        assert share.endswith("%")
        assert bool(rate) == (kind == "xnor_matmul")


@pytest.mark.slow
def test_one_line_compiles_the_program_alone(tmp_path: Path) -> None:
    graph = NETWORKS[FIRST]
    cpp.emit(graph).write(tmp_path)
    line = ["g++", "-std=c++17", "-O0", "-pthread", "-o", "cppsim", "main.cpp", "network.cpp"]
    subprocess.run(line, cwd=tmp_path, check=True)
    images = frames(graph, 3)
    expected = interpret(graph, images, keep=False)[graph.output.name]
    np.testing.assert_array_equal(_command(tmp_path, images, [])[1], expected)


def test_output_is_that_of_the_integer_graph_for_any_threads_and_integer_type(first: Path) -> None:
    graph = NETWORKS[FIRST]
    images = frames(graph, 50)
    expected = interpret(graph, images, keep=False)[graph.output.name]
    for dtype in (np.int32, np.int64, np.uint8):
        for options in (["--threads", "1"], ["--threads", "5", "--repeat", "3"]):
            line, output = _command(first, images.astype(dtype), options)
            np.testing.assert_array_equal(output, expected)
            assert line.startswith(f"images {150 if '5' in options else 50}  seconds ")
    assert output.dtype == np.int32


def test_no_images_give_no_outputs(first: Path) -> None:
    graph = NETWORKS[FIRST]
    (library,) = first.glob("libcppsim-*.so")
    found = cpp.run(library, graph, np.zeros((0, *graph.input.shape), np.int64), keep=True)
    assert found.output.shape == (0, *graph.output.shape)
    shapes = {name: tensor.shape for name, tensor in found.tensors.items()}
    assert shapes == {name: (0, *tensor.shape) for name, tensor in graph.tensors.items()}


def test_emitting_twice_gives_the_same_bytes() -> None:
    for graph in NETWORKS.values():
        assert cpp.emit(graph).content == cpp.emit(graph).content


def test_only_headers_of_kinds_in_use_are_emitted() -> None:
    graph = NETWORKS[FIRST]
    assert "global_sum.hpp" in cpp.emit(graph).content
    assert "global_avg.hpp" not in cpp.emit(graph).content
    kinds = {layer.call().function for layer in graph.layers}
    assert {f"{kind}.hpp" for kind in kinds} < set(cpp.emit(graph).content)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            np.zeros((2, 5, 6, 1), np.int32),
            r"shape \(2, 5, 6, 1\), the network reads \(N, 6, 5, 1\)",
        ),
        (np.zeros((6, 5, 1), np.int32), r"shape \(6, 5, 1\)"),
        (np.zeros((2, 6, 5, 1), np.float32), "dtype <f4"),
        (np.zeros((2, 6, 5, 1), ">i4"), "dtype >i4"),
        (np.full((2, 6, 5, 1), 256), "holds 256"),
        (np.full((2, 6, 5, 1), -1), "holds -1"),
        (np.zeros((5, 6, 2, 1), np.int32).T, "Fortran order"),
        (b"", "not a .npy file"),
        (b"GIF89a, certainly no array", "not a .npy file"),
        (b"\x93NUMPY\x01\x00\xff\xff{}", "ends within its header"),
        (b"\x93NUMPY\x01\x00\x02\x00{}", "no descr"),
        (None, "cannot read"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    first: Path, tmp_path: Path, images: np.ndarray | bytes | None, message: str
) -> None:
    path = tmp_path / "in.npy"
    if isinstance(images, np.ndarray):
        np.save(path, images)
    elif images is not None:
        path.write_bytes(images)
    _refused([first / "cppsim", path, tmp_path / "out.npy"], message)
    assert not (tmp_path / "out.npy").exists()


def test_truncated_input_is_refused(first: Path, tmp_path: Path) -> None:
    path = tmp_path / "in.npy"
    np.save(path, frames(NETWORKS[FIRST], 3))
    path.write_bytes(path.read_bytes()[:-1])
    _refused([first / "cppsim", path, tmp_path / "out.npy"], "ends before its last value")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "usage"),
        (["in.npy"], "usage"),
        (["in.npy", "out.npy", "more.npy"], "usage"),
        (["in.npy", "out.npy", "--fast"], "usage"),
        (["in.npy", "out.npy", "--dump"], "usage"),
        (["in.npy", "out.npy", "--threads", "0"], "--threads takes a number"),
        (["in.npy", "out.npy", "--repeat", "many"], "--repeat takes a number"),
    ],
)
def test_bad_options_are_refused_in_one_line(first: Path, options: list[str], message: str) -> None:
    _refused([first / "cppsim", *options], message)


def test_unwritable_output_is_reported(first: Path, tmp_path: Path) -> None:
    path = tmp_path / "in.npy"
    np.save(path, frames(NETWORKS[FIRST], 3))
    _refused([first / "cppsim", path, tmp_path / "none" / "out.npy"], "cannot write")
    _refused([first / "cppsim", path, tmp_path / "o.npy", "--dump", path], "cannot make")


@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing", "longer"])
def test_damaged_params_are_refused(first: Path, tmp_path: Path, damage: str) -> None:
    params, path = tmp_path / "params.bin", tmp_path / "in.npy"
    data = bytearray((first / "params.bin").read_bytes())
    np.save(path, frames(NETWORKS[FIRST], 3))
    if damage == "flipped":
        data[len(data) // 2] ^= 1
    changed = {"truncated": data[:-1], "longer": data + b"\0"}.get(damage, data)
    if damage != "missing":
        params.write_bytes(changed)
    message = {"flipped": "digest differs", "missing": "cannot read"}.get(damage, "bytes, not")
    command: list[str | Path] = [first / "cppsim", path, tmp_path / "out.npy", "--params", params]
    _refused(command, f"params.bin.*{message}|{message}.*params.bin")


def test_it_is_compiled_again_only_when_a_source_or_flag_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, calls = tmp_path / "build.log", tmp_path / "calls"
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "g++").write_text(
        f'#!/bin/sh\necho "$@" >> {calls}\n'
        'while [ "$1" != -o ]; do shift; done\necho binary > "$2"\n'
    )
    (tools / "g++").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    folder = tmp_path / "cppsim"
    cpp.emit(NETWORKS[FIRST]).write(folder)

    def compilations(flags: tuple[str, ...] = cpp.FLAGS) -> int:
        cpp.build(folder, log, flags)
        lines = calls.read_text().splitlines()
        assert ["network.cpp" in line for line in lines] == [True, False] * (len(lines) // 2)
        return len(lines) // 2  # the library and the program

    assert [compilations(), compilations()] == [1, 1]
    assert all(line.startswith(" ".join(cpp.FLAGS)) for line in calls.read_text().splitlines())
    header = folder / "threshold.hpp"
    header.write_text(header.read_text() + "// edited\n")
    assert [compilations(), compilations()] == [2, 2]
    assert compilations(QUICK) == 3
    (folder / "cppsim").unlink()
    assert compilations(QUICK) == 4
    (library,) = folder.glob("libcppsim-*.so")
    library.unlink()
    assert compilations(QUICK) == 5
    header.write_text(header.read_text() + "// again\n")
    assert compilations(QUICK) == 6
    assert len(list(folder.glob("libcppsim-*.so"))) == 1
    assert not list(folder.glob(".build-*"))


def test_a_failed_compilation_is_not_taken_for_a_binary(first: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cppsim"
    shutil.copytree(first, folder)
    (folder / "main.cpp").write_text("int main() { return nothing; }\n")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    for _ in range(2):
        with pytest.raises(ToolError, match="nothing"):
            cpp.build(folder, tmp_path / "build.log", QUICK)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_without_a_compiler_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpp.emit(NETWORKS[FIRST]).write(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(ToolError, match=r"g\+\+ is not on PATH.*install"):
        cpp.build(tmp_path, tmp_path / "build.log")


def _command(folder: Path, images: np.ndarray, options: list[str]) -> tuple[str, np.ndarray]:
    np.save(folder / "in.npy", images)
    done = subprocess.run(
        [folder / "cppsim", folder / "in.npy", folder / "out.npy", *options],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    return done.stdout, np.load(folder / "out.npy")


def _refused(command: Sequence[str | Path], message: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("cppsim: ")
    assert re.search(message, done.stderr), done.stderr
