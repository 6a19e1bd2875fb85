# Each target installs all that it needs. PYTHON may name another interpreter (3.11 or newer).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# As a wheel whatever pip there is: Debian 12's installs some without their licences otherwise.
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check --use-pep517
CAMERAS ?= 4
SUITE ?= bookworm

.PHONY: demo test install install-dev lock bench faults fuzz lint deb install-drill clone-drill

demo: install  ## simulated cameras, recorded: the main job
	$(BIN)/xueliang demo --cameras $(CAMERAS)

test: install-dev  ## everything CI runs
	tests/debian-packages.sh
	tests/all.sh

install: $(VENV)/.installed  ## the program alone, into .venv

install-dev: $(VENV)/.installed-dev

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml requirements.txt | $(VENV)/bin/python
	$(PIP) --require-hashes -r requirements.txt
	PYTHONWARNINGS=ignore $(PIP) --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt requirements-peers.txt
	$(PIP) --require-hashes -r requirements-dev.txt
	$(PIP) --require-hashes --no-deps -r requirements-peers.txt
	touch $@

lint: install-dev
	tests/lint.sh

bench: install-dev
	tests/debian-packages.sh
	$(BIN)/python -m tests.bench

faults: install-dev  ## 600 kills, 70 power cuts, 1,000 network cuts, 100,000 mutations, 10,000 calls
	tests/debian-packages.sh
	XUELIANG_FAULTS=full $(BIN)/python -m pytest tests/crash tests/edge/test_disk_faults.py tests/retention/test_rebuild.py tests/integration/test_host_clock.py tests/integration/test_full_disk.py tests/integration/test_care.py \
		tests/uplink/test_cuts.py tests/peers/test_kamailio.py tests/integration/test_platform_alarms.py \
		tests/integration/test_platform_wan.py tests/integration/test_platform_controls.py tests/integration/test_platform_cycles.py tests/integration/test_platform_shedding.py tests/install tests/integration/test_alarms_out.py

fuzz: install-dev  ## every property and parser with 50 times the examples, drawn anew; SIP and MANSCDP mutated for minutes
	XUELIANG_FUZZ=50 $(BIN)/python -m pytest
	$(BIN)/python -m tests.fuzz --seconds 600

deb: install  ## build/xueliang-edge_VERSION_ARCH.deb, the same bytes from the same commit
	$(BIN)/python -m distribution.deb build

install-drill: install-dev  ## needs root: a clean Debian (SUITE=trixie: 13), booted, in which the package is lived with
	tests/debian-packages.sh
	$(BIN)/python -m tests.drill --suite $(SUITE)

clone-drill: install-dev  ## needs root: make test from a fresh clone in a clean Debian
	$(BIN)/python -m tests.drill.clone --suite $(SUITE) test

lock:  ## needs uv: resolves the pinned requirements anew
	uv pip compile pyproject.toml --extra dev --generate-hashes --python-version 3.11 --no-header -o requirements-dev.txt
	uv pip compile pyproject.toml --generate-hashes --python-version 3.11 --no-header -c requirements-dev.txt -o requirements.txt
	echo ipycam==1.3.0 | uv pip compile - --no-deps --generate-hashes --python-version 3.11 --no-header -o requirements-peers.txt
