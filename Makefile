# Two commands do all the set-up on a machine with nothing but Python 3.11 or newer and make:
#   make demo   train on the embedded benchmark, evaluate the unseen fold, write the picture grid
#   make test   run the tests
# Beside them, for those who change something: make lint, types, coverage, docs, format.
# All use .venv in this folder, made by $(PYTHON) and made anew when that names another version:
#   make test PYTHON=python3.12
ifndef PYTHON
PYTHON := $(shell for p in python3 python3.13 python3.12 python3.11; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
endif
ifeq ($(PYTHON),)
PYTHON := python3
endif
VENV := .venv
BIN := $(VENV)/bin
RUN_DIR ?= runs/demo

# The stamp carries the interpreter's version, so another interpreter means another environment.
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
STAMP := $(VENV)/installed-$(VERSION)
TEST_STAMP := $(VENV)/installed-tests-$(VERSION)
DOCS_STAMP := $(VENV)/installed-docs-$(VERSION)
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# One worker more than cores: some wait for the processes that they test.
WORKERS := $(shell $(PYTHON) -c 'import os; print(min(8, (os.cpu_count() or 1) + 1))' 2>/dev/null)
PYTEST := $(BIN)/python -m pytest --numprocesses=$(WORKERS) --dist=loadfile \
  --no-loadscope-reorder

# Compiled programs outlive the process: a second run of the same shapes starts at once.
export JAX_COMPILATION_CACHE_DIR ?= $(abspath $(VENV))/compiled

.PHONY: test demo lint types coverage docs format clean
.DEFAULT_GOAL := test

test: $(TEST_STAMP)
	$(PYTEST) $(TESTS)

demo: $(STAMP)
	$(BIN)/python -m experiments.demo --run_dir=$(RUN_DIR)

lint: $(TEST_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(TEST_STAMP)
	$(BIN)/basedpyright

# Lines that only a command's own process runs do not count. The floor is in pyproject.toml.
coverage: $(TEST_STAMP)
	$(PYTEST) --cov --cov-report=term:skip-covered $(TESTS)

# The pages and the reference of every public name, in site/.
docs: $(DOCS_STAMP)
	$(BIN)/mkdocs build --strict --quiet

format: $(TEST_STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(STAMP): requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "error: Python 3.11 or newer is needed, and '$(PYTHON)' is $(or $(VERSION),not runnable);" \
	    "name another one, as in: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 2; }
	@ls $(STAMP) >/dev/null 2>&1 || rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -r requirements.txt
	@touch $@

$(TEST_STAMP): $(STAMP) requirements-test.txt
	$(INSTALL) -r requirements.txt -r requirements-test.txt
	@touch $@

$(DOCS_STAMP): $(STAMP) requirements-docs.txt
	$(INSTALL) -r requirements-docs.txt
	@touch $@

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .coverage site build *.egg-info
