# `make` alone lists what there is. Everything works from a bare clone with Python 3.11 to 3.13, make and a package index.
# pip is used as the machine has it set up (mirrors, proxies, caches); nothing of that is written down here.

SHELL := /bin/sh
.DEFAULT_GOAL := help
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
CODE := state training stream tests bench
YAML := docker-compose.yml .pre-commit-config.yaml .github

# Install the packages of lock file $(1) into environment $(2). pip shows no progress while it unpacks, which is half of the
# time. So every five seconds a line has the size so far; with TMPDIR in the environment it counts the downloads too.
define pip-install
@rm -rf $(2)/tmp; mkdir $(2)/tmp; \
( s=0; while sleep 5 && kill -0 $$$$; do s=$$((s+5)); echo "  $$s s: $$(du -sm $(2) | cut -f1) MB"; done 2>/dev/null ) & watch=$$!; \
TMPDIR="$(CURDIR)/$(2)/tmp" $(PIP) --python $(2)/bin/python install --quiet --require-hashes --no-deps -r $(1); code=$$?; \
kill $$watch; rm -rf $(2)/tmp; exit $$code
endef

# What follows a command, for example: make demo ARGS="--events 500", make test ARGS="tests/unit -x"
ARGS ?=

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: install
install: .venv/.installed ## create .venv from the hash-pinned lock file; afterwards there is .venv/bin/nextbasket

.PHONY: demo
demo: install ## see it work on this machine, no Kafka, Redis or Docker needed (ARGS="--events 500")
	@# Ctrl-C reaches make, this shell and the demo alike. The shell waits for the demo. Then make ends by the signal, as
	@# an interrupted command should, without an error line of its own below the demo's summary.
	@trap : INT; $(BIN)/nextbasket demo $(ARGS); code=$$?; [ $$code -ne 130 ] || { kill -INT $$PPID; exit 0; }; exit $$code

.PHONY: test
test: .venv/.installed-dev ## all tests, on the best Kafka and Redis there are (ARGS="tests/unit" takes seconds)
	@$(BIN)/python -m pytest $(ARGS)

.PHONY: unit
unit: .venv/.installed-dev ## the unit tests on all cores: no service, no process, no training (ARGS="-k retry")
	@$(BIN)/python -m pytest --numprocesses auto tests/unit $(ARGS)

.PHONY: test-faults
test-faults: .venv/.installed-dev ## faults in random order on a real Kafka and Redis (ARGS="--night", ARGS="--seed 7 --only redis-hang")
	@$(BIN)/python -m tests.faults $(ARGS)

.PHONY: lint
lint: .venv/.installed-dev ## formatting, lint, types, import rules, deployment files
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/yamllint --strict $(YAML)
	sh -n .ci/run
	$(BIN)/python -m pytest -q tests/deployment

.PHONY: format
format: .venv/.installed-dev ## put the code into the project's format
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

# The variables silence the announcement of another version of MkDocs.
.PHONY: docs
docs: .venv/.installed-dev ## build the documentation into build/site; a warning is an error
	@NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true $(BIN)/python -m mkdocs build --strict --site-dir build/site $(ARGS)

.PHONY: bench
bench: .venv/.installed-dev ## events a second, CPU and latency of the worker, on a real Kafka and Redis of its own
	@$(BIN)/python -m bench.stream $(ARGS)

.PHONY: bench-api
bench-api: .venv/.installed-dev ## requests a second and latency of the API, on a real Redis of its own (needs wrk)
	@$(BIN)/python -m bench.api $(ARGS)

.PHONY: kafka
kafka: .venv/.installed-dev ## run a real Apache Kafka in the foreground, fetched with Maven (ARGS="--port 9092")
	@$(BIN)/python -m tests.services.kafka run $(ARGS)

# Three files, because three things are installed: the worker image alone, everything a user runs, and that with what a
# developer runs. The second and third hold the first's versions, so what is tested is what is served.
.PHONY: lock
lock: ## make the lock files again from pyproject.toml, with uv from the PATH (ARGS=--upgrade for newer versions)
	@command -v uv >/dev/null || { echo "make lock needs uv on the PATH (pipx install uv)" >&2; exit 1; }
	@# uv does not read pip's configuration: pass the index on, without writing it down.
	@export UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$$(python3 -m pip config get global.index-url 2>/dev/null)}"; \
	[ -n "$$UV_DEFAULT_INDEX" ] || unset UV_DEFAULT_INDEX; \
	compile="uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet"; \
	$$compile $(ARGS) --extra demo --extra report --extra otel --output-file requirements.lock && \
	$$compile $(ARGS) --extra api --extra otel --constraint requirements.lock --output-file requirements-worker.lock && \
	$$compile $(ARGS) --extra dev --extra docs --constraint requirements.lock --output-file requirements-dev.lock

# What the worker image holds on top of its base, python:3.12-slim (about 130 MB unpacked).
WORKER := build/worker
WORKER_LIMIT_MB := 370
.PHONY: size
size: .venv/.installed ## install what the worker image holds into build/worker, try it, and weigh it
	@rm -rf build/wheel build/lib $(WORKER) && $(BIN)/python -m venv --without-pip $(WORKER)
	@$(PIP) wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir build/wheel .
	$(call pip-install,requirements-worker.lock,$(WORKER))
	@$(PIP) --python $(WORKER)/bin/python install --quiet --no-deps --no-index build/wheel/*.whl
	@$(WORKER)/bin/nextbasket --help >/dev/null && $(WORKER)/bin/python -c 'import stream.worker'
	@size=$$(du -sm $(WORKER) | cut -f1); echo "the worker installs $$size MB, $(WORKER_LIMIT_MB) MB at most"; \
	[ "$$size" -le $(WORKER_LIMIT_MB) ]

.PHONY: clean
clean: ## remove .venv and everything tools leave behind
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment whose Python cannot be used, or none: make it. The first usable of these is taken, or PYTHON where it is set.
.venv/bin/python:
	@for python in $(PYTHON) python3.12 python3.13 python3.11 python3 python; do \
		if $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then \
			echo "creating .venv with $$($$python --version)"; \
			$$python -m venv .venv && exit 0; \
			echo "$$python could not create .venv; on Debian and Ubuntu: apt-get install python3-venv" >&2; rm -rf .venv; exit 1; \
		fi; \
	done; \
	echo "nextbasket needs Python 3.11, 3.12 or 3.13, and none is on the PATH (or: make install PYTHON=/path/to/python)" >&2; exit 1

.venv/.installed: requirements.lock pyproject.toml | .venv/bin/python
	@echo "installing $$(grep -c '^[a-z].*==' requirements.lock) packages (TensorFlow, Kafka, Redis, pandas, …):"
	@echo "770 MB to download, 2.9 GB on disk, 1 to 10 minutes"
	$(call pip-install,requirements.lock,.venv)
	@$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

.venv/.installed-dev: requirements-dev.lock .venv/.installed
	@echo "installing what tests, lint and documentation need:"
	@echo "100 MB to download, 300 MB on disk, about a minute"
	$(call pip-install,requirements-dev.lock,.venv)
	@touch $@
