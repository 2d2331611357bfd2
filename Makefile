# make demo and make test each set everything up on a fresh machine (Python 3.11 or newer) and run.
PYTHON ?= python3
BIN := .venv/bin
SETUP := .venv/.ready
TOOLS := .venv/tools
# Each process takes files from one end, so that what a file builds and imports is built and imported once. One more than
# two cores, as tests that wait for processes and servers leave theirs free.
TEST := $(BIN)/python -m pytest -n 3 --dist worksteal -q
# What tests import is compiled once, and not by each process that they start.
unexport PYTHONDONTWRITEBYTECODE
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test check format docs bench proof mutants lock sbom setup clean

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

# The documentation as a site, site/index.html; offline. A dead link or anchor ends it.
# Its search alone wants a server: python3 -m http.server -d site
docs: $(SETUP)
	$(BIN)/zensical build --clean --strict

bench: $(SETUP)
	$(BIN)/python -m benchmarks

# Kills, power cuts, full disks, hostile input: what docs/reliability.md promises, attacked; under half an hour on an idle
# machine, needs cc. make proof SHARE=0.1 makes a tenth of the attacks.
SHARE ?= 1
proof: $(SETUP)
	$(BIN)/python -m tests.proof $(SHARE)
	MMSB_EXAMPLES=many $(TEST) tests/test_hostile.py tests/test_console.py

# Changes that would break a promise, each of which the tests must notice: make mutants, or python -m tests.mutants WORD.
mutants: $(SETUP)
	$(BIN)/python -m tests.mutants

setup: $(SETUP)

# After a change of pyproject.toml or constraints.txt: digests of every file of every package, for all machines.
lock: $(TOOLS)/.ready
	$(TOOLS)/bin/uv pip compile --quiet pyproject.toml tools/lock/needed.in --extra dev --constraint constraints.txt \
		--override tools/lock/no_torch.txt --generate-hashes --universal --python-version 3.11 --no-annotate --no-header \
		--output-file requirements.lock

# What is installed, as a bill of materials (CycloneDX).
sbom: $(SETUP) $(TOOLS)/.ready
	mkdir -p dist
	$(TOOLS)/bin/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml -o dist/sbom.json $(BIN)/python

$(TOOLS)/.ready:
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet uv==0.13.9 cyclonedx-bom==7.5.0
	touch $(TOOLS)/.ready

# Everything but torch is locked by digest; torch's builds differ by machine (CPU, CUDA), so its version alone is pinned.
# The last line finds everything there; what is declared and not locked yet, it still gets (and a test says so).
$(SETUP): pyproject.toml constraints.txt requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mmsb needs Python 3.11 or newer: make PYTHON=python3.12 demo")'
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation --editable '.[dev]'
	touch $(SETUP)

clean:
	rm -rf .venv outputs site .cache .pytest_cache .mypy_cache .ruff_cache
