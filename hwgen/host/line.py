"""A serial port: bytes in and out, and everything that can be wrong with it in words."""

from __future__ import annotations

import errno
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import serial
from serial.tools import list_ports

from hwgen.errors import LineError

READ_S = 0.02  # how long a read waits for a first byte
BITS_A_BYTE = 10  # with start and stop bit


class Line:
    """An open port with 8 data bits, no parity, 1 stop bit."""

    def __init__(self, port: str, baud: int, *, timeout_s: float) -> None:
        """Open ``port`` for us alone; ``timeout_s`` is how long a write may take."""
        self.port, self.baud = port, baud
        self._name = Path(port).resolve()
        try:
            self._serial = serial.Serial(
                port, baud, timeout=READ_S, write_timeout=timeout_s, exclusive=True
            )
        except (OSError, ValueError) as error:  # SerialException is an OSError
            raise _explained(port, baud, error) from error
        with suppress(OSError, ValueError, AttributeError):  # not every driver can
            self._serial.set_low_latency_mode(True)

    def read(self) -> bytes:
        """What has arrived, after at most ``READ_S``; may be empty."""
        with self._failing():
            return self._serial.read(max(1, self._serial.in_waiting))

    def write(self, data: bytes) -> None:
        """Send; returns when the operating system has the bytes."""
        with self._failing():
            self._serial.write(data)

    def clear(self) -> None:
        """Drop what arrived before."""
        with self._failing():
            self._serial.reset_input_buffer()

    def close(self) -> None:
        """Close the port; what was not sent yet is dropped."""
        with suppress(OSError, termios.error):
            self._serial.reset_output_buffer()
        with suppress(OSError, termios.error):
            self._serial.close()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except serial.SerialTimeoutException as error:
            raise LineError(
                f"{self.port} takes no more bytes; is something else than the board behind it?"
            ) from error
        except (OSError, termios.error) as error:
            gone = "" if self._name.exists() else " (the port is gone)"
            raise LineError(
                f"the connection to {self.port} broke{gone}: {_words(error)}; "
                "plug the board in again and run the same command"
            ) from error


def _explained(port: str, baud: int, error: Exception) -> LineError:
    """Why a port does not open, and what to do."""
    number = getattr(error, "errno", None)
    if number in (errno.ENOENT, errno.ENXIO, errno.ENODEV):
        found = ", ".join(sorted(each.device for each in list_ports.comports()))
        return LineError(
            f"there is no port {port}; "
            + (f"ports here: {found}" if found else "no serial port is here: is the board on?")
        )
    if number in (errno.EACCES, errno.EPERM):
        return LineError(
            f"no permission to open {port}; add yourself to its group and log in again: "
            "sudo usermod -aG dialout $USER"
        )
    if number in (errno.EBUSY, errno.EAGAIN):
        return LineError(
            f"{port} is busy: another program has it open (a terminal, or a second run)"
        )
    if number is None and not isinstance(error, ValueError):  # pyserial could not configure it
        return LineError(f"{port} is no serial port, or cannot do {baud} baud: {_words(error)}")
    return LineError(f"{port} cannot be opened at {baud} baud: {_words(error)}")


def _words(error: Exception) -> str:
    """An error on one line."""
    return " ".join(str(error).split()) or type(error).__name__
