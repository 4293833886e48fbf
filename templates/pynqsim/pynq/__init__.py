"""What driver.py uses of PYNQ, for a board that is simulated: Overlay, allocate, DMA, registers.

A "bitfile" here is a program: the design with its shell, compiled by Verilator (board.cpp).
Loading it starts the program; blocks ``network`` and ``dma`` then behave as on the board. The DMA
follows pynq/lib/dma.py and PG021 in direct register mode, and is stricter where the driver could
go wrong unseen:

* a transfer on a channel that is not running, or that is busy, raises RuntimeError;
* a transfer longer than the length register holds raises ValueError;
* memory and caches differ: ``transfer`` flushes what is sent, ``wait`` makes what was received
  visible; between the two an array shows what it held before;
* a receive transfer ends with TLAST; ``transferred`` then is the bytes that came; a packet
  longer than the transfer is undefined in hardware, and an error here;
* a buffer that the DMA still uses must not be given back: reset the DMA first;
* an access to a register that answers SLVERR raises BusError, which ends a program on a board.

``BOARD`` makes the board of a bitfile, an object like ``Simulation``; tests set others.
"""

import atexit
import os
import subprocess

import numpy as np

LENGTH_BITS = 26  # of the DMA's length registers, unless the bitfile's .hwh says otherwise
IDLE, STALL = 0.0, 0.0  # shares of cycles in which the DMA offers no beat, takes none
EVENTS = []  # what happened, in order: ("recv", bytes), ("send", bytes), ("configure", name)
LIVE = {}  # buffers that were not given back, by id


class BusError(OSError):
    """An access that no register answers."""


class Simulation:
    """The board as a program that reads commands from a pipe, see board.cpp."""

    def __init__(self, bitfile):
        self.program = subprocess.Popen(
            [bitfile], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        atexit.register(self.close)

    def read(self, offset):
        """A register's 32 bits, and the response."""
        data, response = self._ask(f"r {offset}\n".encode()).split()
        return int(data), int(response)

    def write(self, offset, value, strobe=15):
        """The response."""
        return int(self._ask(f"w {offset} {value} {strobe}\n".encode()))

    def exchange(self, data, room):
        """Send a batch.

        Returns what came back (up to ``room`` bytes and a beat), whether all was sent, and
        whether TLAST came.
        """
        command = f"t {len(data)} {room} {IDLE} {STALL} ".encode()
        sent, last, count = map(int, self._ask(command + data).split())
        return self._answer(lambda pipe: pipe.read(count), count), bool(sent), bool(last)

    def close(self):
        """Power off."""
        atexit.unregister(self.close)
        self.program.kill()
        self.program.wait()
        self.program.stdin.close()
        self.program.stdout.close()

    def _ask(self, command):
        self.program.stdin.write(command)
        self.program.stdin.flush()
        return self._answer(lambda pipe: pipe.readline(), 1)

    def _answer(self, read, least):
        try:
            found = read(self.program.stdout)
        except BaseException:  # half an answer would be taken for the next one
            self.program.kill()
            raise
        if len(found) < least:
            raise RuntimeError("the simulated board has stopped")
        return found


BOARD = Simulation


class Buffer(np.ndarray):
    """An array as the processor's cache shows it; ``memory`` is what the DMA sees."""

    def __array_finalize__(self, other):
        self.memory, self.user = None, None

    def flush(self):
        """Write the cache back."""
        self.memory[:] = np.asarray(self).reshape(-1).view(np.uint8)

    def invalidate(self):
        """Forget the cache."""
        np.asarray(self).reshape(-1).view(np.uint8)[:] = self.memory

    def freebuffer(self):
        """Give the memory back."""
        if self.user and self.user.busy(self):
            raise AssertionError("the DMA still uses this buffer")
        del LIVE[id(self)]


def allocate(shape, dtype="u4", **others):
    """A contiguous buffer; its contents are undefined."""
    assert not others
    buffer = np.full(shape, 0xA5, dtype).view(Buffer)
    buffer.memory = np.full(buffer.nbytes, 0x5A, np.uint8)
    LIVE[id(buffer)] = buffer
    return buffer


class Channel:
    """One direction of the DMA."""

    def __init__(self, dma, name):
        self.dma, self.name = dma, name
        self.running, self.idle, self.error = True, False, False  # not idle before the first use
        self.first, self.active, self.transferred = True, None, 0

    def transfer(self, array, start=0, nbytes=0):
        """Start moving ``array``."""
        assert isinstance(array, Buffer)
        assert array.memory is not None
        assert id(array) in LIVE
        if not self.running:
            raise RuntimeError("DMA channel not started")
        if not self.idle and not self.first:
            raise RuntimeError("DMA channel not idle")
        nbytes = nbytes or array.nbytes - start
        if nbytes >= 1 << LENGTH_BITS:
            raise ValueError(f"Transfer size is {nbytes} bytes")
        EVENTS.append((self.name, nbytes))
        self.first, self.idle, self.transferred = False, False, 0
        self.active = (array, start, nbytes)
        array.user = self
        if self.name == "send":
            array.flush()
        self.dma.move()

    def busy(self, array):
        """Whether ``array`` may be read or written yet."""
        return self.running and not self.idle and self.active and self.active[0] is array

    def wait(self):
        """Return when the transfer is over; real PYNQ waits for ever."""
        if not self.running:
            raise RuntimeError("DMA channel not started")
        assert self.idle, "this wait would never return"
        if self.name == "recv":
            self.active[0].invalidate()
        self.transferred = self.moved

    def finish(self, moved):
        """The transfer is over."""
        self.moved, self.idle = moved, True


class DMA:
    """Both channels, with the design between them."""

    def __init__(self, board):
        self.board = board
        self.buffer_max_size = (1 << LENGTH_BITS) - 1
        self.sendchannel, self.recvchannel = Channel(self, "send"), Channel(self, "recv")

    def read(self, offset=0):
        """The control register of a channel; its reset bit is 0 once the reset is over."""
        assert offset in (0x00, 0x30), "a register that the driver has no business with"
        return int((self.sendchannel if offset == 0 else self.recvchannel).running)

    def write(self, offset, value):
        """Reset of both channels, the one thing that is written here."""
        assert (offset, value) in ((0x00, 0x4), (0x30, 0x4))
        EVENTS.append(("reset", offset))
        self.sendchannel.running = self.recvchannel.running = False

    def move(self):
        """Pass a batch through the design once both sides wait for it."""
        send, recv = self.sendchannel, self.recvchannel
        if send.active is None or send.idle or recv.active is None or recv.idle:
            return
        array, start, nbytes = send.active
        into, at, room = recv.active
        data = array.memory[start : start + nbytes].tobytes()
        answer, sent, last = self.board.exchange(data, room)
        if sent:
            send.finish(nbytes)
        if len(answer) > room:
            recv.error, recv.running = True, False
            return
        into.memory[at : at + len(answer)] = np.frombuffer(answer, np.uint8)
        if last:
            recv.finish(len(answer))


class Block:
    """A block with registers that has no driver of its own, as pynq's DefaultIP."""

    def __init__(self, board):
        self.board = board

    def read(self, offset=0):
        """32 bits."""
        data, response = self.board.read(offset)
        if response:
            raise BusError(f"reading offset {offset} answers {response}")
        return data

    def write(self, offset, value):
        """32 bits."""
        if not 0 <= value < 1 << 32:
            raise ValueError(f"{value} is not of 32 bits")
        response = self.board.write(offset, value)
        if response:
            raise BusError(f"writing offset {offset} answers {response}")


class Overlay:
    """A loaded bitstream; blocks are attributes, those that its .hwh names."""

    board = None  # there is one; loading a bitstream ends what was loaded before

    def __init__(self, bitfile_name, download=True):
        assert download
        with open(os.path.splitext(bitfile_name)[0] + ".hwh") as stream:
            blocks = stream.read().split()
        EVENTS.append(("configure", bitfile_name))
        if Overlay.board is not None:
            Overlay.board.close()
        Overlay.board = None
        Overlay.board = BOARD(bitfile_name)
        self._blocks = {"dma": DMA(self.board), "network": Block(self.board)}
        self._blocks = {name: self._blocks[name] for name in blocks}

    def __getattr__(self, name):
        try:
            return self.__dict__["_blocks"][name]
        except KeyError:
            raise AttributeError(f"Could not find IP or hierarchy {name} in overlay") from None
