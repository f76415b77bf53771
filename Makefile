# `make demo` and `make test` do all set-up on a machine with Python 3.11+, pip, make and a package index.
PYTHON ?= python3
# Extras that are installed; continuous integration takes all of them.
EXTRAS ?= dev
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready-$(EXTRAS)

.PHONY: demo test setup lint types unit gpu figures clean

# The main job on two real models, offline after the downloads; the report opens in any browser.
demo: $(READY)
	$(BIN)/interp-xfer demo --out runs/demo

# Everything that has to hold: lint, format, types, tests; side by side, as the types are checked by one process.
test: $(READY)
	$(MAKE) -j3 lint types unit

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit(0 if sys.version_info >= (3, 11) else 'interp-xfer needs Python 3.11 or newer; set PYTHON=python3.x')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$(EXTRAS)]"
	touch $(READY)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/pyright

# Two processes of one thread each: small tests gain nothing from threads inside an operation.
unit: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# What needs a CUDA device; `unit` leaves it out where there is none.
gpu: $(READY)
	$(BIN)/python -m pytest -m gpu

# The pictures of the demo run in figures/; needs a Chrome or Chromium.
figures: demo
	$(MAKE) setup EXTRAS=dev,images
	for name in lambda-robustness inference-scaling concept-profile transfer-profile pc-alignment; do \
		$(BIN)/interp-xfer analyse $$name runs/demo --image png && \
		cp runs/demo/figures/$$name.png figures/demo-$$name.png || exit 1; \
	done

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache build dist
