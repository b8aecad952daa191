.DEFAULT_GOAL := help
SHELL := /bin/bash
export PATH := $(HOME)/.cargo/bin:$(PATH):/usr/sbin:/sbin
export PYO3_PYTHON := $(CURDIR)/.venv/bin/python

BIN := .venv/bin
CARGO := cargo
CORE := --manifest-path core/Cargo.toml

.PHONY: help setup run test test-rust check bench-setup conformance faults fuzz fuzz-short clean

help:            ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## */  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

setup:           ## make .venv with musterd in it, and see to the tools of the tests
	@scripts/setup

run: setup       ## serve the example in the foreground, register a name and ask for it
	@exec scripts/run

test: setup test-rust  ## run the tests
	$(BIN)/pytest -n 4 --dist loadgroup $(PYTEST)

test-rust: setup
	$(CARGO) test --release --no-default-features $(CORE)

check: setup     ## formats, lints, types, and the examples of the docs
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy --strict
	$(CARGO) fmt --check $(CORE)
	$(CARGO) clippy --release --all-targets $(CORE) -- -D warnings
	$(CARGO) clippy --release --all-targets --no-default-features $(CORE) -- -D warnings
	$(CARGO) test --release --no-default-features $(CORE)
	$(BIN)/pytest tests/test_docs.py

bench:           ## measure side by side with other name servers

bench-setup: setup
	@scripts/setup bench

conformance: setup  ## compare at length: 100,000 questions, 1,000,000 messages, 300 sets of keys
	$(BIN)/python -m tests.conformance.differential --count 100000
	$(BIN)/python -m tests.conformance.etcd_coredns --sets 300
	$(BIN)/python -m tests.conformance.parsing --count 1000000

faults: setup    ## let etcds die, freeze, part and forget at length: a quarter of an hour
	FAULTS=1 $(BIN)/pytest -n 0 --timeout 900 tests/cluster

fuzz:            ## run each fuzzer of the core for an hour
	@scripts/fuzz

fuzz-short:      ## and for a minute
	@scripts/fuzz 60

include bench/bench.mk

clean:           ## remove all that was made
	rm -rf .venv .run core/target core/fuzz/target .mypy_cache .pytest_cache .ruff_cache
	rm -f src/musterd/_core*.so
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +
