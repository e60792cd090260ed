# Needs Python 3.11 or newer and nothing else; everything is installed into .venv. `make test PYTHON=python3.13` chooses one.
PYTHON ?= python3
BIN = .venv/bin
ENGINE = asked corpus echoes frames hazards hostile_bytes mender messages remainder rules splice stencil unfold
# What tries every place of a stream reaches no line that its neighbours do not.
LONG = small_reads or two_reads or every_cut or cut_anywhere or every_two_cuts or the_new_text or no_value_of_the_wrong_kind

.PHONY: bench bench-quick check cost coverage crowd docs fuzz mutants soak test test-clients test-codex

test: .venv/test
	@$(BIN)/pytest

# Every client on every stream, into tests/clients/results.json, and the pages that are made from it.
test-clients: .venv/test
	@cd tests && ../$(BIN)/python -m clients.matrix
	@cd tests && ../$(BIN)/python -m clients.page > ../docs/compatibility.md && ../$(BIN)/python readme.py
	@$(BIN)/pytest -m clients

test-codex: .venv/test
	@$(BIN)/pytest -m codex

# Every line and branch of the repair, by its own tests; measuring takes three times as long as testing.
coverage: .venv/test
	@$(BIN)/pytest -k "not ($(LONG))" --cov=respfix.stream --cov-report=term-missing --cov-fail-under=100 $(ENGINE:%=tests/test_%.py)

# 2,000 streams at once instead of 500.
crowd: .venv/test
	@TEST_CROWD=2000 $(BIN)/pytest tests/test_crowd.py

# Fifteen minutes of mixed traffic with faults instead of one.
soak: .venv/test
	@cd tests && ../$(BIN)/python -m faults.soak --minutes 15

# What is written by the program itself: the page of defects, and the tables of both READMEs.
docs: .venv/test
	@$(BIN)/python -m respfix defects --format markdown > docs/defects.md && $(BIN)/python tests/readme.py

# respfix beside nginx, HAProxy, LiteLLM and others, into bench/results and docs/performance.md: 25 minutes, or two.
bench: .venv/test
	@$(BIN)/python -m bench

bench-quick: .venv/test
	@$(BIN)/python -m bench --quick

# What an event may cost the repair from now on; tests/test_cost.py fails when it costs 5 % more.
cost: .venv/test
	@$(BIN)/python -m bench.cost --record

# Ten minutes of bodies that a fuzzer thinks of; what breaks a promise is left as tests/crash-….
fuzz: .venv/dev
	@cd tests && ../$(BIN)/python -m fuzz.fuzz_mender -max_total_time=600

# Small changes to the repair, and which of them no test notices: a sample, or every one of `make mutants OF=door`.
mutants: .venv/test
	@$(BIN)/python tests/mutants.py $(OF:%=respfix/stream/%.py)

check: .venv/dev
	@$(BIN)/ruff check && $(BIN)/ruff format --check && $(BIN)/mypy

.venv/test .venv/dev: pyproject.toml
	$(PYTHON) -m venv .venv && $(BIN)/pip install --quiet --editable '.[$(@F)]' && touch $@
