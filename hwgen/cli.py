"""The command line: arguments to configurations, errors to exit codes; nothing else."""

from __future__ import annotations

import signal
import sys
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from hwgen import __version__
from hwgen.errors import HwgenError

FilePath = click.Path(path_type=Path)
SHARE = click.FloatRange(0, 1)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hwgen")
def cli() -> None:
    """From a trained ReActNet to proven XNOR-popcount hardware, exact at every step."""


def main() -> None:
    """Run the command line; errors of hwgen become one line and their exit code."""
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))  # end tools and clean up alike
    try:
        status = cli.main(standalone_mode=False)
    except click.exceptions.Exit as stop:
        status = stop.exit_code
    except click.ClickException as error:
        error.show()
        status = 2
    except HwgenError as error:
        click.echo(f"error: {error}", err=True)
        status = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("\ninterrupted; run the same command again to go on", err=True)
        status = 130
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        click.echo(f"error: {error.strerror}: {error.filename or 'disk'}", err=True)
        status = 2
    sys.exit(status if isinstance(status, int) else 0)


def config_options(
    skip: tuple[str, ...] = (),
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """One click option for every field of BuildConfig, in the order of its definition."""
    from hwgen.config import BuildConfig

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for name, info in reversed(BuildConfig.model_fields.items()):
            if name not in skip:
                flag = name.replace("_", "-")
                boolean = info.annotation is bool
                option = click.option(
                    f"--{flag}/--no-{flag}" if boolean else f"--{flag}",
                    name,
                    type=None if boolean else _click_type(info.annotation),
                    default=None,
                    help=info.description,
                )
                function = option(function)
        return function

    return decorate


def _click_type(annotation: Any) -> Any:
    """The click type of ``X`` or ``X | None``."""
    if isinstance(annotation, types.UnionType):
        annotation = next(a for a in typing.get_args(annotation) if a is not type(None))
    if typing.get_origin(annotation) is typing.Literal:
        return click.Choice(typing.get_args(annotation))
    return FilePath if annotation is Path else annotation


@cli.command()
@click.argument("config", type=FilePath, required=False)
@click.option("--set", "overrides", multiple=True, metavar="K=V", help="override a config key")
@click.option("--out", type=FilePath, help="output folder [default: runs/CONFIG]")
@click.option("--resume", is_flag=True, help="continue an interrupted run in the output folder")
@click.option("--devices", type=click.IntRange(1), default=1, show_default=True)
@click.option("--nodes", type=click.IntRange(1), default=1, show_default=True, help="machines")
@click.option(
    "--reference/--no-reference",
    default=True,
    show_default=True,
    help="also measure the accuracy of the hardware's integer reference",
)
def train(
    config: Path | None,
    overrides: tuple[str, ...],
    out: Path | None,
    resume: bool,
    devices: int,
    nodes: int,
    reference: bool,
) -> None:
    """Train a ReActNet with Brevitas (default: on the handwritten digits)."""
    from hwgen.commands import train_network

    train_network(
        config,
        overrides,
        out,
        resume=resume,
        devices=devices,
        nodes=nodes,
        reference=reference,
    )


@cli.command()
@click.argument("what", metavar="CONFIG|MODEL|ARCH")
@click.option("--json", "as_json", is_flag=True, help="as JSON")
def summary(what: str, as_json: bool) -> None:
    """Show layers, shapes, work and parameters of a network, and the ReActNet paper's OPs.

    Of a training configuration (.yaml), a checkpoint (.pt), a QONNX file (.onnx) or an
    architecture by name, as reactnet-a.
    """
    from hwgen.commands import show_summary

    show_summary(what, as_json=as_json)


@cli.command("import-reactnet")
@click.argument("checkpoint", type=FilePath)
@click.option(
    "--arch",
    type=click.Choice(["reactnet-a", "bireal-18", "bireal-34", "bireal18", "bireal34"]),
    required=True,
)
@click.option(
    "--images",
    type=FilePath,
    required=True,
    help=".npz (images, labels) or .npy of [0, 1]: calibrates and verifies",
)
@click.option("--out", type=FilePath, help="output folder [default: runs/CHECKPOINT]")
@click.option("--image-size", type=click.IntRange(1), help="pixels each way [default: 224]")
@click.option("--residual-bits", type=click.IntRange(2, 16), default=8, show_default=True)
@click.option("--pooled-bits", type=click.IntRange(2, 16), default=8, show_default=True)
@click.option(
    "--clamp-slopes", is_flag=True, help="set negative PReLU slopes to 0: smaller hardware"
)
def import_reactnet(
    checkpoint: Path,
    arch: str,
    images: Path,
    out: Path | None,
    clamp_slopes: bool,
    **formats: int | None,
) -> None:
    """Bring in a CHECKPOINT of the ReActNet authors: to integers, as QONNX."""
    from hwgen.commands import import_checkpoint

    arch = arch if "-" in arch else arch.replace("bireal", "bireal-")
    import_checkpoint(checkpoint, arch, images, out, formats, clamp_slopes)


@cli.command()
@click.argument("checkpoint", type=FilePath)
@click.option("--out", type=FilePath, help="QONNX file [default: model.onnx beside the checkpoint]")
def export(checkpoint: Path, out: Path | None) -> None:
    """Export a checkpoint as QONNX, with its verification data beside it."""
    from hwgen.commands import export_network

    export_network(checkpoint, out)


@cli.command()
@click.argument("model", type=FilePath)
@click.option("--board", help="also whether it can fit this board")
@click.option("--json", "as_json", is_flag=True, help="as JSON")
def check(model: Path, board: str | None, as_json: bool) -> int:
    """Say in seconds what a QONNX MODEL would become, and all that is in the way.

    Exit code 0: it can be built; 1: it cannot; 2: there is no such file, or it is no ONNX model.
    """
    from hwgen.checking import check_model

    return check_model(model, board, as_json=as_json)


@cli.command()
@click.argument("model", type=FilePath, required=False)
@click.option("--config", type=FilePath, help="YAML file with these options as keys")
@config_options(skip=("model",))
def build(model: Path | None, config: Path | None, **flags: Any) -> None:
    """Turn a QONNX MODEL into hardware, software models and a board project."""
    from hwgen.commands import build_network

    build_network(config, {"model": model, **flags})


@cli.command()
@click.argument("build_dir", type=FilePath)
@click.option("--finn", "engines", flag_value="finn", multiple=True, help="FINN in Python")
@click.option("--reference", "engines", flag_value="reference", multiple=True, help="numpy")
@click.option("--cppsim", "engines", flag_value="cppsim", multiple=True, help="C++")
@click.option("--rtlsim", "engines", flag_value="rtlsim", multiple=True, help="Verilator")
@click.option("--images", type=click.IntRange(1), help="how many images [default: all]")
@click.option("--input", "input_file", type=FilePath, help=".npy or .npz with other images")
@click.option("--trace", type=FilePath, help="waves of rtlsim to this .fst or .vcd file")
def verify(
    build_dir: Path,
    engines: tuple[str, ...],
    images: int | None,
    input_file: Path | None,
    trace: Path | None,
) -> None:
    """Prove a build: run its engines (default: all) and compare them bit for bit."""
    from hwgen.commands import verify_build

    verify_build(build_dir, engines, images=images, input_file=input_file, trace=trace)


@cli.command()
@click.argument("build_dir", type=FilePath)
@click.argument("images", type=FilePath, required=False)
@click.option("--port", required=True, help="serial port of the board, or sim: simulate it")
@click.option("--out", type=FilePath, help=".npy for the results, integers (N, ...)")
@click.option("--labels", type=FilePath, help=".npy of right classes [default: those in IMAGES]")
@click.option("--baud", type=click.IntRange(1), help="bits a second [default: the build's]")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0.1),
    default=5.0,
    show_default=True,
    help="seconds for which the board may be silent",
)
@click.option("--check", is_flag=True, help="compare with the build's C++ model, bit for bit")
def run(build_dir: Path, images: Path | None, port: str, **options: Any) -> None:
    """Send IMAGES through a board on a serial line: results, rate, accuracy.

    IMAGES is .npy or .npz, floats (N, C, H, W) or the network's integers (N, H, W, C); by default
    those that the build was verified on.
    """
    from hwgen.host.run import run_build

    run_build(build_dir, port, images, **options)


@cli.command("simulate-board")
@click.argument("build_dir", type=FilePath)
@click.option("--seed", type=int, default=0, show_default=True, help="of the faults")
@click.option("--noise", type=SHARE, default=0.0, help="share of bits that are flipped")
@click.option("--drop", type=SHARE, default=0.0, help="share of bytes that are lost")
@click.option("--repeat", type=SHARE, default=0.0, help="share of bytes that come twice")
@click.option("--garbage", type=SHARE, default=0.0, help="bursts of random bytes, per byte")
@click.option(
    "--replay", type=SHARE, default=0.0, help="share of frames behind which an old one comes"
)
@click.option("--reset", type=click.IntRange(0), default=0, help="reset after every N bytes")
@click.option("--skew", type=float, default=0.0, help="by which share the host's bits are longer")
@click.option("--exact", is_flag=True, help="with the board's clock and baud rate: slower")
@click.option("--counts", type=FilePath, help="JSON file for bytes, clocks and faults at the end")
def simulate_board(build_dir: Path, exact: bool, counts: Path | None, **faults: Any) -> None:
    """Simulate a build's whole board behind a pseudo-terminal, until Ctrl-C.

    What it prints is a port for hwgen run. The options damage what passes the line, both ways.
    """
    from hwgen.backends.uartsim import Faults
    from hwgen.host.run import simulate_board

    simulate_board(build_dir, Faults(**faults), exact=exact, counts=counts)


@cli.command()
@click.argument("build_dir", type=FilePath)
@click.option("--open", "open_it", is_flag=True, help="open it in the browser")
def report(build_dir: Path, open_it: bool) -> None:
    """Write report/index.html from a build's JSON reports."""
    from hwgen.commands import write_report

    write_report(build_dir, open_it=open_it)


@cli.group(invoke_without_command=True)
@click.pass_context
def boards(context: click.Context) -> None:
    """Boards that builds can target."""
    if context.invoked_subcommand is None:
        context.invoke(boards_list, as_json=False)


@boards.command("list")
@click.option("--json", "as_json", is_flag=True, help="as JSON")
def boards_list(as_json: bool) -> None:
    """List the boards, their capacity, and what can be made for them here."""
    from hwgen.commands import list_boards

    list_boards(as_json=as_json)


@boards.command("show")
@click.argument("name")
def boards_show(name: str) -> None:
    """Print a board's file."""
    from hwgen.commands import show_board

    show_board(name)


@boards.command("new")
@click.argument("name")
@click.option("--like", default="pynq-z2", show_default=True, help="board to begin from")
@click.option("--out", type=FilePath, help="its file [default: NAME.yaml here]")
def boards_new(name: str, like: str, out: Path | None) -> None:
    """Begin a board of your own: a commented file that loads as it is."""
    from hwgen.commands import new_board

    new_board(name, like, out)


@cli.command()
@click.option("--out", type=FilePath, default=Path("build/demo"), show_default=True)
@click.option("--board", default="pynq-z2", show_default=True)
@click.option("--synth", is_flag=True, help="synthesise with Yosys too: one to two minutes more")
def demo(out: Path, board: str, synth: bool) -> None:
    """Train, export, build, verify and report, on the bundled handwritten digits."""
    from hwgen.commands import run_demo

    run_demo(out, board, synth=synth)
