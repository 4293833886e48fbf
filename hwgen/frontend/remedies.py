"""Reasons and remedies: what to do about every problem that ``hwgen check`` lists."""

from __future__ import annotations

import re

import onnx

from hwgen.frontend.load import SUPPORTED
from hwgen.preflight import Problem

_HOST = "leave it out of the export and let the host compute it"
_CLIP = "use a Quant, whose range clips as well"
FOREIGN = {  # operators that networks often hold
    "Softmax": f"the order of the scores is that of the probabilities; {_HOST}",
    "LogSoftmax": f"the order of the scores is that of the probabilities; {_HOST}",
    "Clip": _CLIP,
    "HardTanh": _CLIP,
    "Sigmoid": "use Relu or PRelu with a Quant behind it",
    "Tanh": "use BipolarQuant, or Relu with a Quant behind it",
    "Gelu": "use Relu or PRelu with a Quant behind it",
    "Erf": "use Relu or PRelu with a Quant behind it",
    "HardSigmoid": "use Relu or PRelu with a Quant behind it",
    "HardSwish": "use Relu or PRelu with a Quant behind it",
    "Sign": "use BipolarQuant (Brevitas: a binary activation quantiser)",
    "Transpose": "keep the layout (N, C, H, W) throughout",
    "LayerNormalization": "use BatchNormalization",
    "InstanceNormalization": "use BatchNormalization",
    "ConvTranspose": "use strided convolutions and pools alone",
    "Resize": "resize the images on the host",
    "QuantizeLinear": "export with brevitas.export.export_qonnx, not as QDQ",
    "DequantizeLinear": "export with brevitas.export.export_qonnx, not as QDQ",
}
_GENERAL = {  # where a message says only what is wrong
    "Conv": "use a dense 2-D convolution with square kernel, stride and padding, quantised",
    "Gemm": "quantise its input and weights, with alpha = beta = 1 and transB",
    "MatMul": "quantise its input and its constant weights",
    "Quant": "give it a constant positive scale, zero point 0 and 1 to 16 bits",
    "BipolarQuant": "give it one constant positive scale",
    "Trunc": "give it constant positive scales, zero point 0 and 2 to 16 bits, behind integers",
    "PRelu": "train with slopes of 0 and more (import-reactnet: --clamp-slopes)",
    "Pad": "pad the image equally on four sides, with a constant",
    "Add": "join streams of one shape and one scale, or add a constant per channel",
    "Concat": "join integer images along the channels",
    "AveragePool": "pool 2x2 (4x4, ...) with a stride of the same, without padding",
    "MaxPool": "pool with square kernel, stride and padding behind a Quant",
    "Flatten": "pool the image to one pixel first (GlobalAveragePool)",
    "Reshape": "pool the image to one pixel first (GlobalAveragePool)",
}
_OTHERWISE = "change the network in training and export it again"


def explain(node: onnx.NodeProto | None, message: str) -> Problem:
    """A failure's message as reason and remedy; a node adds its name in the file."""
    told = re.match(r"node (\S+) \((\w+)\): ", message)
    name, operator = told.groups() if told else ("", "")
    if node is not None:
        name, operator = node.name, node.op_type
    reason, _, remedy = message[told.end() if told else 0 :].partition("; ")
    if operator and operator not in SUPPORTED:
        remedy = FOREIGN.get(operator, f"replace it, or {_HOST}")
    if "not a staircase" in reason:
        remedy = _GENERAL["PRelu"]
    return Problem(
        node=name,
        source=name if node is None else node.doc_string or name,
        operator=operator,
        reason=reason,
        remedy=remedy or _GENERAL.get(operator, _OTHERWISE),
    )
