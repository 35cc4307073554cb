PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
KODAK ?=

.PHONY: demo test test-light test-pythons test-thorough check fuzz share results performance release clean

demo: $(BIN)/python
	$(BIN)/pip install --quiet '.[demo]'
	$(BIN)/python -m benchmarks.demo

# One worker for each core, each with one thread: two that spin on the same core would slow each other down.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

# What each of the two runs checks: docs/TESTS.md.
test: check
	$(PYTEST)

test-thorough: check
	VRCODEC_THOROUGH=1 $(PYTEST)

# What runs without PyTorch, in an environment without it: LIGHT_PYTHON may be another one than PYTHON.
LIGHT_PYTHON ?= $(PYTHON)
LIGHT = $(VENV)-light/bin/python
LIGHT_TESTS = $(addprefix tests/test_, golden.py engines.py rans.py codec.py api.py cli.py exit_codes.py pipes.py \
    hostile.py fuzz.py alpha.py lossless.py lossless_cells.py progressive.py crops.py tiles.py widths.py qmap.py \
    binsize.py rate_control.py pillow_plugin.py faults.py plain_ans.py \
    heif.py jxl.py file_kind.py conformance.py) tests/weights

test-light:
	$(LIGHT_PYTHON) -m venv $(VENV)-light
	$(LIGHT) -m pip install --quiet --upgrade pip setuptools
	$(LIGHT) -m pip install --quiet '.[light-dev]'
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(LIGHT) -m pytest -n auto --dist worksteal $(LIGHT_TESTS)

# The light installation with every Python that pyenv has.
PYTHONS ?= $(wildcard $(HOME)/.pyenv/versions/3.1[0-9].*/bin/python)

test-pythons:
	for python in $(PYTHONS); do \
	    $(MAKE) test-light LIGHT_PYTHON=$$python VENV=.venv-of-$$(basename $$(dirname $$(dirname $$python))) || exit 1; \
	done

check: $(BIN)/python
	$(BIN)/pip install --quiet '.[dev]'
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The manual page, the magic of file(1) and the examples of docs/FORMAT.md, from the program.
share: $(BIN)/python
	$(BIN)/pip install --quiet '.[dev]'
	$(BIN)/python -m tools.manual > share/man/man1/vrcodec.1
	$(BIN)/python -m tools.magic > share/file/magic/vrcodec
	$(BIN)/python -m tools.format_page

# Ten minutes of hostile files; what breaks the program is left in fuzz/.
fuzz: $(BIN)/python
	$(BIN)/pip install --quiet '.[fuzz,dev]'
	mkdir -p fuzz
	cd fuzz && PYTHONPATH=$(CURDIR) $(abspath $(BIN))/python -m tests.fuzz.guided -max_total_time=600

# The Kodak pictures are not part of the repository: make results KODAK=/path/to/kodak
results: $(BIN)/python
	@test -d "$(KODAK)" || { echo "name the folder of the Kodak pictures: make results KODAK=..." >&2; exit 2; }
	$(BIN)/pip install --quiet '.[bench]'
	VRCODEC_WEIGHTS=weights $(BIN)/python -m benchmarks.results "$(KODAK)" --jobs 2

performance: $(BIN)/python
	$(BIN)/pip install --quiet '.[bench,demo]'
	$(BIN)/python -m benchmarks.performance

# What is uploaded, in dist/: built, checked, and used in an environment of its own. docs/RELEASE.md.
release: $(BIN)/python
	$(BIN)/pip install --quiet 'build>=1.2' 'readme-renderer[md]' 'twine>=6.1'
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*
	$(BIN)/python -m tools.try_release dist

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip setuptools

clean:
	rm -rf $(VENV) $(VENV)-light .venv-of-* build dist demo-output .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
