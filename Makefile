# Two commands: `make up` runs Hone, `make test` checks it. Both install what they need into .venv.
# Any Python from 3.11 on will do: make up PYTHON=python3.12

PYTHON ?= python3.11 python3.12 python3.13 python3.14 python3
VENV := .venv
BIN := $(VENV)/bin
EXT := vscode-extension
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: up demo test lint test-extension test-vscode test-browser test-postgres vsix docs bench bench-vscode bench-store bench-replay clean help

up: $(VENV)/.host  ## install and start everything on this machine
	@exec $(BIN)/hone up

demo: $(VENV)/.host  ## watch the whole loop run once
	@exec $(BIN)/hone demo

test: lint  ## every check and every test; those of the extension where Node 20 is
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile
	@if command -v npm >/dev/null && node -e 'process.exit(Number(parseInt(process.versions.node) < 20))'; then \
	  $(MAKE) --no-print-directory test-extension; \
	else echo "LEFT OUT: style, types and unit tests of the VS Code extension: no Node 20 or newer here"; fi

lint: $(VENV)/.dev  ## style, formatting and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

test-extension: $(EXT)/node_modules/.stamp  ## style, types and unit tests of the VS Code extension
	cd $(EXT) && npm run --silent lint && npm run --silent types && npm run --silent test

test-vscode: $(VENV)/.dev vsix  ## drive VS Code in a browser; installs it into build/vscode, minutes, once
	$(PIP) 'playwright>=1.58'
	tests/editors/install-code-server build/vscode
	TEST_VSCODE=build/vscode $(BIN)/python -m pytest tests/editors --ignore tests/editors/test_neovim.py

test-neovim: $(VENV)/.dev  ## drive Neovim with the README's set-up; installs it into build/neovim
	tests/editors/install-neovim build/neovim || echo "Neovim 0.12 cannot be had here"
	TEST_NEOVIM=build/neovim/nvim $(BIN)/python -m pytest tests/editors/test_neovim.py -rs

test-browser: $(VENV)/.dev  ## review pairs in Chromium, and look at every admin page
	scripts/install-chromium
	$(PIP) 'playwright>=1.58' 'axe-playwright-python>=0.1.8'
	TEST_BROWSER=1 $(BIN)/python -m pytest tests/browser

test-postgres: $(VENV)/.dev  ## the store on PostgreSQL; installs Debian's, once
	tests/feedback_store/install-postgresql
	TEST_POSTGRES=1 $(BIN)/python -m pytest tests/feedback_store -k postgresql

vsix: $(EXT)/node_modules/.stamp | $(BIN)/python  ## build the VS Code extension, with hone's wheel in it
	scripts/build-wheel $(BIN)/python $(EXT)/wheel
	cd $(EXT) && npm run --silent build && npm run --silent package

docs: $(VENV)/.host  ## rebuild the generated pages
	$(BIN)/python -m hone.reference

bench: $(VENV)/.dev  ## measure the loop; results go to benchmarks/results
	$(BIN)/python benchmarks/run_loop.py

bench-vscode: $(VENV)/.dev vsix  ## measure VS Code in a browser; minutes
	$(PIP) 'playwright>=1.58'
	tests/editors/install-code-server build/vscode
	PYTHONPATH=tests/editors $(BIN)/python benchmarks/run_vscode.py build/vscode $(EXT)/*.vsix

bench-store: $(VENV)/.dev  ## measure the store on both databases; wants a quiet machine
	tests/feedback_store/install-postgresql
	$(BIN)/python benchmarks/run_store.py

bench-replay: $(VENV)/.dev  ## does it learn? replays of three packages; takes hours, resumable
	$(BIN)/python benchmarks/run_replay.py

clean:  ## remove what was installed and built; your data stays
	rm -rf $(EXT)/node_modules $(EXT)/dist $(EXT)/wheel $(EXT)/*.vsix
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*##/\1\t/p' Makefile

# Stamps: a repeated call installs nothing until pyproject.toml changes.
$(VENV)/.host: pyproject.toml | $(BIN)/python
	@echo "installing Hone into $(VENV) (a minute or two) ..."
	$(PIP) --editable '.[host]'
	@touch $@

$(EXT)/node_modules/.stamp: $(EXT)/package-lock.json
	@echo "installing what builds the extension (a minute or two) ..."
	cd $(EXT) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	@echo "installing Hone and its checks into $(VENV) (a minute or two) ..."
	$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.host

$(BIN)/python:
	@scripts/make-venv $(VENV) $(PYTHON)
