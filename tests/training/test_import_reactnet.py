"""Checkpoints as the ReActNet authors write them, against the paper's arithmetic written anew."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hwgen.errors import UserInputError
from training.import_reactnet import convert
from training.quantise import negative_slopes, quantise
from training.teacher import IMAGENET_MEAN, IMAGENET_STD

State = dict[str, Tensor]

MOBILE = (1, 2, 4, 4, 8, 8, *[16] * 6, 32, 32)  # widths behind stem and blocks, over the base


def fill(state: State, generator: torch.Generator) -> State:
    """Values such as training leaves: norms of either sign, thresholds and slopes everywhere."""

    def draw(name: str, shape: tuple[int, ...]) -> Tensor:
        normal = torch.randn(shape, generator=generator)
        if name.endswith("running_var"):
            return 0.1 + 2.0 * torch.rand(shape, generator=generator)
        if "prelu" in name:
            return 0.25 + 0.1 * normal.clamp(-2, 2)
        if name.endswith("bias"):
            return 0.3 * normal
        if "bn" in name or "downsample.2" in name:
            return 0.6 * normal if name.endswith("weight") else 0.3 * normal
        return normal * 0.05

    return {name: draw(name, tuple(value.shape)) for name, value in state.items()}


def add_norm(state: State, name: str, width: int) -> None:
    for part in ("weight", "bias", "running_mean", "running_var"):
        state[f"{name}.{part}"] = torch.empty(width)


def mobile_state(base: int, classes: int) -> State:
    """Names and shapes of the repository's ReActNet-A, step 2."""
    widths = [base * factor for factor in MOBILE]
    state: State = {"feature.0.conv1.weight": torch.empty(widths[0], 3, 3, 3)}
    add_norm(state, "feature.0.bn1", widths[0])
    for n, (before, behind) in enumerate(zip(widths, widths[1:], strict=False), 1):
        name = f"feature.{n}"
        state[f"{name}.binary_3x3.weights"] = torch.empty(before * before * 9, 1)
        add_norm(state, f"{name}.bn1", before)
        for move in ("move11", "move12", "move13", "move21"):
            state[f"{name}.{move}.bias"] = torch.empty(1, before, 1, 1)
        state[f"{name}.prelu1.weight"] = torch.empty(before)
        if before == behind:
            state[f"{name}.binary_pw.weights"] = torch.empty(before * before, 1)
            add_norm(state, f"{name}.bn2", before)
        else:
            for i in (1, 2):
                state[f"{name}.binary_pw_down{i}.weights"] = torch.empty(before * before, 1)
                add_norm(state, f"{name}.bn2_{i}", before)
        for move in ("move22", "move23"):
            state[f"{name}.{move}.bias"] = torch.empty(1, behind, 1, 1)
        state[f"{name}.prelu2.weight"] = torch.empty(behind)
    state["fc.weight"], state["fc.bias"] = torch.empty(classes, widths[-1]), torch.empty(classes)
    return state


def bireal_state(base: int, layers: tuple[int, ...], classes: int) -> State:
    """Names and shapes of the repository's Bi-Real nets."""
    state: State = {"conv1.weight": torch.empty(base, 3, 7, 7)}
    add_norm(state, "bn1", base)
    before = base
    for layer, count in enumerate(layers, 1):
        for place in range(count):
            name, width = f"layer{layer}.{place}", base << (layer - 1)
            state[f"{name}.move0.bias"] = torch.empty(1, before, 1, 1)
            state[f"{name}.binary_conv.weight"] = torch.empty(width, before, 3, 3)
            add_norm(state, f"{name}.bn1", width)
            for move in ("move1", "move2"):
                state[f"{name}.{move}.bias"] = torch.empty(1, width, 1, 1)
            state[f"{name}.prelu.weight"] = torch.empty(width)
            if before != width:
                state[f"{name}.downsample.1.weight"] = torch.empty(width, before, 1, 1)
                add_norm(state, f"{name}.downsample.2", width)
            before = width
    state["fc.weight"], state["fc.bias"] = torch.empty(classes, before), torch.empty(classes)
    return state


class Paper:
    """The original arithmetic, in double precision, straight from a state dict."""

    def __init__(self, state: State) -> None:
        self.state = {name: value.double() for name, value in state.items()}

    def norm(self, x: Tensor, name: str) -> Tensor:
        s = [self.state[f"{name}.{part}"].reshape(1, -1, 1, 1) for part in
             ("running_mean", "running_var", "weight", "bias")]  # fmt: skip
        return (x - s[0]) / torch.sqrt(s[1] + 1e-5) * s[2] + s[3]

    def binary(
        self, x: Tensor, sign: str, conv: str, width: int, stride: int, kernel: int
    ) -> Tensor:
        key = f"{conv}.weights" if f"{conv}.weights" in self.state else f"{conv}.weight"
        weight = self.state[key].reshape(width, x.shape[1], kernel, kernel)
        signs = torch.sign(x + self.state[f"{sign}.bias"])
        y = F.conv2d(signs, torch.sign(weight), stride=stride, padding=kernel // 2)
        return y * weight.abs().mean(dim=(1, 2, 3)).reshape(1, -1, 1, 1)

    def act(self, x: Tensor, before: str, prelu: str, after: str) -> Tensor:
        x = x + self.state[f"{before}.bias"]
        slope = self.state[f"{prelu}.weight"].reshape(1, -1, 1, 1)
        return torch.where(x >= 0, x, slope * x) + self.state[f"{after}.bias"]

    def head(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3)) @ self.state["fc.weight"].T + self.state["fc.bias"]

    def mobile(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, self.state["feature.0.conv1.weight"], stride=2, padding=1)
        x = self.norm(x, "feature.0.bn1")
        for n in range(1, len(MOBILE)):
            name, width = f"feature.{n}", x.shape[1]
            doubles = MOBILE[n] != MOBILE[n - 1]
            stride = 2 if doubles and n > 1 else 1
            y = self.norm(
                self.binary(x, f"{name}.move11", f"{name}.binary_3x3", width, stride, 3),
                f"{name}.bn1",
            )
            y = y + (F.avg_pool2d(x, 2) if stride == 2 else x)
            y = self.act(y, f"{name}.move12", f"{name}.prelu1", f"{name}.move13")
            parts = [("binary_pw_down1", "bn2_1"), ("binary_pw_down2", "bn2_2")]
            joined = [
                self.norm(
                    self.binary(y, f"{name}.move21", f"{name}.{conv}", width, 1, 1),
                    f"{name}.{norm}",
                )
                + y
                for conv, norm in (parts if doubles else [("binary_pw", "bn2")])
            ]
            x = torch.cat(joined, dim=1)
            x = self.act(x, f"{name}.move22", f"{name}.prelu2", f"{name}.move23")
        return self.head(x)

    def bireal(self, x: Tensor, layers: tuple[int, ...]) -> Tensor:
        x = F.conv2d(x, self.state["conv1.weight"], stride=2, padding=3)
        x = F.max_pool2d(self.norm(x, "bn1"), 3, 2, 1)
        for layer, count in enumerate(layers, 1):
            for place in range(count):
                name = f"layer{layer}.{place}"
                doubles = f"{name}.downsample.1.weight" in self.state
                width = x.shape[1] * (2 if doubles else 1)
                stride = 2 if doubles else 1
                y = self.binary(x, f"{name}.move0", f"{name}.binary_conv", width, stride, 3)
                y = self.norm(y, f"{name}.bn1")
                if doubles:
                    x = F.conv2d(F.avg_pool2d(x, 2), self.state[f"{name}.downsample.1.weight"])
                    x = self.norm(x, f"{name}.downsample.2")
                x = self.act(x + y, f"{name}.move1", f"{name}.prelu", f"{name}.move2")
        return self.head(x)


LAYERS = {"bireal-18": (4, 4, 4, 4), "bireal-34": (6, 8, 12, 6)}


def checkpoint_of(folder: Path, arch: str, base: int = 4, prefix: str = "module.") -> Path:
    """A checkpoint in the authors' format with random weights."""
    empty = bireal_state(base, LAYERS[arch], 10) if arch in LAYERS else mobile_state(base, 10)
    state = fill(empty, torch.Generator().manual_seed(7))
    path = folder / "model_best.pth.tar"
    content = {
        "epoch": 3,
        "state_dict": {prefix + name: value for name, value in state.items()},
        "best_top1_acc": 0.5,
    }
    torch.save(content, path)
    return path


def pictures(count: int, size: int) -> tuple[Tensor, Tensor]:
    """Images as bytes / 256 less their mean, and as the authors normalise them."""
    generator = torch.Generator().manual_seed(3)
    mean = torch.tensor(IMAGENET_MEAN).reshape(1, 3, 1, 1)
    shown = torch.randint(0, 256, (count, 3, size, size), generator=generator) / 256
    std = torch.tensor(IMAGENET_STD).double().reshape(1, 3, 1, 1)
    return shown - mean, (shown - mean).double() / std


@pytest.mark.parametrize(
    ("arch", "prefix"), [("reactnet-a", "module."), ("bireal-18", ""), ("bireal-34", "module.")]
)
def test_float_logits_are_those_of_the_original_arithmetic(tmp_path: Path, arch: str, prefix: str):
    path = checkpoint_of(tmp_path, arch, prefix=prefix)
    net = convert(path, arch, image_size=64)
    ours, theirs = pictures(4, 64)
    state = torch.load(path, weights_only=True)["state_dict"]
    paper = Paper({name.removeprefix("module."): value for name, value in state.items()})
    want = paper.bireal(theirs, LAYERS[arch]) if arch in LAYERS else paper.mobile(theirs)
    with torch.no_grad():
        got = net.double()(ours.double())
    assert net.config.pad == "zero"
    assert want.std() > 0.01
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


def test_quantising_reports_every_step_and_ends_on_the_grids(tmp_path: Path):
    net = convert(checkpoint_of(tmp_path, "bireal-18"), "bireal-18", 64, pooled_bits=8)
    images, _ = pictures(12, 64)
    labels = torch.arange(12) % 10
    assert negative_slopes(net) == 0
    exact, losses = quantise(net, images, labels)
    steps = [loss.step for loss in losses]
    assert steps[0] == "binarised, otherwise float"
    assert steps[-5:] == [
        "residual stream of 8 bits",
        "real weights of 8 bits",
        "images of 9 bits",
        "global mean of 8 bits",
        "parameters rounded",
    ]
    assert all(0 <= loss.agreement <= 1 and loss.accuracy is not None for loss in losses)
    assert losses[0].agreement == 1.0
    with torch.no_grad():
        logits = exact(images)
        assert torch.equal(logits.double(), exact.double()(images.double()))
    assert len(exact.config.limits) == 17
    assert len(np.unique(exact.config.limits)) > 1


def test_negative_slopes_stay_or_are_set_to_zero(tmp_path: Path):
    net = convert(checkpoint_of(tmp_path, "reactnet-a"), "reactnet-a", 64)
    images, _ = pictures(4, 64)
    net.halves[3].act.prelu.weight.data[1] = -0.125
    exact, losses = quantise(net, images, None)
    assert exact.halves[3].act.prelu.weight[1] == -0.125
    assert "slopes" not in losses[1].step
    exact, losses = quantise(net, images, None, clamp_slopes=True)
    assert exact.halves[3].act.prelu.weight[1] == 0
    assert "set to 0" in losses[1].step
    assert losses[1].accuracy is None


def test_foreign_and_broken_files_are_one_clear_error(tmp_path: Path):
    path = checkpoint_of(tmp_path, "reactnet-a")
    with pytest.raises(UserInputError, match=r"conv1.weight is missing; is --arch bireal-18 right"):
        convert(path, "bireal-18")
    content = torch.load(path, weights_only=True)
    bad = tmp_path / "bad.pth.tar"
    for change, message in (
        ({"module.extra.weight": torch.zeros(2)}, r"1 parameters are not of .*extra.weight"),
        ({"module.feature.3.bn1.bias": torch.zeros(5)}, r"feature.3.bn1.bias has shape \(5,\)"),
        ({"module.fc.bias": torch.full((10,), float("nan"))}, r"fc.bias holds NaN"),
    ):
        torch.save({"state_dict": content["state_dict"] | change}, bad)
        with pytest.raises(UserInputError, match=message):
            convert(bad, "reactnet-a", 64)
    del content["state_dict"]["module.feature.5.move12.bias"]
    torch.save(content, bad)
    with pytest.raises(UserInputError, match=r"feature.5.move12.bias is missing"):
        convert(bad, "reactnet-a", 64)
    torch.save({"state_dict": {"a": 1}}, bad)
    with pytest.raises(UserInputError, match="no state_dict"):
        convert(bad, "reactnet-a")
    bad.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserInputError, match="not a readable PyTorch checkpoint"):
        convert(bad, "reactnet-a")
    with pytest.raises(UserInputError, match="cannot read"):
        convert(tmp_path / "none.pth", "reactnet-a")
