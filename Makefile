# Needs Python 3.11 or newer and nothing else; everything is installed into .venv. `make test PYTHON=python3.13` chooses one.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: check test test-clients test-codex

test: .venv/test
	@$(BIN)/pytest

test-clients: .venv/test
	@$(BIN)/pytest -m clients

test-codex: .venv/test
	@$(BIN)/pytest -m codex

check: .venv/dev
	@$(BIN)/ruff check && $(BIN)/ruff format --check && $(BIN)/mypy

.venv/test .venv/dev: pyproject.toml
	$(PYTHON) -m venv .venv && $(BIN)/pip install --quiet --editable '.[$(@F)]' && touch $@
