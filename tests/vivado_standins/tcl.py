"""A Tcl script, run by a real Tcl interpreter, with some of its commands written in Python.

The interpreter is the one in Python's own tkinter, or the program tclsh, whichever is there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Command = Callable[[list[str]], str]

MISSING = (
    "these tests run build.tcl and need a Tcl interpreter: a Python with tkinter "
    "(Debian: apt-get install python3-tk), or the program tclsh (apt-get install tcl)"
)

# puts to the console and exit are Python's too: so both interpreters behave alike
PRELUDE = """
set auto_noexec 1
rename puts tcl_puts
catch {rename exit tcl_exit}  ;# an embedded Tcl has none
proc puts {args} {
    set end {}
    if {[lindex $args 0] eq "-nonewline"} {
        set args [lrange $args 1 end]
    } else {
        set end \\n
    }
    if {[llength $args] > 2 || [llength $args] < 1} {
        error {wrong # args: should be "puts ?-nonewline? ?channelId? string"}
    }
    set channel [expr {[llength $args] == 2 ? [lindex $args 0] : "stdout"}]
    if {$channel in {stdout stderr}} {
        call_python puts $channel [lindex $args end]$end
    } else {
        tcl_puts -nonewline $channel [lindex $args end]$end
    }
    return
}
proc exit {{status 0}} {
    call_python exit $status
    error {exit was called}
}
"""

SHELL = """
fconfigure stdin -translation lf
fconfigure stdout -translation lf
proc call_python {args} {
    set words {}
    foreach word $args {
        lappend words x[binary encode hex [encoding convertto utf-8 $word]]
    }
    tcl_puts stdout [join $words]
    flush stdout
    lassign [gets stdin] status answer
    set answer [encoding convertfrom utf-8 [binary decode hex [string range $answer 1 end]]]
    if {$status ne "ok"} {
        return -code error $answer
    }
    return $answer
}
"""

EMBEDDED = """
proc call_python {args} {
    lassign [call_embedding_python {*}$args] status answer
    if {$status ne "ok"} {
        return -code error $answer
    }
    return $answer
}
"""


@dataclass(frozen=True)
class Outcome:
    """How a script ended: exit status as of ``vivado -mode batch``, and its console output."""

    status: int
    stdout: str
    stderr: str


def available() -> list[str]:
    """The interpreters on this machine."""
    found = []
    with contextlib.suppress(Exception):  # no _tkinter, or no Tcl library that it could start
        import tkinter

        tkinter.Tcl()
        found.append("tkinter")
    if shutil.which("tclsh"):
        found.append("tclsh")
    return found


class CommandError(Exception):
    """A Tcl error raised by a command."""


class Session:
    """One run of one script."""

    def __init__(self, commands: Mapping[str, Command]) -> None:
        self.commands = commands
        self.console = {"stdout": "", "stderr": ""}
        self.status: int | None = None
        self.crash: BaseException | None = None  # a bug in a stand-in, or a failed assertion

    def serve(self, *words: str) -> tuple[str, str]:
        """Answer one call from Tcl: ("ok", result) or ("error", message)."""
        name, *rest = map(str, words)
        try:
            return "ok", self.call(name, rest)
        except CommandError as error:
            return "error", str(error)
        except BaseException as error:
            self.crash = self.crash or error
            return "error", repr(error)

    def call(self, name: str, rest: list[str]) -> str:
        """Run one command."""
        if name == "puts":
            self.console[rest[0]] += rest[1]
        elif name == "exit":
            self.status = int(rest[0])
        elif name == "uncaught":  # also the error by which exit leaves the script
            if self.status is None:
                self.status = 1
                self.console["stderr"] += rest[0]
        elif self.status is not None:
            raise AssertionError(f"{name} was called after exit")
        else:
            return self.commands[name](rest)
        return ""

    def text(self, script: Path, cwd: Path, args: Sequence[str]) -> str:
        """Tcl procedures for the commands, and the script."""
        return (
            PRELUDE
            + f"set argv [list {' '.join(args)}]\n"
            + "".join(
                f"proc {name} {{args}} {{ call_python {name} {{*}}$args }}\n"
                for name in self.commands
            )
            + f"cd {{{cwd}}}\n"
            + f"if {{[catch {{source {{{script}}}}} message]}} {{call_python uncaught $message}}\n"
        )


def run(
    script: Path,
    cwd: Path,
    commands: Mapping[str, Command],
    interpreter: str,
    args: Sequence[str] = (),
) -> Outcome:
    """Run ``script`` as ``vivado -mode batch -source script`` does, started in ``cwd``.

    ``args`` are plain words, as after ``-tclargs``.
    """
    session = Session(commands)
    if interpreter == "tkinter":
        import tkinter

        before = Path.cwd()
        embedded = tkinter.Tcl()
        embedded.createcommand("call_embedding_python", session.serve)
        try:
            embedded.eval(EMBEDDED + session.text(script, cwd, args))
        finally:
            os.chdir(before)  # Tcl's cd is the process's
    else:
        _run_shell(session, SHELL + session.text(script, cwd, args))
    if session.crash is not None:
        raise session.crash
    return Outcome(session.status or 0, session.console["stdout"], session.console["stderr"])


def _run_shell(session: Session, text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        prelude = Path(folder) / "prelude.tcl"
        prelude.write_text(text)
        with subprocess.Popen(
            ["tclsh", prelude],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin
            assert process.stdout
            assert process.stderr
            for line in process.stdout:
                words = [bytes.fromhex(word[1:]).decode() for word in line.split()]
                status, answer = session.serve(*words)
                process.stdin.write(f"{status} x{answer.encode().hex()}\n")
                process.stdin.flush()
            complaint = process.stderr.read()
        if process.returncode:
            raise AssertionError(f"tclsh: {complaint}")
