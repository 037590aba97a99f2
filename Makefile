# `make` lists what there is. Each target does all set-up that it needs. VERBOSE=1 shows the output of every command.

PYTHON := .venv/bin/python
# A command that uses libvirt: a user who joined its group since logging in has it for that command.
MEMBER := @python3 -m tools.setup.membership
# Two files that wait for guests and one that computes are what two cores bear (tests/conftest.py puts them in order). A
# file of tests stays with one worker, because its tests share a stack.
WORKERS ?= 3
PYTEST := $(PYTHON) -m pytest -p tools.pytest_requirements
SHARED_OUT := -n $(WORKERS) --dist loadfile --no-loadscope-reorder
FAULTS := tests/faults tests/e2e/test_faults.py

export VERBOSE
export PULUMI_SKIP_UPDATE_CHECK = 1

.DEFAULT_GOAL := help
.PHONY: help setup pulumi demo demo-down test test-faults test-fast soak lint lint-types lint-imports schema sdk docs check-generated bench \
  requirements lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*  ## ' $(MAKEFILE_LIST) | sed -E 's/:.*  ## /\t/' | expand -t 18

setup:  ## install what is missing: system packages, .venv, the pulumi CLI; start libvirtd where no init system does
	@python3 -m tools.setup

pulumi:  ## print the path of the pulumi CLI in use (make -s pulumi)
	@python3 -m tools.pulumi_cli

demo: setup  ## run examples/01-first-server and log in to its guest; IMAGE=path-or-URL for an image of your own
	$(MEMBER) $(PYTHON) -m tools.demo up $(if $(IMAGE),--image '$(IMAGE)')

demo-down: setup  ## destroy what the demo made
	$(MEMBER) $(PYTHON) -m tools.demo down

test: setup lint check-generated  ## run all checks and all tests but those of test-faults
	@$(PYTHON) -m tools.requirements --forget
	$(MEMBER) $(PYTEST) $(SHARED_OUT) $(addprefix --ignore=,$(FAULTS))

test-faults: setup  ## put a fault at every step of what each resource does, and look what becomes of it
	$(MEMBER) $(PYTEST) $(SHARED_OUT) $(FAULTS)

test-fast: setup  ## run the tests that need no guest and no pulumi
	$(MEMBER) $(PYTEST) -n auto tests/unit tests/hosts tests/conformance tests/faults $(wildcard tests/contract)

soak: setup  ## live thousands of lives of a stack in memory, and strike at every step of one on a real libvirtd
	$(MEMBER) $(PYTEST) $(SHARED_OUT) --timeout 36000 --hypothesis-profile soak $(FAULTS)

lint: setup lint-types lint-imports  ## check style, types and the direction of imports
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check

lint-types:
	@.venv/bin/mypy provider/kiln tests tools bench

lint-imports:
	@.venv/bin/lint-imports

schema: setup  ## write schema.json from the provider's code
	@$(PYTHON) -m tools.generated schema

sdk: setup  ## write sdk/python from schema.json
	@$(PYTHON) -m tools.generated sdk

docs: setup  ## write docs/resources from the provider's code
	@$(PYTHON) -m tools.docs

check-generated: setup  ## fail when schema.json, sdk/python or docs/resources are not what the code gives
	@$(PYTHON) -m tools.generated check
	@$(PYTHON) -m tools.docs --check

bench: setup  ## time Kiln against the floor, a line a figure; ONLY=name for one
	$(MEMBER) $(PYTHON) -m bench $(if $(ONLY),--only $(ONLY))

requirements: setup  ## list the rows of docs/requirements.md without a test that passed; ROWS=CI for those of a prefix
	@$(PYTHON) -m tools.requirements $(if $(ROWS),--rows $(ROWS))

lock: setup  ## pin all Python packages in requirements.lock, with hashes; UPGRADE=1 takes the newest
	@$(PYTHON) -m tools.lock $(if $(UPGRADE),--upgrade)

clean:  ## remove what was built here; the cache in ~/.cache/kiln and the demo stay
	@rm -rf build provider/build sdk/python/build .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +
