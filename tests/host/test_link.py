"""Images through a board over a bad line, in virtual time: none lost, none twice, none wrong."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwgen.errors import LineError
from hwgen.host import link as link_module
from hwgen.host.link import Link
from tests.host.board import Board, Harm, VirtualLine

IMAGE, RESULT = 20, 12


def network(image: bytes) -> bytes:
    """Results that tell images apart."""
    rng = random.Random(image)
    return rng.randbytes(RESULT)


def images(count: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(count * IMAGE)


def answers(data: bytes) -> bytes:
    parts = (data[i : i + IMAGE] for i in range(0, len(data), IMAGE))
    return b"".join(map(network, parts))


Connect = Callable[..., tuple[Link, VirtualLine]]


@pytest.fixture(scope="module")
def connect() -> Connect:
    def made(board: Board | None = None, timeout_s: float = 5.0, **line: object):  # type: ignore[no-untyped-def]
        virtual = VirtualLine(board or Board(network, IMAGE, RESULT), **line)
        link_module.time = virtual
        return Link(virtual, timeout_s), virtual

    return made


@pytest.fixture(autouse=True)
def real_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a test puts in place of the clock is put back."""
    monkeypatch.setattr(link_module, "time", link_module.time)
    monkeypatch.setattr(random, "choice", random.Random(1).choice)


def run(link: Link, data: bytes, seen: list[int] | None = None) -> bytes:
    info = link.find(0x1234, "build/x")
    return link.run(data, info, seen.append if seen is not None else None)


def test_a_good_line_carries_every_byte_once(connect: Connect) -> None:
    link, line = connect()
    data, seen = images(400), list[int]()
    assert run(link, data, seen) == answers(data)
    assert b"".join(line.board.images) == data
    assert seen[-1] == 400
    assert seen == sorted(set(seen))
    s = link.statistics
    assert (s.retransmitted, s.damaged, s.resends, s.timeouts, s.sessions) == (0, 0, 0, 0, 1)
    assert s.frames < 1.1 * len(data) / 256 + 20


@settings(deadline=None, derandomize=True, max_examples=25)
@given(
    st.integers(0, 2**32),
    *(st.sampled_from([0.0, 0.001, 0.004]) for _ in range(4)),
    st.sampled_from([0, 700]),
    st.sampled_from([7, 9, 11]),
    st.sampled_from([1, 3]),
)
def test_a_bad_line_changes_nothing(
    connect: Connect,
    seed: int,
    noise: float,
    drop: float,
    repeat: float,
    garbage: float,
    reset_ms: int,
    ring_bits: int,
    slow: int,
) -> None:
    harm = Harm(seed, noise, drop, repeat, garbage)
    board = Board(network, IMAGE, RESULT, ring_bits=ring_bits)
    link, line = connect(board, 60.0, harm=harm, reset_ms=reset_ms, slow=slow)
    data = images(60, seed)
    assert run(link, data) == answers(data)
    whole = [data[i : i + IMAGE] for i in range(0, len(data), IMAGE)]
    if link.statistics.sessions == 1:
        assert board.images == whole, "an image was run twice, or in another place"
    else:  # a reset begins again behind the last image whose results are here
        assert set(board.images) == set(whole)


def test_images_larger_than_the_ring_and_positions_beyond_16_bits_pass(connect: Connect) -> None:
    board = Board(lambda image: image[:8], 5000, 8, ring_bits=11)
    board.image_bytes = 5000
    link, line = connect(Streaming(board))
    data = random.Random(3).randbytes(5000 * 30)
    got = run(link, data)
    assert got == b"".join(data[i : i + 8] for i in range(0, len(data), 5000))


class Streaming(Board):
    """A network that takes bytes as they come, for images that no ring holds whole."""

    def __init__(self, like: Board) -> None:
        super().__init__(like.network, like.image_bytes, like.result_bytes)

    def work(self) -> None:
        whole_before = self.taken // self.image_bytes
        self.taken = len(self.data)
        for i in range(whole_before, self.taken // self.image_bytes):
            self.results += self.network(
                bytes(self.data[i * self.image_bytes : (i + 1) * self.image_bytes])
            )
        self.answer()


def test_another_build_is_refused_with_both_ids(connect: Connect) -> None:
    link, line = connect(Board(network, IMAGE, RESULT, build_id=0xABCD))
    with pytest.raises(LineError, match=r"holds build 0+abcd, build/x is 0+1234; load"):
        run(link, images(3))
    assert not line.board.images


@pytest.mark.parametrize(
    ("version", "remedy"), [(0, "build and load its bitstream again"), (2, "update hwgen")]
)
def test_another_version_is_refused_with_the_remedy(
    connect: Connect, version: int, remedy: str
) -> None:
    link, _ = connect(Board(network, IMAGE, RESULT, version=version))
    with pytest.raises(
        LineError, match=f"version {version} of the protocol, this hwgen 1; {remedy}"
    ):
        run(link, images(3))


def test_a_silent_board_is_told_after_the_timeout(connect: Connect) -> None:
    link, line = connect(harm=lambda _: [])
    with pytest.raises(LineError, match=r"silent for 5 s; check .*bitstream.*TX and RX"):
        run(link, images(3))
    assert 5 <= line.now < 5.5


def test_bytes_without_frames_are_most_likely_another_baud_rate(connect: Connect) -> None:
    link, line = connect()
    plain = line.read
    line.read = lambda: plain()[:0] + b"\x55\x80"  # type: ignore[method-assign]
    with pytest.raises(LineError, match=r"no intact frame for 5 s.*1000000 baud \(--baud\)"):
        run(link, images(3))


def test_a_line_on_which_nothing_comes_through_is_given_up(connect: Connect) -> None:
    link, line = connect()
    info = link.find(0x1234, "x")
    plain = line.board.answer
    line.board.answer = lambda **what: plain(info=what.get("info", False), gap=True)  # type: ignore[method-assign]
    line.board.work = lambda: line.board.to_send.extend(b"\x7ebad!bad\x7e")  # type: ignore[method-assign]
    with pytest.raises(LineError, match=r"nothing came through for 15 s, \d+ of the last 100"):
        link.run(images(3), info)


def test_a_network_that_stands_still_is_told_from_a_silent_board(connect: Connect) -> None:
    link, line = connect(timeout_s=2.0)
    info = link.find(0x1234, "x")
    line.board.work = lambda: None  # type: ignore[method-assign]
    with pytest.raises(
        LineError, match=r"answers, but its network stands still at image 0 for 24 s"
    ):
        link.run(images(3), info)


def test_a_board_that_is_reset_again_and_again_is_told(connect: Connect) -> None:
    link, line = connect(reset_ms=50, slow=1000)
    with pytest.raises(
        LineError, match="reset 5 times before it returned image 0; check its power"
    ):
        run(link, images(3))


def test_a_board_that_returns_too_much_is_of_another_build(connect: Connect) -> None:
    link, line = connect(Board(lambda image: network(image) + b"!", IMAGE, RESULT))
    with pytest.raises(LineError, match="more than the 12 bytes"):
        run(link, images(1))


def test_another_bitstream_loaded_on_the_way_ends_the_run(connect: Connect) -> None:
    link, line = connect()
    info = link.find(0x1234, "x")

    def load(done: int) -> None:
        line.board.build_id = 0xBEEF
        line.board.reset()

    with pytest.raises(
        LineError, match=r"loaded while images were under way: build 0+beef instead"
    ):
        link.run(images(200), info, load)


def test_a_second_host_starts_anew_where_the_first_one_broke_off(connect: Connect) -> None:
    link, line = connect()
    info = link.find(0x1234, "x")

    class Killed(BaseException):
        pass

    def die(done: int) -> None:
        if done >= 10:
            raise Killed

    with pytest.raises(Killed):
        link.run(images(200), info, die)
    line.outgoing += b"\x7e\x03\x01half a frame"
    data = images(50, seed=9)
    assert run(Link(line), data) == answers(data)
