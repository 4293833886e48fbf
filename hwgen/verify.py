"""Proof of a build: every engine runs and must equal the integer graph, bit for bit."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen import mismatch, report
from hwgen.backends import cpp, reference, rtlsim
from hwgen.data import VerificationData, load_data
from hwgen.dataflow import Dataflow
from hwgen.engine import EngineRun, chosen, first_difference, interpret
from hwgen.errors import MismatchError, UserInputError
from hwgen.files import require_writable, write_json
from hwgen.journal import Journal
from hwgen.layers import TopK
from hwgen.mismatch import Mismatch
from hwgen.quant import IntArray, QuantGraph, quantise_input
from hwgen.saved import DATA, MODEL, engine_of, load_build, read_json

LAYERWISE = 3  # frames on which every layer's output is compared, not the network's alone
TRACED = 2  # frames in a waveform, unless told otherwise: one fills the pipeline, one follows
STALLED = 4  # frames that rtlsim also runs under random idle and back-pressure
FINN_IMAGES = 32  # FINN executes node by node in Python, too slowly for whole test sets
ENGINES = ("finn", "reference", "cppsim", "rtlsim")

Run = Callable[[IntArray, bool], EngineRun]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What comparing one engine with the integer graph gave."""

    images: int
    mismatches: int
    first_mismatch: Mapping[str, Any] | None
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """As it stands in verification.json."""
        return {
            "images": self.images,
            "mismatches": self.mismatches,
            "first_mismatch": self.first_mismatch,
            "seconds": round(self.seconds, 3),
        }


def verify(
    folder: Path,
    *,
    engines: tuple[str, ...] = ENGINES,
    images: int | None = None,
    input_file: Path | None = None,
    trace: Path | None = None,
) -> dict[str, Verdict]:
    """Build and run engines on the build's images, or on ``input_file``; write the reports.

    The outputs of all images are compared, and every layer's on the first few. Raises
    ``MismatchError`` naming the first differing layer, channel and pixel of the first engine that
    differs; the reports are written before, and that place's tensors to
    verification_output/first_mismatch. ``trace`` (.fst or .vcd) gets the waves of rtlsim on
    ``images`` frames, or two.
    """
    flow, _ = load_build(folder)
    engines = _available(folder, engines)
    if trace is not None:
        _require_waves(trace, engines)
    require_writable(folder / "report")
    data = load_data(input_file or folder / DATA)
    frames = quantise_input(flow.graph, data.images[:images])
    log = folder / "verification_output" / "verify.log"
    steps = 1 + 2 * len(engines) + (trace is not None)
    journal = Journal(log, steps, title=f"verify {folder}")
    mismatch.clear(log.parent)
    verdicts: dict[str, Verdict] = {}
    places: dict[str, Mismatch] = {}
    outputs: dict[str, IntArray] = {}
    with journal.running():
        with journal.step("integer graph"):
            started = time.monotonic()
            final = flow.graph.output.name
            expected = interpret(flow.graph, frames, keep=False)[final]
            outputs["integer"] = expected
            if data.brevitas_logits is not None:
                seconds = time.monotonic() - started
                verdicts["brevitas"] = against_brevitas(flow, data, expected, seconds)
        for name in engines:
            with journal.step(f"compile {name}"):
                run = _prepare(name, folder, flow)
            with journal.step(f"run {name}"):
                try:
                    hidden = flow.hidden if name == "rtlsim" else frozenset()
                    found = _compare(flow, run, frames, expected, hidden)
                    verdicts[name], outputs[name], place = found
                except MismatchError as error:  # no output at all: deadlock, a broken protocol
                    verdicts[name], place = _failed(flow, run, frames, error)
                if place is not None:
                    places[name] = place
        if trace is not None:
            with journal.step(f"trace to {trace}"):
                _trace(folder, flow, frames[: images or TRACED], trace)
    for name, place in list(places.items())[:1]:
        mismatch.save(log.parent, flow.graph, name, place)
    write_json(folder / "report" / "verification.json", _merged(folder, verdicts))
    write_json(folder / "report" / "accuracy.json", accuracies(flow.graph, data, outputs))
    times = read_json(folder / "time_per_step.json")
    write_json(folder / "time_per_step.json", {**times, **journal.seconds})
    _save_outputs(folder, outputs)
    report.write(folder)
    for name, verdict in verdicts.items():
        if verdict.mismatches:
            where = ", ".join(f"{k} {v}" for k, v in (verdict.first_mismatch or {}).items())
            raise MismatchError(
                f"{name} differs from the integer graph on {verdict.mismatches} of "
                f"{verdict.images} images; first difference: {where}"
                + (f"; its tensors: {log.parent / mismatch.FOLDER}" if places else "")
            )
    return verdicts


def _available(folder: Path, engines: tuple[str, ...]) -> tuple[str, ...]:
    """All engines that the build has; one asked for alone that it has not is an error."""
    if engine_of(folder) == "rtl":
        return engines
    found = tuple(name for name in engines if name != "rtlsim")
    if not found:
        raise UserInputError(
            f"{folder} was built with --engine finn and has no RTL of hwgen's to simulate; "
            "verify it with --finn, --reference or --cppsim"
        )
    return found


def _prepare(name: str, folder: Path, flow: Dataflow) -> Run:
    """Compile an engine; return how to run it."""
    if name == "finn":
        from hwgen.frontend.importer import run_dataflow_model  # heavy: qonnx and finn

        return lambda x, keep: run_dataflow_model(folder / MODEL, flow.graph, x[:FINN_IMAGES])
    if name == "reference":
        return lambda x, keep: reference.run(folder / "reference", flow.graph, x, keep=keep)
    if name == "cppsim":
        library = cpp.build(folder / "cppsim", folder / "cppsim" / "build.log")
        return lambda x, keep: cpp.run(library, flow.graph, x, keep=keep)
    rtlsim.build(folder / "rtl", folder / "rtlsim", folder / "rtlsim" / "build.log")
    return _RtlRun(folder, flow)


def _require_waves(trace: Path, engines: tuple[str, ...]) -> None:
    """Refuse a trace that cannot be made, before anything runs."""
    if trace.suffix not in rtlsim.WAVES:
        raise UserInputError(
            f"--trace {trace}: the file's ending says its format, {' or '.join(rtlsim.WAVES)}"
        )
    if "rtlsim" not in engines:
        raise UserInputError("--trace records the simulated hardware; add --rtlsim")
    require_writable(trace.parent)


def _trace(folder: Path, flow: Dataflow, frames: IntArray, trace: Path) -> None:
    """Write the waves of a run whose verdict is known already."""
    where = folder / "rtlsim"
    rtlsim.build(folder / "rtl", where, where / "build_trace.log", trace.suffix)
    with suppress(MismatchError):
        rtlsim.run(where, flow, frames, trace=trace)


@dataclass(frozen=True, slots=True)
class _RtlRun:
    """rtlsim: full speed for the measurement, and once more under idle and back-pressure."""

    folder: Path
    flow: Dataflow

    def __call__(self, frames: IntArray, keep: bool) -> EngineRun:
        """Run, check the initiation interval, and write rtlsim_performance.json."""
        where = self.folder / "rtlsim"
        if keep:
            return rtlsim.run(where, self.flow, frames, keep=True)
        fast = rtlsim.run(where, self.flow, frames)
        some = frames[:STALLED]
        slow = rtlsim.run(where, self.flow, some, seed=1, idle=0.3, stall=0.3)
        if not np.array_equal(fast.output[: len(some)], slow.output):
            raise MismatchError("rtlsim: outputs depend on idle cycles and back-pressure")
        held = rtlsim.most_held(self.flow, fast.stats)
        stats = {k: v for k, v in fast.stats.items() if not k.startswith(rtlsim.MOST_HELD)}
        model = self.flow.max_cycles
        measured = stats.get("cycles_per_frame")
        write_json(
            self.folder / "report" / "rtlsim_performance.json",
            {
                **stats,
                "model_cycles_per_frame": model,
                "clock_mhz": self.flow.clock_mhz,
                "most_held": held,
            },
        )
        if len(frames) >= STALLED and measured != model:
            raise MismatchError(
                f"rtlsim takes {measured} cycles a frame, the model says {model}: "
                f"bottleneck {self.flow.bottleneck.name}"
            )
        return fast


def _compare(
    flow: Dataflow, run: Run, frames: IntArray, expected: IntArray, hidden: frozenset[str]
) -> tuple[Verdict, IntArray, Mismatch | None]:
    """An engine's verdict, its outputs, and where it differs first, but for ``hidden`` tensors."""
    layers = interpret(flow.graph, frames[:LAYERWISE])
    started = time.monotonic()
    whole = run(frames, False)
    traced = run(frames[:LAYERWISE], True)
    seconds = time.monotonic() - started
    made = {t.name for layer in flow.graph.layers for t in layer.outputs}
    unrecorded = made - hidden - set(traced.tensors)
    if unrecorded:  # what was not recorded was not compared
        raise MismatchError(f"no output was recorded for {', '.join(sorted(unrecorded))}")
    ran = len(whole.output)
    wrong = (whole.output != expected[:ran]).reshape(ran, -1).any(axis=1)
    first: Mapping[str, Any] | None = first_difference(flow.graph, layers, traced.tensors)
    place = None
    if first is not None:
        at = first.get("image", 0)
        some = slice(at, at + 1)
        want, got = ({k: v[some] for k, v in x.items()} for x in (layers, traced.tensors))
        place = Mismatch(first, frames[some], want, got)
    elif wrong.any():
        final = flow.graph.output.name
        first = first_difference(flow.graph, {final: expected[:ran]}, {final: whole.output})
        place = mismatch.locate(flow.graph, run, frames, int(np.argmax(wrong)))
        first = first if place is None else place.where
    mismatches = max(int(wrong.sum()), int(first is not None))
    return Verdict(ran, mismatches, first, seconds), whole.output, place


def _failed(
    flow: Dataflow, run: Run, frames: IntArray, error: MismatchError
) -> tuple[Verdict, Mismatch | None]:
    """The verdict on an engine that broke down, and the first wrong layer if one image shows it."""
    try:
        place = mismatch.locate(flow.graph, run, frames, 0)
    except MismatchError:  # a frame alone breaks it too
        place = None
    where = {} if place is None else place.where
    return Verdict(len(frames), len(frames), {"failure": str(error), **where}, 0.0), place


def against_brevitas(
    flow: Dataflow, data: VerificationData, output: IntArray, seconds: float
) -> Verdict:
    """Brevitas' float logits against the integer graph after its output scale.

    Equal exactly where the scale is a power of two and nothing is added; float32 arithmetic rounds
    elsewhere, and the integers that the logits stand for must be equal. Where the network ends in
    top-k, the classes that its logits choose.
    """
    assert data.brevitas_logits is not None
    scaling = flow.graph.scaling
    want: NDArray[Any] = data.brevitas_logits[: len(output)].reshape(len(output), -1)
    got: NDArray[Any] = output.reshape(len(output), -1)
    if isinstance(flow.graph.layers[-1], TopK):
        want = np.argsort(-want, axis=1, kind="stable")[:, : got.shape[1]]
        equal: NDArray[np.bool_] = want == got
    else:
        equal = scaling.agrees(got, want)
    wrong = ~equal.all(axis=1)
    first = None
    if wrong.any():
        n, c = (int(i) for i in np.argwhere(~equal)[0])
        first = {
            "layer": flow.graph.layers[-1].name,
            "image": n,
            "channel": c,
            "expected": float(want[n, c]),
            "got": float(got[n, c]),
        }
    return Verdict(len(output), int(wrong.sum()), first, seconds)


def accuracies(
    graph: QuantGraph, data: VerificationData, outputs: Mapping[str, IntArray]
) -> dict[str, Any]:
    """Share of right answers at every stage, all over the same images; empty without labels."""
    count = len(outputs["integer"])
    if data.labels is None:
        return {}
    answers = {k: chosen(graph, v)[:, 0] for k, v in outputs.items() if len(v) == count}
    if data.brevitas_logits is not None:
        logits = data.brevitas_logits[:count].reshape(count, -1)
        answers = {"brevitas": logits.argmax(axis=1), **answers}
    labels = data.labels[:count]
    found: dict[str, Any] = {"images": count}
    if data.float_accuracy is not None and count == len(data.images):
        found["float"] = round(data.float_accuracy, 6)
    for name, classes in answers.items():
        found[name] = round(float(np.mean(classes == labels)), 6)
    return found


def _merged(folder: Path, verdicts: Mapping[str, Verdict]) -> dict[str, Any]:
    """New verdicts over those of earlier runs on the same build."""
    before = read_json(folder / "report" / "verification.json")
    return {**before, **{name: verdict.to_json() for name, verdict in verdicts.items()}}


def _save_outputs(folder: Path, outputs: Mapping[str, IntArray]) -> None:
    for name, output in outputs.items():
        with (folder / "verification_output" / f"{name}.npy").open("wb") as stream:
            np.save(stream, output)
