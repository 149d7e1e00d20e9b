# From a bare checkout: `make warm` makes the films, `make test` runs the tests. Both install
# .venv first. A checkout's path may contain spaces: paths are relative, tools run as `python -m`.
.DEFAULT_GOAL := help
.SUFFIXES:

PY := .venv/bin/python
ARGS ?=

.PHONY: help install warm plan status doctor test cover golden test-all test-s3 test-kills test-gateways lint format check lock drill drill-scale bench-peers wheel clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' Makefile
	@echo '  ARGS="..." is passed on, e.g. make warm ARGS="--sync --workers 2"'

install: ## Install requirements.lock into .venv, and libcairo if it is missing
	@sh scripts/environment

warm: install ## Make every film of templates.yaml that is missing or stale
	@$(PY) -m spritz_cli warm --all $(ARGS)

plan: install ## Show what `make warm` would do, and why
	@$(PY) -m spritz_cli plan $(ARGS)

status: install ## Show what is published
	@$(PY) -m spritz_cli status $(ARGS)

doctor: install ## Check this machine and suggest fixes
	@$(PY) -m spritz_cli doctor $(ARGS)

test: install ## Run the tests
	@$(PY) -m pytest -n auto $(ARGS)

cover: ## Run the tests and measure their coverage
	@$(MAKE) --no-print-directory test ARGS="--cov $(ARGS)"

golden: install ## Update the golden frames (look at the films first)
	@$(PY) -m tests.golden.write

test-all: install ## Run the slow tests too
	@$(PY) -m pytest -n auto -m "not long" $(ARGS)

test-s3: install ## Test buckets on two S3 servers (installs rclone into .venv, once)
	@sh scripts/rclone
	@$(PY) -m pytest -n auto -m "slow or not slow" $(ARGS) \
		tests/contracts/test_stores.py tests/integration/test_s3.py tests/unit/test_bucket.py

test-kills: install ## Kill 200 purchases of footage at random instants (20 minutes)
	@$(PY) -m pytest -s -o faulthandler_timeout=0 -m long tests/integration/test_purchase_kills.py $(ARGS)

test-gateways: install ## Buy footage through third-party servers (installs 830 MB, once)
	@sh tests/gateways/setup
	@$(PY) -m tests.gateways.run $(ARGS)

lint: install ## Check style, types, import direction, and every film of the catalog
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(PY) -c 'from importlinter.cli import lint_imports_command as lint; lint()'
	@$(PY) -m spritz_cli lint

format: install ## Sort the imports and format the code
	@$(PY) -m ruff check --fix-only --quiet .
	@$(PY) -m ruff format .

check: lint cover ## Run lint and the tests, like .ci/run

lock: install ## Resolve both pyproject.toml into requirements.lock (ARGS=--upgrade: newest)
	@$(PY) -m pip --quiet install uv==0.13.9
	@$(PY) -m uv --quiet pip compile pyproject.toml --extra dev --universal \
		--generate-hashes --no-header --no-emit-index-url \
		--no-emit-package spritz-vidgen-reader --output-file requirements.lock $(ARGS)

drill: install ## Inject faults: kills, a lost Redis, a wrong clock (ARGS="--times 50 --fault kill-worker")
	@$(PY) -m tests.drill $(ARGS)

drill-scale: install ## Make a large catalog on two hosts, and the same films in three ways
	@$(PY) -m tests.drill.scale $(ARGS)
	@$(PY) -m tests.drill.films

bench-peers: install ## Measure one scene with other tools too (installs 1.4 GB, once)
	@sh bench/peers/setup
	@$(PY) bench/peers/run.py $(ARGS)

wheel: install ## Build both wheels into dist/
	@cd reader && ../$(PY) -m hatchling build -t wheel -d ../dist
	@$(PY) -m hatchling build -t wheel

clean: ## Remove .venv, caches and builds; films and Redis data stay
	@rm -rf .venv dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
