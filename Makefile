.DEFAULT_GOAL := help
SHELL := /bin/bash
export PATH := $(HOME)/.cargo/bin:$(PATH):/usr/sbin:/sbin
export PYO3_PYTHON := $(CURDIR)/.venv/bin/python

BIN := .venv/bin
CARGO := cargo
CORE := --manifest-path core/Cargo.toml

.PHONY: help setup setup-test setup-bench run test test-rust check dist dist-test clean
.PHONY: conformance conformance-short faults faults-short fuzz fuzz-short

help:            ## list the targets; times are for two cores
	@sed -n 's/^\([a-z-]*\):.*## */  make \1\t/p' $(MAKEFILE_LIST) | expand -t 28

setup:           ## create .venv with musterd in it; needs no root
	@scripts/setup

setup-test:      ## also install what the tests need: Python packages, name servers, etcd
	@scripts/setup test

run: setup       ## serve the example in the foreground, register a name and query it
	@exec scripts/run

test: setup-test test-rust  ## run the tests (6 minutes)
	$(BIN)/pytest -n 4 $(PYTEST)

test-rust: setup-test
	$(CARGO) test --release --no-default-features $(CORE)

check: setup-test  ## check formats, lints, types and import layers (1 minute)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/lint-imports
	$(BIN)/mypy --strict
	$(CARGO) fmt --check $(CORE)
	$(CARGO) clippy --release --all-targets $(CORE) -- -D warnings
	$(CARGO) clippy --release --all-targets --no-default-features $(CORE) -- -D warnings

# The short forms run in CI, the long ones before a release.
conformance-short: COUNTS := 20000 60 200000
conformance: COUNTS := 100000 300 1000000
conformance-short: setup-test  ## compare with other name servers: 20,000 queries (4 minutes)
conformance: setup-test  ## the same with 100,000 queries, 300 sets of etcd keys, 1,000,000 messages (15 minutes)
conformance conformance-short:
	$(BIN)/python -m tests.conformance.differential --count $(word 1,$(COUNTS))
	$(BIN)/python -m tests.etcd_records.differential.coredns --sets $(word 2,$(COUNTS))
	$(BIN)/python -m tests.conformance.parsing --count $(word 3,$(COUNTS))

# Full-length faults that "make test" leaves out, then longer random runs than there.
faults-short: setup-test  ## kill, partition and compact etcd under load (6 minutes)
	FAULTS=1 $(BIN)/pytest -n 0 --timeout 900 tests/cluster/test_faults.py tests/cluster/test_partition.py \
	  -k "leader or compacted_all or sleeps or (cut_off and restart)"
	FAULTS=0.1 $(BIN)/pytest -n 2 --timeout 900 tests/cluster/test_random.py tests/cluster/test_random_records.py

faults: setup-test  ## every fault at full length (15 minutes)
	FAULTS=1 $(BIN)/pytest -n 0 --timeout 900 tests/cluster

fuzz-short:      ## run each fuzzer of the core for 30 seconds (2 minutes)
	@scripts/fuzz 30

fuzz:            ## run each fuzzer of the core for an hour (2 hours)
	@scripts/fuzz

dist: setup      ## build the wheel and the source archive in dist/ (3 minutes)
	rm -rf dist
	VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/maturin build --release --sdist --out dist

dist-test: setup-test dist  ## install what dist builds in new environments, and run it (5 minutes)
	@scripts/dist-test

include bench/bench.mk

clean:           ## remove everything that was built
	rm -rf .venv .run dist core/target core/fuzz/target .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	rm -f src/musterd/_core*.so
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +
