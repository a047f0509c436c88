# Every target sets up what it needs in .venv; a machine with Python 3.11 or newer and pip is enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
RUN := runs/quickstart
PAGE_PYTHON ?= python3.12
PIP := python -m pip install --quiet --disable-pip-version-check
TORCH := $(shell grep ^torch== constraints.txt)
MINUTES ?= 60
TESTS ?=
PYTHONS ?= $(PYTHON)
# A process per core; the tests of a file stay together, because they share what is made once.
PYTEST := python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile
EXAMPLES ?= 2000
PAIRS ?= low mid new
ENVIRONMENT_low := .venv-lowest
ENVIRONMENT_mid := .venv-middle
ENVIRONMENT_new := .venv-newest
ENVIRONMENT_3.12 := .venv-python3.12
ENVIRONMENT_3.13 := .venv-python3.13
ENVIRONMENT_3.14 := .venv-python3.14
of_pair = $(or $(ENVIRONMENT_$1),$(error PAIRS knows low, mid, new, 3.12, 3.13 and 3.14, not $1))
# Old releases meet the newest of what they need, which calls them out of date.
OLD_WARNINGS := -W ignore::DeprecationWarning -W ignore::PendingDeprecationWarning -W ignore::FutureWarning

.DEFAULT_GOAL := help
.PHONY: audit browser check clean consumers coverage distributed docs docs-serve endurance faults format fresh fuzz help licences lowest neighbours newest notebooks offline quickstart release-check results screenshots test test-all test-slow versions wheel

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

quickstart: $(INSTALLED)  ## Train, compress, check and measure a small Marathi classifier (about 3 minutes, no network)
	$(BIN)/python recipes/quickstart/corpus.py runs/quickstart-data
	$(BIN)/trainer-ext compress recipes/quickstart/quickstart.yaml --output_dir $(RUN) --resume

test: $(INSTALLED)  ## Run the tests but the slow ones (about 9 minutes on two cores)
	$(BIN)/$(PYTEST) -m "not slow" $(TESTS)

test-slow: $(INSTALLED) browser  ## Run the slow tests alone (about half an hour)
	$(BIN)/$(PYTEST) -m slow $(TESTS)

test-all: $(INSTALLED) browser  ## Run all tests, the slow ones too (about 40 minutes)
	$(BIN)/$(PYTEST) $(TESTS)

coverage: $(INSTALLED) browser  ## Run all tests and show which lines of the package they reach: make coverage TESTS="-m 'not slow'"
	$(BIN)/$(PYTEST) --cov --cov-report=term:skip-covered $(TESTS)

distributed: $(INSTALLED)  ## Train every method in 1, 2 and 4 processes, resumed in other numbers too (about 5 minutes)
	PYTHONPATH=. $(BIN)/python tests/by_hand/scale_out.py

lowest: .venv-lowest/.installed browser  ## Run the tests with the lowest versions that pyproject.toml allows
	.venv-lowest/bin/$(PYTEST) $(OLD_WARNINGS) $(TESTS)

newest: .venv-newest/.installed browser  ## Run the tests with the newest versions that pyproject.toml allows
	.venv-newest/bin/$(PYTEST) $(TESTS)

versions: $(foreach pair,$(PAIRS),$(call of_pair,$(pair))/.installed)  ## Run the core tests with the lowest, middle and newest versions, or another Python: make versions PAIRS="low 3.13"
	$(PYTHON) tests/by_hand/versions.py $(foreach pair,$(PAIRS),$(call of_pair,$(pair)))

neighbours: .venv-neighbours/bin/uv  ## Ask which releases of optimum, model2vec and others a resolver takes beside this package
	$(PYTHON) tests/by_hand/neighbours.py --uv .venv-neighbours/bin/uv

offline: $(INSTALLED) browser  ## Run the tests where there is no network but the machine's own (Linux, as root)
	unshare --net sh -c 'ip link set lo up && exec $(BIN)/$(PYTEST) $(TESTS)'

browser:  ## Install Chromium, a font and axe-core for the tests of the page
	tests/browser/install.sh

screenshots: $(INSTALLED) browser  ## Take the pictures of the README from a run, and one of every tab to screenshots/: make screenshots RUN=...
	$(BIN)/python -m recipes.tools.page_pictures $(RUN)
	SCREENSHOTS=screenshots $(BIN)/python -m pytest -q tests/browser/test_every_tab.py

faults: $(INSTALLED)  ## Kill 380 runs at random steps and compare how they end (15 minutes): make faults SEED=1
	PYTHONPATH=. OMP_NUM_THREADS=1 $(BIN)/python tests/by_hand/faults.py --seed $(or $(SEED),0)

check: $(INSTALLED) docs  ## Lint, check the format, the types, the direction of imports and the documentation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

# NO_MKDOCS_2_WARNING: an announcement, not a warning about these pages.
docs: $(INSTALLED)  ## Build the documentation into runs/docs; a broken link or an undocumented public name fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

docs-serve: $(INSTALLED)  ## Show the documentation at http://127.0.0.1:8000 while you write it
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs serve

format: $(INSTALLED)  ## Format the code, and mend what the linter can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

fresh: $(INSTALLED)  ## Run the published page in an environment of its own: make fresh PAGE_PYTHON=python3.12
	$(BIN)/python -m recipes.tools.fresh_space $(RUN) $(PAGE_PYTHON)

wheel: $(INSTALLED)  ## Run the quickstart, shortened, from a built wheel in a clean environment
	$(BIN)/python -m recipes.tools.fresh_wheel $(PYTHON) --torch $(TORCH)

release-check: $(INSTALLED)  ## Build sdist and wheel and run them from clean environments: make release-check PYTHONS="python3.11 python3.12"
	$(BIN)/python -m recipes.tools.release_check $(PYTHONS) --torch $(TORCH)

licences: $(INSTALLED)  ## List the licences of all dependencies in docs/licences.md
	$(BIN)/python -m recipes.tools.licences

audit:  ## Ask whether a vulnerability of a pinned dependency is known
	recipes/tools/audit.sh $(PYTHON) constraints.txt

endurance: $(INSTALLED)  ## Train and serve for an hour, and see whether memory or handles grow: make endurance MINUTES=60
	$(BIN)/python -m recipes.benchmarks.endurance --minutes $(MINUTES)

fuzz: $(INSTALLED)  ## Try many more odd inputs on the readers and on trimming: make fuzz EXAMPLES=2000 (about 20 minutes)
	FUZZ_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest -q --timeout 7200 tests/inputs -k fuzz

results: $(INSTALLED)  ## Rewrite the tables in recipes/README.md and results/README.md, and the pictures of the READMEs from the result files
	$(BIN)/python -m recipes.tools.results write

notebooks: $(INSTALLED)  ## Run the notebooks and keep their trimmed outputs
	$(BIN)/python -m recipes.tools.notebooks run

consumers: $(INSTALLED) .venv-consumers/.installed  ## Open the ONNX exports of a run with Transformers.js and optimum-onnx: make consumers RUN=...
	$(BIN)/python tests/by_hand/consumers.py $(RUN) --node .venv-consumers --optimum .venv-consumers/bin/python $(if $(TEXTS),--texts $(TEXTS))

clean:  ## Remove the environments; runs stay
	rm -rf $(VENV) .venv-lowest .venv-middle .venv-newest .venv-python3.* .venv-consumers .venv-neighbours

# torch first and on its own: asked for by another package, pip may choose a newer build with gigabytes of CUDA.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "trainer_ext needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..."; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

# Our own requirements at their lowest, what these need at its newest.
.venv-lowest/.installed: pyproject.toml
	test -x .venv-lowest/bin/python || $(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/$(PIP) uv
	.venv-lowest/bin/uv pip compile --quiet pyproject.toml --extra dev --resolution lowest-direct \
		--python .venv-lowest/bin/python --output-file .venv-lowest/lowest.txt
	.venv-lowest/bin/$(PIP) --constraint .venv-lowest/lowest.txt torch
	.venv-lowest/bin/$(PIP) --constraint .venv-lowest/lowest.txt --editable '.[dev]'
	@touch $@

# Between the two, with all that these ask for at its newest.
.venv-middle/.installed: pyproject.toml
	test -x .venv-middle/bin/python || $(PYTHON) -m venv .venv-middle
	.venv-middle/bin/$(PIP) torch==2.11.0
	.venv-middle/bin/$(PIP) --editable '.[dev]' torch==2.11.0 transformers==5.20.0
	@touch $@

# The pinned versions with another Python, whose name says which: python3.13.
.venv-python3.%/.installed: pyproject.toml constraints.txt
	test -x .venv-python3.$*/bin/python || python3.$* -m venv .venv-python3.$*
	.venv-python3.$*/bin/$(PIP) --constraint constraints.txt torch
	.venv-python3.$*/bin/$(PIP) --constraint constraints.txt --editable '.[dev]'
	@touch $@

# Tools that do not know transformers 5, and npm's Transformers.js.
.venv-consumers/.installed: constraints.txt
	test -x .venv-consumers/bin/python || $(PYTHON) -m venv .venv-consumers
	.venv-consumers/bin/$(PIP) --constraint constraints.txt torch
	.venv-consumers/bin/$(PIP) 'optimum-onnx[onnxruntime]' 'transformers<4.58'
	npm install --silent --ignore-scripts --prefix .venv-consumers @huggingface/transformers@4  # scripts fetch CUDA
	@touch $@

.venv-neighbours/bin/uv:
	test -x .venv-neighbours/bin/python || $(PYTHON) -m venv .venv-neighbours
	.venv-neighbours/bin/$(PIP) uv

.venv-newest/.installed: pyproject.toml
	test -x .venv-newest/bin/python || $(PYTHON) -m venv .venv-newest
	.venv-newest/bin/$(PIP) --upgrade --upgrade-strategy eager --editable '.[dev]'
	@touch $@
