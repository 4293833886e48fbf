import numpy as np
import pytest
import torch

from training.quantizers import (
    ActivationSign,
    BinaryWeight,
    RSign,
    WeightSign,
    input_quant,
    residual_quant,
)


def test_activation_gradient_follows_the_papers_piecewise_formula():
    x = torch.tensor([-2.0, -1.0, -0.75, -0.25, 0.0, 0.25, 0.75, 1.0, 2.0], requires_grad=True)
    upstream = torch.arange(1.0, 10.0)
    ActivationSign.apply(x).backward(upstream)
    #            < -1   [-1, 0): 2 + 2x   [0, 1): 2 - 2x   >= 1
    derivative = [0.0, 0.0, 0.5, 1.5, 2.0, 1.5, 0.5, 0.0, 0.0]
    assert torch.equal(x.grad, upstream * torch.tensor(derivative))


def test_activation_gradient_on_a_grid_of_points():
    x = np.arange(-1.5, 1.5, 1 / 64)
    expected = np.where((x >= -1) & (x < 0), 2 + 2 * x, np.where((x >= 0) & (x < 1), 2 - 2 * x, 0))
    tensor = torch.tensor(x, requires_grad=True)
    ActivationSign.apply(tensor).sum().backward()
    np.testing.assert_array_equal(tensor.grad.numpy(), expected)


def test_sign_of_zero_is_plus_one():
    zeros = torch.tensor([0.0, -0.0]).reshape(1, 2, 1, 1)
    assert torch.equal(RSign(2)(zeros), torch.ones(1, 2, 1, 1))
    assert torch.equal(WeightSign.apply(zeros, torch.tensor(0.5)), torch.full((1, 2, 1, 1), 0.5))


def test_rsign_threshold_belongs_to_its_channel():
    rsign = RSign(2)
    rsign.bias.data = torch.tensor([-0.5, 0.5]).reshape(2, 1, 1)
    x = torch.tensor([[0.5, 0.25], [-0.5, -0.75]]).reshape(1, 2, 1, 2)
    assert rsign(x).flatten().tolist() == [1.0, -1.0, 1.0, -1.0]


def test_weight_gradient_stops_outside_one():
    w = torch.tensor([-1.5, -1.0, -0.1, 0.3, 1.0, 1.1], requires_grad=True)
    WeightSign.apply(w, torch.tensor(0.25)).backward(torch.full((6,), 3.0))
    assert w.grad.tolist() == [0.0, 3.0, 3.0, 3.0, 3.0, 0.0]


def test_binary_weights_are_two_values_per_output_channel():
    w = torch.randn(5, 3, 3, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()
    value, scale, zero, bits = BinaryWeight()(w)
    assert torch.equal(value.abs(), scale.expand_as(value))
    assert torch.equal(value > 0, w >= 0)
    mean = w.detach().abs().mean(dim=(1, 2, 3), keepdim=True)
    assert ((scale / mean - 1).abs() <= 2.0**-4).all()
    assert not scale.requires_grad
    mantissa, _ = torch.frexp(scale)
    assert torch.equal(mantissa * 16, torch.round(mantissa * 16))
    assert (float(zero), float(bits)) == (0.0, 1.0)


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
def test_residual_quantiser_rounds_half_to_even_and_saturates(bits: int):
    step = 4.0 / 2 ** (bits - 1)
    levels = np.arange(-(2 ** (bits - 1)) - 3, 2 ** (bits - 1) + 3, 0.25)
    got = residual_quant(bits, 4.0)(torch.tensor(levels * step, dtype=torch.float32))
    expected = np.clip(np.rint(levels), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1) * step
    np.testing.assert_array_equal(got.numpy(), expected)


def test_images_become_unsigned_bytes_over_256():
    x = torch.arange(17) / 16
    got = input_quant(8, signed=False)(x)
    assert torch.equal(got, torch.clamp(torch.arange(17) * 16, max=255) / 256)


def test_signed_images_lie_on_the_same_grid_with_one_bit_more():
    x = torch.arange(-300, 301) / 256
    got = input_quant(9, signed=True)(x)
    assert torch.equal(got * 256, (x * 256).clamp(-256, 255))
