# Everything a fresh machine needs is set up by these targets themselves.
.PHONY: help setup sweep test test-full test-newest lint
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

help:
	@echo "make sweep      a real sweep on embedded data into results/demo (about 10 minutes on 2 cores)"
	@echo "make test       lint and tests"
	@echo "make test-full  the slow and repeated tests too"
	@echo "make test-newest  the fast tests with the newest versions of all dependencies, in .venv-newest"
	@echo "make setup      only the environment in .venv"

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

setup: $(READY)
	@echo "now: source $(BIN)/activate"

sweep: $(READY)
	$(BIN)/gan-search sweep search/specs/demo.yaml

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Two at a time, each file in one process: most tests of sweeps wait for processes to start.
PYTEST := $(BIN)/pytest -n 2 --dist loadfile

test: lint
	$(PYTEST) -m "not slow"

test-full: lint
	$(PYTEST)

# Without constraints.txt, and without the upper limits of pyproject.toml: what will break next?
NEWEST := .venv-newest

test-newest:
	$(PYTHON) -m venv $(NEWEST)
	$(NEWEST)/bin/python tests/newest_requirements.py > $(NEWEST)/requirements.txt
	$(NEWEST)/bin/pip install --quiet --disable-pip-version-check --upgrade -r $(NEWEST)/requirements.txt
	$(NEWEST)/bin/pip install --quiet --disable-pip-version-check --no-deps -e .
	$(NEWEST)/bin/pytest -n 2 --dist loadfile -m "not slow"
