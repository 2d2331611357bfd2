# make demo and make test each set everything up on a fresh machine (Python 3.11 or newer) and run.
PYTHON ?= python3
BIN := .venv/bin
SETUP := .venv/.ready
# Each process takes files from one end, so that what a file builds and imports is built and imported once.
TEST := $(BIN)/python -m pytest -n 2 --dist worksteal -q
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test check format bench proof setup clean

demo: $(SETUP)
	$(BIN)/python -m mmsb experiment=demo

test: $(SETUP)
	$(TEST)

check: $(SETUP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(TEST)

format: $(SETUP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(SETUP)
	$(BIN)/python -m benchmarks

# Kills, power cuts, full disks: what docs/reliability.md promises, attacked; under half an hour, needs cc.
proof: $(SETUP)
	$(BIN)/python -m tests.proof

setup: $(SETUP)

# torch comes first and alone: everything else is then satisfied by it and pulls in no other build.
$(SETUP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mmsb needs Python 3.11 or newer: make PYTHON=python3.12 demo")'
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(SETUP)

clean:
	rm -rf .venv outputs .pytest_cache .mypy_cache .ruff_cache
