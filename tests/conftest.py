"""Fixtures for all tests."""

from __future__ import annotations

import os

# Two workers share two cores; more threads than that only wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")
