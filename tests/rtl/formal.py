"""Unbounded safety proofs: Yosys makes the model, ABC's IC3 (``pdr``) proves it.

``prove`` takes a wrapper of formal_streams.sv, whose assertions must hold in every cycle from
any content of the unreset registers on, with a reset at any time. Both tools come with pyosys;
Yosys runs in a child process because it can abort. A proof counts only with ABC's own verdict
in the log, and a failure only with its counterexample.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from tests.rtl.tools import RTL, ToolFailure, yosys

HERE = Path(__file__).parent
PROVED, REFUTED = "Property proved.", "was asserted in frame"


def prove(
    wrapper: str,
    device: str,
    parameters: Mapping[str, int],
    work: Path,
    mutation: tuple[str, str] | None = None,
    *,
    wrappers: Path = HERE / "formal_streams.sv",
    folder: Path = RTL,
) -> bool:
    """True if every assertion of ``wrapper`` around module ``device`` holds for ever.

    ``mutation`` replaces one piece of the device's text first. The file ``wrappers`` has the
    wrapper, ``folder`` the device.
    """
    source = (folder / f"{device}.sv").read_text()
    if mutation:
        if source.count(mutation[0]) != 1:
            raise ToolFailure(f"{device}.sv does not have exactly one {mutation[0]!r}")
        source = source.replace(*mutation)
    (work / "device.sv").write_text(source)
    model = work / "model.aig"
    sets = "".join(f" -set {name} {value}" for name, value in parameters.items())
    yosys(
        [
            f"read_verilog -sv -formal device.sv {wrappers}",
            f"chparam{sets} {wrapper}",
            f"prep -flatten -top {wrapper}",
            "memory -nomap",
            "memory_map",
            "opt -full",
            "chformal -lower",
            "dffunmap",
            "techmap",
            "setundef -anyseq",  # x is anything
            "opt_clean",
            "aigmap",
            "opt_clean",
            f"write_aiger -zinit {model.name}",
        ],
        work,
    )
    # fold: assumptions become part of the property; orpos: one property of all assertions
    log = abc(f"read_aiger {model.name}; fold; orpos; pdr -T 120", work)
    if PROVED in log and REFUTED not in log:
        return True
    if REFUTED in log and PROVED not in log:
        return False
    raise ToolFailure(f"{wrapper} {dict(parameters)}: no verdict\n{log}")


def abc(command: str, work: Path) -> str:
    """Run the ABC that pyosys carries; its log."""
    spec = find_spec("pyosys")
    if spec is None or not spec.submodule_search_locations:
        raise ToolFailure("pyosys is not installed")
    program = Path(spec.submodule_search_locations[0]) / "yosys-abc"
    done = subprocess.run(
        [program, "-c", command],
        cwd=work,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return done.stdout + done.stderr
