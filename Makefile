# make setup | run | test | test-slurm | bench: each does what is missing before it, and nothing twice.
CORES ?= $(shell nproc)
BIN := .venv/bin
TARGET ?= results/system1/eval.csv

.PHONY: setup run test test-slurm bench lint
setup: .venv/.ready

.venv/.ready: envs/setup.sh envs/requirements.txt pyproject.toml
	envs/setup.sh

run: setup
	@touch .venv/.started
	@$(BIN)/python -m nearfar.jobs.runs # after a kill: takes the dead run's locks away
	$(BIN)/snakemake --cores $(CORES) $(TARGET)
	@[ $(TARGET) -nt .venv/.started ] || $(BIN)/nearfar table $(TARGET)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

test: lint
	$(BIN)/pytest

test-slurm: setup
	tests/workflow/slurm/cluster.sh $(BIN)/pytest tests/workflow/slurm

bench: setup
	.venv/bin/uv pip install --quiet --target benchmarks/others --no-deps zuko==1.6.0 normflows==1.7.3
	OMP_NUM_THREADS=1 PYTHONPATH=benchmarks/others $(BIN)/python benchmarks/bench.py
