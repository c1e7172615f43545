.DEFAULT_GOAL := help
PYTHON_FILES := . scripts/demo

.PHONY: help demo demo-down check test fuzz bench faults screenshots format

help:       ## this list
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:[^#]*##/\t/' | expand -t 14

demo:       ## three simulated airports, tunnels up; sets the machine up first
	@scripts/demo up

demo-down:  ## remove the demo, volumes included
	@scripts/demo down

check:      ## format, lint, types, fast tests
	@scripts/venv
	.venv/bin/ruff format --check $(PYTHON_FILES)
	.venv/bin/ruff check $(PYTHON_FILES)
	.venv/bin/mypy reconciler tests bench faults dashboards
	.venv/bin/mypy scripts/demo
	.venv/bin/pytest

test:       ## every test, the ones with real containers included
	@scripts/venv
	@COMPOSE_PROFILES=monitoring scripts/setup
	@scripts/test-tools
	.venv/bin/pytest -m "real or e2e or browser or not (real or e2e or browser)"

fuzz:       ## hostile input, coverage-guided, for hours. INPUTS=100000 TARGETS="airports vici"
	@scripts/venv
	@.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
	  --requirement requirements-fuzz.lock || echo 'fuzz: there is no atheris for this machine'
	.venv/bin/python -m tests.fuzz --inputs $(or $(INPUTS),100000) $(if $(TARGETS),--target $(TARGETS))

bench:      ## the benchmarks; results under bench/results/
	@scripts/venv
	@scripts/setup
	.venv/bin/python -m bench

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
