# Everything installs into .venv; no root rights and no vendor tool are needed.
PYTHON ?= python3
BIN := .venv/bin

demo: .venv/installed    ## train, export, build for the PYNQ-Z2, verify, report
	$(BIN)/hwgen demo

test: .venv/installed    ## style, types and all tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist loadfile

quick: .venv/installed   ## the inner loop: tests of a few seconds
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

.PHONY: demo test quick
