# `make demo` and `make test` do everything on a fresh machine with Python 3.11 or newer and pip; uv is used when it is there.
PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
# Where it is set, each of the hundreds of processes of the suite compiles the package and its tests again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test check slow browser servers hosts chaos kills proof mutants bench scale lock audit sbom clean
help:
	@echo 'make demo    everything on this machine against the built-in simulator (ARGS=--exit: end when the sync is over)'
	@echo 'make test    the whole test suite (ARGS passes options to pytest)'
	@echo 'make check   ruff, ruff format, mypy --strict, import-linter'
	@echo 'make slow    what takes too long for the suite'
	@echo 'make browser the page in a real Chromium (Debian: apt install chromium; CHROMIUM=path)'
	@echo 'make servers servers of Debian, such as pgbouncer, where they are installed'
	@echo 'make hosts   several hosts, as network namespaces (root; Debian: apt install iproute2 libfaketime)'
	@echo 'make chaos   random faults on workers and servers, then tables == truth (a minute; ARGS="--runs 100", ARGS=--help)'
	@echo 'make kills   every kill at every point of every phase (long)'
	@echo 'make proof   the model of the protocol, and faults planted in it (Debian: apt install rumur gcc; ARGS=--help)'
	@echo 'make mutants bugs planted in a copy of the code: a test must fail for each (ARGS="fence --jobs 2", ARGS=--help)'
	@echo 'make bench   the benchmark table'
	@echo 'make scale   many accounts and several workers: lateness, load, growth (half an hour)'
	@echo 'make audit   known vulnerabilities of the locked packages (needs the internet)'
	@echo 'make sbom    the bill of materials, dist/sbom.cdx.json'
	@echo 'make lock    resolve the lock files anew (needs uv)'

demo: .venv/runtime.stamp
	@$(BIN)/spotisync demo $(ARGS)

test: .venv/dev.stamp
	@$(BIN)/python -m pytest $(ARGS)

check: .venv/dev.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

slow: .venv/dev.stamp
	@$(BIN)/python -m pytest -m slow $(ARGS)

browser: .venv/dev.stamp
	@$(BIN)/python -m pytest -m browser $(ARGS)

servers: .venv/dev.stamp
	@$(BIN)/python -m pytest -m servers $(ARGS)

hosts: .venv/dev.stamp
	@$(BIN)/python -m pytest -m hosts $(ARGS)

chaos: .venv/dev.stamp
	@$(BIN)/python -m proof chaos $(ARGS)

kills: .venv/dev.stamp
	@$(BIN)/python -m pytest -m chaos --timeout 900 $(ARGS)

proof: .venv/dev.stamp
	@$(BIN)/python -m proof $(ARGS)

mutants: .venv/dev.stamp
	@$(BIN)/python -m proof mutants $(ARGS)

bench: .venv/dev.stamp
	@$(BIN)/python -m benchmarks $(ARGS)

scale: .venv/dev.stamp
	@$(BIN)/python -m benchmarks.scale $(ARGS)

lock:
	uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-header pyproject.toml -o requirements.lock
	uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-header --extra otel --extra parquet pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock

audit: .venv-audit/stamp
	.venv-audit/bin/pip-audit --requirement requirements.lock --require-hashes --disable-pip

sbom: .venv-audit/stamp
	@mkdir -p dist
	.venv-audit/bin/cyclonedx-py requirements --output-reproducible --of JSON -o dist/sbom.cdx.json requirements.lock

# Of its own: these programs bring packages that spotisync doesn't use.
.venv-audit/stamp:
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/pip --disable-pip-version-check install -q 'pip-audit>=2.10,<3' 'cyclonedx-bom>=7.5,<8'
	@touch $@

clean:
	rm -rf .venv .venv-audit dist

# A Debian with python3 and pip alone has no ensurepip: pip installs into the environment from outside.
.venv/bin/python:
	@if command -v uv >/dev/null; then uv venv -q --no-python-downloads --python $(PYTHON) .venv; \
	 else $(PYTHON) -m venv --without-pip .venv; fi

define install
	@echo "Installing into .venv ($(1)) ..."
	@if command -v uv >/dev/null; then \
	   uv pip install -q --python $(BIN)/python --require-hashes -r $(1) && \
	   uv pip install -q --python $(BIN)/python --no-deps -e .; \
	 else \
	   $(PYTHON) -m pip --disable-pip-version-check --python $(BIN)/python install -q --require-hashes -r $(1) && \
	   $(PYTHON) -m pip --disable-pip-version-check --python $(BIN)/python install -q --no-deps -e .; \
	 fi
	@touch $@
endef

.venv/runtime.stamp: requirements.lock pyproject.toml | .venv/bin/python
	$(call install,requirements.lock)

.venv/dev.stamp: requirements-dev.lock pyproject.toml | .venv/bin/python
	$(call install,requirements-dev.lock)
	@touch .venv/runtime.stamp
