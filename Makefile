# Two commands do everything on a fresh machine with Python 3.11+: `make bench` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PARITY ?= .venv-parity
PEERS  := dev,peers,onnx,inception,clip,dinov2,lpips,efficientnet,torchvision,tune,cluster
# what is imported is compiled then, by whoever is first: all of torch is half of the installation
PIP    := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile
SUITE  ?= quick
# tests start hundreds of processes, and compiling torch takes longer than importing it
PYTEST := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= PYTHONPYCACHEPREFIX=$(CURDIR)/build/pycache
TESTS  := $(PYTEST) $(BIN)/python -m pytest -n 2 --dist loadfile
QUICK  := tests/samplers tests/metrics tests/test_layering.py tests/test_ci.py \
          $(patsubst %,tests/results/test_%.py,intervals error_decomposition estimates fairness files headline latex pareto sealed significance) \
          $(patsubst %,--ignore=tests/%.py,metrics/test_kernel metrics/test_frechet_calibration metrics/test_installed_metrics \
            samplers/test_exponential_sde samplers/test_no_synchronisation)

.PHONY: bench test slow parity faults quick style lint docs cluster gpu gpu-wheels perf perf-peers wheel clean

$(VENV)/.ready: pyproject.toml studies/pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[dev]' -e ./studies
	touch $@

bench: $(VENV)/.ready            ## run the quick suite and write its report
	$(BIN)/samplerbench run $(SUITE)

# pyright takes a minute of one core: it runs beside the tests, and what it says comes after them
test: $(VENV)/.ready style       ## style, types, and all tests that are not slow
	@mkdir -p build
	@$(BIN)/pyright > build/pyright.txt 2>&1 & types=$$!; \
	echo "$(TESTS) -m 'not slow' --junitxml build/tests.xml"; \
	$(TESTS) -m 'not slow' --junitxml build/tests.xml; tests=$$?; \
	wait $$types; types=$$?; echo "$(BIN)/pyright"; cat build/pyright.txt; \
	exit $$((tests ? tests : types))

slow: $(VENV)/.ready             ## the slow tests, which CI runs too
	$(TESTS) -m slow --junitxml build/slow.xml

# numpy stands first: k-diffusion needs NumPy 1, which pip else finds after trying hundreds of versions
$(PARITY)/.ready: pyproject.toml studies/pyproject.toml
	$(PYTHON) -m venv $(PARITY)
	$(PARITY)/bin/pip install --quiet --disable-pip-version-check --no-compile 'numpy<2' -e '.[$(PEERS)]' -e ./studies
	touch $@

build/tests.xml:
	$(MAKE) test

build/slow.xml:
	$(MAKE) slow

parity: $(PARITY)/.ready build/tests.xml build/slow.xml   ## what these two skipped, with the libraries that they lack, in an environment of its own
	$(PYTHON) .ci/skipped.py --ids build/tests.xml build/slow.xml | grep -v ^tests/running/executors/ > build/skipped.txt
	$(PYTEST) $(PARITY)/bin/python -m pytest -n 2 --dist worksteal --disable-warnings --junitxml build/parity.xml @build/skipped.txt
	$(PYTEST) $(PARITY)/bin/python -m pytest --junitxml build/cluster.xml tests/running/executors -k 'ray or cluster'
	$(PYTHON) .ci/skipped.py build/tests.xml build/slow.xml build/parity.xml build/cluster.xml

faults: $(VENV)/.ready           ## kills, damage, full disks and signals by the hundred (docs/how-to/surviving.md)
	$(PYTEST) $(BIN)/python -m pytest -m faults -s tests/faults
	OMP_NUM_THREADS=1 SAMPLERBENCH_FUZZ=all $(BIN)/python -m pytest tests/fuzz

quick: style                     ## what answers within a minute: style, and the mathematics
	$(PYTEST) $(BIN)/python -m pytest -n 2 -m 'not slow' $(QUICK)

style: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lint: style
	$(BIN)/pyright

$(VENV)/.ready-docs: $(VENV)/.ready
	$(PIP) -e '.[docs]'
	touch $@

docs: $(VENV)/.ready-docs        ## the site, into build/site; dead links, missing anchors and stray pages fail
	$(BIN)/python -m doctest .ci/docstrings.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

cluster: $(VENV)/.ready          ## runs on a simulated Ray cluster, which it installs
	$(PIP) -e '.[dev,cluster]'
	$(PYTEST) $(BIN)/python -m pytest tests/running/executors -k 'ray or cluster'

GPU_MINUTES ?= 8
GPU_PYTHON  ?= $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON))

gpu:                             ## on a machine with an NVIDIA card: its tests, then times, into results/reference/gpu-CARD
	$(GPU_PYTHON) benchmarks/perf/gpu.py --minutes $(GPU_MINUTES)

gpu-wheels:                      ## what `make gpu` lacks on a machine without a network (Python 3.12, x86-64), into build/gpu-wheels
	$(PYTHON) -m pip download --quiet --only-binary=:all: --python-version 3.12 --implementation cp \
	  --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 -d build/gpu-wheels pydantic plotly

perf: $(VENV)/.ready             ## time the library itself
	mkdir -p results/runs
	$(PYTEST) $(BIN)/python -m pytest benchmarks/perf -o addopts= -o python_files='bench_*.py' \
	  --benchmark-only --benchmark-json=results/runs/perf.json --ignore=benchmarks/perf/bench_peers.py
	$(BIN)/python -m samplerbench.benchmarks.perf.table results/runs/perf.json

perf-peers: $(VENV)/.ready       ## time samplers beside those of other libraries, which it installs
	$(PIP) -e '.[dev,peers]'
	mkdir -p results/runs
	$(PYTEST) $(BIN)/python -m pytest benchmarks/perf/bench_peers.py -o addopts= -o python_files='bench_*.py' -p no:warnings \
	  --benchmark-only --benchmark-json=results/runs/perf-peers.json
	$(BIN)/python -m samplerbench.benchmarks.perf.table results/runs/perf-peers.json

wheel: $(VENV)/.ready          ## from the tree alone: what an earlier build left would be packed too
	rm -rf build/lib build/bdist.*
	$(BIN)/python -m build --wheel

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis .benchmarks
