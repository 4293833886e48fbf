"""The wheel carries all it needs: it builds a design in an environment without the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.qonnx_models import reactnet

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def clean_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with our dependencies, and hwgen from its wheel alone."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("hwgen-*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True)
    (site,) = (folder / "env").glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # a path file of a path file is not followed, so the checkout stays out
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "env" / "bin" / "python"


def hwgen(python: Path, cwd: Path, *words: str) -> str:
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [python, "-c", "from hwgen.cli import main; main()", *words],
        cwd=cwd,
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": tools},
    ).stderr


@pytest.mark.slow
def test_wheel_builds_a_design(clean_python: Path, tmp_path: Path) -> None:
    where = subprocess.run(
        [clean_python, "-c", "import hwgen, training; print(hwgen.__file__, training.__file__)"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert str(ROOT) not in where
    model = reactnet(2).save(tmp_path / "m.onnx")
    hwgen(clean_python, tmp_path, "build", str(model), "--out", "b", "--no-verify")
    assert (tmp_path / "b" / "report" / "index.html").is_file()
    hwgen(clean_python, tmp_path, "verify", "b", "--reference", "--finn")
