"""The summary of a network that a configuration describes."""

from typing import Any

import torch
from torch import nn

from hwgen.summary import Row, Summary
from training.config import ModelConfig
from training.model import Branch, Precision, ReActNet


def summarise(config: ModelConfig, name: str) -> Summary:
    """Run an image of zeros through the real-valued twin and count what its layers do."""
    net = ReActNet(config, Precision.FLOAT).eval()
    binary = {m.conv for m in net.modules() if isinstance(m, Branch) and m.binary}
    rows: list[Row] = []
    hooks = []
    for path, module in net.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):

            def count(layer: nn.Conv2d | nn.Linear, given: Any, out: Any, path: str = path) -> None:
                weights = layer.weight.numel()
                shapes = (given[0].shape[1:], out.shape[1:])
                bits = 1 if layer in binary else config.first_last_bits
                rows.append(Row.of(path, shapes, (weights, bits), binary=layer in binary))

            hooks.append(module.register_forward_hook(count))
    with torch.no_grad():
        net(torch.zeros(1, config.in_channels, config.image_size, config.image_size))
    for hook in hooks:
        hook.remove()
    # the twin has no RSign: one threshold for every channel that a binary convolution reads
    signs = sum(half.in_width for half in config.halves if not half.real)
    everything = sum(parameter.numel() for parameter in net.parameters()) + signs
    return Summary(name, tuple(rows), everything - sum(row.parameters for row in rows))
