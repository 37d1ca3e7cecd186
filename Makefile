# Everything a newcomer needs: `make demo` shows the plugin at work, `make test` proves it.
# Nothing but Python 3.11 and make has to be there.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
TEST_VENV := .venv-test
PIP := -m pip --disable-pip-version-check --quiet
CONSTRAINTS := deploy/constraints.txt
comma := ,
# PostgreSQL's driver is LGPL, so it is installed only where it is asked for.
EXTRAS := demo$(if $(filter postgres%,$(DATABASE_URL)),$(comma)postgres)
PORT ?= 8000
SOAK ?= 5000
MEASURED := build/faults.jsonl
IN_TWO := --numprocesses 2 --dist loadfile
ON_POSTGRES := $(TEST_VENV)/bin/python -m tests.postgres $(TEST_VENV)/bin/python
export PYTHONUNBUFFERED := 1

.DEFAULT_GOAL := help
.PHONY: help install demo test test-install lint format bench faults docs clean

help: ## Show this list
	@echo "Booru ML: eyes for an image board"; echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null \
		|| sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1  \2/p' $(MAKEFILE_LIST)

install: $(VENV)/.installed-$(EXTRAS) ## Install into .venv; then: .venv/bin/python manage.py …
	@$(VENV)/bin/python manage.py migrate --verbosity 0

$(VENV)/.installed-%: pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if v >= (3, 11) else f"Python 3.11 is needed, this is {v[0]}.{v[1]}; name another: make PYTHON=/path/to/python3.11")'
	@echo "Installing into $(VENV) (a minute or so; no torch, no GPU packages) …"
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python $(PIP) install --constraint $(CONSTRAINTS) --editable '.[$*]'
	@touch $@

demo: install ## Run the reference board with the plugin: EXIT=1 stops by itself, PICTURES=dir takes your own class folders
	@exec $(VENV)/bin/python manage.py booru_demo --port $(PORT) $(if $(PICTURES),--pictures '$(PICTURES)') $(if $(filter 1 yes true,$(EXIT)),--exit)

test-install: $(TEST_VENV)/.installed

$(TEST_VENV)/.installed: pyproject.toml $(CONSTRAINTS)
	@echo "Installing into $(TEST_VENV) (some minutes: tests compare both engines, so torch is among it) …"
	@test -x $(TEST_VENV)/bin/python || $(PYTHON) -m venv $(TEST_VENV)
	@$(TEST_VENV)/bin/python $(PIP) install --constraint $(CONSTRAINTS) --editable '.[test]'
	@touch $@

test: test-install ## Run every test, on SQLite and on PostgreSQL (TEST_POSTGRES_URL and TEST_REDIS_URL name servers; else embedded ones)
	@sh tests/browser/install-chromium.sh
	$(TEST_VENV)/bin/python -m pytest $(IN_TWO) --ignore tests/faults
	$(ON_POSTGRES) -m pytest $(IN_TWO) -m "not browser" --ignore tests/flows/test_demo.py --ignore tests/embeddings/test_fitting.py \
		tests/booru_ml/pipeline tests/booru_ml/host tests/embeddings tests/tagging tests/moderation tests/flows
	$(ON_POSTGRES) -m pytest tests/faults

lint: test-install ## ruff, mypy, import contracts, migrations, deployment checks
	$(TEST_VENV)/bin/ruff check .
	$(TEST_VENV)/bin/ruff format --check .
	$(TEST_VENV)/bin/mypy
	$(TEST_VENV)/bin/lint-imports
	$(TEST_VENV)/bin/python manage.py makemigrations --check --dry-run
	DEBUG=0 SECRET_KEY=$$($(TEST_VENV)/bin/python -c 'import secrets; print(secrets.token_urlsafe(64))') HTTPS=1 \
		$(TEST_VENV)/bin/python manage.py check --deploy --fail-level WARNING

format: test-install ## Put the code into its standard form
	$(TEST_VENV)/bin/ruff check --fix .
	$(TEST_VENV)/bin/ruff format .

bench: test-install ## Measure speed here: uploads, and the pipeline beside the bare arithmetic and the naive way
	@$(TEST_VENV)/bin/python manage.py migrate --verbosity 0
	$(TEST_VENV)/bin/python manage.py booru_bench upload
	$(TEST_VENV)/bin/python manage.py booru_bench pipeline

faults: test-install ## Kill, freeze, fill and damage everything that analyses, some 25 minutes; SOAK=5000 pictures at the end
	@mkdir -p build && rm -f $(MEASURED)
	FAULTS=long FAULTS_REPORT=$(MEASURED) $(ON_POSTGRES) -m pytest tests/faults
	FAULTS=long FAULTS_REPORT=$(MEASURED) $(TEST_VENV)/bin/python -m pytest -m "not postgres" tests/faults/test_processes.py tests/faults/test_broker.py
	$(ON_POSTGRES) -m tests.faults --pictures $(SOAK)
	FAULTS_REPORT=$(MEASURED) $(TEST_VENV)/bin/python -m tests.faults.report docs/reliability.md

docs: test-install ## Take the pictures in docs/images anew, from the running demo
	@sh tests/browser/install-chromium.sh
	$(TEST_VENV)/bin/python -m tests.browser.shots

clean: ## Remove what make created, the demo's pictures and database too
	rm -rf $(VENV) $(TEST_VENV) var build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
