# make setup | run | check | test | test-slurm | bench | docs: each does what is missing before it, and nothing twice.
CORES ?= $(shell nproc)
BIN := .venv/bin
TARGET ?= results/system1/eval.csv results/system5/eval.csv

.PHONY: setup run lint check test test-slurm bench docs
setup: .venv/.ready

.venv/.ready: envs/setup.sh envs/requirements.txt pyproject.toml
	envs/setup.sh

run: setup
	@$(BIN)/python -m nearfar.jobs.runs # after a kill: takes the dead run's locks away
	$(BIN)/snakemake --cores $(CORES) $(TARGET)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint
	$(BIN)/python docs/make/pages.py --check
	$(BIN)/pytest -q tests/unit/test_house.py

check: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 -m "not slow" tests/unit

test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile

test-slurm: setup
	tests/workflow/slurm/cluster.sh $(BIN)/pytest tests/workflow/slurm

bench: setup
	.venv/bin/uv pip install --quiet --target benchmarks/others --no-deps zuko==1.6.0 normflows==1.7.3
	OMP_NUM_THREADS=1 PYTHONPATH=benchmarks/others $(BIN)/python benchmarks/bench.py

docs: setup # what is made from the configuration; make lint checks it
	$(BIN)/python docs/make/pages.py
