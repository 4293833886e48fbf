"""ReActNets with random weights that look as if trained, for figures that need no accuracy."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hwgen.frontend.importer import import_model
from hwgen.quant import QuantGraph
from training.calibrate import calibrate
from training.config import ModelConfig
from training.exact import make_exact
from training.export import write
from training.model import ReActNet
from training.quantizers import RPReLU, RSign


@torch.no_grad()
def random_network(config: ModelConfig, images: torch.Tensor, seed: int = 0) -> ReActNet:
    """A network on the hardware's grids that looks as if trained on ``images`` (N, C, S, S)."""
    torch.manual_seed(seed)
    net = ReActNet(config, exact=False)
    for module in net.modules():
        if isinstance(module, RSign):
            module.bias.normal_(0, 0.1)
        elif isinstance(module, RPReLU):
            module.before.normal_(0, 0.2)
            module.prelu.weight.uniform_(0, 0.5)
            module.after.normal_(0, 0.2)
        elif isinstance(module, torch.nn.BatchNorm2d):
            sign = torch.where(torch.rand_like(module.weight) < 0.1, -1.0, 1.0)
            module.weight.uniform_(0.3, 1.0).mul_(sign)
            module.bias.normal_(0, 0.2)
            module.momentum = 1.0
    net.train()(images)  # the norms take the statistics of these images
    net.eval()
    limits = calibrate(net, images)
    exact = ReActNet(config.model_copy(update={"residual_limit": limits}), exact=True).eval()
    exact.load_state_dict(net.state_dict())
    make_exact(exact)
    return exact


def random_graph(name: str, **config: Any) -> QuantGraph:
    """A ``random_network`` of this ``ModelConfig`` as integers, by way of QONNX."""
    chosen = ModelConfig(**{"residual_limit": "auto", "pooled_bits": 8, **config})
    shape = (4, chosen.in_channels, chosen.image_size, chosen.image_size)
    images = torch.from_numpy(np.random.default_rng(1).random(shape, np.float32))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        write(random_network(chosen, images), (images, None), path, float_accuracy=None)
        return replace(import_model(path, images.numpy(), count=1).graph, name=name)
