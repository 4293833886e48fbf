"""SystemVerilog: the kernels, their memory files and the top that wires them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from textwrap import wrap

from hwgen.dataflow import SINK, SOURCE, Dataflow, Stage, Stream
from hwgen.files import Files
from hwgen.quant import Tensor
from hwgen.render import render
from hwgen.resources import data_folder
from hwgen.technology import Technology

TOP = "hwgen_top"
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Instance:
    """A module instance, its connections in lines."""

    module: str
    name: str
    parameters: tuple[str, ...]
    ports: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """A stage in the top: its comment, its nets, the FIFOs that feed it and its kernel."""

    comment: str
    wires: tuple[str, ...]
    fifos: tuple[Instance, ...]
    kernel: Instance


def emit(dataflow: Dataflow) -> Files:
    """The folder ``rtl/``: kernels, memory files, top and file list."""
    instances = [stage.rtl() for stage in dataflow.stages]
    modules = library(dataflow.technology)
    content = {f"{name}.sv": modules[name] for name in kernels(dataflow)}
    for instance in instances:
        content.update(instance.memories)
        content.update({f"{name}.sv": text for name, text in instance.sources.items()})
    content[f"{TOP}.sv"] = _top(dataflow)
    sources = sorted(path for path in content if path.endswith(".sv"))
    content["filelist.f"] = "".join(f"{path}\n" for path in sources).encode()
    return Files(content)


def build_id(rtl: Files) -> int:
    """64 bits of the digest of ``rtl/``, by which a host knows the build on a board."""
    return int(rtl.digest()[:16], 16)


def library(technology: Technology) -> dict[str, bytes]:
    """Every module of templates/rtl by name, as it is for a technology, and its cells."""
    folders = ("rtl", technology.cells) if technology.cells else ("rtl",)
    paths = [p for f in folders for p in sorted((data_folder("templates") / f).glob("*.sv"))]
    return {path.stem: path.read_bytes() for path in paths}


def kernels(dataflow: Dataflow) -> list[str]:
    """The modules of the library that the design needs, those within other kernels included."""
    modules = library(dataflow.technology)
    instances = [stage.rtl() for stage in dataflow.stages]
    made = [text for instance in instances for text in instance.sources.values()]
    found: set[str] = set()
    todo = {"fifo", *(each.module for each in instances), *_instantiated(*made)} & set(modules)
    while todo:
        name = todo.pop()
        found.add(name)
        todo |= (_instantiated(modules[name]) & set(modules)) - found
    return sorted(found)


def _instantiated(*sources: bytes) -> set[str]:
    """Modules that ``sources`` instantiate, and words that look like one."""
    code = _COMMENT.sub("", b"\n".join(sources).decode())
    return set(re.findall(r"\b(\w+)\s+(?:#\s*\(|\w+\s*\()", code))


def identifiers(names: Iterable[str]) -> dict[str, str]:
    """A legal and unique identifier for every name, the name itself where it is one."""
    chosen: dict[str, str] = {}
    for name in names:
        base = re.sub(r"[^A-Za-z0-9_]", "_", name) or "n"
        base = base if not base[0].isdigit() else f"n{base}"
        text, count = base, 1
        while text.lower() in {other.lower() for other in chosen.values()}:
            count += 1
            text = f"{base}_{count}"
        chosen[name] = text
    return chosen


def tensor_streams(dataflow: Dataflow) -> dict[str, int]:
    """For every tensor that a layer of the graph writes, the index of the stream it leaves by."""
    inside = {layer.name for layer in dataflow.graph.layers}
    written = {
        (stage.name, port): tensor.name
        for stage in dataflow.stages
        if stage.name in inside
        for port, tensor in enumerate(stage.layer.outputs)
    }
    return {
        written[s.source, s.source_port]: index
        for index, s in enumerate(dataflow.streams)
        if (s.source, s.source_port) in written
    }


def _top(dataflow: Dataflow) -> bytes:
    """Render the top."""
    names = identifiers(stage.name for stage in dataflow.stages)
    context = {
        "network": _one_line(dataflow.graph.name),
        "clock_mhz": f"{dataflow.clock_mhz:g}",
        "max_cycles": dataflow.max_cycles,
        "bottleneck": _one_line(dataflow.bottleneck.name),
        "input": describe(dataflow.graph.input),
        "output": describe(dataflow.graph.output),
        "in_data": bit_range(8 * dataflow.axis_in.bus_bytes),
        "in_keep": bit_range(dataflow.axis_in.bus_bytes),
        "out_data": bit_range(8 * dataflow.axis_out.bus_bytes),
        "out_keep": bit_range(dataflow.axis_out.bus_bytes),
        "top": TOP,
        "blocks": [asdict(_block(dataflow, stage, names)) for stage in dataflow.stages],
        "probes": [asdict(_probe(dataflow, i, names)) for i in range(len(dataflow.streams))],
    }
    return render("top/hwgen_top.sv.j2", context)


def describe(tensor: Tensor) -> str:
    """Shape and type, as comments show them."""
    h, w, c = tensor.shape
    return f"{h}x{w}x{c} {tensor.dtype}"


def plain(text: str) -> str:
    """``text`` without what could end a comment or string of a generated file."""
    return re.sub(r"[^\w .:()+-]", "_", text)


def bit_range(width: int) -> str:
    """The packed range of a net of ``width`` bits."""
    return f"[{width - 1}:0]"


def _block(dataflow: Dataflow, stage: Stage, names: dict[str, str]) -> Block:
    """The part of the top that belongs to ``stage``."""
    here, instance = names[stage.name], stage.rtl()
    inputs, outputs = dataflow.into(stage.name), dataflow.out_of(stage.name)
    s_side = "s_axis_t" if stage.name == SOURCE else f"{here}_s_"
    m_side = "m_axis_t" if stage.name == SINK else f"{here}_m_"
    rows = [
        {"s_valid_i": f"{s_side}valid", "s_ready_o": f"{s_side}ready", "s_data_i": f"{s_side}data"},
        {"m_valid_o": f"{m_side}valid", "m_ready_i": f"{m_side}ready", "m_data_o": f"{m_side}data"},
    ]
    if stage.name == SINK:
        rows.append({"m_keep_o": f"{m_side}keep", "m_last_o": f"{m_side}last"})
    return Block(
        comment=_comment(stage),
        wires=(*_wires(f"{here}_s", inputs), *_wires(f"{here}_m", outputs)),
        fifos=tuple(_fifo(dataflow, stream, names) for stream in inputs),
        kernel=_instance(instance.module, f"u_{here}", instance.literals, *rows),
    )


def _comment(stage: Stage) -> str:
    """What a stage is and how it is folded, on one line."""
    layer = stage.layer
    kind = type(layer).__name__
    title = layer.name if stage.name in (SOURCE, SINK) else f"{layer.name} ({kind})"
    keys = {"PE": stage.folding.pe, "SIMD": stage.folding.simd}
    folding = "".join(f"{key} {keys[key]}, " for key in layer.folding_keys())
    inputs = ", ".join(describe(tensor) for tensor in layer.inputs)
    outputs = ", ".join(describe(tensor) for tensor in layer.outputs)
    return _one_line(f"{title}: {inputs} to {outputs}; {folding}{stage.cycles} cycles a frame")


def _wires(prefix: str, streams: tuple[Stream, ...]) -> tuple[str, ...]:
    """The nets of one side of a kernel: a bit a port, data concatenated, port 0 lowest."""
    if not streams:
        return ()
    bits = f"{bit_range(len(streams))} " if len(streams) > 1 else ""
    data = bit_range(sum(stream.width for stream in streams))
    return (f"{bits}{prefix}_valid, {prefix}_ready", f"{data} {prefix}_data")


def _side(streams: tuple[Stream, ...], stream: Stream, prefix: str) -> dict[str, str]:
    """How one of ``streams`` is called among the nets of ``_wires``."""
    port = streams.index(stream)
    base = sum(other.width for other in streams[:port])
    bit = f"[{port}]" if len(streams) > 1 else ""
    data = f"[{base}+:{stream.width}]" if len(streams) > 1 else ""
    return {
        "valid": f"{prefix}_valid{bit}",
        "ready": f"{prefix}_ready{bit}",
        "data": f"{prefix}_data{data}",
    }


def _ends(
    dataflow: Dataflow, stream: Stream, names: dict[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """The nets at the writing and at the reading end of a stream."""
    written = _side(dataflow.out_of(stream.source), stream, f"{names[stream.source]}_m")
    read = _side(dataflow.into(stream.sink), stream, f"{names[stream.sink]}_s")
    return written, read


def _fifo(dataflow: Dataflow, stream: Stream, names: dict[str, str]) -> Instance:
    """The FIFO of a stream."""
    written, read = _ends(dataflow, stream, names)
    return _instance(
        "fifo",
        f"fifo_{names[stream.sink]}_{stream.sink_port}",
        stream.rtl.literals,
        {
            "s_valid_i": written["valid"],
            "s_ready_o": written["ready"],
            "s_data_i": written["data"],
        },
        {"m_valid_o": read["valid"], "m_ready_i": read["ready"], "m_data_o": read["data"]},
    )


def _probe(dataflow: Dataflow, index: int, names: dict[str, str]) -> Instance:
    """The simulation-only observer of stream ``index``."""
    stream = dataflow.streams[index]
    written, read = _ends(dataflow, stream, names)
    return _instance(
        "stream_probe",
        f"probe_{names[stream.sink]}_{stream.sink_port}",
        {"STREAM": str(index), "WIDTH": str(stream.width)},
        {"record_i": "probe_record_i", "report_i": "probe_report_i"},
        {
            "s_valid_i": written["valid"],
            "s_ready_i": written["ready"],
            "s_data_i": written["data"],
        },
        {"m_valid_i": read["valid"], "m_ready_i": read["ready"]},
    )


def _instance(module: str, name: str, values: dict[str, str], *rows: dict[str, str]) -> Instance:
    """An instance with its parameters and rows of ports."""
    clock = {"clk_i": "aclk", "rst_i": "rst"}
    return Instance(module, name, _bind(values), _bind(clock, *rows))


def _bind(*rows: dict[str, str]) -> tuple[str, ...]:
    """Named connections; every row starts a line, long rows are broken."""
    lines: list[str] = []
    for last, row in ((row is rows[-1], row) for row in rows):
        text = ", ".join(f".{name}({value})" for name, value in row.items())
        lines += wrap(text + ("" if last else ","), 92, break_long_words=False)
    return tuple(lines)


def _one_line(text: str) -> str:
    """``text`` as a comment can hold it."""
    return " ".join(text.split())
