"""What driver.py uses of PYNQ: Overlay, allocate, and a DMA that a simulated design answers.

The DMA follows pynq/lib/dma.py and PG021 in direct register mode:

* a transfer on a channel that is not running, or that is busy, raises RuntimeError;
* a transfer longer than the length register holds raises ValueError;
* memory and caches differ: ``transfer`` flushes what is sent, ``wait`` makes what was received
  visible; between the two an array shows what it held before;
* a receive transfer ends with TLAST; ``transferred`` then is the bytes that came; a packet
  longer than the transfer is undefined in hardware, and an error here.

Tests set ``DESIGN``: a function from the bytes of a batch to the bytes that come back (its last
byte carries TLAST), or None for a design that never answers.
"""

import numpy as np

DESIGN = None
LENGTH_BITS = 26
EVENTS = []  # what happened, in order: ("recv", bytes), ("send", bytes), ("configure", name)
LIVE = []  # buffers that were not freed


class Buffer(np.ndarray):
    """An array as the processor's cache shows it; ``memory`` is what the DMA sees."""

    def __array_finalize__(self, other):
        self.memory = None

    def flush(self):
        """Write the cache back."""
        self.memory[:] = np.asarray(self).reshape(-1).view(np.uint8)

    def invalidate(self):
        """Forget the cache."""
        np.asarray(self).reshape(-1).view(np.uint8)[:] = self.memory

    def freebuffer(self):
        """Give the memory back."""
        LIVE.remove(id(self))


def allocate(shape, dtype="u4", **others):
    """A contiguous buffer; its contents are undefined."""
    assert not others
    buffer = np.full(shape, 0xA5, dtype).view(Buffer)
    buffer.memory = np.full(buffer.nbytes, 0x5A, np.uint8)
    LIVE.append(id(buffer))
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
        if self.name == "send":
            array.flush()
        self.dma.move()

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

    def __init__(self):
        self.buffer_max_size = (1 << LENGTH_BITS) - 1
        self.sendchannel, self.recvchannel = Channel(self, "send"), Channel(self, "recv")

    def move(self):
        """Pass a batch through the design once both sides wait for it."""
        send, recv = self.sendchannel, self.recvchannel
        if DESIGN is None or send.active is None or send.idle:
            return
        if recv.active is None or recv.idle:
            return
        array, start, nbytes = send.active
        answer = np.frombuffer(DESIGN(array.memory[start : start + nbytes].tobytes()), np.uint8)
        send.finish(nbytes)
        array, start, nbytes = recv.active
        if len(answer) > nbytes:
            recv.error, recv.running = True, False
        else:
            array.memory[start : start + len(answer)] = answer
            recv.finish(len(answer))


class Overlay:
    """A loaded bitstream; only the DMA of it is used."""

    def __init__(self, bitfile_name, download=True):
        assert download
        EVENTS.append(("configure", bitfile_name))
        with open(bitfile_name, "rb"), open(bitfile_name[:-4] + ".hwh", "rb"):
            pass
        self.dma = DMA()
