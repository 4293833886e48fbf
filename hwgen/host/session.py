"""One session with a board: which frames to send and what arrived; knows no port and no clock.

Images go out and results come in as two streams of bytes, each with positions. What the board
reports missing, or does not confirm in time, is sent again from there on (go-back-N); results
that are missing are asked for again. Positions of the wire are 16 bits; here they are whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from hwgen.errors import LineError
from hwgen.host.protocol import CHUNK, WRAP, BoardFrame, HostFrame, Info, Kind

SHORTEST, LONGER = 32, 8  # bytes of data in a frame on a noisy line; more for each that arrives
SURE = 4  # deviations beyond its mean that hardly a round trip takes
AHEAD = 8  # frames that may be under way


class BoardRestarted(Exception):
    """The board has lost the session: it was reset."""


@dataclass(slots=True)
class Statistics:
    """What happened on the line."""

    frames: int = 0
    retransmitted: int = 0
    damaged: int = 0
    resends: int = 0
    timeouts: int = 0
    sessions: int = 0


class Session:
    """Sends ``data`` and collects ``expected`` bytes of results; times are seconds of one clock."""

    def __init__(
        self,
        number: int,
        info: Info,
        data: memoryview,
        expected: int,
        statistics: Statistics,
        *,
        now: float,
        round_trip_s: float,
        waits_s: tuple[float, float],
    ) -> None:
        """``round_trip_s``: how long an answer took; ``waits_s``: least and longest for others."""
        self.number, self.info, self.data, self.expected = number, info, data, expected
        self.statistics = statistics
        self.results = bytearray()
        self.chunk = self._longest = min(CHUNK, info.window // 2)
        self.accepted = self.consumed = 0  # of data, by the board
        self.next = self.furthest = 0  # byte of data that is sent next; end of what was ever sent
        self.acknowledged = 0  # results, to the board
        self.moved = self._timer = now  # when anything last went on; or was tried again
        self._least_wait, self._longest_wait = waits_s
        self._smooth = (round_trip_s, round_trip_s / 2)  # mean of round trips, their deviation
        self._wait = self._usual_wait
        self._sent: deque[tuple[int, float]] = deque()  # ends of chunks sent once, and when
        self._went_back = (-1, now)  # where to and when
        self._asked = now  # when results were last asked for again
        self._ask = False

    @property
    def done(self) -> bool:
        """All results are here."""
        return len(self.results) == self.expected

    def due(self, now: float) -> Iterator[bytes]:
        """Frames to send now."""
        if now - self._timer > self._wait:
            self.statistics.timeouts += 1
            self._go_back(now)
            self._ask = True
            self._wait = min(2 * self._wait, max(self._longest_wait, self._usual_wait))
            self._timer = now
        edge = min(self.consumed + self.info.window, self.accepted + AHEAD * self.chunk)
        while self.next < len(self.data):
            size = min(self.chunk, len(self.data) - self.next)
            if self.next + size > edge:
                break
            yield self._frame(now, size)
        unsaid = len(self.results) - self.acknowledged
        if self._ask or unsaid >= self.info.outbox_bytes // 4:
            yield self._frame(now, 0)

    def take(self, frame: BoardFrame, now: float) -> None:
        """Learn from a frame of the board; raises ``BoardRestarted``, or ``LineError``."""
        if frame.session != self.number:
            if frame.info:
                raise BoardRestarted
            return  # was under way when the session began
        self._confirm(frame, now)
        if not frame.info:
            self._receive(frame, now)

    def ask_again(self, now: float) -> None:
        """Something of the board's was damaged: ask for results again, once a round trip."""
        if now - self._asked > self._round_trip:
            self._ask = True

    def _frame(self, now: float, size: int) -> bytes:
        """Encode the next frame, and account for it."""
        position, end = self.next, self.next + size
        if size:
            if position < self.furthest:
                self.statistics.retransmitted += 1
            else:
                self._sent.append((end, now))
            self.next, self.furthest = end, max(end, self.furthest)
        if self._ask:
            self.statistics.resends += 1
            self._asked = now
        self.statistics.frames += 1
        self.acknowledged = len(self.results)
        frame = HostFrame(
            Kind.STREAM,
            self.number,
            position,
            self.acknowledged,
            bytes(self.data[position:end]),
            resend=self._ask,
        )
        self._ask = False
        return frame.encode()

    def _go_back(self, now: float) -> None:
        """Send again from what the board has."""
        if self.next > self.accepted:
            self.next = self.accepted
            self._went_back = (self.accepted, now)
            self._sent.clear()  # times of what is sent twice say nothing
            self.chunk = max(min(SHORTEST, self._longest), self.chunk // 2)

    def _confirm(self, frame: BoardFrame, now: float) -> None:
        """How far the board has come, and what it misses."""
        accepted = _near(frame.accepted, self.accepted)
        consumed = _near(frame.consumed, self.consumed)
        if not (accepted <= self.furthest and consumed <= self.furthest):
            raise LineError(
                f"the board has {accepted} bytes of images, {self.furthest} were sent: it does not "
                "follow the protocol; make its bitstream anew"
            )
        if accepted > self.accepted or consumed > self.consumed:
            self._moved(now)
        self.accepted, self.consumed = max(self.accepted, accepted), max(self.consumed, consumed)
        self.next = max(self.next, self.accepted)
        while self._sent and self._sent[0][0] <= self.accepted:
            self._measure(now - self._sent.popleft()[1])
            self.chunk = min(self.chunk + LONGER, self._longest)
        place, when = self._went_back
        if frame.gap and (place != self.accepted or now - when > self._round_trip):
            self._go_back(now)  # else the board speaks of what was under way when we went back

    def _receive(self, frame: BoardFrame, now: float) -> None:
        """Append results that are new."""
        have = len(self.results)
        position = _near(frame.position, have)
        if position > have:  # some are missing in front
            self.ask_again(now)
            return
        fresh = frame.data[have - position :]
        if not fresh:
            return
        self.results += fresh
        if len(self.results) > self.expected:
            raise LineError(
                f"the board returned more than the {self.expected} bytes that the images give; "
                "is its bitstream of this build?"
            )
        self._asked = now - self._round_trip  # a gap behind is another one
        self._moved(now)

    def _moved(self, now: float) -> None:
        """Something went on: the wait starts anew."""
        self.moved = self._timer = now
        self._wait = self._usual_wait

    @property
    def _usual_wait(self) -> float:
        return max(self._least_wait, self._round_trip)

    @property
    def _round_trip(self) -> float:
        """After so long, an answer is to what was sent since, in all likelihood."""
        mean, deviation = self._smooth
        return mean + SURE * deviation

    def _measure(self, seconds: float) -> None:
        """A round trip (RFC 6298)."""
        mean, deviation = self._smooth
        deviation += (abs(seconds - mean) - deviation) / 4
        self._smooth = (mean + (seconds - mean) / 8, deviation)


def _near(wire: int, known: int) -> int:
    """The whole position of a wire's that is nearest to a known one."""
    return known + (wire - known + WRAP // 2) % WRAP - WRAP // 2
