import numpy as np
import pytest
import torch
from torch import nn

from training.config import ModelConfig
from training.exact import make_exact
from training.model import Half, Precision, ReActNet
from training.quantizers import RSign

REDUCING = [{"width": 12}, {"width": 24, "stride": 2}, {"width": 24, "stride": 2}]
"""Blocks behind 6 channels: doubling, doubling and halving, halving."""


def random_net(seed: int = 0, **config: object) -> ReActNet:
    """An untrained binary network with norms, thresholds and slopes such as training leaves."""
    torch.manual_seed(seed)
    chosen = {"width": 8, "blocks": 2, "residual_bits": 4, **config}
    if chosen["blocks"] is REDUCING:
        chosen["width"] = REDUCING[0]["width"] // 2
    net = ReActNet(ModelConfig(**chosen)).eval()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.normal_()  # of either sign
                module.bias.normal_(std=0.5)
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.05, 2.0)
            elif isinstance(module, Half):
                if isinstance(module.sign, RSign):
                    module.sign.bias.normal_(std=0.5)
                module.act.before.normal_(std=0.3)
                module.act.after.normal_(std=0.3)
                module.act.prelu.weight.uniform_(-0.1, 0.6)
    net.clamp_()
    return net


def step_of(net: ReActNet) -> float:
    """One step of the residual grid, which is the same everywhere."""
    (limit,) = set(net.config.limits)
    return net.config.scale(limit)


def images(count: int = 16, channels: int = 1, size: int = 8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randint(0, 17, (count, channels, size, size), generator=generator) / 16


def record(net: nn.Module, kind: type[nn.Module] | str, x: torch.Tensor) -> list[tuple]:
    """(input, output) of every module of a kind, or of the given last name, in one evaluation."""
    seen: list[tuple] = []
    hooks = [
        module.register_forward_hook(lambda _, given, out: seen.append((given[0], out)))
        for name, module in net.named_modules()
        if (name.split(".")[-1] == kind if isinstance(kind, str) else isinstance(module, kind))
    ]
    with torch.no_grad():
        net(x)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("precision", list(Precision))
def test_every_precision_maps_images_to_logits(precision: Precision):
    for blocks in (2, REDUCING):
        config = ModelConfig(width=6, blocks=blocks, in_channels=3, image_size=16, num_classes=7)
        assert ReActNet(config, precision)(images(4, 3, 16)).shape == (4, 7)


@pytest.mark.parametrize("precision", list(Precision))
def test_blocks_halve_the_image_and_double_the_width_where_listed(precision: Precision):
    net = ReActNet(ModelConfig(width=6, blocks=REDUCING, image_size=16), precision)
    shapes = [tuple(out.shape[1:]) for _, out in record(net, Half, images(2, 1, 16))]
    assert shapes == [(6, 16, 16), (12, 16, 16), (12, 8, 8), (24, 8, 8), (24, 4, 4), (24, 4, 4)]
    assert net.config.final_size == 4


def test_a_number_of_blocks_is_that_many_of_the_first_width():
    one = ReActNet(ModelConfig(width=4, blocks=2)).state_dict()
    other = ReActNet(ModelConfig(width=4, blocks=[{"width": 4}] * 2)).state_dict()
    assert {k: v.shape for k, v in one.items()} == {k: v.shape for k, v in other.items()}


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
def test_a_halved_shortcut_is_a_quarter_of_the_sum_rounded_down(bits: int):
    net = random_net(residual_bits=bits, blocks=REDUCING, image_size=16)
    shortcuts = [r for r in record(net, "shortcut", images(8, 1, 16)) if r[0].shape != r[1].shape]
    assert len(shortcuts) == 2
    for x, y in shortcuts:
        level = (x.numpy() / step_of(net)).astype(np.int64)
        n, c, h, w = level.shape
        sums = level.reshape(n, c, h // 2, 2, w // 2, 2).sum(axis=(3, 5))
        np.testing.assert_array_equal(y.numpy() / step_of(net), sums // 4)


def test_doubling_joins_two_branches_on_one_shortcut_and_activates_all():
    net = random_net(blocks=REDUCING, image_size=16)
    half = net.halves[1]
    x, y = record(net, Half, images(4, 1, 16))[1]
    with torch.no_grad():
        signs = half.sign(x)
        both = torch.cat([half.branch(signs) + x, half.twin(signs) + x], dim=1)
        assert torch.equal(half.quant(half.act(both)), y)
    assert not torch.equal(y[:, :6], y[:, 6:])


def test_gradients_reach_every_parameter_of_a_reducing_network():
    net = random_net(blocks=REDUCING, image_size=16).train()
    net(images(8, 1, 16)).square().sum().backward()
    still = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []


def test_the_binary_steps_share_their_parameters():
    steps = [ReActNet(ModelConfig(width=4, blocks=1), p) for p in list(Precision)[1:]]
    assert steps[0].state_dict().keys() == steps[1].state_dict().keys()


@pytest.mark.parametrize("pad", ["minus1", "zero"])
@pytest.mark.parametrize("bits", [2, 4, 8, 16])
def test_adds_see_integers_of_one_scale(pad: str, bits: int):
    net = random_net(residual_bits=bits, pad=pad)
    step = 4.0 / 2 ** (bits - 1)
    branches = record(net, "branch", images())
    halves = record(net, Half, images())
    assert len(branches) == len(halves) == 4
    for (_, branch), (shortcut, _) in zip(branches, halves, strict=True):
        for operand in (branch, shortcut):
            value = operand.numpy() / step
            np.testing.assert_array_equal(value, np.rint(value))
            assert value.min() >= -(2 ** (bits - 1))
            assert value.max() <= 2 ** (bits - 1) - 1


@pytest.mark.parametrize(("pad", "border"), [("minus1", -1.0), ("zero", 0.0)])
def test_binary_convolution_pads_with_the_chosen_value(pad: str, border: float):
    net = random_net(pad=pad)
    signs, _ = record(net, "branch", images())[0]
    _, got = record(net, "conv", images())[1]
    weight = net.halves[0].branch.conv.quant_weight().value
    padded = nn.functional.pad(signs, [1, 1, 1, 1], value=border)
    windows = padded.unfold(2, 3, 1).unfold(3, 3, 1).double()  # (N, C, H, W, 3, 3)
    expected = torch.einsum("nchwij,mcij->nmhw", windows, weight.double())
    assert torch.equal(got.double(), expected)


def test_unary_chains_are_monotone_per_channel():
    net = random_net(residual_bits=6)
    make_exact(net)
    ramp = torch.arange(-72.0, 73.0).reshape(-1, 1, 1, 1).expand(-1, 8, 1, 1)
    with torch.no_grad():
        for half in net.halves:
            scale = half.branch.conv.quant_weight().scale.reshape(1, 8, 1, 1)
            for chain, x in (
                (lambda x, h=half: h.branch.quant(h.branch.norm(x)), ramp * scale),
                (
                    lambda x, h=half: h.quant(h.act(x)),
                    ramp * step_of(net),
                ),
            ):
                out = chain(x)
                steps = torch.diff(out, dim=0)
                assert ((steps >= 0).all(dim=0) | (steps <= 0).all(dim=0)).all()
            assert (half.act.prelu.weight >= 0).all()


def test_clamping_keeps_latent_weights_and_slopes_in_range():
    net = random_net()
    half = net.halves[0]
    half.branch.conv.weight.data.mul_(100)
    half.act.prelu.weight.data.fill_(-1.0)
    net.clamp_()
    assert half.branch.conv.weight.abs().max() == 1.0
    assert half.act.prelu.weight.max() == 0.0


@pytest.mark.parametrize("pad", ["minus1", "zero"])
@pytest.mark.parametrize("bits", [2, 4, 8, 12, 16])
@pytest.mark.parametrize(("seed", "blocks"), [(0, 2), (1, 2), (0, REDUCING)])
def test_float32_evaluation_is_exact_and_meets_no_ties(
    bits: int, pad: str, seed: int, blocks: object
):
    net = random_net(seed, residual_bits=bits, pad=pad, in_channels=3, width=16, blocks=blocks)
    make_exact(net)
    x = images(16, channels=3)
    single = record(net, "quant", x)
    double = record(net.double(), "quant", x.double())
    step = 4.0 / 2 ** (bits - 1)
    for (before, after), (before64, after64) in zip(single, double, strict=True):
        assert torch.equal(after.double(), after64)
        level = before64 / step
        inside = level.abs() < 2 ** (bits - 1) + 1
        assert torch.equal(before.double()[inside], before64[inside])
        assert not (level[inside] - torch.floor(level[inside]) == 0.5).any()


@pytest.mark.parametrize(("bits", "blocks"), [(4, 2), (8, 2), (4, REDUCING), (8, REDUCING)])
def test_logits_are_exact_integers_times_their_scale(bits: int, blocks: object):
    net = random_net(residual_bits=bits, blocks=blocks)
    make_exact(net)
    with torch.no_grad():
        single, double = net(images()), net.double()(images().double())
    assert torch.equal(single.double(), double)
    pixels = net.config.final_size**2
    grid = step_of(net) / pixels * net.classifier.quant_weight().scale.item()
    assert torch.equal(double / grid, torch.round(double / grid))


def test_rounding_for_exactness_barely_moves_the_parameters():
    net = random_net(residual_bits=8)
    x = images(64)
    with torch.no_grad():
        before = net(x)
        make_exact(net)
        after = net(x)
    assert (before - after).abs().mean() < 0.05 * before.std()
