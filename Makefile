.DEFAULT_GOAL := help
PY := OMP_NUM_THREADS=1 .venv/bin/python -W ignore
PORT ?= 8000
V4E := OMP_NUM_THREADS=1 PYTHONWARNINGS=ignore .venv/bin/v4e

.PHONY: help install demo serve test long unit lint docs pretrain ablate photos bench gpu-check

help: ## show what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: ## create .venv and install everything (CPU)
	@bash scripts/install-cpu.sh

demo: install ## train an image editor on two CPU cores and write runs/demo/report.html
	$(V4E) demo

serve: install ## the editor behind HTTP, with a page: http://127.0.0.1:8000, or at PORT=...
	OMP_NUM_THREADS=1 .venv/bin/v4e serve port=$(PORT)

test: install ## run all tests but those that take minutes
	$(PY) -m pytest -n 2 --dist loadscope --no-loadscope-reorder

long: install ## run the tests that take minutes: a cluster that shrinks and grows, benchmarks in a short form
	$(PY) -m pytest -n 2 --dist loadscope --no-loadscope-reorder -m long

unit: install ## run the tests that take seconds and start no Ray cluster
	$(PY) -m pytest -n 2 --dist loadscope -m "not ray and not slow and not long"

docs: install ## build the documentation's site into runs/site; a link that leads nowhere is an error
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --quiet --strict

lint: install ## style and types
	.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/pyright

pretrain: install ## make the tiny Wan family again from nothing (hours)
	$(V4E) pretrain

ablate: install ## paper's ablations and our controls, 3 seeds
	$(V4E) ablate run.dir=runs/ablate optim.steps=600

photos: install ## the main job on photographs: those inside scikit-image
	$(V4E) photos runs/photos/triplets
	$(V4E) demo run.dir=runs/photos data.train=runs/photos/triplets/train.parquet data.heldout=runs/photos/triplets/heldout.parquet

bench: install ## every claim with a number, measured again (hours), into benchmarks/results
	$(PY) -m benchmarks.data.ingest
	$(PY) -m benchmarks.data.judge 20
	$(PY) -m benchmarks.training.load_shard
	$(PY) -m benchmarks.training.stream
	$(PY) -m benchmarks.training.control_plane
	$(PY) -m benchmarks.training.overhead
	$(PY) -m benchmarks.training.faults
	$(PY) -m benchmarks.training.trainer
	$(PY) -m benchmarks.training.first_step
	$(PY) -m benchmarks.training.tensor_parallel
	$(PY) -m benchmarks.training.plan
	$(PY) -m benchmarks.gpu.symbolic
	$(PY) -m benchmarks.studies.scale
	$(PY) -m benchmarks.training.payload
	$(PY) -m benchmarks.studies.demo
	$(PY) -m benchmarks.serving.edit
	$(PY) -m benchmarks.serving.throughput
	$(PY) -m benchmarks.serving.sign
	$(PY) -m benchmarks.serving.soak
	$(PY) -m benchmarks.serving.soak 20 64 0
	$(PY) -m benchmarks.serving.fuzz
	$(PY) -m benchmarks.studies.ablate run.dir=runs/ablate optim.steps=600
	$(PY) -m benchmarks.studies.efficiency run.dir=runs/efficiency optim.steps=600
	$(PY) -m benchmarks.studies.rollouts runs/rollouts 300 3
	$(PY) -m benchmarks.repo.structure

gpu-check: ## on a machine with GPUs: kernels, parity, NCCL, NIXL, vLLM, a tiny run, 14B's blocks; needs an environment with CUDA
	@python=python; [ -x .venv/bin/python ] && python=.venv/bin/python; \
	$$python -c 'import diffusers, ray, rich' 2>/dev/null || { echo 'v4e is not installed for '$$python': pip install -e ".[gpu,nixl]", without a GPU make install'; exit 1; }; \
	$$python -W ignore -m benchmarks.gpu.check
