# DermQ's chores. `make help` lists them. Python 3.11 to 3.13 with venv is all that has to be there; the rest is fetched.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup setup-dev demo test compose fuzz chaos coverage bench lint audit sbom format docs reference lock clean renew

# The interpreter: the first of these that runs and is new enough; `make setup PYTHON=/path/to/python3.12` takes another.
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(or $(shell for name in python3 python3.13 python3.12 python3.11; do \
  $$name -c '$(FITS)' 2>/dev/null && echo $$name && break; done),python3)
VENV := .venv
BIN := $(VENV)/bin
# Why a .venv that is there has to be made anew; empty if it is good. Only a PYTHON that the user gave is compared with it.
VERSION := import sys; print("%d.%d" % sys.version_info[:2])
HAS := $(if $(wildcard $(VENV)),$(or $(shell $(BIN)/python -c '$(VERSION)' 2>/dev/null),none))
GIVEN := $(if $(HAS),$(filter-out file,$(origin PYTHON)))
ASKED := $(if $(GIVEN),$(or $(shell $(PYTHON) -c '$(VERSION)' 2>/dev/null),none))
STALE := $(strip $(if $(filter none,$(HAS)),its Python does not run, \
  $(if $(filter-out 3.11 3.12 3.13,$(HAS)),it has Python $(HAS), \
  $(if $(filter-out $(HAS),$(ASKED)),it has Python $(HAS) and $(PYTHON) is Python $(ASKED)))))
RENEW := $(if $(STALE),renew)
# uv from the PATH, else one of our own in .venv-uv.
UV := $(if $(shell uv --version 2>/dev/null),uv,.venv-uv/bin/uv)
UV_FILE := $(filter .venv-uv/%,$(UV))
# uv trusts the certificates that the system trusts (a company's own, say), as pip does. UV_SYSTEM_CERTS=0: those that it brings.
UV_SYSTEM_CERTS ?= 1
export UV_SYSTEM_CERTS
# Every process would compile its packages again, TensorFlow's for 5 s of CPU, where the environment forbids to keep the bytecode.
unexport PYTHONDONTWRITEBYTECODE
# The whole suite; `make test ARGS="-k zip"` runs a part of it.
ARGS ?=
FUZZ_S ?= 120
FUZZ_SEED ?= 1
KILLS ?= 60
SEED ?= 1
JOBS ?= 4
DB ?= sqlite
ROUNDS ?= 5
MINUTES ?= 20
# One worker more than processors: many tests wait for the servers that they start.
WORKERS ?= $(shell n=`getconf _NPROCESSORS_ONLN`; echo $$((n < 5 ? n + 1 : 6)))
# A file's tests stay together, as they share servers; files keep their order, the longest come first.
RUN_TESTS = -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  PYTHON=python3.12 chooses the interpreter (here: $(PYTHON)); demo takes ONCE=1, test takes ARGS=..."

setup: $(VENV)/.up ## Make .venv and install what the one-machine stack needs

setup-dev: $(VENV)/.dev

demo: $(VENV)/.up ## Screen a drawn sample archive, leave the API up until Ctrl-C (ONCE=1: end at once)
	$(BIN)/dermq demo $(if $(ONCE),--once)

test: $(VENV)/.dev ## Run the tests
	$(BIN)/python $(RUN_TESTS)

compose: $(VENV)/.dev ## Build and start the stack of docker-compose.yml, and use and attack it in a browser (needs Docker and Chromium)
	$(BIN)/python -m pytest -n0 $(ARGS) tests/compose/in_a_browser.py tests/compose/from_other_sites.py

coverage: $(VENV)/.dev ## Run the tests and show which share of the code they run, per package (FAIL_UNDER=0: of a part)
	rm -rf .coverage
	$(BIN)/coverage run $(RUN_TESTS)
	$(BIN)/coverage combine --quiet
	@$(BIN)/coverage json --quiet --fail-under=0 -o - | $(BIN)/python .ci/coverage-by-package
	@$(BIN)/coverage report --format=total $(addprefix --fail-under=,$(FAIL_UNDER))

fuzz: $(VENV)/.dev ## Hold archives against other readers for FUZZ_S seconds (120), from FUZZ_SEED (1) on
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_S) --seed $(FUZZ_SEED)

chaos: $(VENV)/.dev ## Kill, freeze and cut off parts of a real stack under a stream of jobs (KILLS, SEED, JOBS, DB=sqlite|postgres, KINDS=kill)
	$(BIN)/python -m tests.chaos --kills $(KILLS) --seed $(SEED) --jobs $(JOBS) --db $(DB) $(if $(KINDS),--kinds $(KINDS))

# What is installed somewhere.
LOCKS = api worker serving training flower up

# Every shell script, by its first line.
SCRIPTS = $(shell grep -rlIE --exclude-dir=__pycache__ --exclude-dir=node_modules '^\#!.*[ /](ba)?sh$$' .ci deploy examples requirements)

bench: $(VENV)/.dev ## Measure DermQ beside the best in-process loop, in minutes (BENCH=full: beside tf.data and Celery too; ROUNDS=5 MINUTES=20)
	$(BIN)/python -m benchmarks.bench --rounds $(ROUNDS) --minutes $(MINUTES) $(if $(filter full,$(BENCH)),--full)

lint: $(VENV)/.dev .ci/javascript/node_modules/.stamp ## Check style, types, who imports whom, the pages' modules, shell scripts and workflows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/shellcheck $(SCRIPTS)
	$(BIN)/zizmor --offline --quiet .github
	npm --prefix .ci/javascript run --silent lint

audit: $(VENV)/.dev ## Ask PyPI's and OSV's advisories about the locked packages (needs the network)
	@for lock in $(LOCKS); do echo "$$lock:"; $(BIN)/pip-audit --strict --disable-pip --require-hashes --requirement requirements/$$lock.lock || exit 1; done

sbom: $(VENV)/.dev ## Write a CycloneDX bill of materials for each lock into build/sbom
	@mkdir -p build/sbom
	@for lock in $(LOCKS); do $(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --mc-type application \
	  --output-reproducible --of JSON --output-file build/sbom/dermq-$$lock.cdx.json requirements/$$lock.lock || exit 1; done
	@echo "build/sbom"

format: $(VENV)/.dev ## Format the code
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

reference: $(VENV)/.dev ## Write the generated parts of docs/reference from the code
	$(BIN)/python -m docs.generate

docs: $(VENV)/.dev ## Build the documentation as a site in build/docs, with warnings as errors
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --nitpicky docs build/docs
	@echo "build/docs/index.html"

lock: ## Lock the dependencies of every extra again (ARGS=--upgrade moves them to their newest versions)
	requirements/compile $(ARGS)

clean: ## Remove .venv and the tools' caches
	rm -rf $(VENV) .venv-uv .ci/javascript/node_modules build/docs .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage

# Stamps: installed again only when a lock or the project file has changed. `uv pip install` adds and never removes, so
# that the demo's packages and the developers' live side by side.
$(VENV)/.up: requirements/up.lock pyproject.toml $(RENEW) | $(BIN)/python $(UV_FILE)
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements/up.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.lock pyproject.toml $(RENEW) | $(BIN)/python $(UV_FILE)
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements/dev.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

# eslint and tsc, which check the pages' modules and are shipped nowhere.
.ci/javascript/node_modules/.stamp: .ci/javascript/package-lock.json
	@command -v npm >/dev/null || { echo "make: no npm on PATH: install Node 18.18 or later (Debian: apt-get install nodejs npm)" >&2; exit 1; }
	npm --prefix .ci/javascript ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

# Said before anything is made or fetched: which Python, and why not.
define CHECK_PYTHON
@command -v $(PYTHON) >/dev/null || { echo "make: no $(PYTHON) on PATH: install Python 3.11, 3.12 or 3.13, or name one with PYTHON=..." >&2; exit 1; }
@$(PYTHON) -c '$(FITS)' || { \
  echo "make: DermQ needs Python 3.11, 3.12 or 3.13, and $(PYTHON) is `$(PYTHON) --version 2>&1`; name another with PYTHON=..." >&2; exit 1; }
endef

renew: | $(UV_FILE)
	$(CHECK_PYTHON)
	@echo "make: $(VENV) is made anew: $(STALE)"
	@rm -rf $(VENV)

$(BIN)/python: $(RENEW) | $(UV_FILE)
	$(CHECK_PYTHON)
	$(UV) venv --quiet --no-python-downloads --python "$$(command -v $(PYTHON))" $(VENV)

.venv-uv/bin/uv:
	$(CHECK_PYTHON)
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "make: $(PYTHON) has no venv and pip; on Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv .venv-uv
	@echo '*' > .venv-uv/.gitignore
	.venv-uv/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.11'
