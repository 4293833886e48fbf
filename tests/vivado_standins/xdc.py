"""Constraint files, which are Tcl without control flow: read against the ports of a top module.

Stricter than Vivado: a port that is missing, or is left without a pin or an I/O standard, is an
error here, where Vivado warns, or complains only when it writes the bitstream.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.vivado_standins.tcl import CommandError

PORT_PROPERTIES = {
    "PACKAGE_PIN": r"[A-Z]{1,2}\d+",
    "IOSTANDARD": r"LVCMOS(33|25|18|15|12)|LVTTL",
    "PULLUP": "TRUE",
    "PULLDOWN": "TRUE",
}
DESIGN_PROPERTIES = {"CFGBVS": "VCCO|GND", "CONFIG_VOLTAGE": r"3\.3|2\.5|1\.8|1\.5"}


@dataclass
class Constraints:
    """What the files say: properties by port, periods in ns by port, ports without timing."""

    ports: dict[str, dict[str, str]]
    design: dict[str, str] = field(default_factory=dict)
    clocks: dict[str, float] = field(default_factory=dict)
    untimed: set[str] = field(default_factory=set)


def read(texts: Iterable[str], ports: Iterable[str]) -> Constraints:
    """Apply every line; raise ``CommandError`` for the first that Vivado would not take."""
    found = Constraints({port: {} for port in ports})
    for line in [line for text in texts for line in text.splitlines()]:
        if line.strip() and not line.startswith("#"):
            _apply(line, found)
    pins = [p["PACKAGE_PIN"] for p in found.ports.values() if "PACKAGE_PIN" in p]
    if len(set(pins)) != len(pins):
        raise CommandError(f"two ports share a pin: {pins}")
    return found


def _apply(line: str, found: Constraints) -> None:
    words = re.fullmatch(r"(\S+) (.*?) ?\[(get_ports|current_design)(?: (\S+))?\]", line)
    if words is None:
        raise CommandError(f"constraint not understood: {line}")
    command, rest, kind, port = words.groups()
    if (kind == "get_ports") != (port in found.ports):
        raise CommandError(f"no port matched: {line}")
    if command == "set_property" and len(rest.split()) == 2:
        name, value = rest.split()
        known = PORT_PROPERTIES if kind == "get_ports" else DESIGN_PROPERTIES
        if name not in known or not re.fullmatch(known[name], value):
            raise CommandError(f"no such property or value: {line}")
        (found.ports[port] if kind == "get_ports" else found.design)[name] = value
    elif clock := re.fullmatch(r"create_clock -name \w+ -period (\d+\.\d+)", f"{command} {rest}"):
        found.clocks[port] = float(clock[1])
    elif re.fullmatch("set_false_path -(from|to)", f"{command} {rest}"):
        found.untimed.add(port)
    else:
        raise CommandError(f"constraint not understood: {line}")


def check_pins(found: Constraints) -> None:
    """Raise unless every port has its pin and standard, and is the clock or untimed."""
    for port, given in found.ports.items():
        lacking = [name for name in ("PACKAGE_PIN", "IOSTANDARD") if name not in given]
        if lacking:
            raise CommandError(f"port {port} has no {', '.join(lacking)}")
        if (port in found.clocks) == (port in found.untimed):
            raise CommandError(f"port {port} is neither a clock nor without timing")
    if found.design.keys() != DESIGN_PROPERTIES.keys():
        raise CommandError("CFGBVS and CONFIG_VOLTAGE are not both set")
