# `make repro` and `make test` do everything from a bare clone; both set up .venv by themselves.

# What is given on the command line reaches the shell as it is, by its environment: pasted into a line of it, a quote
# would break the line, and a backtick be run.
override IMAGES := $(value IMAGES)
override NAME := $(value NAME)
override PROFILE := $(value PROFILE)
override PYTHON := $(or $(value PYTHON),python3)
export IMAGES NAME PROFILE PYTHON

BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(value PATH)
export NO_ALBUMENTATIONS_UPDATE := 1
STUDIES := $(patsubst studies/%/dvc.yaml,%,$(wildcard studies/*/dvc.yaml))

.DEFAULT_GOAL := help
.PHONY: help repro report doctor study smoke test pytest browser lint docs bench

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

repro: .venv/installed ## Run the pipeline to the report (IMAGES=FOLDER: on your own images; PROFILE=gpu: on a large GPU)
	$(if $(PROFILE),python -m augury.pipeline.profiles "params.$$PROFILE.yaml")
	$(if $(IMAGES),python -m augury init --images="$$IMAGES")
	python -m augury repro
	@echo "The report: $$PWD/data/report/index.html"

report: repro ## The same, and show the metrics
	dvc metrics show

doctor: .venv/installed ## Say what this machine has and lacks, and what a run will cost here
	python -m augury doctor

study: .venv/installed ## Run a study: NAME=dose, say; without NAME, say which there are
	@case "$$NAME" in */* | . | .. | "") false;; *) test -f "studies/$$NAME/dvc.yaml";; esac || \
		{ echo "make study NAME=...: choose from $(STUDIES)"; exit 1; }
	python -m augury repro --study "$$NAME"
	@echo "The page: $$PWD/studies/$$NAME/page/index.html"

smoke: .venv/installed ## Run the same pipeline on tiny data and budgets, in a temporary copy
	python -m tests.smoke

test: .venv/installed-dev browser ## Run the tests, lint and types included (set-up included)
	$(MAKE) --no-print-directory --jobs 2 lint pytest

pytest: .venv/installed-dev browser
	python -m pytest --numprocesses 2 --dist worksteal

# The report is tested in a real browser. Debian's is installed where this is allowed; without one, its tests are skipped.
browser:
	@command -v chromium > /dev/null || command -v google-chrome > /dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && \
		apt-get -qq update && apt-get -qq install --yes --no-install-recommends chromium fonts-liberation > /dev/null; } || \
		echo "No Chromium here: the report's browser tests will be skipped"

lint: .venv/installed-dev ## Check style and types
	ruff check
	ruff format --check
	mypy

docs: .venv/installed-dev ## Build the pages of docs/ as a site; a broken link fails
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict
	@echo "The pages: $$PWD/site/index.html"

bench: .venv/installed-dev ## Measure the figures of benchmarks/RESULTS.md again
	python -m benchmarks.pipeline
	python -m benchmarks.imports
	python -m benchmarks.layouts
	python -m benchmarks.training
	python -m benchmarks.generators
	python -m benchmarks.scores
	python -m benchmarks.evidence
	python -m benchmarks.generation
	for scenario in recipe arms baseline; do python -m benchmarks.classifiers $$scenario; done

# A new release of pip may resolve differently, the pins may not: requirements name the direct dependencies,
# constraints.txt everything that they bring in.
.venv/bin/python:
	@"$$PYTHON" -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v[:2] <= (3, 13) else \
		"Python {}.{} found, 3.11 to 3.13 needed: make PYTHON=python3.11 ...".format(*v[:2]))'
	"$$PYTHON" -m venv .venv

.venv/installed: .venv/bin/python requirements.txt constraints.txt pyproject.toml
	@echo "Installing packages into .venv; the first time this takes minutes"
	$(BIN)/python -m pip install --quiet --requirement requirements.txt --constraint constraints.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt requirements-pretrained.txt
	$(BIN)/python -m pip install --quiet --requirement requirements-dev.txt --constraint constraints.txt
	@touch $@
