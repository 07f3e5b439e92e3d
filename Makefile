# make demo: simulate, train, find impurities. make test: run the tests.
# Both make .venv and install on the first call, and do not on later ones.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet -c constraints.txt

.PHONY: demo test slow-test check clean
demo: $(VENV)/installed
	$(BIN)/stmk demo

test: $(VENV)/installed-test
	$(BIN)/python -m pytest

slow-test: $(VENV)/installed-test
	$(BIN)/python -m pytest -m slow

check: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) build dist *.egg-info stmk-demo

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: setup.cfg pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing stm-keras and TensorFlow (a few minutes the first time)"
	$(INSTALL) -e .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(INSTALL) -e ".[test]"
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(INSTALL) -e ".[dev]"
	@touch $@
