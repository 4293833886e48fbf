"""The ReActNet family as plans: widths, kernels and strides, free of any framework.

A network is a stem, a list of halves (one convolution with its shortcut each) and a classifier.

    MobileNet based (ReActNet-A, -B, -C, and `blocks`):  [ 3x3 half -> 1x1 half ] a block;
        a 1x1 half doubles the width by two convolutions on the same signs, concatenated
    ResNet based (Bi-Real-18 and -34, ReActNet-18 and -20):  a 3x3 half a convolution;
        a half that doubles has one convolution, and a real 1x1 convolution in its shortcut

Sources: ReActNet (arXiv 2003.03488), Bi-Real Net (arXiv 1808.00278), ResNet (arXiv 1512.03385) for
the networks of 32x32 images.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class StemPlan:
    """The first convolution, and the 3x3 max pool of stride 2 that may follow it."""

    kernel: int = 3
    stride: int = 1
    max_pool: bool = False

    def size(self, image: int) -> int:
        """Pixels each way behind it: padding keeps the size, a stride halves it, rounded up."""
        image = -(-image // self.stride)
        return -(-image // 2) if self.max_pool else image


@dataclass(frozen=True, slots=True)
class HalfPlan:
    """One convolution with its shortcut: in_width channels to width, both sides over stride."""

    in_width: int
    width: int
    kernel: int
    stride: int = 1
    project: bool = False
    """The shortcut is an average pool and a real 1x1 convolution."""
    real: bool = False
    """The convolution has weights of several bits and reads the residual stream, not its signs."""
    groups: int = 1

    @property
    def twin(self) -> bool:
        """Whether a second convolution, on the same signs, doubles the width."""
        return self.width == 2 * self.in_width and not self.project


@dataclass(frozen=True, slots=True)
class Architecture:
    """A named member of the family: stem, base width, and what follows at a base width."""

    stem: StemPlan
    width: int
    image_size: int
    num_classes: int
    stages: tuple[int, ...] = ()
    """ResNet based: halves a stage; each but the first halves the image and doubles the width."""
    factors: tuple[int, ...] = ()
    """MobileNet based: every block's width over the base width."""
    real_groups: int = 0
    """MobileNet based: groups of the real-valued 1x1 convolutions where a block doubles the width;
    0 leaves them binary."""

    @property
    def defaults(self) -> dict[str, Any]:
        """Values of the configuration's keys for this network."""
        return {
            "width": self.width,
            "image_size": self.image_size,
            "in_channels": 3,
            "num_classes": self.num_classes,
        }

    def halves(self, width: int) -> Iterator[HalfPlan]:
        """The halves in order, for a base width."""
        here = width
        for stage, count in enumerate(self.stages):
            out = width << stage
            for _ in range(count):
                doubles = out != here
                yield HalfPlan(here, out, 3, 2 if doubles else 1, project=doubles)
                here = out
        for factor in self.factors:
            out = width * factor
            # the first block behind the stem doubles the width of an image that stays as it is
            stride = 2 if out != here and factor > 2 else 1
            yield from block(here, out, stride, self.real_groups)
            here = out


def block(in_width: int, width: int, stride: int, real_groups: int = 0) -> Iterator[HalfPlan]:
    """A MobileNet based block: a 3x3 half with the stride, a 1x1 half that leads to the width."""
    real = real_groups > 0 and width != in_width
    yield HalfPlan(in_width, in_width, 3, stride)
    yield HalfPlan(in_width, width, 1, real=real, groups=real_groups if real else 1)


_MOBILE = Architecture(
    StemPlan(stride=2),
    width=32,
    image_size=224,
    num_classes=1000,
    factors=(2, *[4] * 2, *[8] * 2, *[16] * 6, *[32] * 2),
)
_BIREAL = Architecture(StemPlan(7, 2, max_pool=True), width=64, image_size=224, num_classes=1000)
_SMALL = Architecture(StemPlan(), width=64, image_size=32, num_classes=10)

ARCHITECTURES: dict[str, Architecture] = {
    "reactnet-a": _MOBILE,
    "reactnet-b": replace(_MOBILE, real_groups=4),
    "reactnet-c": replace(_MOBILE, real_groups=1),
    "bireal-18": replace(_BIREAL, stages=(4, 4, 4, 4)),
    "bireal-34": replace(_BIREAL, stages=(6, 8, 12, 6)),
    "reactnet-18": replace(_SMALL, stages=(4, 4, 4, 4)),
    "reactnet-20": replace(_SMALL, width=16, stages=(6, 6, 6)),
}

ArchitectureName = Literal[
    "blocks",
    "reactnet-a",
    "reactnet-b",
    "reactnet-c",
    "bireal-18",
    "bireal-34",
    "reactnet-18",
    "reactnet-20",
]
"""The names above, and ``blocks``: MobileNet based, with blocks as the configuration lists them."""
