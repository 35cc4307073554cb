PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test clean

demo: $(BIN)/python
	$(BIN)/pip install --quiet '.[demo]'
	$(BIN)/python benchmarks/demo.py

test: $(BIN)/python
	$(BIN)/pip install --quiet '.[dev]'
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy vrcodec
	$(BIN)/python -m pytest

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip setuptools

clean:
	rm -rf $(VENV) build demo-output runs .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
