"""Frames: what one side encodes the other reads, and nothing damaged passes."""

from __future__ import annotations

import zlib

from hypothesis import example, given, settings
from hypothesis import strategies as st

from hwgen.host.protocol import (
    LONGEST,
    BoardFrame,
    Deframer,
    HostFrame,
    Info,
    Kind,
    stuff,
    unstuff,
)
from tests.host.board import Unframer, crc32, framed

PROFILE = settings(deadline=None, derandomize=True, max_examples=200)
SPECIAL = st.sampled_from([0x7D, 0x7E, 0x5D, 0x5E, 0x20, 0x00, 0xFF])
BODIES = st.lists(st.one_of(SPECIAL, st.integers(0, 255)), min_size=1, max_size=300).map(bytes)
NUMBERS = st.integers(0, 65535)


@PROFILE
@given(BODIES)
@example(b"\x7e\x7d\x7d\x7e")
def test_stuffing_is_that_of_the_protocol(body: bytes) -> None:
    assert stuff(body) == framed(body)
    assert Unframer().feed(stuff(body)) == [body]
    assert list(Deframer().feed(framed(body))) == [body]
    assert zlib.crc32(body) == crc32(body)


@PROFILE
@given(st.lists(BODIES, max_size=5), st.binary(max_size=40), st.integers(1, 17))
def test_frames_are_found_behind_garbage_whatever_the_pieces(
    bodies: list[bytes], garbage: bytes, piece: int
) -> None:
    line = garbage + b"".join(map(framed, bodies))
    deframer = Deframer()
    pieces = (line[i : i + piece] for i in range(0, len(line), piece))
    found = [body for part in pieces for body in deframer.feed(part)]
    assert found == [body for body in Unframer().feed(line) if body is not None]
    assert found[len(found) - len(bodies) :] == bodies


@PROFILE
@given(BODIES, st.data())
def test_a_frame_with_any_bit_flipped_byte_lost_or_byte_more_is_damaged(
    body: bytes, data: st.DataObject
) -> None:
    between = framed(body)[1:-1]
    at = data.draw(st.integers(0, len(between) - 1))
    bit = data.draw(st.integers(0, 7))
    flipped = between[:at] + bytes([between[at] ^ 1 << bit]) + between[at + 1 :]
    for harmed in (flipped, between[:at] + between[at + 1 :], between[:at] + b"?" + between[at:]):
        for part in filter(None, harmed.split(b"\x7e")):
            assert unstuff(part) in (None, body)
            if unstuff(part) == body:  # an escape before a byte that needs none
                assert Unframer().feed(b"\x7e" + part + b"\x7e") == [body]


@PROFILE
@given(st.sampled_from(Kind), st.integers(0, 255), NUMBERS, NUMBERS, st.binary(max_size=300))
def test_a_host_frame_has_the_bytes_of_the_table(
    kind: Kind, session: int, position: int, ack: int, data: bytes
) -> None:
    (body,) = Unframer().feed(
        HostFrame(kind, session, position + 65536, ack, data, resend=True).encode()
    )
    assert (
        body
        == bytes([kind | 0x80, session])
        + position.to_bytes(2, "little")
        + ack.to_bytes(2, "little")
        + data
    )


@PROFILE
@given(st.booleans(), st.integers(0, 255), NUMBERS, NUMBERS, NUMBERS, st.binary(max_size=200))
def test_a_board_frame_survives_the_line(
    gap: bool, session: int, consumed: int, accepted: int, position: int, data: bytes
) -> None:
    frame = BoardFrame(False, session, consumed, accepted, position, data, gap)
    (body,) = Unframer().feed(frame.encode())
    assert body is not None
    assert BoardFrame.decode(body) == frame


def test_bodies_without_meaning_are_none() -> None:
    assert BoardFrame.decode(b"\x03\x01\x00\x00\x00\x00\x00") is None  # a byte short
    assert BoardFrame.decode(b"\x02" + bytes(7)) is None  # no such kind


def test_another_version_is_told_and_nothing_else() -> None:
    assert Info.parse(bytes([0]) + bytes(30)) == Info(0, 0, 0, 0, 0, 0)
    assert Info.parse(bytes([7, 1])).version == 7
    assert Info.parse(b"").version == 0


def test_endless_noise_without_a_flag_takes_no_memory() -> None:
    deframer = Deframer()
    for _ in range(100):
        assert not list(deframer.feed(b"\x55" * 1000))
    assert len(deframer.pending) <= LONGEST
