# Everything here works as the first command on a fresh machine with Python 3.11 and git.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready
AUDITOR := pip-audit==2.10.1
FAST := audio media faces engine fusion training corpora evaluation inference
LONG := export* encoder_training* figures* engine_scale*
export DO_NOT_TRACK := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup run test test-fast check docs clean lock coverage audit

help:  ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/'

setup: $(READY)  ## make .venv, install the locked packages, fetch the encoder's weights

$(READY): requirements.lock pyproject.toml
	@echo "== setup: .venv with the packages of requirements.lock (about 4 minutes, 8 GB of disk)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "requirements.lock is for Python 3.11; found " + sys.version.split()[0] + ". Set PYTHON=path/to/python3.11")'
	@start=$$SECONDS; \
	  { [ -x $(BIN)/python ] || $(PYTHON) -m venv .venv; } && \
	  echo "   installing $$(grep -c == requirements.lock) packages ..." && \
	  $(BIN)/python -m pip install --quiet --quiet --no-deps -r requirements.lock && \
	  $(BIN)/python -m pip install --quiet --quiet --no-deps --no-build-isolation -e . && \
	  echo "   fetching encoder weights ..." && \
	  $(BIN)/python -m iaca.encoders get && \
	  touch $(READY) && echo "== setup done in $$((SECONDS - start)) s"

run: $(READY)  ## from the demo corpus to the report (about 4 minutes)
	@echo "== run: demo corpus -> faces and sound -> embeddings -> training -> report"
	@start=$$SECONDS; $(BIN)/kedro run && \
	  echo "== run done in $$((SECONDS - start)) s: open data/08_reporting/report.html"

test: $(READY)  ## linters, types, and all tests
	@echo "== check and tests, in parallel: the check takes one core for a minute"
	@start=$$SECONDS; $(MAKE) --no-print-directory check & checking=$$!; \
	  OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadgroup; tested=$$?; \
	  wait $$checking || { echo "== check failed, see above"; exit 1; }; \
	  [ $$tested = 0 ] && echo "== tests done in $$((SECONDS - start)) s"

test-fast: $(READY)  ## tests of the library: no browser, no pipeline (about 2 minutes)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --quiet --numprocesses auto --dist loadgroup -m "not slow" \
	  $(addprefix tests/,$(FAST)) $(patsubst %,--ignore-glob='*/test_%',$(LONG))

check: $(READY)  ## ruff, mypy, import-linter
	@echo "== check: ruff, mypy, import-linter"
	@$(BIN)/ruff check --quiet && $(BIN)/ruff format --check --quiet && $(BIN)/mypy && $(BIN)/lint-imports

docs: $(READY)  ## the documentation as a site, in site/index.html
	@$(BIN)/python docs/generate_troubleshooting.py
	@$(BIN)/python -m sphinx -q -W --keep-going -d build/doctrees docs site && echo "== docs: open site/index.html"

lock: $(READY)  ## pin what is installed now
	@$(BIN)/python -m pip freeze --all --exclude-editable --exclude pip > .lock.tmp
	@{ grep '^#' requirements.lock; cat .lock.tmp; } > .lock.new && mv .lock.new requirements.lock && rm .lock.tmp
	@$(BIN)/python docs/generate_licences.py

coverage: $(READY)  ## which lines and branches the tests run, and whether they are 90 % (about 30 minutes)
	@$(BIN)/coverage erase
	@OMP_NUM_THREADS=1 $(BIN)/python -m coverage run -m pytest --numprocesses auto --dist loadgroup
	@$(BIN)/coverage combine --quiet && $(BIN)/coverage report

audit: $(READY)  ## the lock as such, then known weaknesses of its packages (asks the package index for advisories)
	@$(BIN)/python -m pytest --quiet tests/supply
	@[ -x .audit/bin/pip-audit ] || { $(PYTHON) -m venv .audit && .audit/bin/python -m pip install --quiet $(AUDITOR); }
	@.audit/bin/pip-audit --requirement requirements.lock --no-deps --disable-pip

clean:  ## remove what pipelines made (models included), not the environment
	@find data -mindepth 2 ! -name .gitkeep -delete
