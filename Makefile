.DEFAULT_GOAL := help
PYTHON_FILES := . scripts/demo

.PHONY: help demo demo-down lint check test rehearsal fuzz bench capacity faults screenshots format

help:       ## this list
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:[^#]*##/\t/' | expand -t 14

demo:       ## three simulated airports, tunnels up; sets the machine up first
	@scripts/demo up

demo-down:  ## remove the demo, volumes included
	@scripts/demo down

lint:       ## format, lint and types, changing nothing
	@scripts/venv
	.venv/bin/ruff format --check $(PYTHON_FILES)
	.venv/bin/ruff check $(PYTHON_FILES)
	.venv/bin/mypy reconciler tests bench faults dashboards
	.venv/bin/mypy scripts/demo

check: lint ## the same, and the fast tests
	.venv/bin/pytest

test:       ## every test, the ones with real containers included
	@scripts/venv
	@COMPOSE_PROFILES=monitoring scripts/setup
	@scripts/test-tools
	.venv/bin/pytest -m "not rehearsal"
	.venv/bin/pytest -m rehearsal

rehearsal:  ## production on a host of its own, in a virtual machine
	@scripts/venv
	@scripts/setup
	@scripts/test-tools
	.venv/bin/pytest -m rehearsal

fuzz:       ## hostile input, coverage-guided, for hours. INPUTS=100000 TARGETS="airports vici"
	@scripts/venv
	@.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
	  --requirement requirements-fuzz.lock || echo 'fuzz: there is no atheris for this machine'
	.venv/bin/python -m tests.fuzz --inputs $(or $(INPUTS),100000) $(if $(TARGETS),--target $(TARGETS))

bench:      ## the benchmarks; results under bench/results/
	@scripts/venv
	@scripts/setup
	.venv/bin/python -m bench

capacity:   ## 100 live tunnels with traffic, then 10,000 rounds and 1,000 reconnects; about an hour
	@scripts/venv
	@COMPOSE_PROFILES=web,camera-proxy,monitoring scripts/setup
	.venv/bin/python -m bench.capacity load
	.venv/bin/python -m bench.capacity growth

faults:     ## every fault 10 times, hours; docs/faults.md. TIMES=1 ONLY="charon-killed vici-gone"
	@scripts/venv
	@scripts/setup
	.venv/bin/python -m faults --times $(or $(TIMES),10) $(if $(ONLY),--only $(ONLY))

screenshots: ## pictures of the status page for docs/images/, from a running demo
	@scripts/venv
	@scripts/test-tools
	.venv/bin/python -m tests.page.screenshots

format:     ## format and fix what can be fixed
	@scripts/venv
	.venv/bin/ruff format $(PYTHON_FILES)
	.venv/bin/ruff check --fix $(PYTHON_FILES)
