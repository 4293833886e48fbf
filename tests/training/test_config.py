import re
import subprocess
import sys
from pathlib import Path

import pytest

from hwgen.errors import UserInputError
from training.config import DEFAULT_CONFIG, ModelConfig, _valid_keys, load_config

DOCUMENTED = Path(__file__).parents[2] / "docs" / "training.md"


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text)
    return path


def test_default_is_the_digits_network():
    config = load_config(None, [])
    assert config.data == "digits"
    assert config.model.residual_bits == 4


def test_every_key_is_documented():
    rows = re.findall(r"^\| `([a-z0-9_.]+)`", DOCUMENTED.read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(_valid_keys())


def test_overrides_reach_nested_keys():
    config = load_config(None, ["model.width=16", "seed=3", "step2.learning_rate=1e-3"])
    assert (config.model.width, config.seed, config.step2.learning_rate) == (16, 3, 0.001)


def test_unknown_key_names_the_file_and_the_nearest_key(tmp_path: Path):
    text = DEFAULT_CONFIG.read_text().replace("  width:", "  widht:")
    path = written(tmp_path, text)
    with pytest.raises(UserInputError) as caught:
        load_config(path, [])
    message = str(caught.value)
    assert str(path) in message
    assert "'model.widht'" in message
    assert "'model.width'" in message


def test_unknown_override_is_reported_as_such():
    with pytest.raises(UserInputError, match=r"--set: unknown key 'sede'; did you mean 'seed'"):
        load_config(None, ["sede=1"])


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("model.width=0", "model.width: .*greater than 0; got 0"),
        ("model.image_size=0", "model.image_size: .*greater than 0"),
        (
            "model.blocks=[{width: 64, stride: 2},{width: 64, stride: 2},{width: 64, stride: 2},"
            "{width: 64, stride: 2}]",
            "--set: model: half 6 cannot halve an image of 1x1 pixels",
        ),
        ("model.arch=reactnet-d", "model.arch: .*'reactnet-a'"),
        ("model.arch=reactnet-20", "model: blocks belongs to arch blocks, not to reactnet-20"),
        ("model.residual_limit=[1.0, 2.0]", "lists 2 limits; the stem and the 6 halves need 7"),
        ("model.residual_limit=[1.0, 3.0]", "model.residual_limit: must be a power of two"),
        ("step3=null", "residual_limit auto needs step3"),
        ("teacher_from=x.npy", "either teacher .* or teacher_from"),
        ("ema=1.0", "ema: .*less than 1"),
        ("model.residual_limit=3.0", "model.residual_limit: must be a power of two"),
        ("model.residual_bits=17", "model.residual_bits"),
        ("model.pad=one", "model.pad: .*'minus1' or 'zero'"),
        ("model.blocks=0", "--set: model.blocks: .*greater than 0; got 0"),
        ("model.blocks=[]", "model: blocks must list at least one block"),
        ("model.blocks=[{width: 64, stride: 3}]", "--set: model.blocks.0.stride: "),
        ("model.blocks=[{widht: 64}]", "unknown key .model.blocks.0.widht"),
        ("model.blocks=[{width: 64},{width: 96}]", "block 2 has width 96.*make it 64 or 128"),
        ("model.blocks=[32]", "model.blocks.0: "),
        ("step2.learning_rate=.inf", "step2.learning_rate"),
        ("loss=hinge", "loss"),
        ("model.width", "expected key=value"),
        ("=3", "expected key=value"),
        ("seed.x=3", "'seed' holds no keys"),
        ("seed=[", "not a YAML value"),
        ("teacher=", "teacher"),
    ],
)
def test_bad_overrides_say_what_is_wrong(override: str, part: str):
    with pytest.raises(UserInputError, match=part):
        load_config(None, [override])


@pytest.mark.parametrize(
    "text", ["", "- 1\n", "a: [\n", "seed: 1\nseed: 2\n", "? [1]\n: 2\n", "1: 2"]
)
def test_bad_files_are_user_errors(tmp_path: Path, text: str):
    path = written(tmp_path, text)
    with pytest.raises(UserInputError, match="mine.yaml"):
        load_config(path, [])


def test_missing_key_is_named(tmp_path: Path):
    with pytest.raises(UserInputError, match="missing key 'step1'"):
        load_config(written(tmp_path, "seed: 1\n"), [])


def test_missing_file_and_binary_file_are_user_errors(tmp_path: Path):
    with pytest.raises(UserInputError, match="cannot read"):
        load_config(tmp_path / "none.yaml", [])
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(UserInputError, match="not valid YAML"):
        load_config(path, [])


def test_residual_scale_is_a_power_of_two_step():
    assert ModelConfig(residual_bits=8, residual_limit=4.0).scale(4.0) == 1 / 32
    assert ModelConfig(residual_bits=2, residual_limit=1.0).scale(1.0) == 0.5


def test_reading_a_configuration_needs_no_heavy_import():
    code = "import sys, training.config; print(sorted({'torch', 'brevitas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
