# Everything runs in .venv, which any target makes first; a second run finds the stamp and pays nothing.
#
#   make bench                                            the default grid, then its report
#   make bench GRID=mnist-small ARGS="--set epochs=30"    another grid, with extra flags for `vae-bench run`
#   make test ARGS="-m 'not slow'"                        the fast tests, in two minutes on two cores
#   make test ARGS="-n 0 -k quadrature"                   some tests, in one process
#   make setup PYTHON=python3.12                          another interpreter

PYTHON ?= python3
GRID   ?= digits
RUN    ?= $(patsubst %.toml,%,$(notdir $(GRID)))
ARGS   ?=

VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup bench report test throughput peers lint

help:
	@echo 'make bench [GRID=$(GRID)] [ARGS="..."]   run a grid and write its report (run again: resumes)'
	@echo 'make report [RUN=$(RUN)]                 write the report of a finished or unfinished run'
	@echo 'make test [ARGS="-k name"]              the tests, a process a core; ARGS are of pytest'
	@echo 'make throughput [ARGS=--update-baseline] speed, held to its record: ratios and counts'
	@echo 'make peers [ARGS="--dataset digits"]    speed beside Pythae and a plain PyTorch loop'
	@echo 'make lint                               format check, lint, types'
	@echo 'make setup [PYTHON=python3]             only the set-up: $(VENV)'

setup: $(STAMP)

$(STAMP): pyproject.toml
	@command -v $(PYTHON) >/dev/null || \
	    { echo "$(PYTHON) was not found: install Python 3.11 or newer, or name one with PYTHON=/path/to/python." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "$(PYTHON) is $$($(PYTHON) --version 2>&1), but 3.11 or newer is needed: name one with PYTHON=/path/to/python." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	    { echo "$(PYTHON) cannot make virtual environments: install its venv module (Debian, Ubuntu: apt-get install python3-venv)." >&2; exit 1; }
	@echo "Setting up $(VENV) (the first time takes a few minutes and, where torch comes with CUDA, 6.5 GB of disk)."
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --disable-pip-version-check --editable '.[dev]' || \
	    { echo "The set-up did not end; $$(df -Pk . | awk 'NR == 2 {printf "%.1f", $$4 / 1e6}') GB of disk are free here. Once what pip says above is mended, run it again." >&2; exit 1; }
	@touch $@

# exit code 1: some cells failed; they are rows of the report too, so it is written before make fails
bench: $(STAMP)
	$(BIN)/vae-bench run $(GRID) $(ARGS) || { status=$$?; [ $$status -ne 1 ] || $(BIN)/vae-bench report $(RUN); exit $$status; }
	$(BIN)/vae-bench report $(RUN)

report: $(STAMP)
	$(BIN)/vae-bench report $(RUN)

# a process for each core that this one may use; one more was no faster
test: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

# in one process with nothing of ours beside it: it measures
throughput: $(STAMP)
	$(BIN)/python -m pytest tests/throughput $(ARGS)

# Pythae lives in an environment of its own, which sees all of .venv's packages, so that .venv stays free of it.
PEERS := $(VENV)/peers

peers: $(PEERS)/.installed
	$(PEERS)/bin/python -m bench.speed.peers $(ARGS)

$(PEERS)/.installed: $(STAMP)
	$(BIN)/python -m venv --clear $(PEERS)
	@$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
	    > "$$($(PEERS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/venv.pth"
	$(PEERS)/bin/python -m pip install --disable-pip-version-check --editable '.[examples]'
	@touch $@

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
