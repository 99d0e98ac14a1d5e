# Two commands: `make demo` sets everything up and runs the main job on the bundled sample, `make test` the tests.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test test-all check docs clean
.DEFAULT_GOAL := demo

$(VENV)/.core: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "isogloss needs Python 3.11 or newer; this is $$($(PYTHON) --version). Try: make PYTHON=python3.12"; exit 2; }
	@echo "setting up $(VENV) (a few minutes, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

# The second part's gate refuses on purpose, for one weak language: exit code 1 is the expected end.
demo: $(VENV)/.core
	@echo; echo "1 of 2: the encoder in the package, with 0, 10, 50 and all labelled rows of languages it was not taught"; echo
	@$(BIN)/isogloss few-shot recipes/demo-mini.toml --shots 0,10,50,all --draws 1
	@echo; echo "2 of 2: n-grams, and a gate that sees the one language nobody has labelled"; echo
	@$(BIN)/isogloss run recipes/demo.toml || test $$? -eq 1

test: $(VENV)/.dev
	@$(BIN)/python -m pytest -q -n auto --dist worksteal -m "not slow"

test-all: $(VENV)/.dev
	@$(BIN)/python -m pytest -q

check: $(VENV)/.dev
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

# The documentation site, in site/; no fonts or scripts from a network.
docs: $(VENV)/.dev
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[docs]'
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --site-dir site

clean:
	rm -rf build dist runs shelf .pytest_cache .ruff_cache .mypy_cache .hypothesis
