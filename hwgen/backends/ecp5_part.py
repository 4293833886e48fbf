"""ECP5 parts by their full names."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hwgen.errors import UserInputError


@dataclass(frozen=True, slots=True)
class Part:
    """An ECP5, as nextpnr's options name it; ``pins``: user I/O of the package."""

    name: str
    option: str
    package: str
    speed_grade: int
    pins: int

    @classmethod
    def of(cls, name: str) -> Part:
        """The part of a full name, as LFE5U-85F-6BG381C; ``UserInputError`` where it is none."""
        found = _PART.fullmatch(name)
        if found is None or (found["size"], found["balls"]) not in _PINS:
            raise UserInputError(
                f"part {name} is no ECP5 that nextpnr knows; a name has the form "
                "LFE5U-85F-6BG381C: 12F, 25F, 45F or 85F, speed grade 6 to 8, MG285, BG256, "
                "BG381, BG554 or BG756"
            )
        series = {"LFE5U": "", "LFE5UM": "um-", "LFE5UM5G": "um5g-"}[found["series"]]
        return cls(
            f"{found['series']}-{found['size']}F",
            f"--{series}{found['size']}k",
            {"MG": "CSFBGA", "BG": "CABGA"}[found["package"]] + found["balls"],
            int(found["grade"]),
            _PINS[found["size"], found["balls"]],
        )


_PART = re.compile(
    r"(?P<series>LFE5U|LFE5UM|LFE5UM5G)-(?P<size>12|25|45|85)F-(?P<grade>[678])"
    r"(?P<package>MG|BG)(?P<balls>\d{3})[CI]?"
)
_PINS = {  # user I/O by logic density and balls (Lattice FPGA-DS-02012)
    **{("12", "256"): 197, ("25", "256"): 197, ("45", "256"): 197},
    **{("12", "285"): 118, ("25", "285"): 118, ("45", "285"): 118, ("85", "285"): 118},
    **{("12", "381"): 197, ("25", "381"): 197, ("45", "381"): 203, ("85", "381"): 205},
    **{("45", "554"): 245, ("85", "554"): 259, ("85", "756"): 365},
}
LFE5U_85F = Part.of("LFE5U-85F-6BG381C")
