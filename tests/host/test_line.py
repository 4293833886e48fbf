"""What can be wrong with a port, each in one line of words with its remedy."""

from __future__ import annotations

import errno
import os
import pty
import tty
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import serial

from hwgen.errors import LineError
from hwgen.host import line as line_module
from hwgen.host.line import Line


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    """The master of a pseudo-terminal and the port to open."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    name = os.ttyname(slave)
    yield master, name
    for end in (master, slave):
        try:
            os.close(end)
        except OSError:
            assert end == master  # the test has unplugged it


def opened(name: str) -> Line:
    return Line(name, 115_200, timeout_s=0.2)


def test_bytes_go_both_ways(terminal: tuple[int, str]) -> None:
    master, name = terminal
    line = opened(name)
    everything = bytes(range(256))
    line.write(everything)
    assert os.read(master, 300) == everything
    os.write(master, everything)
    got = b""
    while len(got) < 256:
        got += line.read()
    assert got == everything
    os.write(master, b"old")
    line.clear()
    assert line.read() == b""
    line.close()


def test_no_such_port_lists_those_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    ports = [SimpleNamespace(device="/dev/ttyUSB1"), SimpleNamespace(device="/dev/ttyACM0")]
    monkeypatch.setattr(line_module.list_ports, "comports", lambda: ports)
    with pytest.raises(
        LineError, match="no port /dev/ttyUSB0; ports here: /dev/ttyACM0, /dev/ttyUSB1"
    ):
        opened("/dev/ttyUSB0")
    monkeypatch.setattr(line_module.list_ports, "comports", lambda: [])
    with pytest.raises(LineError, match="no serial port is here: is the board on"):
        opened("/dev/ttyUSB0")


def test_no_permission_names_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise serial.SerialException(errno.EACCES, "could not open port: Permission denied")

    monkeypatch.setattr(serial, "Serial", refuse)
    with pytest.raises(LineError, match=r"no permission to open /dev/ttyUSB0; .*dialout"):
        opened("/dev/ttyUSB0")


def test_a_port_in_use_is_busy(terminal: tuple[int, str]) -> None:
    first = opened(terminal[1])
    with pytest.raises(LineError, match=f"{terminal[1]} is busy: another program has it open"):
        opened(terminal[1])
    first.close()
    opened(terminal[1]).close()


def test_a_file_is_no_serial_port(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(LineError, match="is no serial port"):
        opened(str(path))


def test_unplugging_breaks_reading_and_writing(terminal: tuple[int, str]) -> None:
    master, name = terminal
    line = opened(name)
    os.close(master)
    for use in (line.read, lambda: line.write(b"x"), line.clear):
        with pytest.raises(LineError, match=f"connection to {name} broke.*plug the board in again"):
            use()
    line.close()


def test_a_port_that_takes_no_bytes_is_told(terminal: tuple[int, str]) -> None:
    line = opened(terminal[1])
    with pytest.raises(LineError, match="takes no more bytes"):
        line.write(bytes(1 << 20))
    line.close()
