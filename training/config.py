"""The configuration of a training run: strict, frozen, and free of heavy imports."""

import difflib
import math
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from hwgen.errors import UserInputError

DEFAULT_CONFIG = Path(__file__).parent / "configs" / "digits.yaml"

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


class ModelConfig(_Strict):
    """Shape and number formats of a ReActNet for small images."""

    image_size: PositiveInt = 8
    """Height and width in pixels: a power of two, so that the global mean is an exact shift."""
    in_channels: PositiveInt = 1
    num_classes: Annotated[int, Field(ge=2)] = 10
    width: PositiveInt = 32
    """Channels behind the first convolution, and of every block if ``blocks`` is a number."""
    blocks: Blocks = 4
    """Blocks of one binary 3x3 half and one binary 1x1 half: how many, or each one's width and
    stride, as in ``[{width: 32}, {width: 64, stride: 2}]``."""
    residual_bits: Annotated[int, Field(ge=2, le=16)] = 8
    """Signed bits of the residual stream."""
    residual_limit: PositiveFloat = 4.0
    """The residual stream covers [-limit, limit): a power of two, which fixes its scale."""
    pad: Literal["minus1", "zero"] = "minus1"
    """Padding of the binary 3x3 convolutions: -1 (one bit wide) or 0."""
    first_last_bits: Annotated[int, Field(ge=2, le=8)] = 8
    """Weight bits of the first convolution and of the classifier."""

    @field_validator("image_size")
    @classmethod
    def _whole_power(cls, value: int) -> int:
        if value & (value - 1):
            raise ValueError("must be a power of two (pad the images up to one)")
        return value

    @field_validator("residual_limit")
    @classmethod
    def _power(cls, value: float) -> float:
        if math.frexp(value)[0] != 0.5:
            raise ValueError("must be a power of two")
        return value

    @field_validator("blocks")
    @classmethod
    def _fit(cls, value: Blocks, info: ValidationInfo) -> Blocks:
        if isinstance(value, int) or not {"image_size", "width"} <= info.data.keys():
            return value
        if not value:
            raise ValueError("must list at least one block")
        size, width = info.data["image_size"], info.data["width"]
        for number, block in enumerate(value, 1):
            if block.width not in (width, 2 * width):
                raise ValueError(
                    f"block {number} has width {block.width}, but {width} channels enter it: "
                    f"make it {width} or {2 * width}"
                )
            if block.stride == 2 and size == 1:
                raise ValueError(f"block {number} cannot halve an image of 1x1 pixels")
            size, width = size // block.stride, block.width
        return value

    @property
    def block_list(self) -> tuple[BlockConfig, ...]:
        """The blocks one by one, whichever form ``blocks`` has."""
        if isinstance(self.blocks, int):
            return (BlockConfig(width=self.width),) * self.blocks
        return self.blocks

    @property
    def final_size(self) -> int:
        """Height and width in pixels behind the last block: a power of two."""
        return self.image_size // math.prod(block.stride for block in self.block_list)

    @property
    def residual_scale(self) -> float:
        """The value of one step of the residual grid."""
        return math.ldexp(self.residual_limit, 1 - self.residual_bits)


class StageConfig(_Strict):
    """One of the three trainings: Adam whose rate falls linearly to zero."""

    epochs: PositiveInt
    learning_rate: PositiveFloat
    weight_decay: Annotated[float, Field(ge=0)] = 0.0


class TrainConfig(_Strict):
    """A whole training run."""

    data: Literal["digits"] = "digits"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    batch_size: PositiveInt = 64
    shift: Annotated[int, Field(ge=0)] = 1
    """Augmentation: each image moves by up to this many pixels each way."""
    loss: Literal["distributional", "cross_entropy"] = "distributional"
    """Of the two binary steps: KL divergence from the teacher's output, or the labels."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    threads: Annotated[int, Field(ge=0)] = 0
    """CPU threads, 0 for PyTorch's choice. Sums, hence weights, depend on their number."""
    model: ModelConfig = ModelConfig()
    teacher: StageConfig
    step1: StageConfig
    step2: StageConfig


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
    """Read a YAML file (None: the default network) and apply "key.sub=value" overrides."""
    path = path or DEFAULT_CONFIG
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
        raise UserInputError(f"{path}: cannot read the configuration: {error.strerror}") from None
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
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys += _valid_keys(field.annotation, f"{prefix}{name}.")
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
    return f"{where}: {key}: {message}; got {detail['input']!r}"


def _reaches(overridden: str, key: str) -> bool:
    return key == overridden or key.startswith(f"{overridden}.")
