.DEFAULT_GOAL := help
.PHONY: help demo test check bench faults screenshots clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 8

demo: ## try the console on a sample site, without root and Docker (DEMO_DIR=... to say where)
	@scripts/bootstrap
	@.venv/bin/govma-console demo $(if $(DEMO_DIR),"$(DEMO_DIR)")

test: ## run every test, with a real Docker engine where one can be had (ARGS=... for pytest)
	@scripts/test-packages
	@scripts/bootstrap dev
	.venv/bin/python -m pytest --ignore=tests/benchmarks --ignore=tests/faults -n auto $(ARGS)

check: ## format, lint, types and the layers of the import graph
	@scripts/bootstrap dev
	.venv/bin/ruff format --check
	.venv/bin/ruff check
	.venv/bin/mypy --strict
	.venv/bin/lint-imports

bench: ## measure what the README states (ARGS=... for the benchmarks)
	@scripts/test-packages
	@scripts/bootstrap dev
	.venv/bin/python -m tests.benchmarks $(ARGS)

faults: ## the long sweeps of faults (ARGS=... for the sweeps)
	@scripts/test-packages
	@scripts/bootstrap dev
	.venv/bin/python -m tests.faults $(ARGS)

screenshots: ## draw the pictures of the README from the running app
	@scripts/bootstrap dev
	.venv/bin/python -m tests.screenshots

clean: ## remove the environment, the cached images and all other generated files
	rm -rf .venv .cache dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find govma_core govma_console tests -name __pycache__ -type d -prune -exec rm -rf {} +
