# `make bench` measures every subject, `make bench-udp` (and so on) one; BENCH="--seconds 2" passes options.
.PHONY: bench
setup-bench:     ## also install what the benchmarks need
	@scripts/setup bench

bench: setup-bench  ## measure musterd beside other name servers, every subject (15 minutes)
	$(BIN)/python -m bench.run $(BENCH)

bench-%: setup-bench
	$(BIN)/python -m bench.run $* $(BENCH)
