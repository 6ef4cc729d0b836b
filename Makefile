PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
BIN := $(VENV)/bin

.PHONY: help install demo test lint clean

help:
	@echo "make install  set up $(VENV) with pinned dependencies"
	@echo "make demo     set up, then train, evaluate and report on the sample (OUT=runs/demo)"
	@echo "make test     set up, then run the test suite (WORKERS=$(WORKERS))"
	@echo "make lint     set up, then ruff check and ruff format --check"
	@echo "make clean    remove $(VENV) and caches"

# The stamp makes a second call free; a changed list of dependencies installs again.
install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python %d.%d is too old: agentic needs 3.11 or newer; try make PYTHON=python3.11" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	@touch $@

OUT ?= runs/demo
demo: install
	$(BIN)/agentic demo --out $(OUT)

test: install
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadscope $(PYTEST_FLAGS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
