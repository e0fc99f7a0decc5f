# Two targets do everything: `make demo` and `make test`. Both make .venv and install into it first.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed
export OMP_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= passive

.PHONY: install isolation demo test check bench clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -c constraints.txt torch
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev,train,openai,serve,code]'
	touch $(STAMP)

# One of the two sandboxes for programs needs it. Where it cannot be installed, its tests are skipped with the reason.
isolation:
	@command -v bwrap > /dev/null || [ "$$(id -u)" != 0 ] || ! command -v apt-get > /dev/null \
		|| { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends bubblewrap; } \
		> /dev/null 2>&1 || echo "bubblewrap cannot be installed: programs run in the other sandbox"

demo: install isolation
	$(BIN)/nbest demo --out demo

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright

test: check isolation
	$(BIN)/pytest -rfEs --cov --cov-report=term

bench: install
	$(BIN)/python benchmarks/sampling.py
	$(BIN)/python benchmarks/answers.py
	$(BIN)/python benchmarks/scoring.py --clock cpu
	$(BIN)/python benchmarks/evaluation.py
	$(BIN)/python benchmarks/coverage.py
	$(BIN)/python benchmarks/sandbox.py

clean:
	rm -rf .venv demo build dist
