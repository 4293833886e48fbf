"""The family's shapes and work, against what the paper and its repository state."""

import pytest
import torch

from training.architectures import ARCHITECTURES
from training.config import ModelConfig
from training.model import Branch, Precision, Projection, ReActNet
from training.summary import summarise

STATED = {  # BOPs and FLOPs (arXiv 2003.03488, tables 2 and 4, and the repository's README)
    "reactnet-a": (4.82e9, 0.12e8),
    "reactnet-b": (4.69e9, 0.44e8),
    "reactnet-c": (4.69e9, 1.40e8),
    "bireal-18": (1.68e9, 1.39e8),
    "bireal-34": (3.53e9, 1.39e8),
}


@pytest.mark.parametrize("arch", STATED)
def test_work_is_what_the_paper_states(arch: str):
    summary = summarise(ModelConfig(arch=arch), arch)
    bops, flops = STATED[arch]
    assert summary.bops == pytest.approx(bops, rel=0.005)
    assert summary.flops == pytest.approx(flops, rel=0.02)


def test_reactnet_a_takes_the_stated_operations():
    summary = summarise(ModelConfig(arch="reactnet-a"), "a")
    assert round(summary.bops / 1e9, 2) == 4.82
    assert round(summary.ops / 1e8, 2) == 0.87
    assert sum(row.parameters for row in summary.rows if row.bits == 1) == 28_253_184


def test_norms_thresholds_and_slopes_are_counted_beside_the_weights():
    config = ModelConfig(arch="blocks", width=4, blocks=1)
    net = ReActNet(config)
    weights = sum(p.numel() for p in net.parameters() if p.ndim in (2, 4))
    summary = summarise(config, "small")
    assert sum(row.parameters for row in summary.rows) == weights
    assert summary.other_parameters == sum(p.numel() for p in net.parameters()) - weights


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("precision", list(Precision))
def test_every_architecture_runs_at_every_precision(arch: str, precision: Precision):
    size = 32 if ARCHITECTURES[arch].image_size == 32 else 64
    config = ModelConfig(arch=arch, width=4, image_size=size, num_classes=7)
    for exact in (False, True):
        net = ReActNet(config, precision, exact).eval()
        assert net(torch.rand(2, 3, size, size)).shape == (2, 7)
        assert net.classifier.in_features == net.halves[-1].act.prelu.weight.numel()


def test_real_convolutions_read_the_residual_stream_and_stay_out_of_binary_rules():
    net = ReActNet(ModelConfig(arch="reactnet-b", width=8, image_size=32))
    real = [m for m in net.modules() if isinstance(m, Branch) and not m.binary]
    assert len(real) == 10  # two in every block that doubles
    assert {m.conv.groups for m in real} == {4}
    real[0].conv.weight.data.fill_(3.0)
    net.clamp_()
    assert (real[0].conv.weight == 3.0).all()


def test_projections_stand_where_the_width_doubles():
    net = ReActNet(ModelConfig(arch="reactnet-20", width=4, image_size=16))
    at = [i for i, half in enumerate(net.halves) if isinstance(half.shortcut, Projection)]
    assert at == [6, 12]
    assert [half.branch.conv.out_channels for half in net.halves][::6] == [4, 8, 16]
