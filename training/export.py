"""From a checkpoint to QONNX, with the held-out images and what Brevitas answers to them."""

import ast
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from training import checkpoint as checkpoints
from training.data import load_dataset, stacked
from training.model import ReActNet
from training.quiet import quiet

with quiet():
    from brevitas.export import export_qonnx

OPSET = 18
BATCH = 64
MOST_IMAGES = 10_000
"""Held-out images that travel with the network; of more, as many at equal distances."""


def export(checkpoint: Path, out: Path) -> Path:
    """Write the QONNX network `out` (batch 1) and `out` with suffix .data.npz; return `out`.

    The archive holds images (N, C, H, W) float32, labels (N,), brevitas_logits (N, classes)
    float32, and the scalars float_accuracy, where there was a real-valued twin, and
    brevitas_accuracy. Repeating writes equal bytes.
    """
    trained = checkpoints.load(checkpoint)
    config = trained.config
    data = load_dataset(config.data, config.data_folder, config.model.image_size)
    images, labels = stacked(data.held_out, MOST_IMAGES)
    float_accuracy = trained.metrics.get("float_accuracy")
    return write(trained.net, (images, labels), out, float_accuracy=float_accuracy)


def write(
    net: ReActNet,
    data: tuple[torch.Tensor, NDArray[np.int64] | None],
    out: Path,
    *,
    float_accuracy: float | None,
) -> Path:
    """Write a network and its verification data: images (N, C, H, W) and labels (N,), if known."""
    images, labels = data
    with torch.no_grad():
        logits = torch.cat([net(part) for part in torch.split(images, BATCH)]).numpy()
    model = to_qonnx(net)
    arrays: dict[str, Any] = {"images": images.numpy(), "brevitas_logits": logits}
    if labels is not None:
        arrays["labels"] = labels
        arrays["brevitas_accuracy"] = np.mean(logits.argmax(axis=1) == labels)
    if float_accuracy is not None:
        arrays["float_accuracy"] = np.float64(float_accuracy)
    checkpoints.make_folder(out.parent)
    checkpoints.write_atomically(out, lambda path: path.write_bytes(model.SerializeToString()))
    checkpoints.write_atomically(out.with_suffix(".data.npz"), lambda path: _save(path, arrays))
    return out


def to_qonnx(net: ReActNet) -> onnx.ModelProto:
    """Trace the network in evaluation mode: Quant and BipolarQuant nodes, weights inside."""
    config = net.config
    image = torch.zeros(1, config.in_channels, config.image_size, config.image_size)
    with quiet():
        model = export_qonnx(
            net.eval(),
            args=image,
            input_names=["images"],
            output_names=["logits"],
            opset_version=OPSET,
            dynamo=True,
            optimize=True,
            external_data=False,
            keep_initializers_as_inputs=False,
            verbose=False,
        )
    assert isinstance(model, onnx.ModelProto)
    _name_nodes(model.graph)
    _drop_traces(model)
    return model


def _name_nodes(graph: onnx.GraphProto) -> None:
    """Name each node after the module it comes from, as halves.0.branch.conv/Conv."""
    seen: Counter[str] = Counter()
    for node in graph.node:
        properties = {entry.key: entry.value for entry in node.metadata_props}
        scopes = ast.literal_eval(properties.get("pkg.torch.onnx.name_scopes", "['', '']"))
        module = scopes[-2].removesuffix(".export_handler").removesuffix(".act_quant")
        name = f"{module}/{node.op_type}".lstrip("/")
        seen[name] += 1
        node.name = name if seen[name] == 1 else f"{name}_{seen[name]}"


def _drop_traces(model: onnx.ModelProto) -> None:
    """Remove the exporter's notes: they name files and lines of the machine that ran it."""
    graph = model.graph
    lists = (graph.node, graph.initializer, graph.input, graph.output, graph.value_info)
    for item in (model, graph, *(entry for entries in lists for entry in entries)):
        item.ClearField("metadata_props")
        item.ClearField("doc_string")


def _save(path: Path, arrays: dict[str, Any]) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)
