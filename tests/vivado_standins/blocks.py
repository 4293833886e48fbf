"""What we know of the IP blocks: pins, interfaces and parameters, which depend on parameters.

From the product guides PG082 (processing_system7), PG201 (zynq_ultra_ps_e), PG021 (axi_dma),
PG059 (axi_interconnect), PG164 (proc_sys_reset), PG099 (axi_intc), PB041 (xlconcat), and from
block designs that Vivado wrote for boards of the same parts. A parameter that is missing here is
an error in a test, even if the block has it: then it is looked up and added.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.vivado_standins.tcl import CommandError

AXI, AXIS = "aximm", "axis"


@dataclass(frozen=True)
class Pin:
    """``kind``: clk, rst, intr or data; ``required``: must not be left open."""

    out: bool
    kind: str = "data"
    required: bool = False


@dataclass(frozen=True)
class Interface:
    """``clock`` is the pin that an AXI interface runs with; ``width`` its data bits, if known."""

    master: bool
    kind: str
    required: bool = True
    clock: str = ""
    width: int = 0


@dataclass(frozen=True)
class Shape:
    """What a block looks like with certain parameters."""

    pins: Mapping[str, Pin]
    interfaces: Mapping[str, Interface]


CLK_IN, CLK_OUT = Pin(False, "clk", True), Pin(True, "clk")
RST_IN, RST_OUT = Pin(False, "rst", True), Pin(True, "rst")


@dataclass(frozen=True)
class Block:
    """Parameters with their defaults, the legal values of some, and the shape they give."""

    defaults: Mapping[str, str]
    legal: Mapping[str, str]  # regular expressions
    shape: Callable[[Mapping[str, str]], Shape]
    spaces: tuple[str, ...] = ()  # address spaces of its masters
    segments: Mapping[str, str] = field(default_factory=dict)  # slave interface -> segment

    def check(self, name: str, value: str) -> None:
        """Raise unless ``name`` is a parameter that can be ``value``."""
        if name not in self.defaults:
            raise CommandError(f"the block has no parameter CONFIG.{name}")
        if not re.fullmatch(self.legal.get(name, r".*"), value):
            raise CommandError(f"CONFIG.{name} cannot be '{value}'")


def _ps7(config: Mapping[str, str]) -> Shape:
    pins: dict[str, Pin] = {}
    interfaces = {
        "DDR": Interface(True, "ddrx"),
        "FIXED_IO": Interface(True, "fixedio"),
    }
    for i in range(4):
        if config[f"PCW_EN_CLK{i}_PORT"] == "1":
            pins[f"FCLK_CLK{i}"] = CLK_OUT
        if config[f"PCW_EN_RST{i}_PORT"] == "1":
            pins[f"FCLK_RESET{i}_N"] = RST_OUT
    for i in range(2):
        if config[f"PCW_USE_M_AXI_GP{i}"] == "1":
            pins[f"M_AXI_GP{i}_ACLK"] = CLK_IN
            interfaces[f"M_AXI_GP{i}"] = Interface(True, AXI, clock=f"M_AXI_GP{i}_ACLK")
    for i in range(4):
        if config[f"PCW_USE_S_AXI_HP{i}"] == "1":
            pins[f"S_AXI_HP{i}_ACLK"] = CLK_IN
            interfaces[f"S_AXI_HP{i}"] = Interface(False, AXI, clock=f"S_AXI_HP{i}_ACLK")
    if config["PCW_USE_FABRIC_INTERRUPT"] == config["PCW_IRQ_F2P_INTR"] == "1":
        pins["IRQ_F2P"] = Pin(False, "intr", True)
    if config["PCW_USB0_PERIPHERAL_ENABLE"] == "1":
        interfaces["USBIND_0"] = Interface(True, "usbctrl", required=False)
    return Shape(pins, interfaces)


_PS7_DEFAULTS = {
    "PCW_CRYSTAL_PERIPHERAL_FREQMHZ": "33.333333",
    "PCW_APU_PERIPHERAL_FREQMHZ": "666.666666",
    "PCW_FPGA0_PERIPHERAL_FREQMHZ": "50",
    "PCW_FCLK0_PERIPHERAL_CLKSRC": "IO PLL",
    "PCW_UIPARAM_DDR_FREQ_MHZ": "533.333333",
    "PCW_UIPARAM_DDR_PARTNO": "MT41J256M8 HX-15E",
    "PCW_UIPARAM_DDR_BUS_WIDTH": "32 Bit",
    **{f"PCW_UIPARAM_DDR_BOARD_DELAY{i}": "0.25" for i in range(4)},
    **{f"PCW_UIPARAM_DDR_DQS_TO_CLK_DELAY_{i}": "0.0" for i in range(4)},
    "PCW_PRESET_BANK0_VOLTAGE": "LVCMOS 3.3V",
    "PCW_PRESET_BANK1_VOLTAGE": "LVCMOS 3.3V",
    "PCW_GPIO_MIO_GPIO_ENABLE": "0",
    "PCW_QSPI_PERIPHERAL_ENABLE": "0",
    "PCW_QSPI_GRP_SINGLE_SS_ENABLE": "0",
    "PCW_QSPI_GRP_FBCLK_ENABLE": "0",
    "PCW_SD0_PERIPHERAL_ENABLE": "0",
    "PCW_SD0_SD0_IO": "<Select>",
    "PCW_SD0_GRP_CD_ENABLE": "0",
    "PCW_SD0_GRP_CD_IO": "<Select>",
    "PCW_SDIO_PERIPHERAL_FREQMHZ": "100",
    "PCW_UART0_PERIPHERAL_ENABLE": "0",
    "PCW_UART0_UART0_IO": "<Select>",
    "PCW_UART1_PERIPHERAL_ENABLE": "0",
    "PCW_UART1_UART1_IO": "<Select>",
    "PCW_ENET0_PERIPHERAL_ENABLE": "0",
    "PCW_ENET0_ENET0_IO": "<Select>",
    "PCW_ENET0_GRP_MDIO_ENABLE": "0",
    "PCW_ENET0_GRP_MDIO_IO": "<Select>",
    "PCW_ENET0_RESET_ENABLE": "0",
    "PCW_ENET0_RESET_IO": "<Select>",
    "PCW_USB0_PERIPHERAL_ENABLE": "0",
    "PCW_USB0_USB0_IO": "<Select>",
    "PCW_USB0_RESET_ENABLE": "0",
    "PCW_USB0_RESET_IO": "<Select>",
    **{f"PCW_EN_CLK{i}_PORT": str(int(i == 0)) for i in range(4)},
    **{f"PCW_EN_RST{i}_PORT": str(int(i == 0)) for i in range(4)},
    **{f"PCW_USE_M_AXI_GP{i}": str(int(i == 0)) for i in range(2)},
    **{f"PCW_USE_S_AXI_GP{i}": "0" for i in range(2)},
    **{f"PCW_USE_S_AXI_HP{i}": "0" for i in range(4)},
    **{f"PCW_S_AXI_HP{i}_DATA_WIDTH": "64" for i in range(4)},
    "PCW_USE_FABRIC_INTERRUPT": "0",
    "PCW_IRQ_F2P_INTR": "0",
}
_PS7_LEGAL = {
    **{k: "[01]" for k in _PS7_DEFAULTS if k.endswith(("_ENABLE", "_PORT", "_INTR"))},
    **{k: "[01]" for k in _PS7_DEFAULTS if k.startswith("PCW_USE_")},
    **{k: r"MIO( \d+)?( \.\. \d+)?|<Select>" for k in _PS7_DEFAULTS if k.endswith("_IO")},
    **{k: r"\d+(\.\d+)?" for k in _PS7_DEFAULTS if k.endswith(("FREQMHZ", "FREQ_MHZ"))},
    **{k: r"-?\d\.\d+" for k in _PS7_DEFAULTS if "DELAY" in k},
    **{f"PCW_S_AXI_HP{i}_DATA_WIDTH": "32|64" for i in range(4)},
    "PCW_FCLK0_PERIPHERAL_CLKSRC": "IO PLL|ARM PLL|DDR PLL",
    "PCW_UIPARAM_DDR_BUS_WIDTH": "(16|32) Bit",
    "PCW_PRESET_BANK0_VOLTAGE": r"LVCMOS (3\.3|2\.5|1\.8)V",
    "PCW_PRESET_BANK1_VOLTAGE": r"LVCMOS (3\.3|2\.5|1\.8)V",
}


# ports of the processing system by their parameter's number, of zynq_ultra_ps_e
MASTERS_MP = {0: "M_AXI_HPM0_FPD", 1: "M_AXI_HPM1_FPD", 2: "M_AXI_HPM0_LPD"}
SLAVES_MP = {
    0: "S_AXI_HPC0_FPD",
    1: "S_AXI_HPC1_FPD",
    **{2 + i: f"S_AXI_HP{i}_FPD" for i in range(4)},
    6: "S_AXI_LPD",
}


def _clock_mp(port: str) -> str:
    side, _, rest = port.lower().partition("_axi_")
    return f"{side}axi{rest}_aclk"


def _psmp(config: Mapping[str, str]) -> Shape:
    pins: dict[str, Pin] = {}
    interfaces: dict[str, Interface] = {}
    for i in range(4):
        if config[f"PSU__FPGA_PL{i}_ENABLE"] == "1":
            pins[f"pl_clk{i}"] = CLK_OUT
    if config["PSU__USE__FABRIC__RST"] == "1":
        for i in range(int(config["PSU__NUM_FABRIC_RESETS"])):
            pins[f"pl_resetn{i}"] = RST_OUT
    for i in range(2):
        if config[f"PSU__USE__IRQ{i}"] == "1":
            pins[f"pl_ps_irq{i}"] = Pin(False, "intr", True)
    for is_master, ports, key in ((True, MASTERS_MP, "M_AXI"), (False, SLAVES_MP, "S_AXI")):
        for number, port in ports.items():
            if config[f"PSU__USE__{key}_GP{number}"] == "1":
                pins[_clock_mp(port)] = CLK_IN
                interfaces[port] = Interface(is_master, AXI, clock=_clock_mp(port))
    return Shape(pins, interfaces)


_PSMP_DEFAULTS = {
    "PSU__PSS_REF_CLK__FREQMHZ": "33.333",
    "PSU__NUM_FABRIC_RESETS": "1",
    "PSU__USE__FABRIC__RST": "1",
    "PSU__DDRC__ENABLE": "1",
    **{f"PSU__FPGA_PL{i}_ENABLE": str(int(i == 0)) for i in range(4)},
    **{f"PSU__CRL_APB__PL{i}_REF_CTRL__FREQMHZ": "100" for i in range(4)},
    **{f"PSU__CRL_APB__PL{i}_REF_CTRL__SRCSEL": "IOPLL" for i in range(4)},
    **{f"PSU__USE__IRQ{i}": "0" for i in range(2)},
    **{f"PSU__USE__M_AXI_GP{i}": str(int(i < 2)) for i in MASTERS_MP},
    **{f"PSU__MAXIGP{i}__DATA_WIDTH": "128" if i < 2 else "32" for i in MASTERS_MP},
    **{f"PSU__USE__S_AXI_GP{i}": "0" for i in SLAVES_MP},
    **{f"PSU__SAXIGP{i}__DATA_WIDTH": "128" for i in SLAVES_MP},
}
_PSMP_LEGAL = {
    **{k: "[01]" for k in _PSMP_DEFAULTS if "__USE__" in k or k.endswith("_ENABLE")},
    **{k: "32|64|128" for k in _PSMP_DEFAULTS if k.endswith("DATA_WIDTH")},
    **{k: "IOPLL|RPLL|DPLL" for k in _PSMP_DEFAULTS if k.endswith("SRCSEL")},
    **{k: r"\d+(\.\d+)?" for k in _PSMP_DEFAULTS if k.endswith("FREQMHZ")},
    "PSU__NUM_FABRIC_RESETS": "[1-4]",
}


def _dma(config: Mapping[str, str]) -> Shape:
    pins = {"s_axi_lite_aclk": CLK_IN, "axi_resetn": RST_IN}
    interfaces = {"S_AXI_LITE": Interface(False, AXI, clock="s_axi_lite_aclk", width=32)}
    if config["c_include_sg"] == "1":
        pins["m_axi_sg_aclk"] = CLK_IN
        interfaces["M_AXI_SG"] = Interface(True, AXI, clock="m_axi_sg_aclk", width=32)
        if config["c_sg_include_stscntrl_strm"] == "1":
            interfaces["M_AXIS_CNTRL"] = Interface(True, AXIS, clock="m_axi_mm2s_aclk", width=32)
            interfaces["S_AXIS_STS"] = Interface(False, AXIS, clock="m_axi_s2mm_aclk", width=32)
    for way, stream, is_master in (("mm2s", "M_AXIS_MM2S", True), ("s2mm", "S_AXIS_S2MM", False)):
        if config[f"c_include_{way}"] == "0":
            continue
        clock = f"m_axi_{way}_aclk"
        letter = "m" if is_master else "s"
        memory = int(config[f"c_m_axi_{way}_data_width"])
        bits = int(config[f"c_{letter}_axis_{way}_tdata_width"])
        if bits > memory:
            raise CommandError(f"{way}: stream of {bits} bits is wider than memory ({memory})")
        pins[clock] = CLK_IN
        pins[f"{way}_introut"] = Pin(True, "intr")
        pins[f"{way}_prmry_reset_out_n"] = RST_OUT
        interfaces[f"M_AXI_{way.upper()}"] = Interface(True, AXI, clock=clock, width=memory)
        interfaces[stream] = Interface(is_master, AXIS, clock=clock, width=bits)
    return Shape(pins, interfaces)


_DMA_DEFAULTS = {
    "c_include_sg": "1",
    "c_sg_include_stscntrl_strm": "1",
    "c_sg_length_width": "14",
    "c_enable_multi_channel": "0",
    "c_micro_dma": "0",
    "c_addr_width": "32",
    "c_single_interface": "0",
    "c_prmry_is_aclk_async": "0",
    "c_dlytmr_resolution": "125",
    "c_sg_use_stsapp_length": "0",
    "c_include_mm2s": "1",
    "c_include_mm2s_sf": "1",
    "c_include_mm2s_dre": "0",
    "c_m_axi_mm2s_data_width": "32",
    "c_m_axis_mm2s_tdata_width": "32",
    "c_mm2s_burst_size": "16",
    "c_include_s2mm": "1",
    "c_include_s2mm_sf": "1",
    "c_include_s2mm_dre": "0",
    "c_m_axi_s2mm_data_width": "32",
    "c_s_axis_s2mm_tdata_width": "32",
    "c_s2mm_burst_size": "16",
}
_DMA_LEGAL = {
    **{k: "[01]" for k in _DMA_DEFAULTS if k.startswith(("c_include", "c_sg_inc", "c_sg_use"))},
    **{k: "32|64|128|256|512|1024" for k in _DMA_DEFAULTS if k.endswith("data_width")},
    **{k: "8|16|32|64|128|256|512|1024" for k in _DMA_DEFAULTS if k.endswith("tdata_width")},
    "c_sg_length_width": "[89]|1[0-9]|2[0-6]",
    "c_addr_width": "3[2-9]|[45][0-9]|6[0-4]",
}


def _interconnect(config: Mapping[str, str]) -> Shape:
    pins = {"ACLK": CLK_IN, "ARESETN": RST_IN}
    interfaces = {}
    for side, is_master in (("S", False), ("M", True)):
        for i in range(int(config[f"NUM_{side}I"])):
            port = f"{side}{i:02}"
            pins[f"{port}_ACLK"] = CLK_IN
            pins[f"{port}_ARESETN"] = RST_IN
            interfaces[f"{port}_AXI"] = Interface(is_master, AXI, clock=f"{port}_ACLK")
    return Shape(pins, interfaces)


def _reset(config: Mapping[str, str]) -> Shape:
    del config
    inputs = {name: Pin(False, "rst") for name in ("aux_reset_in", "mb_debug_sys_rst")}
    outputs = ("mb_reset", "bus_struct_reset", "peripheral_reset")
    outputs += ("interconnect_aresetn", "peripheral_aresetn")
    return Shape(
        {
            "slowest_sync_clk": CLK_IN,
            "ext_reset_in": RST_IN,
            "dcm_locked": Pin(False),
            **inputs,
            **dict.fromkeys(outputs, RST_OUT),
        },
        {},
    )


def _intc(config: Mapping[str, str]) -> Shape:
    pins = {"s_axi_aclk": CLK_IN, "s_axi_aresetn": RST_IN, "intr": Pin(False, "intr", True)}
    interfaces = {"s_axi": Interface(False, AXI, clock="s_axi_aclk", width=32)}
    if config["C_IRQ_CONNECTION"] == "1":
        pins["irq"] = Pin(True, "intr")
    else:
        interfaces["interrupt"] = Interface(True, "mbinterrupt", required=False)
    return Shape(pins, interfaces)


def _concat(config: Mapping[str, str]) -> Shape:
    count = int(config["NUM_PORTS"])
    inputs = {f"In{i}": Pin(False, "any", True) for i in range(count)}
    return Shape({**inputs, "dout": Pin(True, "any")}, {})


_SIDES = {"NUM_SI": r"[1-9]|1[0-6]", "NUM_MI": r"[1-9]|[1-5]\d|6[0-4]"}
BLOCKS = {
    "xilinx.com:ip:processing_system7:5.5": Block(
        _PS7_DEFAULTS,
        _PS7_LEGAL,
        _ps7,
        spaces=("M_AXI_GP0", "M_AXI_GP1"),
        segments={f"S_AXI_HP{i}": f"HP{i}_DDR_LOWOCM" for i in range(4)},
    ),
    "xilinx.com:ip:zynq_ultra_ps_e": Block(
        _PSMP_DEFAULTS,
        _PSMP_LEGAL,
        _psmp,
        spaces=tuple(MASTERS_MP.values()),
        segments={f"S_AXI_HP{i}_FPD": f"HP{i}_DDR_LOW" for i in range(4)},
    ),
    "xilinx.com:ip:axi_dma:7.1": Block(
        _DMA_DEFAULTS,
        _DMA_LEGAL,
        _dma,
        spaces=("M_AXI_MM2S", "M_AXI_S2MM", "M_AXI_SG"),
        segments={"S_AXI_LITE": "Reg"},
    ),
    "xilinx.com:ip:axi_interconnect:2.1": Block(
        {"NUM_SI": "1", "NUM_MI": "2", "STRATEGY": "0", "ENABLE_ADVANCED_OPTIONS": "0"},
        _SIDES,
        _interconnect,
    ),
    "xilinx.com:ip:proc_sys_reset:5.0": Block(
        {"C_EXT_RESET_HIGH": "0", "C_AUX_RESET_HIGH": "0", "C_NUM_PERP_ARESETN": "1"}, {}, _reset
    ),
    "xilinx.com:ip:axi_intc:4.1": Block(
        {"C_IRQ_CONNECTION": "0", "C_IRQ_IS_LEVEL": "1", "C_ASYNC_INTR": "0xFFFFFFFF"},
        {"C_IRQ_CONNECTION": "[01]"},
        _intc,
        segments={"s_axi": "Reg"},
    ),
    "xilinx.com:ip:xlconcat:2.1": Block(
        {"NUM_PORTS": "2", "IN0_WIDTH": "1", "IN1_WIDTH": "1"}, {"NUM_PORTS": r"[1-9]\d?"}, _concat
    ),
}


# What every AXI4-Lite slave has, and the direction of each signal: True is out of the slave.
_LITE = {
    **dict.fromkeys(("AWADDR", "AWVALID", "WDATA", "WSTRB", "WVALID", "BREADY"), False),
    **dict.fromkeys(("ARADDR", "ARVALID", "RREADY"), False),
    **dict.fromkeys(("AWREADY", "WREADY", "BRESP", "BVALID"), True),
    **dict.fromkeys(("ARREADY", "RDATA", "RRESP", "RVALID"), True),
}
_STREAM = {"TDATA": True, "TKEEP": True, "TLAST": True, "TVALID": True, "TREADY": False}


def of_verilog(text: str, module: str) -> Block:
    """The block of a module reference: interfaces as the X_INTERFACE_INFO attributes name them."""
    header = re.search(rf"\bmodule\s+{module}\s*\((.*?)\)\s*;", text, re.S)
    if header is None:
        raise CommandError(f"no module {module} with ports in its header")
    ports = re.findall(
        r'X_INTERFACE_INFO = "xilinx\.com:(\w+):(\w+):1\.0 (\w+) (\w+)" \*\)\s*'
        r'(?:\(\* X_INTERFACE_PARAMETER = "([^"]*)" \*\)\s*)?'
        r"(input|output)\s+wire\s+(?:\[(\d+):0\]\s*)?(\w+)",
        header[1],
    )
    if len(ports) != len(re.findall(r"\b(?:input|output)\b", header[1])):
        raise CommandError(f"module {module} has ports without X_INTERFACE_INFO")
    pins = {}
    clock = ""
    associated: list[str] = []
    signals: dict[tuple[str, str], dict[str, tuple[bool, int]]] = {}
    lite: dict[str, int] = {}  # address bits by interface
    for group, kind, name, role, parameters, direction, high, port in ports:
        out = direction == "output"
        if group == "interface":
            roles = signals.setdefault((name, kind), {})
            roles[role] = (out, int(high or 0) + 1)
            bits = re.search(r"PROTOCOL AXI4LITE, DATA_WIDTH 32, ADDR_WIDTH (\d+)", parameters)
            if bits:
                lite[name] = int(bits[1])
            continue
        pins[port] = Pin(out, {"clock": "clk", "reset": "rst"}[kind], not out)
        busses = re.search(r"ASSOCIATED_BUSIF ([\w:]+)", parameters)
        if busses:
            clock, associated = port, busses[1].split(":")
    names = sorted(name for name, _ in signals)
    if sorted(associated) != names:
        raise CommandError(f"clock of {names} is given for {sorted(associated)} only")
    faces = {}
    for (name, kind), roles in signals.items():
        wanted = {"axis": _STREAM, "aximm": _LITE}[kind]
        master = kind == "axis" and roles.get("TDATA", (False, 0))[0]
        if {role: out == (master or kind == "aximm") for role, (out, _) in roles.items()} != wanted:
            raise CommandError(f"signals of {name} are missing or have a wrong direction")
        if kind == "aximm" and lite.get(name) != roles["AWADDR"][1]:
            raise CommandError(f"{name} does not say that it is AXI4-Lite with its address bits")
        width = roles["TDATA" if kind == "axis" else "WDATA"][1]
        faces[name] = Interface(master, {"axis": AXIS, "aximm": AXI}[kind], True, clock, width)
    segments = {name: "reg0" for name, kind in signals if kind == "aximm"}
    return Block({}, {}, lambda _: Shape(pins, faces), segments=segments)
