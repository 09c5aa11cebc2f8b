# Two commands are enough: `make run` and `make test`. Both set up what they need, once.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PROFILE ?= $(or $(COURSE_PROFILE),quick)
NB ?=
SEEDS ?= 0 1 2
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Notebooks run in other folders, so a relative data folder is made absolute here, whether it comes
# from the environment or from the command line.
# (Make's own abspath would take a path with a space for two.)
ifneq ($(COURSE_DATA_DIR),)
ifeq ($(filter /%,$(COURSE_DATA_DIR)),)
override COURSE_DATA_DIR := $(CURDIR)/$(COURSE_DATA_DIR)
endif
endif
export COURSE_DATA_DIR

# Each of some hundred processes of the tests would compile anew what an earlier one compiled.
unexport PYTHONDONTWRITEBYTECODE

# The first Python from 3.11 to 3.13; name another one with PYTHON=.
SUITABLE := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
PYTHON ?= $(shell for python in python3 python3.12 python3.13 python3.11; do \
	$$python -c '$(SUITABLE)' 2>/dev/null && echo $$python && break; done)

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | \
		awk -F'\t' '{printf "make %-14s %s\n", $$1, $$2}'

$(READY): requirements.txt pyproject.toml
	@if [ -z "$(PYTHON)" ]; then \
		echo "No Python from 3.11 to 3.13 was found: install one, or name it with PYTHON=."; exit 1; fi
	@$(PYTHON) -c '$(SUITABLE)' || { \
		echo "$(PYTHON) is $$($(PYTHON) --version), but 3.11 to 3.13 is needed: pass PYTHON=."; exit 1; }
	@if command -v uv >/dev/null; then \
		uv venv --quiet --seed --allow-existing --python "$$(command -v $(PYTHON))" $(VENV); \
		uv pip install --python $(BIN)/python -r requirements.txt; \
	else \
		$(PYTHON) -m venv $(VENV); \
		$(BIN)/python -m pip install --disable-pip-version-check -r requirements.txt; \
	fi
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--no-build-isolation -e .
	@# Without byte code, each kernel would compile thousands of files anew at its start.
	@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib || true
	@touch $@

.PHONY: setup
setup: $(READY) ## create the environment (the other targets do it by themselves)

.PHONY: run
run: $(READY) ## run the course; NB=04 for one notebook, PROFILE=smoke|quick|full for the size
	$(BIN)/python -m tools.run_notebooks --profile $(PROFILE) $(NB)

.PHONY: site
site: $(READY) ## build the book from the notebooks that ran; PROFILE as above
	$(BIN)/python -m tools.site --profile $(PROFILE)

.PHONY: slides
slides: $(READY) ## turn the notebooks that ran into slides that open from disk
	$(BIN)/python -m tools.slides --profile $(PROFILE)

.PHONY: lab
lab: $(READY) ## open the notebooks in JupyterLab, on this computer only
	$(BIN)/jupyter lab --ip 127.0.0.1 --notebook-dir notebooks \
		$(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: lint
lint: $(READY) ## format and rules (ruff), types (mypy)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

.PHONY: sync
sync: $(READY) ## write each .ipynb from its .py
	$(BIN)/python -m tools.pairing sync

# The tests in the browser are the longest and wait a lot: they begin, and a third worker has time.
WORKERS := -n 3 --dist loadfile --no-loadscope-reorder

.PHONY: test
test: lint ## what CI runs at every push
	$(BIN)/python -m tools.pairing check
	$(BIN)/python -m tools.guide --check
	$(BIN)/python -m tools.ladder --check
	$(BIN)/python -m tools.results --check
	$(BIN)/python -m tools.experiments --check
	$(BIN)/python -m tools.address --check
	$(BIN)/python -m tools.reliability --check
	$(BIN)/python -m pytest $(WORKERS) tests
	$(BIN)/python -m tools.check_notebooks

.PHONY: test-browser
test-browser: $(READY) ## the tests in JupyterLab, the book and the slides, where a Chromium is found
	$(BIN)/python -m pytest $(WORKERS) tests/browser

.PHONY: reliability
reliability: $(READY) ## try everything that the page Reliability counts (hours); ONLY=tests/… for one row
	@# What was not survived stands on the page as well.
	status=0; COURSE_RELIABILITY=full $(BIN)/python -m pytest \
		$(or $(ONLY),tests/reliability tests/browser) || status=$$?; \
	$(BIN)/python -m tools.reliability; exit $$status

.PHONY: audit
audit: ## ask for known weaknesses of the pinned packages, in an environment of its own
	$(PYTHON) -m venv build/audit
	build/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	@# Strict, or packages that could not be looked up would pass.
	build/audit/bin/pip-audit --strict --no-deps --disable-pip --progress-spinner off \
		--requirement requirements.txt

.PHONY: expected
expected: $(READY) ## record what cells marked NBVAL_CHECK_OUTPUT print
	$(BIN)/python -m tools.check_notebooks --record

.PHONY: record
record: $(READY) ## record full runs in results/ (hours); NB=02 for one, CLUSTER=local:2 for two at a time
	$(BIN)/python -m tools.record $(if $(CLUSTER),--cluster $(CLUSTER)) $(NB)

.PHONY: guide
guide: $(READY) ## write results/ into README, the instructor guide's tables and the headings of 09
	$(BIN)/python -m tools.experiments
	$(BIN)/python -m tools.guide
	$(BIN)/python -m tools.ladder
	$(BIN)/python -m tools.results

.PHONY: small
small: $(READY) ## run the notebooks on one processor in 2 GB, as on Binder; NB=02 for one
	$(BIN)/python -m tools.small_machine $(NB)

.PHONY: offline-bundle
offline-bundle: $(READY) ## pack packages, course and data for a room without network
	$(BIN)/python -m tools.offline_bundle

.PHONY: address
address: $(READY) ## write where the course is published into every link: URL=https://github.com/…
	$(BIN)/python -m tools.address $(URL)

.PHONY: benchmark
benchmark: $(READY) ## measure the speed claims, as ratios from one run
	$(BIN)/python benchmarks/augmentation.py
	$(BIN)/python benchmarks/epoch_ends.py
	$(BIN)/python benchmarks/live_view.py
	$(BIN)/python benchmarks/scaling.py

.PHONY: race
race: $(READY) ## measure what this machine has not on record of 09's race (hours); SEEDS="0 1 2"
	$(BIN)/python benchmarks/racing.py --seeds $(SEEDS)

.PHONY: pins
pins: $(READY) ## resolve pyproject.toml's ranges into requirements.txt (needs uv)
	$(BIN)/python -m tools.pins

.PHONY: gpu
gpu: $(READY) ## replace the CPU build of TensorFlow by the one for NVIDIA GPUs (Linux)
	$(BIN)/python -m pip uninstall --yes tensorflow-cpu tensorflow
	$(BIN)/python -m pip install -e '.[gpu]' -c <(grep -v '^tensorflow' requirements.txt)

.PHONY: clean
clean: ## remove the environment and everything that was built or trained
	rm -rf $(VENV) build notebooks/runs runs *.egg-info .pytest_cache .mypy_cache .ruff_cache
