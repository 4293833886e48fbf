"""Heavy libraries stay in the modules that own them."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import hwgen

PACKAGE = Path(hwgen.__file__).parent
OWNERS = {
    "onnx": "frontend/",
    "qonnx": "frontend/",
    "finn": "frontend/",
    "google": "frontend/",
    "onnxruntime": "frontend/",
    "jinja2": "render.py",
    "subprocess": "run.py",
    "serial": "host/line.py",
    "pyosys": "backends/yosys_worker.py",
    "torch": "nowhere",
    "brevitas": "nowhere",
    "lightning": "nowhere",
}


def test_only_owners_import_heavy_libraries() -> None:
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules = [node.module]
            for module in modules:
                owner = OWNERS.get(module.split(".")[0])
                assert owner is None or name.startswith(owner), f"{name} imports {module}"


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv=['hwgen','--help']\n"
        "try:\n import hwgen.cli; hwgen.cli.main()\nexcept SystemExit: pass\n"
        "heavy={'torch','onnx','finn','qonnx','numpy','jinja2','matplotlib'}\n"
        "loaded=heavy & set(sys.modules)\n"
        "assert loaded <= {'numpy'}, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
