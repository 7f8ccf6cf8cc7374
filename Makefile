.DEFAULT_GOAL := help
OTHER_DEBIAN := $(shell grep -q '^VERSION_CODENAME=trixie' /etc/os-release && echo bookworm || echo trixie)
.PHONY: help demo test test-all check bench faults mutants audit screenshots translations docs wheel clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

demo: ## try the console on a sample site, without root and Docker (DEMO_DIR=... to say where)
	@scripts/bootstrap
	@.venv/bin/govma-console demo $(if $(DEMO_DIR),"$(DEMO_DIR)")

test: ## run the tests, with a real Docker engine where one can be had (ARGS=... for pytest)
	@scripts/test-packages
	@scripts/bootstrap dev
	.venv/bin/python -m pytest --ignore=tests/benchmarks --ignore=tests/faults -n auto -m "not slow" $(ARGS)

test-all: ## the slow ones as well; then, on the other release of Debian, all that may differ there; takes root
	@test "$$(id -u)" = 0 || { echo 'make test-all takes root.' >&2; exit 1; }
	@scripts/test-packages
	@scripts/bootstrap dev
	.venv/bin/python -m pytest --ignore=tests/benchmarks --ignore=tests/faults -n auto
	scripts/on-debian $(OTHER_DEBIAN) $(MAKE) test ARGS='-m "not slow or each_debian"'

check: ## format, lint, types, the layers of the import graph, sizes and words
	@scripts/bootstrap dev
	.venv/bin/ruff format --check
	.venv/bin/ruff check
	.venv/bin/mypy --strict
	.venv/bin/lint-imports
	.venv/bin/python -m scripts.house_limits

bench: ## measure what docs/speed.md states (ARGS=... for the benchmarks)
	@scripts/test-packages
	@scripts/bootstrap dev
	.venv/bin/python -m tests.benchmarks $(ARGS)

faults: ## the long sweeps of faults (ARGS=... for the sweeps)
	@scripts/test-packages
	@scripts/bootstrap dev
	.venv/bin/python -m tests.faults $(ARGS)

mutants: ## change the code where a silent fault hurts, and see that a test fails (ARGS="--sample 6 switch")
	@scripts/test-packages
	@scripts/bootstrap dev
	.venv/bin/python -m tests.mutants $(ARGS)

audit: ## look the pinned dependencies up among known vulnerabilities, where that service can be reached
	@scripts/bootstrap dev
	.venv/bin/python -m pip install -q --upgrade --target .cache/audit pip-audit
	PYTHONPATH=.cache/audit .venv/bin/python -m pip_audit --strict --no-deps --disable-pip -r constraints.txt

screenshots: ## draw the pictures of the README from the running app
	@scripts/bootstrap dev
	.venv/bin/python -m tests.screenshots

translations: ## collect the texts of the code into the catalogs of govma_core/locale, and compile these
	@scripts/bootstrap dev
	.venv/bin/python -m scripts.translations

docs: ## write the settings and what was measured into the pages of docs/
	@scripts/bootstrap dev
	.venv/bin/python -m scripts.doc_tables

wheel: ## build the package into dist/
	@scripts/bootstrap
	.venv/bin/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean: ## remove the environment, the cached images and all other generated files
	rm -rf .venv .cache dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find govma_core govma_console tests -name __pycache__ -type d -prune -exec rm -rf {} +
