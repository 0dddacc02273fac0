# Every task of this project, for people and for CI. It needs only make and Python 3.11 or newer.

VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip install --quiet --disable-pip-version-check
LOCKED := $(PIP) --require-hashes --no-build-isolation --use-pep517
COMPILE = $(RUN) -m uv pip compile --quiet --no-config --universal --generate-hashes --python-version 3.11 \
	--custom-compile-command "make lock" $(UPGRADE)
UPGRADE := --upgrade
PYTHONS := $(or $(PYTHON),python3.14 python3.13 python3.12 python3.11 python3)
ARGS :=
MINUTES := 2
WORKERS := 4
PYTEST = $(RUN) -m pytest -n $(WORKERS)

.DELETE_ON_ERROR:
.PHONY: help python install dev tools demo check test unit bench soak fuzz docs dist sbom audit lock clean

help: ## list the targets
	@awk -F ': |## ' '/^[a-z]+:.*## / { printf "%-8s %s\n", $$1, $$NF }' $(firstword $(MAKEFILE_LIST))

python: ## print the Python that will be used, or what is missing
	@$(choose_python); echo "$$python"

install: $(VENV)/installed ## create .venv with the exporter and the locked packages

dev: $(VENV)/installed-dev ## create .venv with the packages for development too

demo: install ## run the exporter on a simulated IMS endpoint (ARGS="--speed 5")
	@$(VENV)/bin/ims-exporter demo $(ARGS)

check: dev ## check lint, format, types, imports, complexity and generated files
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports
	$(RUN) -m tools.complexity
	$(RUN) -m tools.generated --check

tools: dev ## fetch the real tools of the tests (Prometheus, helm, a browser, ...)
	$(RUN) -m tests.support.prepare_tools || test "$$CI" != true

test: tools ## run all tests (ARGS="tests/ims -k retry" selects some)
	$(PYTEST) $(ARGS)

unit: WORKERS := 3
unit: dev ## run only the unit tests, in half a minute
	$(PYTEST) -m unit $(ARGS)

bench: dev ## measure the figures of docs/benchmarks.md
	$(RUN) -m benchmarks $(ARGS)

soak: dev ## make 100,000 calls fail, and check that no job is lost (ARGS="CALLS SEED")
	$(RUN) -m tests.process.soak $(ARGS)

fuzz: dev ## fuzz every reader of outside input (MINUTES=2 each; ARGS="TARGET ...", ARGS="--seed N TARGET")
	$(RUN) -m tests.fuzz --minutes $(MINUTES) $(ARGS)

docs: dev ## write the generated files
	$(RUN) -m tools.generated

dist: dev ## build wheel and source archive into dist
	$(RUN) -m hatchling build -d dist

sbom: dev ## write the bill of materials (CycloneDX) into dist
	$(RUN) -m tools.sbom dist

audit: dev ## check the locked packages for known vulnerabilities (ARGS=--online for those of today)
	$(RUN) -m tools.audit $(ARGS)

lock: dev ## update all locks (UPGRADE= keeps versions that still fit)
	$(COMPILE) --output-file requirements/run.txt pyproject.toml
	$(COMPILE) --output-file requirements/kubernetes.txt --extra kubernetes pyproject.toml \
		--constraints requirements/run.txt
	$(COMPILE) --output-file requirements/build.txt --group build --constraints requirements/run.txt
	$(COMPILE) --output-file requirements/dev.txt --group dev pyproject.toml \
		--constraints requirements/kubernetes.txt --constraints requirements/build.txt

clean: ## remove .venv and all caches; ledgers and real tools stay
	rm -rf $(VENV) dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find benchmarks exporter tests tools -name __pycache__ -exec rm -rf {} +

# --no-build-isolation: source packages are built by the locked packages of requirements/build.txt.
$(VENV)/installed: requirements/run.txt requirements/build.txt pyproject.toml exporter/__init__.py
	@$(choose_python); echo "creating $(VENV) with $$python"; \
	$(RUN) -m pip --version >/dev/null 2>&1 || "$$python" -m venv --clear $(VENV)
	@$(PIP) --require-hashes --requirement requirements/build.txt
	@$(LOCKED) --requirement requirements/run.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements/dev.txt
	@echo "adding the packages for development"
	@$(LOCKED) --requirement requirements/dev.txt
	@touch $@

define choose_python
python=; for each in $(PYTHONS); do \
	if "$$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$each; break; fi; \
done; \
test -n "$$python" || { \
	echo "Python 3.11 or newer is needed; there is none of: $(PYTHONS). Name one by make PYTHON=..." >&2; exit 1; }; \
"$$python" -c 'import ensurepip' 2>/dev/null || { \
	echo "$$python has no ensurepip, which makes virtual environments; on Debian or Ubuntu: apt-get install python3-venv" >&2; \
	exit 1; }
endef
