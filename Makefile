# `make demo` and `make test` are all a newcomer needs; both set everything up first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	--overrides requirements/overrides.txt

export PYTHONUTF8 := 1
# Tests start hundreds of processes; without compiled modules each of them takes seconds longer.
unexport PYTHONDONTWRITEBYTECODE
# Whole files go to a process each, the longest first (tests/conftest.py). More processes only wait for the journey.
PARALLEL := -n logical --maxprocesses 4

.PHONY: help setup demo test test-slow lint types contracts docs bench lock clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP)  ## Install pinned requirements into .venv

$(STAMP): requirements/all.txt pyproject.toml tools/install_torch.py
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/all.txt
	$(BIN)/python tools/install_torch.py
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

demo: setup  ## Release a real small model into open versions, then ask one of them a question
	$(BIN)/weighbridge demo

test: setup lint types contracts  ## Lint, types, import contracts, tests with the real model, docs
	$(BIN)/python -m pytest -m "not slow" $(PARALLEL)

test-slow: setup  ## What is too slow for every change
	$(BIN)/python -m pytest -m slow

lint: setup  ## Style and likely mistakes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup  ## mypy --strict
	$(BIN)/mypy

contracts: setup  ## Which room may import which
	$(BIN)/lint-imports

docs: setup  ## Write the generated reference pages and the index of licences anew
	$(BIN)/python tools/licence_index.py
	$(BIN)/python tools/reference.py

bench: setup  ## Every benchmark, each a ratio in one run (minutes; needs 8 GiB of free disk)
	$(BIN)/python -m benchmarks

lock:  ## Resolve requirements/*.txt anew (needs uv)
	$(COMPILE) pyproject.toml -o requirements/base.txt
	$(COMPILE) --extra run --extra derive --extra hub --extra server --extra detect --extra sigstore --extra weigh --extra cluster --extra corpus --group dev pyproject.toml requirements/torch-needs.in -o requirements/all.txt

clean:  ## Remove what the demo, tests and tools left behind
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache examples/*/.weighbridge \
		examples/*/hub examples/*/checkpoints examples/*/download benchmarks/data
