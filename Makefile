# `make study` and `make test` do everything on a fresh machine with Python >= 3.11. PYTHON names another interpreter.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
TORCH := torch==2.13.0
LOCK ?= requirements.lock
PROCESSES ?= 2  # that tests run in

.PHONY: study test unit live coverage golden soak check docs notebooks bench torch wheel audit lock

study: .venv/ready  ## set up, run a small study of the hue experiment, leave a report
	$(BIN)/study run search_spaces/hue.toml

test: .venv/ready check  ## set up, check style and types, run both tiers of the tests
	$(BIN)/pytest -n $(PROCESSES)

unit: .venv/ready  ## set up, run the tests that start no Ray, in minutes
	$(BIN)/pytest -n $(PROCESSES) -m 'not live and not slow'

live: .venv/ready  ## set up, run the tests that start a Ray, a notebook's kernel, a browser or a compiler
	$(BIN)/pytest -n $(PROCESSES) -m 'live and not slow'

coverage: .venv/ready  ## run both tiers, print what no test runs
	$(BIN)/pytest -n $(PROCESSES) --cov --cov-report=term-missing:skip-covered

golden: .venv/ready  ## make the golden studies anew, which most tests read
	$(BIN)/python tests/golden/make.py

soak: .venv/cluster .venv-s3/ready  ## run the tests that take minutes: many kills, faults of disks and machines
	$(BIN)/pytest -m slow

check: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -p no:cacheprovider --durations=0 tests/test_house.py tests/test_replication.py tests/test_english.py  # the house

.venv/ready: $(LOCK) pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	@echo 'setting up .venv, which takes a few minutes and about 2 GB'
	$(PYTHON) -m venv .venv
	$(MAKE) --no-print-directory torch
	$(PIP) --require-hashes --requirement $(LOCK)
	$(PIP) --no-deps --no-build-isolation --editable .
	touch $@

# Without gigabytes of CUDA. pip has the CPU build if its settings name an index that does; otherwise uv knows PyTorch's own.
torch:  ## install the CPU build of PyTorch into the environment of BIN
	$(PIP) --no-deps '$(TORCH)+cpu' 2> /dev/null || \
	    ($(PIP) uv && $(BIN)/uv pip install --quiet --python $(BIN)/python --torch-backend cpu --no-deps '$(TORCH)')

.venv/cluster: .venv/ready  # what submits studies to clusters
	$(PIP) '.[cluster]'
	touch $@

.venv-s3/ready:  # an S3 server of the tests', whose dependencies do not go with ours
	$(PYTHON) -m venv .venv-s3
	.venv-s3/bin/python -m pip install --quiet --disable-pip-version-check 'moto[s3,server]==5.*'
	touch $@

docs: .venv/ready  ## build the documentation into site/; a broken link is an error
	$(BIN)/typer study.cli utils docs --name study --title 'The command line' --output docs/reference/commands.md
	$(BIN)/zensical build --strict --clean

notebooks: .venv/ready  ## execute the notebooks in place, on published studies
	PYTHONWARNINGS=ignore OMP_NUM_THREADS=1 $(BIN)/jupyter-execute --inplace --NotebookClient.record_timing=False analysis/*.ipynb

bench: .venv/ready  ## measure speed beside the paper's way of training and JAX, in 10 to 16 minutes
	$(BIN)/python -m benchmarks.run

wheel: .venv/ready  ## build dist/*.whl, and run studies from a wheel in an empty environment
	$(BIN)/python -m hatchling build --target wheel --directory dist
	$(BIN)/pytest -m 'slow or not slow' tests/test_wheel.py

audit:  ## known vulnerabilities of the locked dependencies, by pip-audit in a venv of its own; needs a network
	$(PYTHON) -m venv .venv-audit && .venv-audit/bin/python -m pip install --quiet pip-audit
	.venv-audit/bin/pip-audit --strict --require-hashes --disable-pip -r requirements.lock
	echo '$(TORCH)' | .venv-audit/bin/pip-audit --strict --no-deps --disable-pip -r /dev/stdin

# For every supported Python and system, with hashes; torch apart, since its CPU and CUDA builds share a version, not hashes.
COMPILE := .venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-package torch \
    --custom-compile-command 'make lock' --extra dev pyproject.toml

lock: .venv-lock/ready  ## write requirements.lock anew from pyproject.toml's ranges; UPGRADE=--upgrade takes the newest
	echo '$(TORCH)' | $(COMPILE) --constraints - $(UPGRADE) --output-file requirements.lock

lowest.lock: .venv-lock/ready pyproject.toml  ## the oldest versions of the ranges: make LOCK=lowest.lock TORCH=torch==2.8.0 unit
	$(COMPILE) --upgrade --resolution lowest-direct --output-file $@

.venv-lock/ready:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check uv
	touch $@
