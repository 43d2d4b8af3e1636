# Three commands on a fresh machine with Python 3.11 or 3.12 and make:
#   make demo    a phantom patient with four scans, analysed; prints where the report is (OPEN=1 opens it)
#   make test    tests, linters, types and the import contracts
#   make docs    the documentation as a site, in build/site

PYTHON ?= $(shell for p in python3 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
READY := .venv/.ready
DEMO := demo
export MPLBACKEND := Agg

.PHONY: help demo docs test lint unit format clean

help:
	@sed -n 's/^#   //p' Makefile

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "glasslung needs Python 3.11 or 3.12: install it, or run make PYTHON=/path/to/python3.12"; exit 2; }
	@echo "setting up .venv with $$($(PYTHON) --version) (one to three minutes the first time)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(READY)

demo: $(READY)
	@$(BIN)/glasslung phantom $(DEMO)/patient --seed 4 --days 0,5,10,28
	@$(BIN)/glasslung analyze $(DEMO)/patient/p* --out $(DEMO)/report $(if $(OPEN),--open)

docs: $(READY)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "site: build/site/index.html"

test: lint unit

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

unit: $(READY)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

format: $(READY)
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

clean:
	rm -rf $(DEMO) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
