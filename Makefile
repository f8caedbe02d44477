# Each target works as the first command after a clone: it makes .venv, installs what it needs at the pinned
# versions, compiles the extensions in place, and then does its job. Stamp files keep a second run from repeating work.
#
#   make demo     a simulated exchange and the gateway on this machine, with what to try   (ARGS="--port 9000 ...")
#   make test     the test suite                                                           (ARGS="-k book")
#   make freqtrade  freqtrade for minutes on a gateway, live, on paper, and with answers lost   (TRADES=20)
#   make crash    kill the gateway and PostgreSQL in the middle of everything, again and again   (RUNS=300 SEED=1)
#   make lint     ruff, mypy, cython-lint, hadolint
#   make bench    workloads beside the C floor and installed peers -> docs/benchmarks.md   (ARGS="A C", ARGS="A --tls")
#   make microbench  each compiled function beside a reference, held against what was kept (ARGS=--save keeps anew)
#   make load     scenarios of loadtest/targets.toml held against their limits             (SCENARIO=soak MINUTES=60)
#   make users    locust's users against a demo gateway, or another one                    (ARGS="--host http://...")
#   make setup    only the environment and the extensions
#   make pins     resolve the constraints files anew
#   make clean    remove what was built; `rm -rf .venv .venv-freqtrade` removes the environments too
#
# PYTHON=python3.12 chooses the interpreter; CONSTRAINTS=.ci/constraints-ccxt-latest.txt the other set of pins.

SHELL := /bin/sh
PYTHON ?= $(or $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done),python3)
CC ?= cc
CONSTRAINTS ?= .ci/constraints.txt
JOBS ?= 2
WORKERS ?= 4
ARGS ?=
RUNS ?= 300
SEED ?= 1
TRADES ?= 20
SCENARIO ?=
MINUTES ?=

# Of what ARGS name, there may be nothing on one side of `timed` (tests/conftest.py); pytest says that with a 5.
OR_NONE = $(if $(ARGS),|| [ $$? = 5 ])
TIMED = $(shell grep -rl --include='test_*.py' 'pytest\.mark\.timed' tests)
# Tests start hundreds of processes, which would all compile our modules anew.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint $(CONSTRAINTS)
PINNED := $(VENV)/.pins $(CONSTRAINTS) pyproject.toml driver/pyproject.toml
FREQTRADE := .venv-freqtrade
COMPILED := setup.py $(wildcard _speedups/*.pyx _speedups/*.pxd _speedups/*.h)

.PHONY: setup demo test browser freqtrade crash lint bench microbench load users pins clean
.DELETE_ON_ERROR:

setup: build/.compiled

demo: setup
	$(BIN)/tickwire demo $(ARGS)

test: setup $(VENV)/.with-test $(VENV)/.with-load $(FREQTRADE)/.installed browser
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --benchmark-disable -m "not timed" $(ARGS) $(OR_NONE)
	$(BIN)/python -m pytest --benchmark-disable -m timed $(or $(ARGS),$(TIMED)) $(OR_NONE)

freqtrade: setup $(VENV)/.with-test $(FREQTRADE)/.installed
	TICKWIRE_FREQTRADE_TRADES=$(TRADES) $(BIN)/python -m pytest -v tests/e2e/test_freqtrade.py $(ARGS)

crash: setup $(VENV)/.with-test
	$(BIN)/python -m tests.crash --runs $(RUNS) --seed $(SEED)

lint: setup $(VENV)/.with-test $(VENV)/.with-load $(VENV)/.with-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint --max-line-length=120 _speedups
	$(BIN)/hadolint deploy/Dockerfile

bench: setup $(VENV)/.with-test $(VENV)/.with-load
	$(BIN)/python -m loadtest.bench $(ARGS)

microbench: setup $(VENV)/.with-test
	$(BIN)/python -m tests.bench.compiled $(ARGS)

load: setup $(VENV)/.with-test $(VENV)/.with-load
	$(BIN)/python -m loadtest.load $(SCENARIO) $(if $(MINUTES),--minutes $(MINUTES)) $(ARGS)

users: setup $(VENV)/.with-load
	$(BIN)/python -m loadtest.users $(ARGS)

# The environment: made once, checked before anything is downloaded so that the message is the first line seen.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "tickwire needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1)." \
			"Install one, or name it: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "'$(PYTHON)' has no venv module: on Debian and Ubuntu, apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# Holds which set of pins is installed, and changes only when another is asked for.
$(VENV)/.pins: $(VENV)/.made FORCE
	@echo $(CONSTRAINTS) | cmp -s - $@ || echo $(CONSTRAINTS) > $@
FORCE:

# The build requirements go in first, so that the project itself builds with the pinned Cython.
$(VENV)/.installed: $(VENV)/.made $(PINNED)
	@command -v $(CC) >/dev/null || { \
		echo "No C compiler ('$(CC)'): on Debian and Ubuntu, apt-get install gcc; or name one: make CC=clang ..." >&2; exit 1; }
	@$(BIN)/python -c 'import pathlib, sys, sysconfig; \
		sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())' || { \
		echo "Python.h is missing: on Debian and Ubuntu, apt-get install python3-dev" >&2; exit 1; }
	$(PIP) setuptools cython
	TICKWIRE_SKIP_SPEEDUPS=1 $(PIP) --no-build-isolation --editable . --editable ./driver
	@touch $@

$(VENV)/.with-%: $(VENV)/.installed
	$(PIP) $$($(BIN)/python -c 'import tomllib; \
		print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["$*"])')
	@touch $@

# freqtrade wants other versions of what we use, and a strategy's machine has nothing of ours but the driver.
$(FREQTRADE)/.installed: $(VENV)/.made .ci/constraints-freqtrade.txt
	$(PYTHON) -m venv $(FREQTRADE)
	$(FREQTRADE)/bin/python -m pip --disable-pip-version-check install --quiet \
		--constraint .ci/constraints-freqtrade.txt freqtrade
	@touch $@

# For the page of examples/dashboard. Only root can install it; for others its test is skipped where there is none.
browser:
	@for name in chromium chromium-browser google-chrome; do command -v $$name >/dev/null && exit 0; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium; } \
			>/dev/null || echo "Chromium could not be installed: the test of a page is skipped" >&2; \
	else \
		echo "No Chromium: the test of a page is skipped. On Debian, apt-get install chromium" >&2; \
	fi

build/.compiled: $(VENV)/.installed $(COMPILED)
	CC="$(CC)" TICKWIRE_REQUIRE_SPEEDUPS=1 $(BIN)/python setup.py --quiet build_ext --inplace --parallel $(JOBS)
	@mkdir -p build && touch $@

# Resolves pyproject.toml anew for both pairs (docs/dependencies.md), each in a throw-away environment.
pins: build/pins/constraints.txt build/pins/constraints-ccxt-latest.txt build/pins/constraints-freqtrade.txt
	cp $^ .ci
build/pins/constraints.txt: PAIR := ccxt==4.5.64 uvloop==0.23.0
build/pins/constraints-ccxt-latest.txt: PAIR := ccxt uvloop==0.22.1
build/pins/constraints-freqtrade.txt: $(VENV)/.made
	$(PYTHON) -m venv --clear build/pins/venv
	build/pins/venv/bin/pip --disable-pip-version-check install --quiet --no-compile freqtrade
	{ echo "# freqtrade as the newest release resolves it, in an environment of its own (docs/dependencies.md). Made by make pins."; \
		build/pins/venv/bin/pip freeze --all | grep -v -e '^pip==' -e '^setuptools==' | sort -f; } > $@
build/pins/%.txt: $(VENV)/.made pyproject.toml
	$(PYTHON) -m venv --clear build/pins/venv
	build/pins/venv/bin/pip --disable-pip-version-check install --quiet --no-compile $(PAIR) \
		$$($(BIN)/python -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb")); \
		print(*p["build-system"]["requires"], *p["project"]["dependencies"], \
		*sum(p["project"]["optional-dependencies"].values(), []))')
	{ echo "# $(PAIR), and every other package at one version (docs/dependencies.md). Made by make pins."; \
		build/pins/venv/bin/pip freeze --all | grep -v '^pip==' | sort -f; } > $@

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks
	rm -f _speedups/*.so _speedups/*.c
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
