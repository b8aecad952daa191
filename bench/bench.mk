# `make bench` runs every subject, `make bench-udp` (and so on) one; BENCH="--seconds 2" gives options.
.PHONY: bench
bench: bench-setup
	$(BIN)/python -m bench.run $(BENCH)
bench-%: bench-setup
	$(BIN)/python -m bench.run $* $(BENCH)
