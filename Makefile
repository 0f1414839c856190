# Every command a developer or a fresh machine needs; `make run` is the way in.

PYTHON ?= python3
BIN := .venv/bin
RUNTIME := .venv/runtime-installed
DEVELOPMENT := .venv/development-installed
PACKAGES := brokerage margin ledger accounts
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary=:all:
COMPILE := $(BIN)/uv pip compile --quiet --no-config --universal --python-version 3.11 --no-build \
  --generate-hashes --annotation-style line --custom-compile-command "make lock" $(LOCK)

# Checks of the code alone: no server is started, no file is made outside the caches.
NO_DATABASE := DATABASE_URL="host=/nonexistent dbname=none" SECRET_KEY=unused BROKERAGE_VAR=/tmp

# Images often set it; every start of a program would compile all of the product again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run setup lint types style test columns soak mutants browser lock audit release verify-release clean backup restore

help:
	@echo "make run    the whole product on http://127.0.0.1:8000/ (PORT=... for another port)"
	@echo "make setup  environment and empty database only"
	@echo "make test   lint and all tests, on a throw-away database"
	@echo "make lint   format, style, types, imports, migrations"
	@echo "make columns  the tests of margin with every run kept in columns"
	@echo "make soak   the tests at full figures"
	@echo "make mutants  how the tests catch a book whose guards are broken on purpose"
	@echo "make backup   the whole book into one file (FILE=... for another place)"
	@echo "make restore  FILE=... into an empty place, proved and sealed on"
	@echo "make lock   requirements*.lock from requirements*.txt: all packages, with their hashes"
	@echo "make audit   known vulnerabilities of all locked packages"
	@echo "make release   KEY=... archive, bill of materials, sums and signature, into dist/"
	@echo "make verify-release   FILE=... SIGNERS=... whether a release is what was signed"
	@echo "make clean  delete environment, database and caches"

run: $(RUNTIME)
	@$(BIN)/python manage.py setup --demo
	@$(BIN)/python manage.py run

setup: $(RUNTIME)
	@$(BIN)/python manage.py setup

backup: $(RUNTIME)
	@$(BIN)/python manage.py backup $(FILE)

restore: $(RUNTIME)
	@test -n "$(FILE)" || { echo "Say which backup: make restore FILE=..." >&2; exit 2; }
	@$(BIN)/python manage.py restore $(FILE)

# Two at a time: the types take as long as everything else together.
lint: $(DEVELOPMENT)
	@$(MAKE) --jobs=2 --output-sync=target types style

types: $(DEVELOPMENT)
	$(NO_DATABASE) $(BIN)/mypy --strict $(PACKAGES) .ci/supply

style: $(DEVELOPMENT)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(NO_DATABASE) $(BIN)/python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	$(NO_DATABASE) $(BIN)/python manage.py check

# The audit says what is known today and never fails a run of the tests: whether a commit passes must
# not change while nobody changes it. `make audit` and `make release` fail.
test: lint browser
	$(BIN)/python -m pytest; outcome=$$?; PYTHONPATH=.ci $(BIN)/python -m supply.audit --report; exit $$outcome

audit: $(DEVELOPMENT)
	@PYTHONPATH=.ci $(BIN)/python -m supply.audit

# What reads a run must not see how it is kept: from the first scope on it is kept in columns here.
columns: $(DEVELOPMENT)
	MARGIN_COLUMNS_FROM=0 $(BIN)/python -m pytest tests/golden tests/brokerage/inbox tests/margin \
	  --ignore=tests/margin/engine

soak: $(DEVELOPMENT) browser
	$(BIN)/python -m pytest -m soak

mutants: $(DEVELOPMENT)
	$(BIN)/python -m pytest -n 0 -q -s -m soak tests/bank/test_mutants.py

# The browser tests need Chromium; without it they are left out, and the last lines say so.
browser:
	@{ command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null || { \
	  echo "Fetching Chromium for the browser tests."; \
	  [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
	  apt-get install -qq -y --no-install-recommends chromium fonts-dejavu-core; } || true

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; set PYTHON to one, as in: make run PYTHON=python3.11" >&2; exit 2; }
	@echo "Making the environment in .venv; the first time takes a minute."
	@$(PYTHON) -m venv .venv || \
	  { rm -rf .venv; echo "Python has no venv module (Debian: apt install python3-venv)." >&2; exit 2; }

# Only what the lock files name, byte for byte; nothing is built here, because what builds a package
# is not pinned.
$(RUNTIME): requirements.lock | .venv/bin/python
	@$(INSTALL) -r requirements.lock
	@touch $@

$(DEVELOPMENT): requirements-dev.lock requirements.lock | .venv/bin/python
	@$(INSTALL) -r requirements-dev.lock
	@touch $(RUNTIME) $@

# What is pinned stays as it is unless a requirement asks for another; LOCK=--upgrade takes the newest
# of all that the requirements leave open. One lock for every platform and Python from 3.11 on.
lock: $(DEVELOPMENT)
	@$(COMPILE) --output-file requirements.lock requirements.txt
	@$(COMPILE) --constraint requirements.lock --output-file requirements-dev.lock requirements-dev.txt

# KEY is the file of a private key, or of a public one whose private half an agent holds. AUDIT=no where
# no advisories can be reached; what is released is then not audited.
release: $(DEVELOPMENT)
	@test -n "$(KEY)" || { echo "Say whose signature it is: make release KEY=~/.ssh/release" >&2; exit 2; }
	@[ "$(AUDIT)" = no ] || PYTHONPATH=.ci $(BIN)/python -m supply.audit
	@PYTHONPATH=.ci $(BIN)/python -m supply.release make --key "$(KEY)"

# Needs Python, OpenSSH and nothing that is installed here.
verify-release:
	@test -n "$(FILE)" && test -n "$(SIGNERS)" || { \
	  echo "Say what and by whom: make verify-release FILE=....tar.gz SIGNERS=allowed_signers" >&2; exit 2; }
	@PYTHONPATH=.ci $(PYTHON) -m supply.release verify "$(FILE)" --signers "$(SIGNERS)"

clean:
	@if [ -e var/run.lock ] && [ -s var/run.lock ]; then \
	  echo "The back office is running here (process $$(cat var/run.lock)); stop it first." >&2; exit 2; fi
	rm -rf .venv var .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
