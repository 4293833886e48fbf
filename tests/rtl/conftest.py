"""Fixtures of the RTL tests."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def bench_cache(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where compiled benches stay between sessions; their names follow from their content."""
    cache = getattr(request.config, "cache", None)
    return cache.mkdir("rtl") if cache else tmp_path_factory.mktemp("rtl")
