# `make demo` needs the core only; `make test` sets up the rest and runs what CI runs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check core train-env clean

demo: core
	@$(BIN)/promptlift setup
	@$(BIN)/promptlift demo

test: train-env
	bash .ci/run

core: $(VENV)/.core
train-env: $(VENV)/.dev

$(VENV)/bin/python:
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.core: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing the core (under a minute)"
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing the core, training, data, evaluation, serving and development tools (a few minutes)"
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt "torch" 
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e ".[train,data,eval,serve,dev]"
	@touch $@ $(VENV)/.core

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
