# Every target sets up what it needs in .venv; a machine with Python 3.11 or newer and pip is enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
RUN := runs/quickstart
PAGE_PYTHON ?= python3.12
EXAMPLES ?= 2000

.DEFAULT_GOAL := help
.PHONY: browser check clean format fresh fuzz help quickstart results screenshots test

help:  ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

quickstart: $(INSTALLED)  ## Train, compress, check and measure a small Marathi classifier (about 10 minutes, no network)
	$(BIN)/python recipes/quickstart/corpus.py runs/quickstart-data
	$(BIN)/trainer-ext compress recipes/quickstart/quickstart.yaml --output_dir $(RUN) --resume

test: $(INSTALLED) browser  ## Run the tests
	$(BIN)/python -m pytest

browser:  ## Install Chromium, a font and axe-core for the tests of the page
	tests/browser/install.sh

screenshots: $(INSTALLED) browser  ## Write what the page looks like to screenshots/
	SCREENSHOTS=screenshots $(BIN)/python -m pytest -q tests/browser/test_every_tab.py

check: $(INSTALLED)  ## Lint, and check the format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(INSTALLED)  ## Format the code, and mend what the linter can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

fresh: $(INSTALLED)  ## Run the published page in an environment of its own: make fresh PAGE_PYTHON=python3.12
	$(BIN)/python -m recipes.fresh_space $(RUN) $(PAGE_PYTHON)

fuzz: $(INSTALLED)  ## Try many more odd inputs on the readers and on trimming: make fuzz EXAMPLES=2000 (about 20 minutes)
	FUZZ_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest -q --timeout 7200 tests/inputs -k fuzz

results: $(INSTALLED)  ## Rewrite the tables in recipes/README.md from the result files
	$(BIN)/python -m recipes.results write

clean:  ## Remove the environment; runs stay
	rm -rf $(VENV)

# torch first and on its own: asked for by another package, pip may choose a newer build with gigabytes of CUDA.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "trainer_ext needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..."; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@
