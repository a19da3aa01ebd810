# Everything runs in the virtual environment .venv, which is made on first use.
# PYTHON=python3.12 makes it with another Python; ARGS="..." goes to the program that a target runs.

VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo up secrets test bench rootcause test-drilldown test-faults scale lint format dashboards screenshots picture clean constraints

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt .ci/environment
	@.ci/environment
	@touch $@

demo: $(READY) ## the whole thing on this machine: database, server, simulated devices; Ctrl-C ends it
	@$(RUN) -m collector demo $(ARGS)

up: secrets ## the whole thing in containers, with Kafka, Prometheus and Grafana (docker compose)
	docker compose up --build --detach --wait $(ARGS)
	@echo "collector http://localhost:8080   Grafana http://localhost:3000 (admin, GRAFANA_ADMIN_PASSWORD of .env)"

secrets: ## random passwords for compose.yaml into .env, where it has none yet
	@.ci/secrets

# All of it runs, whatever fails; the test runner comes last, so that its summary is what one sees.
test: $(READY) ## linter, formatter, type checker and the whole test suite
	@status=0; \
	$(MAKE) --no-print-directory lint || status=1; \
	test $$status = 0 || echo "*** the checks above failed; the tests run all the same" >&2; \
	$(RUN) -m pytest $(ARGS) || status=1; \
	exit $$status

bench: $(READY) ## one table of ratios, measured on this machine
	@$(RUN) -m tests.benchmarks $(ARGS)

rootcause: $(READY) ## how good the drill-down is on a folder of labelled cases: make rootcause DIR=...
	@$(RUN) -m tests.report.rootcause $(if $(DIR),"$(DIR)")

test-drilldown: $(READY) ## the drill-down on 100 planted causes, and on as many tables without one
	@COLLECTOR_DRILLDOWN_SEEDS=$${COLLECTOR_DRILLDOWN_SEEDS:-100} $(RUN) -m pytest --timeout=0 tests/report/test_drilldown.py $(ARGS)

test-faults: $(READY) ## the slow rounds: kills, cuts and crashes, 100 of each
	@COLLECTOR_FAULT_ROUNDS=$${COLLECTOR_FAULT_ROUNDS:-100} $(RUN) -m pytest --timeout=0 tests/faults $(ARGS)

scale: $(READY) ## collectors, consumers and Kafka together: one is added, one killed, and every number agrees
	@$(RUN) -m pytest -q -s tests/faults/test_scale_out.py $(ARGS)

lint: $(READY) ## linter, formatter and type checker
	@status=0; \
	$(RUN) -m ruff check . || status=1; \
	$(RUN) -m ruff format --check . || status=1; \
	$(RUN) -m mypy || status=1; \
	exit $$status

format: $(READY) ## lay out the code
	@$(RUN) -m ruff check --fix-only --quiet .
	@$(RUN) -m ruff format .

screenshots: $(READY) ## the pictures of README.md, of a private collector with simulated traffic (needs chromium)
	@$(RUN) -m tests.browser.screenshots

dashboards: $(READY) ## write Grafana's dashboards and alert rules anew, from dashboards/*.py
	@$(RUN) -m dashboards

picture: $(READY) ## docs/simulate.svg, the README's picture of simulate at work
	@$(RUN) -m tests.picture

constraints: ## pin the newest versions that pyproject.toml allows
	@.ci/constraints

clean: ## remove the virtual environment and caches; data of the private PostgreSQL stays
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
