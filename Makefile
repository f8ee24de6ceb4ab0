# Two commands do all the set-up: `make run` starts the gateway, `make test` passes the tests.
# The newest Python there is from 3.13 (what Azure runs) down to 3.11; PYTHON=… chooses another.
PYTHON ?= $(shell for python in python3.13 python3.14 python3.12 python3.11 python3; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet

.PHONY: run setup test check tools bench soak format schema clean

run: $(VENV)/host  ## start the gateway with the sample configuration on http://127.0.0.1:7071
	$(BIN)/python -m gateway dev

setup: $(VENV)/dev  ## build .venv with everything

test: check  ## everything CI does
	$(BIN)/python -m pytest

check: $(VENV)/dev tools  ## style, types, architecture
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m gateway schema --check
	$(BIN)/python -m tests.infra.bicep

tools: $(VENV)/dev  ## the optional programs the tests use: a browser, Alertmanager, Azurite
	@tests/install-tools.sh

bench: $(VENV)/dev  ## the figures, as ratios inside one run
	$(BIN)/python -m bench

soak: $(VENV)/dev tools  ## the long form of the fault runs: kills and failing providers for half an hour
	$(BIN)/python -m tests.end_to_end.storm --count 10000 --kills 500
	SOAK=1 $(BIN)/python -m pytest tests/stores tests/end_to_end tests/infra

format: $(VENV)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schema: $(VENV)/dev  ## write gateway.schema.json
	$(BIN)/python -m gateway schema

clean:
	rm -rf $(VENV) .data .mypy_cache .ruff_cache .pytest_cache

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/host: $(VENV)/bin/python requirements-core.txt requirements-host.txt
	$(PIP) -r requirements-host.txt
	@touch $@

# What Azure installs needs 3.13, as the tests of its worker do.
$(VENV)/dev: $(VENV)/bin/python requirements.txt requirements-core.txt requirements-host.txt requirements-otel.txt requirements-dev.txt
	if $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 13))'; \
	then $(PIP) -r requirements-dev.txt -r requirements.txt; \
	else $(PIP) -r requirements-dev.txt; fi
	@touch $@ $(VENV)/host
