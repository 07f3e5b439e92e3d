# make demo: simulate, train, find impurities. make test: run the tests.
# Both make .venv and install on the first call, and do not on later ones.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet -c constraints.txt

# Tests run in as many processes as this; each takes some 2 GB of memory.
WORKERS ?= 2
# One thread in each: more would wait for each other.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
	TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1
# A file stays in one process, for what its tests share.
PYTEST = $(ONE_THREAD) $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

# Of the long run over damaged files, a format; a tenth of it where a reader
# rests on a library.
FUZZ_N ?= 10000
STMK_FUZZ_SEED ?= $(shell date +%Y%m%d)

.PHONY: demo test slow-test test-all fuzz fuzz-million safety locked \
	lock-check check wheel-check docs notebooks napari-check dist clean
demo: $(VENV)/installed
	$(BIN)/stmk demo

test: $(VENV)/installed-test
	$(PYTEST)

slow-test: $(VENV)/installed-test
	$(PYTEST) -m slow

# The fast and the slow ones, those that need an optional package as well.
test-all: $(VENV)/installed-all
	$(PYTEST) -m "slow or not slow" --durations 40

fuzz: $(VENV)/installed-test
	$(BIN)/python benchmarks/readers/fuzz.py --n $(FUZZ_N) \
		--seed $(STMK_FUZZ_SEED)

# A million damaged files, some hours.
fuzz-million: $(VENV)/installed-test
	$(BIN)/python benchmarks/readers/fuzz.py --n 110000 \
		--seed $(STMK_FUZZ_SEED)

# Attacks on files, models and commands, and the table of docs/safety.md.
safety: $(VENV)/installed-test
	$(BIN)/python benchmarks/safety/kills.py --kills 100
	$(BIN)/python benchmarks/safety/soak.py --n 1000
	$(BIN)/python benchmarks/safety/table.py

# Every package with the hash of its file, for one system; see docs/safety.md.
locked: | $(BIN)/python
	$(BIN)/python -m pip install --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --no-deps -e .

lock-check: $(VENV)/installed
	$(BIN)/python benchmarks/safety/lock.py --check

check: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

# The wheel in an environment and a folder of its own.
wheel-check: $(VENV)/installed-test
	.ci/wheel_check $(BIN)/python

# The site, in build/site. Its notebooks show what `make notebooks` kept.
docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	$(BIN)/python -m pytest tests/docs

notebooks: $(VENV)/installed-docs
	$(ONE_THREAD) $(BIN)/python examples/notebooks/run.py

# The plugin in napari, without a screen, in an environment of its own.
napari-check:
	$(PYTHON) -m venv build/napari
	build/napari/bin/python -m pip install --quiet -c constraints.txt \
		-e ".[napari]" pytest hypothesis
	QT_QPA_PLATFORM=offscreen build/napari/bin/python -m pytest \
		tests/stm_keras/viewer

# A release: what is committed, nothing else, and both archives checked.
# Before: the version in stm_keras/__init__.py and CITATION.cff, a heading with
# it in CHANGELOG.md, a tag. After: `twine upload dist/*`.
dist: $(VENV)/installed-release
	rm -rf dist build *.egg-info
	mkdir -p build/dist
	git archive HEAD | tar -x -C build/dist
	$(BIN)/python -m build --no-isolation --outdir dist build/dist
	rm -rf build/dist
	$(BIN)/twine check --strict dist/*
	.ci/wheel_check $(BIN)/python dist
	cd dist && sha256sum * | tee SHA256SUMS

clean:
	rm -rf $(VENV) build dist *.egg-info stmk-demo

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: setup.cfg pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing stm-keras and TensorFlow (a few minutes the first time)"
	$(INSTALL) -e .
	@touch $@

$(VENV)/installed-test: setup.cfg pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing stm-keras, TensorFlow and what the tests need (minutes)"
	$(INSTALL) -e ".[test]"
	@touch $(VENV)/installed $@

$(VENV)/installed-dev: setup.cfg pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e ".[dev]"
	@touch $(VENV)/installed $(VENV)/installed-test $@

$(VENV)/installed-docs: setup.cfg pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e ".[docs,test]"
	@touch $(VENV)/installed $(VENV)/installed-test $@

$(VENV)/installed-release: setup.cfg pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e ".[release]"
	@touch $(VENV)/installed $@

# All optional packages in one environment, which they can share.
$(VENV)/installed-all: setup.cfg pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e ".[dev,parity,beam]"
	$(BIN)/python -m pip check
	@touch $(VENV)/installed $(VENV)/installed-test $(VENV)/installed-dev $@
