"""The errors a user can cause or meet, each with its exit code.

Every message says what is wrong, where, the limit that was crossed and the remedy.
"""


class HwgenError(Exception):
    """A failure the user can act on; shown without a traceback."""

    exit_code = 2


class UserInputError(HwgenError):
    """Something the user gave (a file, a flag, a key) cannot be used."""


class UnsupportedError(HwgenError):
    """The network holds something hwgen cannot turn into hardware."""


class FoldingError(HwgenError):
    """A PE or SIMD value is not legal for its layer."""


class ResourceError(HwgenError):
    """The design does not fit the board."""


class ToolError(HwgenError):
    """An external tool is missing, failed, or ended without its result."""


class ToolFailure(ToolError):
    """The tool ran to its end and failed, or left no result."""


class LineError(HwgenError):
    """A board on a serial line is not there, does not answer, or is of another build."""


class MismatchError(HwgenError):
    """Two engines that must agree bit for bit do not."""

    exit_code = 1
