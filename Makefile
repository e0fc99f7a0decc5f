# Two targets do everything: `make demo` and `make test`. Both make .venv and install into it first.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed
export OMP_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= passive

.PHONY: install demo test check bench clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -c constraints.txt torch
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev,train,openai,serve]'
	touch $(STAMP)

demo: install
	$(BIN)/nbest demo --out demo

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright

test: check
	$(BIN)/pytest --cov --cov-report=term

bench: install
	$(BIN)/python benchmarks/sampling.py
	$(BIN)/python benchmarks/answers.py
	$(BIN)/python benchmarks/scoring.py --clock cpu
	$(BIN)/python benchmarks/evaluation.py
	$(BIN)/python benchmarks/coverage.py

clean:
	rm -rf .venv demo build dist
