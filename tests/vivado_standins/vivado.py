"""The Vivado commands that build.tcl uses, over a model of the project and its block design.

Every command checks its options and arguments as UG835 describes them (in full: abbreviations
of options are errors here). Stricter than Vivado: an open clock, reset, interrupt or interface,
an unmapped address and a pin of another kind are errors, where Vivado only warns of some.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.vivado_standins import xdc
from tests.vivado_standins.blocks import AXI, AXIS, BLOCKS, Block, Interface, Pin, of_verilog
from tests.vivado_standins.tcl import Command, CommandError

PRIMITIVES = ("BUFG", "MMCME2_ADV")
PARTS = r"xc7z0\d\d\w+-\d|xc7a\d+t\w+-\d|xczu\d+\w+-\w+-\d-[ei]|xck\d+-\w+-2LV-[ci]"

# by block: the rule of its automation, the rule's options, what tells that a preset was applied,
# and the parameter with the frequency of its first clock
PROCESSING_SYSTEMS = {
    "processing_system7": (
        {"make_external", "apply_board_preset", "Master", "Slave"},
        "PCW_UIPARAM_DDR_PARTNO",
        "PCW_FPGA0_PERIPHERAL_FREQMHZ",
    ),
    "zynq_ultra_ps_e": (
        {"apply_board_preset"},
        "PSU__DDRC__ENABLE",
        "PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ",
    ),
}


@dataclass(frozen=True)
class Setup:
    """The Vivado that is imitated, and what goes wrong in it."""

    version: str = "2023.1"
    board_parts: tuple[str, ...] = ()
    synth_fails: bool = False
    route_fails: bool = False
    wns: str = "0.412"
    whs: str = "0.021"
    unread_memory: str = ""
    no_bitstream: bool = False


@dataclass
class Cell:
    """A block of the design with its parameters."""

    block: Block
    vlnv: str
    config: dict[str, str]
    module: str = ""

    @property
    def kind(self) -> str:
        return self.vlnv.split(":")[2] if ":" in self.vlnv else ""

    def pins(self) -> Mapping[str, Pin]:
        return self.block.shape(self.config).pins

    def interfaces(self) -> Mapping[str, Interface]:
        return self.block.shape(self.config).interfaces


@dataclass
class Run:
    """A synthesis or implementation run."""

    folder: Path
    progress: str = "0%"
    status: str = "Not started"
    to_step: str = ""


@dataclass
class Vivado:
    """State of one session; ``commands`` are its Tcl commands."""

    setup: Setup = field(default_factory=Setup)
    folder: Path | None = None
    part: str = ""
    board_part: str = ""
    files: dict[str, dict[str, str]] = field(default_factory=dict)
    cells: dict[str, Cell] = field(default_factory=dict)
    nets: list[set[str]] = field(default_factory=list)  # pins that are joined
    links: list[tuple[str, str]] = field(default_factory=list)  # interfaces, master first
    design: str = ""
    addressed: bool = False
    validated: bool = False
    saved: bool = False
    generated: bool = False
    checkpoint_mode: str = "Hierarchical"
    top: str = ""
    fresh_order: bool = False
    runs: dict[str, Run] = field(default_factory=dict)
    open: str = ""
    reports: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    constraints: xdc.Constraints = field(default_factory=lambda: xdc.Constraints({}))

    def commands(self) -> dict[str, Command]:
        """Tcl name -> implementation."""
        return {name[4:]: getattr(self, name) for name in dir(self) if name.startswith("tcl_")}

    # --- project ---------------------------------------------------------------------------

    def tcl_version(self, words: list[str]) -> str:
        options(words, flags=("-short",))
        return self.setup.version

    def tcl_create_project(self, words: list[str]) -> str:
        given, (name, folder) = options(words, ("-force",), ("-part",), count=2)
        if self.folder is not None:
            raise CommandError("a project is open already")
        if not re.fullmatch(PARTS, given.get("-part", "")):
            raise CommandError(f"no part {given.get('-part')}")
        self.part, self.folder = given["-part"], Path(folder).resolve()
        if self.folder.exists() and "-force" not in given:
            raise CommandError(f"project {folder} exists; use -force")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        for run in ("synth_1", "impl_1"):
            self.runs[run] = Run(self.folder / f"{name}.runs" / run)
        return name

    def tcl_current_project(self, words: list[str]) -> str:
        options(words)
        self.need_project()
        return self.name

    def tcl_get_board_parts(self, words: list[str]) -> str:
        _, patterns = options(words, ("-quiet",))
        found = [p for p in self.setup.board_parts if any(match(p, x) for x in patterns)]
        return tcl_list(found)

    def tcl_add_files(self, words: list[str]) -> str:
        self.need_project()
        given, lists = options(words, ("-norecurse",), ("-fileset",), least=1)
        if given.get("-fileset", "sources_1") not in ("sources_1", "constrs_1", "sim_1"):
            raise CommandError(f"no fileset {given['-fileset']}")
        kinds = {".sv": "SystemVerilog", ".v": "Verilog", ".mem": "Memory File", ".xdc": "XDC"}
        constraints = given.get("-fileset") == "constrs_1"
        for name in [name for words_ in lists for name in tcl_words(words_)]:
            if not Path(name).is_file():
                raise CommandError(f"file {name} does not exist")
            if constraints != name.endswith(".xdc"):  # stricter than Vivado
                raise CommandError(f"{name} is in the wrong fileset")
            self.files[name] = {"FILE_TYPE": kinds.get(Path(name).suffix, "Unknown")}
        self.fresh_order = False
        return tcl_list(list(self.files))

    def tcl_get_files(self, words: list[str]) -> str:
        _, patterns = options(words, ("-quiet",))
        wanted = [w for p in patterns for w in tcl_words(p)]
        found = [n for n in self.files if any(match(n, w) or n.endswith(f"/{w}") for w in wanted)]
        if not found:
            self.warnings.append(f"no files matched {wanted}")
        return tcl_list(found)

    def tcl_update_compile_order(self, words: list[str]) -> str:
        given, _ = options(words, (), ("-fileset",))
        if given.get("-fileset") != "sources_1":
            raise CommandError("no such fileset")
        self.fresh_order = True
        return ""

    def tcl_get_filesets(self, words: list[str]) -> str:
        _, (name,) = options(words, count=1)
        return name if name == "sources_1" else ""

    # --- properties ------------------------------------------------------------------------

    def tcl_set_property(self, words: list[str]) -> str:
        given, rest = options(words, (), ("-dict",), least=1)
        if "-dict" in given:
            pairs = tcl_words(given["-dict"])
            if len(pairs) % 2 or len(set(pairs[::2])) != len(pairs) // 2:
                raise CommandError(f"-dict needs pairs of distinct names and values: {pairs}")
            settings = list(zip(pairs[::2], pairs[1::2], strict=True))
            targets = rest
        else:
            if len(rest) != 3:
                raise CommandError("set_property <name> <value> <objects>")
            settings, targets = [(rest[0], rest[1])], rest[2:]
        targets = [t for words_ in targets for t in tcl_words(words_)]
        if not targets:
            raise CommandError("set_property: no objects")
        for target in targets:
            for name, value in settings:
                self.set_one(target, name, value)
        return ""

    def set_one(self, target: str, name: str, value: str) -> None:
        key = name.upper()
        if target in self.cells:
            if not name.startswith("CONFIG."):
                raise CommandError(f"a cell has no property {name}")
            cell = self.cells[target]
            cell.block.check(name[7:], value)
            cell.config[name[7:]] = value
            self.validated = False
        elif target == self.files_of_design() and key == "SYNTH_CHECKPOINT_MODE":
            if value not in ("None", "Singular", "Hierarchical"):
                raise CommandError(f"{name} cannot be {value}")
            self.checkpoint_mode = value
        elif target in self.files and key == "FILE_TYPE":
            if value not in ("SystemVerilog", "Verilog", "Memory Initialization Files"):
                raise CommandError(f"no file type {value}")
            self.files[target]["FILE_TYPE"] = value
        elif target == "sources_1" and key == "TOP":
            self.top = value
        elif target == self.name and key == "BOARD_PART":
            if value not in self.setup.board_parts:
                raise CommandError(f"no board part {value}")
            self.board_part = value
        elif target == self.name and key == "TARGET_LANGUAGE":
            if value not in ("Verilog", "VHDL"):
                raise CommandError(f"no language {value}")
        else:
            raise CommandError(f"{target or 'nothing'} has no property {name}")

    def tcl_get_property(self, words: list[str]) -> str:
        _, (name, target) = options(words, count=2)
        if target in self.runs:
            run = self.runs[target]
            done = run.progress == "100%" and target == "impl_1"
            values = {
                "PROGRESS": run.progress,
                "STATUS": run.status,
                "DIRECTORY": str(run.folder),
                "STATS.WNS": self.setup.wns if done else "",
                "STATS.WHS": self.setup.whs if done else "",
            }
            if name in values:
                return values[name]
        if name == "CONFIG.FREQ_HZ" and target.endswith(("/FCLK_CLK0", "/pl_clk0")):
            cell = self.cells[target.rpartition("/")[0]]
            return str(round(float(cell.config[PROCESSING_SYSTEMS[cell.kind][2]]) * 1e6))
        raise CommandError(f"{target or 'nothing'} has no property {name}")

    # --- block design ----------------------------------------------------------------------

    def tcl_create_bd_design(self, words: list[str]) -> str:
        _, (name,) = options(words, count=1)
        self.need_project()
        if self.design:
            raise CommandError(f"design {self.design} exists")
        self.design = name
        assert self.folder is not None
        path = self.folder / f"{self.name}.srcs/sources_1/bd/{name}/{name}.bd"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}\n")
        self.files[str(path)] = {"FILE_TYPE": "Block Designs"}
        return name

    def files_of_design(self) -> str:
        return next((n for n in self.files if self.design and n.endswith(f"{self.design}.bd")), "")

    def tcl_create_bd_cell(self, words: list[str]) -> str:
        given, (name,) = options(words, (), ("-type", "-vlnv", "-reference"), count=1)
        if not self.design:
            raise CommandError("no block design is open")
        if not re.fullmatch(r"\w+", name) or f"/{name}" in self.cells:
            raise CommandError(f"cell name {name} is not legal or taken")
        if given.get("-type") == "module":
            module = given["-reference"]
            cell = Cell(self.module(module), "module", {}, module)
        elif given.get("-type") == "ip" and given.get("-vlnv") in BLOCKS:
            block = BLOCKS[given["-vlnv"]]
            cell = Cell(block, given["-vlnv"], dict(block.defaults))
        else:
            raise CommandError(f"no block {given}")
        self.cells[f"/{name}"] = cell
        return f"/{name}"

    def module(self, name: str) -> Block:
        """The top of a module reference: Verilog, in the project, its parts there as well."""
        if not self.fresh_order:
            raise CommandError("the compile order is stale")
        texts = {f: Path(f).read_text() for f in self.files if f.endswith((".v", ".sv"))}
        defines = {f: re.findall(r"^\s*module\s+(\w+)", t, re.M) for f, t in texts.items()}
        homes = [f for f, names in defines.items() if name in names]
        if len(homes) != 1:
            raise CommandError(f"module {name} is defined in {len(homes)} files of the project")
        if not homes[0].endswith(".v"):
            raise CommandError(f"{homes[0]}: a module reference cannot have a SystemVerilog top")
        instances = re.findall(r"^  (\w+) (?:#\(|\w+ \()", texts[homes[0]], re.M)
        for inner in instances:
            if inner not in {n for names in defines.values() for n in names}:
                raise CommandError(f"module {inner} is not in the project")
        return of_verilog(texts[homes[0]], name)

    def tcl_apply_bd_automation(self, words: list[str]) -> str:
        given, (cell,) = options(words, (), ("-rule", "-config"), count=1)
        rule = given.get("-rule", "").removeprefix("xilinx.com:bd_rule:")
        if rule not in PROCESSING_SYSTEMS:
            raise CommandError(f"no rule {given.get('-rule')}")
        if cell not in self.cells or self.cells[cell].kind != rule:
            raise CommandError(f"the rule does not apply to {cell or 'nothing'}")
        known, preset, _ = PROCESSING_SYSTEMS[rule]
        pairs = tcl_words(given["-config"])
        config = dict(zip(pairs[::2], pairs[1::2], strict=True))
        if set(config) - known:
            raise CommandError(f"the rule has no option {set(config) - known}")
        if config.get("apply_board_preset") == "1" and self.board_part:
            self.cells[cell].config[preset] = "of the board preset"
            if rule == "zynq_ultra_ps_e":  # the presets of our boards open more than we use
                for port in ("M_AXI_GP0", "M_AXI_GP1", "M_AXI_GP2"):
                    self.cells[cell].config[f"PSU__USE__{port}"] = "1"
        for name in filter(None, config.get("make_external", "").split(", ")):
            self.links.append((f"{cell}/{name}", f"port {name}"))
        return ""

    def tcl_get_bd_pins(self, words: list[str]) -> str:
        _, (name,) = options(words, count=1)
        return self.lookup(name, "pins")

    def tcl_get_bd_intf_pins(self, words: list[str]) -> str:
        _, (name,) = options(words, count=1)
        return self.lookup(name, "interfaces")

    def lookup(self, name: str, what: str) -> str:
        """The full name, or, as in Vivado, nothing and a warning."""
        cell, _, end = f"/{name.lstrip('/')}".rpartition("/")
        if cell in self.cells and end in getattr(self.cells[cell], what)():
            return f"{cell}/{end}"
        self.warnings.append(f"no {what} matched {name}")
        return ""

    def pin(self, name: str) -> Pin:
        cell, _, end = name.rpartition("/")
        return self.cells[cell].pins()[end]

    def interface(self, name: str) -> Interface:
        cell, _, end = name.rpartition("/")
        return self.cells[cell].interfaces()[end]

    def tcl_connect_bd_net(self, words: list[str]) -> str:
        _, names = options(words, (), ("-net",))
        if len(names) < 2 or "" in names:
            raise CommandError(f"connect_bd_net: a pin is missing among {names}")
        nets = [net for net in self.nets if net & set(names)]
        joined = set(names).union(*nets)
        sinks = [n for n in names if not self.pin(n).out]
        for sink in sinks:
            if any(sink in net for net in nets):
                raise CommandError(f"{sink} is connected already")
        drivers = [n for n in joined if self.pin(n).out]
        if len(drivers) != 1:
            raise CommandError(f"a net needs one driver, not {drivers}")
        kinds = {self.pin(n).kind for n in joined} - {"any"}
        if len(kinds) > 1:  # stricter than Vivado
            raise CommandError(f"{names} join pins of different kinds {sorted(kinds)}")
        self.nets = [net for net in self.nets if net not in nets] + [joined]
        self.validated = False
        return ""

    def tcl_connect_bd_intf_net(self, words: list[str]) -> str:
        _, names = options(words, (), ("-intf_net",))
        if len(names) != 2 or "" in names:
            raise CommandError(f"connect_bd_intf_net: an interface is missing among {names}")
        for name in names:
            if any(name in link for link in self.links):
                raise CommandError(f"{name} is connected already")
        one, two = (self.interface(n) for n in names)
        if one.master == two.master or one.kind != two.kind:
            raise CommandError(f"{names} do not fit: {one}, {two}")
        self.links.append((names[0], names[1]) if one.master else (names[1], names[0]))
        self.validated = False
        return ""

    def tcl_assign_bd_address(self, words: list[str]) -> str:
        options(words, count=0)
        self.addressed = True
        return ""

    def tcl_validate_bd_design(self, words: list[str]) -> str:
        options(words, count=0)
        self.check_connections()
        self.check_streams()
        self.check_addresses()
        self.validated = True
        return ""

    def check_connections(self) -> None:
        """Nothing that must be connected is open, and AXI links have one clock."""
        driven = {name for net in self.nets for name in net}
        linked = {name for link in self.links for name in link}
        for path, cell in self.cells.items():
            for name, pin in cell.pins().items():
                if pin.required and f"{path}/{name}" not in driven:
                    raise CommandError(f"{path}/{name} is not connected")
                if pin.out and pin.kind == "intr" and f"{path}/{name}" not in driven:
                    raise CommandError(f"interrupt {path}/{name} is not connected")
            for name, interface in cell.interfaces().items():
                if interface.required and f"{path}/{name}" not in linked:
                    raise CommandError(f"interface {path}/{name} is not connected")
        for master, slave in self.links:
            if not slave.startswith("port "):
                clocks = {self.clock_of(master), self.clock_of(slave)}
                if len(clocks) != 1:
                    raise CommandError(f"{master} and {slave} have clocks {clocks}")

    def clock_of(self, interface: str) -> str:
        pin = f"{interface.rpartition('/')[0]}/{self.interface(interface).clock}"
        net = next(net for net in self.nets if pin in net)
        return next(name for name in net if self.pin(name).out)

    def check_streams(self) -> None:
        for master, slave in self.links:
            if slave.startswith("port ") or self.interface(master).kind != AXIS:
                continue
            one, two = self.interface(master).width, self.interface(slave).width
            if one != two:
                raise CommandError(f"{master} has {one} bits, {slave} {two}")

    def check_addresses(self) -> None:
        """Every memory-mapped master reaches a slave that has an address."""
        if not self.addressed:
            raise CommandError("address segments are not mapped (assign_bd_address)")
        for path, cell in self.cells.items():
            for name in cell.block.spaces:
                if name in cell.interfaces() and not self.reached(f"{path}/{name}"):
                    raise CommandError(f"{path}/{name} reaches no address segment")

    def reached(self, master: str) -> list[str]:
        """Slaves with an address segment behind a master, through interconnects."""
        slave = dict(self.links)[master]
        cell, _, end = slave.rpartition("/")
        if end in self.cells[cell].block.segments:
            return [slave]
        outputs = [
            n for n, i in self.cells[cell].interfaces().items() if i.master and i.kind == AXI
        ]
        return [found for name in outputs for found in self.reached(f"{cell}/{name}")]

    def tcl_save_bd_design(self, words: list[str]) -> str:
        options(words, count=0)
        self.saved = True
        return ""

    def tcl_generate_target(self, words: list[str]) -> str:
        _, (what, objects) = options(words, count=2)
        (path,) = tcl_words(objects)
        if what not in ("all", "synthesis") or path != self.files_of_design():
            raise CommandError(f"cannot generate {what} for {path}")
        if not (self.validated and self.saved):
            raise CommandError("the design is not validated and saved")
        assert self.folder is not None
        kind = "gen" if version_of(self.setup.version) >= (2020, 2) else "srcs"
        self.outputs = self.folder / f"{self.name}.{kind}/sources_1/bd/{self.design}"
        (self.outputs / "hw_handoff").mkdir(parents=True, exist_ok=True)
        (self.outputs / f"hw_handoff/{self.design}.hwh").write_text("<EDKSYSTEM/>\n")
        self.generated = True
        return ""

    def tcl_make_wrapper(self, words: list[str]) -> str:
        given, _ = options(words, ("-top",), ("-files",), count=0)
        if given.get("-files") != self.files_of_design() or "-top" not in given:
            raise CommandError("make_wrapper -files <the design> -top")
        if not self.generated:
            raise CommandError("generate the design's targets first")
        path = self.outputs / f"hdl/{self.design}_wrapper.v"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"module {self.design}_wrapper ();\nendmodule\n")
        return str(path)

    # --- runs ------------------------------------------------------------------------------

    def tcl_launch_runs(self, words: list[str]) -> str:
        given, (name,) = options(words, ("-force",), ("-jobs", "-to_step"), count=1)
        if name not in self.runs or not int(given.get("-jobs", "1")):
            raise CommandError(f"no run {name}")
        tops = [f for f in self.files if Path(f).stem == self.top and f.endswith((".v", ".sv"))]
        if len(tops) != 1 or not self.fresh_order:
            raise CommandError(f"top module {self.top or '(none)'} is not in the project")
        if self.design and self.checkpoint_mode != "None":
            raise CommandError("stricter than Vivado: memory files need the global synthesis")
        if not self.design:
            self.check_modules(Path(tops[0]).read_text())
            self.check_constraints(Path(tops[0]).read_text())
        if name == "impl_1" and self.runs["synth_1"].progress != "100%":
            raise CommandError("synth_1 is not done")
        self.runs[name].to_step = given.get("-to_step", "")
        self.runs[name].status = "Running"
        return ""

    def check_modules(self, text: str) -> None:
        """What the modules below a top instantiate is in the project or of the part."""
        plain = re.compile(r"^`ifdef HWGEN_PROBE$.*?^`endif$", re.M | re.S)
        files = [Path(f) for f in self.files if f.endswith((".v", ".sv"))]
        texts = [plain.sub("", f.read_text()) for f in files]
        homes = {name: t for t in texts for name in re.findall(r"^module (\w+)", t, re.M)}
        todo = [text]
        while todo:
            for name in re.findall(r"^  (\w+) (?:#\(|u_\w+ \()", todo.pop(), re.M):
                if name in homes:
                    todo.append(homes.pop(name))
                elif name not in PRIMITIVES and not any(f"module {name} " in t for t in texts):
                    raise CommandError(f"module {name} is not in the project")

    def check_constraints(self, text: str) -> None:
        """Every port of the top has its pin, and the clock its period."""
        ports = re.findall(r"\b(?:in|out)put\s+wire logic (\w+)", text)
        files = [Path(f).read_text() for f in self.files if f.endswith(".xdc")]
        self.constraints = xdc.read(files, ports)
        xdc.check_pins(self.constraints)

    def tcl_wait_on_run(self, words: list[str]) -> str:
        _, (name,) = options(words, count=1)
        run = self.runs[name]
        if run.status != "Running":
            raise CommandError(f"{name} is not running")
        run.folder.mkdir(parents=True, exist_ok=True)
        failed = self.setup.synth_fails if name == "synth_1" else self.setup.route_fails
        log = "INFO: done\n"
        if name == "synth_1" and self.setup.unread_memory:
            log = (
                "CRITICAL WARNING: [Synth 8-4445] could not open $readmem data file "
                f"'{self.setup.unread_memory}'; please make sure the file is added\n"
            )
        (run.folder / "runme.log").write_text(log)
        run.progress = "30%" if failed else "100%"
        step = "synth_design" if name == "synth_1" else run.to_step or "route_design"
        run.status = f"{step} {'ERROR' if failed else 'Complete!'}"
        if run.to_step == "write_bitstream" and not failed and not self.setup.no_bitstream:
            (run.folder / f"{self.top}.bit").write_bytes(b"bits")
        return ""

    def tcl_get_runs(self, words: list[str]) -> str:
        _, (name,) = options(words, count=1)
        return name if name in self.runs else ""

    def tcl_open_run(self, words: list[str]) -> str:
        _, (name,) = options(words, (), ("-name",), count=1)
        if self.runs[name].progress != "100%":
            raise CommandError(f"{name} is not done")
        self.open = name
        return name

    def tcl_close_design(self, words: list[str]) -> str:
        options(words, count=0)
        self.need_open()
        self.open = ""
        return ""

    def tcl_report_utilization(self, words: list[str]) -> str:
        given, _ = options(words, ("-hierarchical",), ("-file",), count=0)
        return self.report(given["-file"], "utilisation.rpt")

    def tcl_report_timing_summary(self, words: list[str]) -> str:
        given, _ = options(words, (), ("-file",), count=0)
        return self.report(given["-file"], "timing.rpt")

    def report(self, name: str, like: str) -> str:
        """The run's name, and a report as Vivado writes it, of no real design."""
        self.need_open()
        text = (Path(__file__).with_name("reports") / like).read_text()
        Path(name).write_text(f"{self.open}\n{text}")
        self.reports.append(Path(name).name)
        return ""

    def need_open(self) -> None:
        if not self.open:
            raise CommandError("no design is open")

    def need_project(self) -> None:
        if self.folder is None:
            raise CommandError("no project is open")


def options(
    words: Sequence[str],
    flags: Sequence[str] = (),
    valued: Sequence[str] = (),
    *,
    count: int | None = None,
    least: int = 0,
) -> tuple[dict[str, str], list[str]]:
    """Options and positional arguments, or an error for an option that the command lacks."""
    given: dict[str, str] = {}
    rest: list[str] = []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if word in flags:
            given[word] = "1"
        elif word in valued:
            if not queue:
                raise CommandError(f"missing value for {word}")
            given[word] = queue.pop(0)
        elif re.match(r"-[a-zA-Z]", word):
            raise CommandError(f"unknown option '{word}'")
        else:
            rest.append(word)
    if (count is not None and len(rest) != count) or len(rest) < least:
        raise CommandError(f"wrong number of arguments: {rest}")
    return given, rest


def match(name: str, pattern: str) -> bool:
    """Tcl's glob, near enough."""
    return fnmatch.fnmatchcase(name, pattern)


def version_of(text: str) -> tuple[int, int]:
    """Year and release."""
    year, release = text.split(".")[:2]
    return int(year), int(release)


def tcl_list(items: Sequence[str]) -> str:
    """A Tcl list; names here need no quoting but braces for blanks."""
    return " ".join(f"{{{i}}}" if not i or re.search(r"\s", i) else i for i in items)


def tcl_words(text: str) -> list[str]:
    """The elements of a Tcl list made of bare, braced and backslash-free words."""
    words = []
    while text := text.strip():
        if text[0] == "{":
            depth, i = 1, 1
            while depth:
                depth += {"{": 1, "}": -1}.get(text[i], 0)
                i += 1
            words.append(text[1 : i - 1])
        elif text[0] == '"':
            i = text.index('"', 1) + 1
            words.append(text[1 : i - 1])
        else:
            i = next((k for k, c in enumerate(text) if c.isspace()), len(text))
            words.append(text[:i])
        text = text[i:]
    return words
