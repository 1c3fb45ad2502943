# Greenroom's commands. `make run` starts it, `make test` tests it, `make check` is what a change must pass.
# Needs Python 3.11 or newer with venv, and make. Everything else is installed into .venv from locks with hashes.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --require-virtualenv
# Releases younger than this are not taken into the locks: bad ones tend to be found and withdrawn within days.
COOLDOWN := 7 days
PYTHON_IMAGE ?= python:3.11-slim
IMAGE_PYTHON_VERSION ?= 3.11
ARGS ?=
REPORT ?= docs/reference/reliability.md
# Most tests wait for processes of their own: more files of them are run at a time than there are processors.
AT_ONCE ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) \* 3 / 2)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup run test coverage check docs lock lock-check audit sbom bench faults faults-long clean dev system-packages compose-test mutants test-images wheels

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

setup: $(VENV)/runtime.stamp  ## make .venv with what Greenroom needs to run

dev: $(VENV)/dev.stamp  ## the same with what its tests and checks need

# exec leaves no shell between make and Greenroom: make passes SIGTERM on to its child and waits for that child only,
# and a shell would die of it and leave Greenroom behind.
run: setup  ## start Greenroom: API, the page for books and workers (settings: GREENROOM_*)
	@exec $(BIN)/greenroom up

test: dev system-packages  ## run all tests (ARGS="-k word" to choose)
	$(BIN)/python -m pytest --numprocesses=$(AT_ONCE) --dist=loadfile $(ARGS)

# The images come from a registry; where none can be reached, docs/how-to/run-with-compose.md says where else from.
compose-test: dev wheels  ## build the image and test compose.yaml with it (needs Docker and Compose)
	docker build --quiet --build-arg PYTHON_IMAGE=$(PYTHON_IMAGE) --build-arg PIP_NO_INDEX=1 --tag greenroom-test/greenroom .
	GREENROOM_TEST_IMAGE=greenroom-test/greenroom GREENROOM_TEST_COMPOSE=1 \
		$(BIN)/python -m pytest -m compose -o faulthandler_timeout=0 tests/acceptance $(ARGS)

mutants: dev system-packages  ## take each guard out of the core's statements, and see the tests notice (ARGS="-k fence")
	$(BIN)/python -m pytest -m mutants tests/integration/core/test_mutants.py $(ARGS)

test-images:  ## make images of Python, PostgreSQL, RabbitMQ and Redis from Debian's packages (as root, with Docker)
	@tests/images/build

wheels: build/wheels/.stamp  ## fetch what the image is made of, for a build without any network

build/wheels/.stamp: requirements.txt | $(VENV)/runtime.stamp
	@rm -rf build/wheels && mkdir -p build
	@# The image's Python may be of an older patch release than this one, and need what this one does not.
	@sed "s/ ; python_full_version < '[0-9.]*'//" requirements.txt >build/wheels.txt
	@$(PIP) download --quiet --require-hashes --only-binary :all: \
		--python-version $(IMAGE_PYTHON_VERSION) --dest build/wheels --requirement build/wheels.txt
	@touch $@

# What interrupts a working thread is left out: hit inside the tracer, a thread would hold its lock for ever. And the tracer is
# the slow one: the other one ends the process when a thread is interrupted beneath it.
coverage: dev system-packages  ## measure how much of the core its tests reach
	COVERAGE_CORE=pytrace $(BIN)/python -m pytest -q --cov --cov-report=term tests/unit tests/integration $(ARGS) \
		--deselect tests/integration/core/test_shutdown.py --deselect tests/integration/core/test_pulse.py \
		-k "not interrupted and not itself and not limit and not cancelled and not lease and not dies"

docs: dev  ## write the generated parts of docs/ anew
	$(BIN)/python docs/generate.py

check: dev  ## lint, format, types, import rules, generated docs, unit tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check
	$(BIN)/python -m pytest -q tests/unit

# uv keeps the versions that are in the locks already; `make lock UPGRADE=1` moves all of them on.
UV_COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--exclude-newer '$(COOLDOWN)' --custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade)

lock: dev  ## write requirements.txt and requirements-dev.txt anew from pyproject.toml (UPGRADE=1: newest versions)
	$(UV_COMPILE) --output-file requirements.txt --group build pyproject.toml
	$(UV_COMPILE) --output-file requirements-dev.txt --group dev --constraint requirements.txt

lock-check: dev  ## fail if the locks do not fit pyproject.toml
	@mkdir -p build/lock && cp requirements.txt requirements-dev.txt build/lock/
	$(UV_COMPILE) --output-file build/lock/requirements.txt --group build pyproject.toml
	$(UV_COMPILE) --output-file build/lock/requirements-dev.txt --group dev --constraint requirements.txt
	@for lock in requirements.txt requirements-dev.txt; do diff -u $$lock build/lock/$$lock || exit 1; done
	@echo "The locks fit pyproject.toml."

audit: sbom  ## look for known vulnerabilities in the locks, and write build/sbom.json
	AUDIT='$(AUDIT)' $(BIN)/python scripts/audit.py

sbom: dev
	@mkdir -p build
	$(BIN)/python -W ignore -m cyclonedx_py requirements --output-reproducible \
		--pyproject pyproject.toml --output-file build/sbom.json requirements.txt

bench: dev system-packages  ## run the benchmarks
	$(BIN)/python -m benchmarks $(ARGS)

# Trials of two set-ups at a time: they wait more than they work.
faults: dev system-packages  ## kill, cut off and starve everything under load, and let an oracle judge (ARGS="--rows F1,F18")
	$(BIN)/python -m tests.faults --at-once 2 --controls --report $(REPORT) $(ARGS)

faults-long: dev system-packages  ## the same with many more faults and jobs in each row; takes hours
	$(BIN)/python -m tests.faults --long --at-once 2 --controls --report $(REPORT) $(ARGS)

clean:  ## remove what was built, installed and measured here, but not var/
	rm -rf $(VENV) build dist .coverage .coverage.* htmlcov .hypothesis .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find persistence middleware actors api tests -name __pycache__ -prune -exec rm -rf {} +

system-packages:
	@scripts/system-packages

$(VENV)/runtime.stamp: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Greenroom needs Python 3.11 or newer. Name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "Installing what Greenroom needs into $(VENV) (requirements.txt)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --quiet --require-hashes --requirement requirements.txt
	@$(PIP) install --quiet --no-deps --no-build-isolation --no-index --editable .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/runtime.stamp requirements-dev.txt
	@echo "Installing what the tests and checks need into $(VENV) (requirements-dev.txt)"
	@$(PIP) install --quiet --require-hashes --requirement requirements-dev.txt
	@touch $@
