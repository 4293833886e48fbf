"""Stand-ins for Vivado's Tcl commands, so that build.tcl runs where Vivado is not installed.

``tcl.py`` runs a script in a real Tcl interpreter with commands written in Python; ``blocks.py``
is what we know of the IP blocks (pins, interfaces, parameters); ``vivado.py`` is the commands of
a project, ``alone.py`` those of a design without one, ``xdc.py`` reads constraints.

Where a stand-in is stricter than Vivado, it says so. Where it is more lenient, a test proves
nothing: it knows no synthesis, no placement, no timing.
"""
