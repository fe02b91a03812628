# Each target is a line that you could type yourself. `make demo` and `make test` need Python 3.11+ and nothing else.
.PHONY: setup setup-tests demo test test-slow test-long lint generate bench clean

setup:
	python3 tools/setup.py

# And what only tests talk to; as root also Debian packages (Prometheus, docker-registry).
setup-tests:
	python3 tools/setup.py --tests

demo: setup
	.venv/bin/tunebird demo

test: setup-tests
	sh tools/test.sh

test-slow: setup-tests
	sh tools/test.sh slow

# A longer fuzzing of devplane and a hundred random kills of training runs, a quarter of an hour on two cores.
# TUNEBIRD_FUZZ, TUNEBIRD_KILLS and TUNEBIRD_SEED choose others.
test-long: setup-tests
	sh tools/test.sh long

lint: setup
	sh tools/lint.sh

generate: setup
	.venv/bin/python -m tunebird.api.crds --write && .venv/bin/python -m devplane.data.generate --write

bench: setup
	.venv/bin/python -m benchmarks

clean:
	rm -rf .venv .venv-trainer .tools .tunebird
