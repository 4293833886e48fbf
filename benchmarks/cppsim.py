"""cppsim beside other software, on one thread, in one run.

    python benchmarks/cppsim.py [--json FILE] [--reactnet build/reactnet-a] [--simd LEVEL]

CNV-W1A1 (random weights) in cppsim, ONNX Runtime (an equivalent graph in float32), Brevitas on
torch and qonnx; images a second, and how many times that cppsim is faster. Then every binary layer:
binary multiply-accumulates a cycle, and their share of what three 512-bit instructions (xor,
popcount, subtract), two a cycle, allow. --reactnet adds the time of an image of the large
network that benchmarks/reactnet_a.py left in a folder.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hwgen.backends import cpp
from hwgen.backends.cpp_library import LayerTime
from hwgen.frontend.importer import import_model
from hwgen.images import to_integers
from hwgen.model import Model
from tests.brevitas_models import NETWORKS, export_network, quiet, randomised

NAME = "CNV-W1A1"
PORT_LIMIT = 512 * 2 / 3  # binary multiply-accumulates a cycle
SECONDS = 2.0  # each measurement
console = Console()

Images = NDArray[np.float32]


@dataclass(frozen=True)
class Speed:
    """What an engine does; ``classes`` are its answers to the first images."""

    engine: str
    batch: int
    images_per_second: float
    classes: NDArray[Any]


def measure(engine: str, batch: int, images: Images, run: Callable[[Any], Any]) -> Speed:
    """The best of repeated calls on a batch, for at least ``SECONDS``."""
    part = images[:batch]
    classes = np.asarray(run(part)).reshape(batch, -1).argmax(axis=1)
    best, end = np.inf, time.monotonic() + SECONDS
    while time.monotonic() < end:
        start = time.perf_counter()
        run(part)
        best = min(best, time.perf_counter() - start)
    return Speed(engine, batch, batch / best, classes)


def float_graph(network: torch.nn.Module, shape: tuple[int, int, int]) -> bytes:
    """The network in float32: quantised weights as numbers, quantisers of activations as Sign."""
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []
    here = "x"

    def put(kind: str, *arrays: Any, **attributes: Any) -> None:
        nonlocal here
        names = [f"c{len(constants) + i}" for i in range(len(arrays))]
        for name, array in zip(names, arrays, strict=True):
            constants.append(numpy_helper.from_array(np.asarray(array, np.float32), name))
        out = f"t{len(nodes)}"
        nodes.append(helper.make_node(kind, [here, *names], [out], **attributes))
        here = out

    def numbers(tensor: torch.Tensor) -> NDArray[np.float32]:
        return tensor.detach().numpy().astype(np.float32)

    put("Mul", 2.0)
    put("Sub", 1.0)
    first, *features = network.features
    put("Div", numbers(first.act_quant.scale()))
    put("Round")
    put("Clip", -128.0, 127.0)
    put("Mul", numbers(first.act_quant.scale()))
    for module in [*features, None, *network.classifier]:
        kind = type(module).__name__
        if module is None:
            put("Flatten")
        elif kind == "QuantConv2d":
            put("Conv", numbers(module.quant_weight().value))
        elif kind == "QuantLinear":
            put("MatMul", numbers(module.quant_weight().value).T)
        elif kind in ("BatchNorm1d", "BatchNorm2d"):
            scale = numbers(module.weight) / np.sqrt(numbers(module.running_var) + module.eps)
            offset = numbers(module.bias) - numbers(module.running_mean) * scale
            by_channel = (-1, 1, 1) if kind == "BatchNorm2d" else (-1,)
            put("Mul", scale.reshape(by_channel))
            put("Add", offset.reshape(by_channel))
        elif kind == "QuantIdentity":
            put("Sign")
        elif kind == "MaxPool2d":
            put("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
        else:
            assert kind == "TensorNorm", kind  # rising, so it changes no answer
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])
    out = helper.make_tensor_value_info(here, TensorProto.FLOAT, ["N", None])
    graph = helper.make_graph(nodes, "cnv", [value], [out], constants)
    opset = helper.make_opsetid("", 17)
    return helper.make_model(graph, opset_imports=[opset], ir_version=9).SerializeToString()


def peers(network: torch.nn.Module, path: Path, images: Images) -> list[Speed]:
    """Every other engine, at the batch sizes that people use."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    graph = float_graph(network, NETWORKS[NAME][1])
    session = onnxruntime.InferenceSession(graph, options, ["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    model = ModelWrapper(str(path))

    def in_torch(x: Images) -> NDArray[np.float32]:
        with torch.no_grad(), quiet():
            found: NDArray[np.float32] = network(torch.from_numpy(x)).numpy()
        return found

    def in_qonnx(x: Images) -> Any:
        (result,) = execute_onnx(model, {model.graph.input[0].name: x}).values()
        return result

    runs = [
        ("ONNX Runtime, float32", b, lambda x: session.run(None, {source.name: x})[0])
        for b in (1, 64)
    ]
    runs += [("Brevitas, torch", b, in_torch) for b in (1, 64)]
    runs += [("qonnx execute_onnx", 1, in_qonnx)]
    return [measure(engine, batch, images, run) for engine, batch, run in runs]


def ours(model: Model, images: Images, network: str) -> list[Speed]:
    """The library on integers, and the whole function from floats on."""
    library, integers = model.library, to_integers(model.library.input, model.scaling, images)
    outputs = library.outputs(len(images))

    def alone(x: NDArray[Any]) -> Any:
        library.run(x, outputs[: len(x)], threads=1, simd=model.simd)
        return outputs[: len(x)]

    narrow: Any = integers.astype(library.element)
    return [
        *(measure(f"cppsim, {network}", b, narrow, alone) for b in (1, 64, len(images))),
        measure("hwgen.load().run, floats", len(images), images, lambda x: model.run(x, threads=1)),
    ]


def speed_table(speeds: list[Speed], best: Speed) -> Table:
    columns = ("engine", "batch", "images/s", "cppsim is faster by", "same answers")
    table = Table(*columns, title=f"{NAME}, one thread")
    for speed in speeds:
        same = float(np.mean(speed.classes == best.classes[: len(speed.classes)]))
        ratio = best.images_per_second / speed.images_per_second
        table.add_row(
            speed.engine,
            str(speed.batch),
            f"{speed.images_per_second:,.1f}",
            f"{ratio:,.1f}",
            f"{100 * same:.0f} % of {len(speed.classes)}",
        )
    return table


def layer_rows(model: Model, integers: NDArray[Any]) -> list[dict[str, Any]]:
    """Every layer's time, and the rate of the binary ones with their total at the end."""
    rate = model.library.clock_rate()
    times = model.library.profile(integers, simd=model.simd, runs=20)
    binary = [layer for layer in times if layer.binary_macs]
    total = LayerTime(
        "all binary layers",
        "xnor_matmul",
        sum(t.binary_macs for t in binary),
        sum(t.seconds for t in binary),
    )
    everything = LayerTime("all layers", "", 0, sum(t.seconds for t in times))
    return [
        {
            "layer": t.name,
            "kind": t.kind,
            "us_per_image": round(1e6 * t.seconds, 3),
            "binary_macs": t.binary_macs,
            "macs_per_cycle": round(t.binary_macs / (t.seconds * rate), 1),
            "share_of_port_limit": round(t.binary_macs / (t.seconds * rate) / PORT_LIMIT, 4),
        }
        for t in (*times, total, everything)
    ]


def layer_table(rows: list[dict[str, Any]], title: str, only_binary: bool = True) -> Table:
    table = Table("layer", "us/image", "binary MAC/cycle", "of the port limit", title=title)
    for row in rows:
        binary = bool(row["binary_macs"])
        if binary or not only_binary or row is rows[-1]:
            numbers = (f"{row['macs_per_cycle']:.0f}", f"{100 * row['share_of_port_limit']:.0f} %")
            table.add_row(row["layer"], f"{row['us_per_image']:,.2f}", *(numbers if binary else ()))
    return table


def cnv(folder: Path, count: int, simd: str) -> dict[str, Any]:
    make, shape = NETWORKS[NAME]
    with quiet():
        torch.manual_seed(0)
        network = randomised(make(), shape, 0)
    folder.mkdir(parents=True, exist_ok=True)
    path = export_network(network, shape, folder / f"{NAME}.onnx")
    images = np.random.default_rng(1).random((count, *shape), np.float32)
    console.print("importing the network")
    cpp.emit(import_model(path, images[:1], count=1).graph).write(folder / "cppsim")
    start = time.monotonic()
    model = Model.of_folder(folder / "cppsim", simd)
    console.print(f"compiled and loaded in {time.monotonic() - start:.1f} s")
    level = model.library.best_simd if simd == "auto" else simd
    speeds = ours(model, images, level)
    best = speeds[2]
    speeds += peers(network, path, images)
    console.print(speed_table(speeds, best))
    rows = layer_rows(model, to_integers(model.library.input, model.scaling, images))
    console.print(layer_table(rows, f"{NAME}: binary layers, {level}"))
    return {
        "simd": level,
        "clock_ghz": round(model.library.clock_rate() / 1e9, 3),
        "speeds": [
            {
                "engine": s.engine,
                "batch": s.batch,
                "ratio": round(best.images_per_second / s.images_per_second, 2),
                "images_per_second": round(s.images_per_second, 1),
            }
            for s in speeds
        ],
        "layers": rows,
    }


def reactnet(folder: Path, simd: str) -> dict[str, Any]:
    """The network of benchmarks/reactnet_a.py: its program and its images."""
    model = Model.of_folder(folder / "cppsim", simd)
    (data,) = folder.glob("*.data.npz")
    images = np.load(data)["images"].astype(np.float32)
    integers: Any = to_integers(model.library.input, model.scaling, images).astype(
        model.library.element
    )
    outputs = model.library.outputs(len(images))
    speed = measure(
        "cppsim",
        len(images),
        integers,
        lambda x: (model.library.run(x, outputs, threads=1, simd=model.simd), outputs)[1],
    )
    rows = layer_rows(model, integers)
    console.print(
        layer_table(
            rows[-2:],
            f"{folder.name}: {1000 / speed.images_per_second:.2f} ms an image on one thread",
            only_binary=False,
        )
    )
    return {"ms_per_image": round(1000 / speed.images_per_second, 3), "layers": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/bench-cppsim"))
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--simd", default="auto")
    parser.add_argument("--reactnet", type=Path, metavar="DIR")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    found = {NAME: cnv(args.out, args.images, args.simd)}
    if args.reactnet:
        found[args.reactnet.name] = reactnet(args.reactnet, args.simd)
    if args.json:
        args.json.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
