"""The commands of Vivado's non-project mode that synth_ooc.tcl uses."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from tests.vivado_standins import xdc
from tests.vivado_standins.tcl import Command, CommandError
from tests.vivado_standins.vivado import PARTS, Setup, options, tcl_words


@dataclass
class Alone:
    """State of one session; ``done`` are the steps in order."""

    setup: Setup = field(default_factory=Setup)
    part: str = ""
    sources: list[str] = field(default_factory=list)
    memories: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    clocks: dict[str, float] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)

    def commands(self) -> dict[str, Command]:
        """Tcl name -> implementation."""
        return {name[4:]: getattr(self, name) for name in dir(self) if name.startswith("tcl_")}

    def tcl_version(self, words: list[str]) -> str:
        options(words, flags=("-short",), count=0)
        return self.setup.version

    def tcl_create_project(self, words: list[str]) -> str:
        given, _ = options(words, ("-in_memory",), ("-part",), count=0)
        if "-in_memory" not in given or not re.fullmatch(PARTS, given.get("-part", "")):
            raise CommandError(f"create_project {given}")
        self.part = given["-part"]
        return "in_memory"

    def tcl_read_verilog(self, words: list[str]) -> str:
        given, (names,) = options(words, ("-sv",), count=1)
        if "-sv" not in given:
            raise CommandError("stricter than Vivado: our sources are SystemVerilog")
        return self.read(names, (".sv", ".svh", ".v"), self.sources)

    def tcl_read_mem(self, words: list[str]) -> str:
        _, (names,) = options(words, count=1)
        return self.read(names, (".mem",), self.memories)

    def tcl_read_xdc(self, words: list[str]) -> str:
        given, (names,) = options(words, (), ("-mode",), count=1)
        if given.get("-mode") != "out_of_context":
            raise CommandError(f"read_xdc {given}")
        return self.read(names, (".xdc",), self.constraints)

    def read(self, names: str, suffixes: tuple[str, ...], into: list[str]) -> str:
        if not self.part:
            raise CommandError("no project is open")
        for name in tcl_words(names):
            if not Path(name).is_file() or Path(name).suffix not in suffixes:
                raise CommandError(f"cannot read {name}")
            into.append(name)
        return names

    def tcl_synth_design(self, words: list[str]) -> str:
        given, _ = options(words, (), ("-top", "-part", "-mode"), count=0)
        if given.get("-mode") != "out_of_context" or given.get("-part") != self.part:
            raise CommandError(f"synth_design {given}")
        texts = [Path(name).read_text() for name in self.sources]
        header = next((t for t in texts if f"module {given.get('-top')} " in t), None)
        if header is None:
            raise CommandError(f"no module {given.get('-top')}")
        ports = re.findall(r"\b(?:in|out)put\s+wire logic (?:\[[^]]*\] )?(\w+)", header)
        self.clocks = xdc.read((Path(n).read_text() for n in self.constraints), ports).clocks
        if not self.clocks:
            raise CommandError("stricter than Vivado: no clock")
        if self.setup.synth_fails:
            raise CommandError("[Common 17-69] Command failed: Synthesis failed")
        self.done.append("synth")
        return ""

    def tcl_get_msg_config(self, words: list[str]) -> str:
        given, _ = options(words, ("-count",), ("-id",), count=0)
        if given != {"-count": "1", "-id": "Synth 8-4445"}:
            raise CommandError(f"get_msg_config {given}")
        return "1" if self.setup.unread_memory else "0"

    def step(self, name: str, words: list[str], before: str) -> str:
        options(words, count=0)
        if self.done[-1:] != [before]:
            raise CommandError(f"{name} follows {before}, not {self.done}")
        if name == "route" and self.setup.route_fails:
            raise CommandError("[Common 17-69] Command failed: Routing failed")
        self.done.append(name)
        return ""

    def tcl_opt_design(self, words: list[str]) -> str:
        return self.step("opt", words, "synth")

    def tcl_place_design(self, words: list[str]) -> str:
        return self.step("place", words, "opt")

    def tcl_route_design(self, words: list[str]) -> str:
        return self.step("route", words, "place")

    def tcl_report_utilization(self, words: list[str]) -> str:
        given, _ = options(words, ("-hierarchical",), ("-file",), count=0)
        return self.report(given["-file"])

    def tcl_report_timing_summary(self, words: list[str]) -> str:
        given, _ = options(words, (), ("-file",), count=0)
        return self.report(given["-file"])

    def report(self, name: str) -> str:
        if not self.done:
            raise CommandError("no design is open")
        Path(name).write_text(f"{self.done[-1]}\n")
        return ""

    def tcl_get_timing_paths(self, words: list[str]) -> str:
        given, _ = options(words, ("-setup",), ("-max_paths",), count=0)
        if given != {"-setup": "1", "-max_paths": "1"}:
            raise CommandError(f"get_timing_paths {given}")
        return "path"

    def tcl_get_property(self, words: list[str]) -> str:
        _, (name, target) = options(words, count=2)
        if (name, target) != ("SLACK", "path"):
            raise CommandError(f"{target} has no property {name}")
        return self.setup.wns
