# Thin on purpose: each target is one command. `make rehearse` and `make test` are what people and CI rely on.
.DEFAULT_GOAL := help
VENV := .venv
PY := $(VENV)/bin/python
UV_VERSION := 0.13.9
UV := $(or $(shell command -v uv),$(VENV)-uv/bin/uv)

.PHONY: help status logs console psql unlock notify-test rehearse rehearse-down accept test fmt lint bench lock

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

$(VENV)-uv/bin/uv:
	@python3 -m venv $(VENV)-uv || { echo 'make: python3 has no venv module; as root: apt-get install python3-venv'; exit 1; }
	$(VENV)-uv/bin/pip install --quiet uv==$(UV_VERSION)

$(VENV)/.ok: requirements.lock pyproject.toml | $(filter $(VENV)-uv/bin/uv,$(UV))
	$(UV) venv --quiet --allow-existing --python '>=3.11' $(VENV)
	$(UV) pip sync --quiet --require-hashes --python $(PY) requirements.lock
	@touch $@

status: $(VENV)/.ok ## what runs on the server, and what is wrong with it
	@$(PY) -m ops.status

logs: $(VENV)/.ok ## its log, without secrets: make logs, or with S=server SINCE=10m TAIL=500 F=1
	@$(PY) -m ops.logs $(S) $(addprefix --since ,$(SINCE)) $(addprefix --tail ,$(TAIL)) $(if $(F),--follow)

console: $(VENV)/.ok ## a shell in a container: make console S=server
	@$(PY) -m ops.console $(S)

psql: $(VENV)/.ok ## psql in the CRM's database: make psql, or with D=tenants
	@$(PY) -m ops.console --psql $(or $(D),twenty)

unlock: $(VENV)/.ok ## remove the lock of a deploy that is known to be dead
	@$(PY) -m ops.unlock

notify-test: $(VENV)/.ok ## send a test message to NOTIFY_WEBHOOK_URL and NOTIFY_EMAIL
	@$(PY) -m twentyops.notify

rehearse: $(VENV)/.ok ## build the lab, deploy to it with the real commands, prove it
	$(PY) -m lab up
	$(PY) -m lab rehearse

rehearse-down: $(VENV)/.ok ## leave the machine as it was
	$(PY) -m lab down

accept: $(VENV)/.ok ## ask the real Twenty: TWENTY_SOURCE=DIR make accept, or with SUITE=name, AGAIN=1
	$(PY) -m lab accept $(addprefix --suite ,$(SUITE)) $(if $(AGAIN),--again)

lint: $(VENV)/.ok
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

test: lint ## all tests; what CI runs
	$(VENV)/bin/pytest tests -n 2 --dist loadscope --no-loadscope-reorder -v

fmt: $(VENV)/.ok ## format and fix what can be fixed
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

bench: $(VENV)/.ok ## the figures, measured here beside their goals
	$(PY) -m lab bench
	$(PY) -m tests.tenant_manager.bench_figures

lock: $(VENV)/.ok ## write requirements.lock anew: versions and hashes, no addresses
	$(UV) pip compile --quiet --upgrade --generate-hashes --no-annotate --no-header --python-version 3.11 --group dev pyproject.toml -o requirements.lock
