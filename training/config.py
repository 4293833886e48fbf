"""The configuration of a training run: strict, frozen, and free of heavy imports."""

import difflib
import math
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from hwgen.errors import UserInputError
from training.architectures import (
    ARCHITECTURES,
    ArchitectureName,
    HalfPlan,
    StemPlan,
    block,
)

CONFIGS = Path(__file__).parent / "configs"
DEFAULT_CONFIG = CONFIGS / "digits.yaml"

PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class BlockConfig(_Strict):
    """A block: its binary 3x3 half has the stride, its binary 1x1 half leads to the width."""

    width: PositiveInt
    """Channels that leave the block: as many as enter, or twice as many."""
    stride: Annotated[int, Field(ge=1, le=2)] = 1
    """2 halves the image's height and width; the shortcut is then a 2x2 average pool."""


def _count_or_list(value: object) -> str:
    return "<list>" if isinstance(value, list | tuple) else "<count>"


Blocks = Annotated[
    Annotated[PositiveInt, Tag("<count>")] | Annotated[tuple[BlockConfig, ...], Tag("<list>")],
    Discriminator(_count_or_list),
]


def _check_blocks(blocks: tuple[BlockConfig, ...], width: int) -> None:
    if not blocks:
        raise ValueError("blocks must list at least one block")
    for number, entry in enumerate(blocks, 1):
        if entry.width not in (width, 2 * width):
            raise ValueError(
                f"block {number} has width {entry.width}, but {width} channels enter it: "
                f"make it {width} or {2 * width}"
            )
        width = entry.width


class ModelConfig(_Strict):
    """Shape and number formats of a network of the ReActNet family."""

    arch: ArchitectureName = "blocks"
    """Which network; every name but ``blocks`` brings its own width, image size and classes,
    which the keys below replace where they are given."""
    image_size: PositiveInt = 8
    """Height and width in pixels."""
    in_channels: PositiveInt = 1
    num_classes: Annotated[int, Field(ge=2)] = 10
    width: PositiveInt = 32
    """Channels behind the first convolution, on which all other widths depend."""
    blocks: Blocks = 4
    """Of arch ``blocks``: blocks of one binary 3x3 half and one binary 1x1 half: how many, or each
    one's width and stride, as in ``[{width: 32}, {width: 64, stride: 2}]``."""
    residual_bits: Annotated[int, Field(ge=2, le=16)] = 8
    """Signed bits of the residual stream."""
    residual_limit: PositiveFloat | tuple[PositiveFloat, ...] | Literal["auto"] = 4.0
    """The residual stream covers [-limit, limit): a power of two, which fixes its scale. One for
    the whole network, a list for the stem and every half, or ``auto``: found on training images
    before step 3."""
    pad: Literal["minus1", "zero"] = "minus1"
    """Padding of the binary 3x3 convolutions: -1 (one bit wide) or 0."""
    first_last_bits: Annotated[int, Field(ge=2, le=8)] = 8
    """Weight bits of the first convolution, the classifier and the real 1x1 convolutions."""
    input_bits: Annotated[int, Field(ge=2, le=16)] = 8
    """Bits of an image's values, which lie on a grid of 2^-8, or coarser with fewer bits."""
    input_signed: bool = False
    """Images reach from -1 to 1, as after their mean was taken off, instead of from 0 to 1."""
    pooled_bits: Annotated[int, Field(ge=2, le=16)] | None = None
    """Signed bits that the global mean is rounded down to; without, its sum stays exact, which
    takes more bits the larger the last image is."""

    @model_validator(mode="before")
    @classmethod
    def _of_architecture(cls, data: Any) -> Any:
        if not isinstance(data, dict) or data.get("arch", "blocks") not in ARCHITECTURES:
            return data
        if data.get("blocks", 4) != cls.model_fields["blocks"].default:
            raise ValueError(f"blocks belongs to arch blocks, not to {data['arch']}")
        return {**ARCHITECTURES[data["arch"]].defaults, **data}

    @field_validator("residual_limit")
    @classmethod
    def _powers(cls, value: Any) -> Any:
        if value != "auto":
            for limit in value if isinstance(value, tuple) else (value,):
                if math.frexp(limit)[0] != 0.5:
                    raise ValueError("must be a power of two")
        return value

    @model_validator(mode="after")
    def _fit(self) -> Self:
        """Widths follow one another, averaged images are even, and every limit has its place."""
        if self.arch == "blocks" and isinstance(self.blocks, tuple):
            _check_blocks(self.blocks, self.width)
        size = self.stem.size(self.image_size)
        for number, half in enumerate(self.halves):
            if half.stride == 2 and size % 2:
                raise ValueError(
                    f"half {number} cannot halve an image of {size}x{size} pixels; "
                    "image_size must be a multiple of a larger power of two"
                )
            if half.in_width % half.groups:
                raise ValueError(f"half {number}: {half.in_width} channels in {half.groups} groups")
            size //= half.stride
        if isinstance(self.residual_limit, tuple):
            places = 1 + len(self.halves)
            if len(self.residual_limit) != places:
                raise ValueError(
                    f"residual_limit lists {len(self.residual_limit)} limits; the stem and the "
                    f"{places - 1} halves need {places}"
                )
        return self

    @property
    def block_list(self) -> tuple[BlockConfig, ...]:
        """The blocks one by one, whichever form ``blocks`` has."""
        if isinstance(self.blocks, int):
            return (BlockConfig(width=self.width),) * self.blocks
        return self.blocks

    @property
    def stem(self) -> StemPlan:
        """The first convolution."""
        return ARCHITECTURES[self.arch].stem if self.arch in ARCHITECTURES else StemPlan()

    @property
    def halves(self) -> tuple[HalfPlan, ...]:
        """What follows the stem."""
        if self.arch in ARCHITECTURES:
            return tuple(ARCHITECTURES[self.arch].halves(self.width))
        halves: list[HalfPlan] = []
        width = self.width
        for entry in self.block_list:
            halves += block(width, entry.width, entry.stride)
            width = entry.width
        return tuple(halves)

    @property
    def final_size(self) -> int:
        """Height and width in pixels behind the last half."""
        strides = math.prod(half.stride for half in self.halves)
        return self.stem.size(self.image_size) // strides

    @property
    def limits(self) -> tuple[float, ...]:
        """Limit of the residual stream behind the stem and behind every half."""
        if self.residual_limit == "auto":
            raise ValueError("residual_limit is auto, and no images were seen yet")
        if isinstance(self.residual_limit, tuple):
            return self.residual_limit
        return (self.residual_limit,) * (1 + len(self.halves))

    def scale(self, limit: float) -> float:
        """The value of one step of a residual grid."""
        return math.ldexp(limit, 1 - self.residual_bits)


class StageConfig(_Strict):
    """One of the three trainings: Adam whose rate falls linearly to zero."""

    epochs: PositiveInt
    learning_rate: PositiveFloat
    weight_decay: Annotated[float, Field(ge=0)] = 0.0


class AugmentConfig(_Strict):
    """What happens to training images by chance."""

    shift: Annotated[int, Field(ge=0)] = 0
    """Each image moves by up to this many pixels each way."""
    flip: bool = False
    """Half of the images are mirrored, left to right."""
    jitter: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Brightness, contrast and saturation change by up to this share."""
    crop: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Of image folders: least share of an image's area that a random part of it has."""


class TrainConfig(_Strict):
    """A whole training run."""

    data: str = "digits"
    """digits, shapes, mnist, fashion-mnist, cifar10, cifar100, folder, or package.module:Name of a
    data set of torchvision's kind."""
    data_folder: Path | None = None
    """Where the files of the data set are; digits and shapes need none."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    batch_size: PositiveInt = 64
    augment: AugmentConfig = AugmentConfig()
    loss: Literal["distributional", "cross_entropy"] = "distributional"
    """Of the binary steps: KL divergence from the teacher's output, or the labels."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Of the cross entropy, wherever it is the loss."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of an exponential moving average of the weights that replaces them at a step's end."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    """Arithmetic of the training, by Lightning's names; evaluation is always in float32."""
    threads: Annotated[int, Field(ge=0)] = 0
    """CPU threads, 0 for PyTorch's choice. Sums, hence weights, depend on their number."""
    workers: Annotated[int, Field(ge=0)] = 0
    """Processes that load images, for image folders."""
    model: ModelConfig = ModelConfig()
    teacher_from: str | None = None
    """A teacher that exists: a checkpoint of hwgen, ``torchvision:NAME:WEIGHTS.pth``, or logits of
    all training images in order (.npy). Without, the real-valued twin is trained first."""
    teacher: StageConfig | None = None
    """Training of the real-valued twin."""
    step1: StageConfig
    """Binary activations, real weights."""
    step2: StageConfig
    """Both binary, from step 1's weights."""
    step3: StageConfig | None = None
    """The hardware's arithmetic, from step 2's weights, norms frozen. Without, steps 1 and 2 train
    in it already."""

    @model_validator(mode="after")
    def _one_teacher(self) -> Self:
        if (self.teacher is None) == (self.teacher_from is None):
            raise ValueError("give either teacher (to train one) or teacher_from, not both or none")
        if self.model.residual_limit == "auto" and self.step3 is None:
            raise ValueError("model.residual_limit auto needs step3, before which limits are found")
        return self


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML that refuses a key given twice instead of keeping the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"key {twice[0]!r} is given twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


def load_config(path: Path | None, overrides: Sequence[str]) -> TrainConfig:
    """Read a YAML file and apply "key.sub=value" overrides.

    Without a file it is the default network's; a bare name is that of a file in configs/.
    """
    path = path or DEFAULT_CONFIG
    if not path.suffix and not path.exists() and path.name == str(path):
        path = CONFIGS / f"{path}.yaml"
    data = _read_yaml(path)
    for override in overrides:
        _override(data, override)
    try:
        return TrainConfig.model_validate(data)
    except ValidationError as error:
        lines = [_explain(detail, path, overrides) for detail in error.errors()]
        raise UserInputError("\n".join(lines)) from None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)
    except OSError as error:
        known = ", ".join(sorted(file.stem for file in CONFIGS.glob("*.yaml")))
        raise UserInputError(
            f"{path}: cannot read the configuration: {error.strerror}; these come along: {known}"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserInputError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(data, dict):
        raise UserInputError(f"{path}: expected 'key: value' lines, as in {DEFAULT_CONFIG}")
    return data


def _override(data: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    *parents, last = key.strip().split(".")
    if not equals or not last:
        raise UserInputError(f"--set {override!r}: expected key=value, for example model.width=16")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserInputError(f"--set {override!r}: {text!r} is not a YAML value") from None
    for parent in parents:
        node = data.setdefault(parent, {})
        if not isinstance(node, dict):
            raise UserInputError(f"--set {override!r}: {parent!r} holds no keys")
        data = node
    data[last] = value


def _valid_keys(model: type[BaseModel] = TrainConfig, prefix: str = "") -> list[str]:
    keys: list[str] = []
    for name, field in model.model_fields.items():
        keys.append(prefix + name)
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                keys += _valid_keys(kind, f"{prefix}{name}.")
    return keys


def _explain(detail: Any, path: Path, overrides: Sequence[str]) -> str:
    key = ".".join(str(part) for part in detail["loc"] if not str(part).startswith("<"))
    given = any(_reaches(override.partition("=")[0].strip(), key) for override in overrides)
    where = "--set" if given else str(path)
    if detail["type"] == "extra_forbidden":
        # An unknown key is compared as written and as if its parent were right.
        near = difflib.get_close_matches(key, _valid_keys(), n=1, cutoff=0.0)
        return f"{where}: unknown key {key!r}; did you mean {near[0]!r}?"
    if detail["type"] == "missing":
        return f"{where}: missing key {key!r}"
    message = detail["msg"].removeprefix("Value error, ")
    if isinstance(detail["input"], dict | BaseModel):  # an error of several keys together
        return f"{where}: {key + ': ' if key else ''}{message}"
    return f"{where}: {key}: {message}; got {detail['input']!r}"


def _reaches(overridden: str, key: str) -> bool:
    """Whether an override is of the key, of a part of it, or of what holds it."""
    return f"{key}.".startswith(f"{overridden}.") or f"{overridden}.".startswith(f"{key}.")
