"""Images through a board on a serial line: finds it, opens a session, and keeps it going."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from hwgen.errors import LineError
from hwgen.host.line import BITS_A_BYTE, Line
from hwgen.host.protocol import VERSION, BoardFrame, Deframer, HostFrame, Info, Kind
from hwgen.host.session import BoardRestarted, Session, Statistics

Progress = Callable[[int], None]
LATENCY_S = 0.15  # of USB and operating systems, there and back
QUERY_S = 0.3  # between two questions
TRIES = 3  # at least, before a board is silent
RECENT = 100  # frames of the board that tell how good the line is
NOISY = 3  # times the timeout: nothing gets through a noisy line
FRUITLESS = 5  # restarts of the board in a row between which no image got through
PATIENCE = 12  # times the timeout: a board that answers, but returns nothing


@dataclass
class Link:
    """A board behind ``line``; ``timeout_s``: how long it may be silent."""

    line: Line
    timeout_s: float = 5.0
    statistics: Statistics = field(default_factory=Statistics)

    def __post_init__(self) -> None:
        self._deframer = Deframer()
        self._recent: deque[bool] = deque(maxlen=RECENT)  # of frames: damaged
        self._heard = time.monotonic()

    def find(self, build_id: int, build: str) -> Info:
        """Ask the board what it is; raises ``LineError`` unless it is of that build."""
        self.line.clear()
        self.line.write(b"\x7e\x7e")  # ends a frame that someone left half sent
        _, info = self._ask(HostFrame(Kind.QUERY, 0), session=None)
        if info.version != VERSION:
            older = info.version < VERSION
            raise LineError(
                f"the board speaks version {info.version} of the protocol, this hwgen {VERSION}; "
                + ("build and load its bitstream again" if older else "update hwgen")
            )
        if info.build_id != build_id:
            raise LineError(
                f"the board holds build {info.build_id:016x}, {build} is {build_id:016x}; load "
                "this build's bitstream, or name the build that is on the board"
            )
        return info

    def run(self, images: bytes, info: Info, progress: Progress | None = None) -> bytes:
        """Results of ``images``, whole ones, in their order; ``progress`` gets how many are there.

        A board that is reset on the way gets the images again whose results are not here yet.
        """
        count = len(images) // info.image_bytes
        results = bytearray()
        fruitless = 0
        while (have := len(results) // info.result_bytes) < count:
            rest = memoryview(images)[have * info.image_bytes :]
            session = self._open(info, rest, (count - have) * info.result_bytes)
            with suppress(BoardRestarted):
                self._converse(session, progress, have)
            whole = len(session.results) // info.result_bytes
            results += session.results[: whole * info.result_bytes]
            fruitless = 0 if whole else fruitless + 1
            if fruitless == FRUITLESS:
                raise LineError(
                    f"the board was reset {FRUITLESS} times before it returned image {have}; "
                    "check its power supply and its reset button"
                )
        return bytes(results)

    def _open(self, info: Info, images: memoryview, expected: int) -> Session:
        """Begin a session of another number than the board's, which starts the network anew."""
        frame, now_there = self._ask(HostFrame(Kind.QUERY, 0), session=None)
        if now_there != info:
            raise LineError(
                "another bitstream was loaded while images were under way: build "
                f"{now_there.build_id:016x} instead of {info.build_id:016x}; load it again"
            )
        number = random.choice([n for n in range(1, 256) if n != frame.session])
        asked = time.monotonic()
        self._ask(HostFrame(Kind.OPEN, number), session=number)
        self.statistics.sessions += 1
        bytes_under_way = info.inbox_bytes + info.outbox_bytes
        least_s = LATENCY_S + bytes_under_way * BITS_A_BYTE / self.line.baud
        self.timeout_s = max(self.timeout_s, TRIES * least_s)
        now = time.monotonic()
        return Session(
            *(number, info, images, expected, self.statistics),
            now=now,
            round_trip_s=now - asked,
            waits_s=(least_s, self.timeout_s / TRIES),
        )

    def _ask(self, question: HostFrame, session: int | None) -> tuple[BoardFrame, Info]:
        """Ask until the board says what it is, in that session if one is given."""
        self._heard = began = time.monotonic()
        asked = began - 2 * QUERY_S
        while True:
            if time.monotonic() - asked > QUERY_S:
                self.line.write(question.encode())
                asked = time.monotonic()
            for frame in self._frames():
                if frame.info and session in (None, frame.session):
                    return frame, Info.parse(frame.data)
            self._require_life()
            self._require_progress(time.monotonic() - began, 0)

    def _converse(self, session: Session, progress: Progress | None, have: int) -> None:
        """Until all results are here, behind those of ``have`` images."""
        size, told = session.info.result_bytes, 0
        self._heard = time.monotonic()
        while not session.done:
            now = time.monotonic()
            if frames := b"".join(session.due(now)):
                self.line.write(frames)
            damaged = self._deframer.damaged
            for frame in self._frames():
                session.take(frame, time.monotonic())
            if self._deframer.damaged > damaged:
                session.ask_again(time.monotonic())
            if len(session.results) // size > told:
                told = len(session.results) // size
                if progress:
                    progress(have + told)
            self._require_life()
            self._require_progress(now - session.moved, have + told)

    def _frames(self) -> list[BoardFrame]:
        """What the board has said since; counts what is damaged."""
        before = self._deframer.damaged
        bodies = list(self._deframer.feed(self.line.read()))
        bad = self._deframer.damaged - before
        self.statistics.damaged += bad
        self._recent.extend([True] * bad + [False] * len(bodies))
        if bodies:
            self._heard = time.monotonic()
        return [frame for body in bodies if (frame := BoardFrame.decode(body)) is not None]

    def _require_progress(self, still_s: float, images: int) -> None:
        """Raise ``LineError`` for a board that answers, but returns nothing for ``still_s``."""
        damaged = sum(self._recent)
        if still_s > NOISY * self.timeout_s and 2 * damaged > len(self._recent):
            raise LineError(
                f"nothing came through for {still_s:.0f} s, {damaged} of the last "
                f"{len(self._recent)} frames from {self.line.port} were damaged; lower the baud "
                "rate in the board file, shorten the cable, or check the ground wire"
            )
        if still_s > PATIENCE * self.timeout_s:
            raise LineError(
                f"the board answers, but its network stands still at image {images} for "
                f"{still_s:.0f} s; give a network that is so slow more --timeout, or reset the "
                "board and run the same command"
            )

    def _require_life(self) -> None:
        """Raise ``LineError`` for a board that is silent or cannot be understood."""
        silent = time.monotonic() - self._heard
        if silent <= self.timeout_s:
            return
        if any(self._recent) or self._deframer.pending:
            raise LineError(
                f"bytes come from {self.line.port}, but no intact frame for {silent:.0f} s: most "
                f"likely the board does not run at {self.line.baud} baud (--baud), or another "
                "design is loaded"
            )
        raise LineError(
            f"the board at {self.line.port} is silent for {silent:.0f} s; check that its bitstream "
            f"is loaded, that this is its port and {self.line.baud} its baud rate, and that TX and "
            "RX are not swapped"
        )
