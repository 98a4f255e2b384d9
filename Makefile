# Every target sets up what it needs: `make replicate` and `make test` work in a fresh clone.
#   STUDY=name    the study (conf/study), quick unless said; of claims and reports several, STUDY=table3,table4
#   LAUNCH=name   how it is run (conf/launch)
#   SWEEP=name    the sweep (conf/sweep), quick unless said                 PORT=8080     of the dashboard
#   RUN=name      a finished run, or its folder                          FORMAT=onnx    or torch, keras: of its file
#   ROOT=folder   headtohead's images, a folder for each class     ARCH=name   and its network, resnet20 unless said
#   SEEDS=6       headtohead's pairs of networks                   DATA=name   another data set (conf/data) than a folder
#   TIME=50m      of the session on a GPU      FOLDER=path    where it writes
#   A=..., B=...  what `make compare` compares: a study, a pattern of run names, or published records
#   PYTEST="..."  further arguments of pytest, such as PYTEST="tests/layers -x"
#   ARGS="..."    further Hydra overrides, such as ARGS="train.epochs=2 seed=1". A shell reads them: what has a space
#                 or another sign that means something to it needs quotes, ARGS="'runs=/home/me/R&D (1)' seed=1"

STUDY ?= quick
LAUNCH ?= inline
SWEEP ?= quick
PORT ?= 8080
FORMAT ?= onnx
DATA ?= folder
ROOT ?=
ARCH ?= resnet20
SEEDS ?= 6
TIME ?= 50m
FOLDER ?=
A ?=
B ?=
PYTEST ?=
ARGS ?=
VENV := .venv
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.installed
comma := ,
space := $() $()
# STUDY=table3,table4 as overrides: study=table3 also=[table4]
studies = study=$(firstword $(subst $(comma), ,$(1)))$(if $(findstring $(comma),$(1)), 'also=[$(subst $(space),$(comma),$(wordlist 2,99,$(subst $(comma), ,$(1))))]')

.DEFAULT_GOAL := help
.PHONY: $(shell grep -oE '^[a-z-]+:' $(MAKEFILE_LIST) | tr -d ':')

##@ Run

replicate: $(STAMP) ## run a study and print its table: make replicate STUDY=table3
	@$(PYTHON) scripts/replicate.py study=$(STUDY) launch=$(LAUNCH) $(ARGS)

headtohead: $(STAMP) ## convolution against SCS on your own images: make headtohead ROOT=my/images ARCH=resnet20
	@$(PYTHON) scripts/replicate.py study=headtohead data=$(DATA) $(if $(ROOT),"data.root=$$ROOT") arch=$(ARCH) study.seeds=$(SEEDS) saliency=glance launch=$(LAUNCH) $(ARGS)

sweep: $(STAMP) ## settings searched by Optuna, one fixed p for all layers or any others: make sweep SWEEP=mnist_small ARGS="workers=2"
	@$(PYTHON) scripts/sweep.py sweep=$(SWEEP) launch=$(LAUNCH) $(ARGS)

status: $(STAMP) ## where every cell of a study stands
	@$(PYTHON) scripts/status.py study=$(STUDY) $(ARGS)

runs: $(STAMP) ## list runs, and stop, resume, redo or delete them: make runs ARGS="match='rohrer68k-*' state=failed redo=true"
	@$(PYTHON) scripts/runs.py $(if $(filter command environment,$(firstword $(origin STUDY))),study=$(STUDY)) $(ARGS)

cancel: $(STAMP) ## cancel what a study has sent to SLURM, and nothing else
	@$(PYTHON) scripts/cancel.py study=$(STUDY) $(ARGS)

##@ Read and conclude

results: $(STAMP) ## test errors of a study's runs, finished or not, and their error curves
	@$(PYTHON) scripts/show_results.py study=$(STUDY) $(ARGS)

tables: $(STAMP) ## a study's tables from its run folders as they are now
	@$(PYTHON) scripts/tables.py study=$(STUDY) $(ARGS)

figures: $(STAMP) ## a study's figures from its run folders as they are now
	@$(PYTHON) scripts/figures.py study=$(STUDY) $(ARGS)

claims: $(STAMP) ## what holds, claim by claim: of all runs, of studies (STUDY=table3,table4), or ARGS="runs=PATH match='...'"
	@$(PYTHON) scripts/claims.py $(if $(filter command environment,$(firstword $(origin STUDY))),$(call studies,$(STUDY))) $(ARGS)

compare: $(STAMP) ## two sets of runs side by side: make compare A=table3 B=table4, or A='rohrer68k-conv-*' B='rohrer68k-scs-*'
	@$(PYTHON) scripts/compare.py "a=$$A" "b=$$B" $(ARGS)

report: $(STAMP) ## studies as one page, offline: verdicts, tables, curves, runs, recipe: make report STUDY=table3,table4
	@$(PYTHON) scripts/report.py $(call studies,$(STUDY)) $(ARGS)

tensorboard: $(STAMP) ## epochs of runs as event files: make tensorboard STUDY=table3, or ARGS="match='rohrer68k-*'"
	@$(PYTHON) scripts/to_tensorboard.py $(if $(filter command environment,$(firstword $(origin STUDY))),study=$(STUDY)) $(ARGS)

dashboard: $(STAMP) ## Optuna's dashboard on a sweep, at http://127.0.0.1:$(PORT)/
	@$(PYTHON) scripts/sweep.py sweep=$(SWEEP) dashboard=$(PORT) $(ARGS)

##@ Look into finished runs

saliency: $(STAMP) ## saliency maps of a study's finished runs, their figure and their numbers
	@$(PYTHON) scripts/saliency.py study=$(STUDY) $(ARGS)

maps: $(STAMP) ## kernels and feature maps of finished runs: make maps STUDY=mnist_small, or ARGS="match='tied12-*'"
	@$(PYTHON) scripts/feature_maps.py study=$(STUDY) $(ARGS)

robustness: $(STAMP) ## attack a study's finished runs: make robustness STUDY=cifar10_short ARGS="attack=short"
	@$(PYTHON) scripts/robustness.py study=$(STUDY) $(ARGS)

fidelity: $(STAMP) ## how close the samples of a study's adversarial runs come to real images: make fidelity STUDY=gan_mnist
	@$(PYTHON) scripts/fidelity.py study=$(STUDY) $(ARGS)

export: $(STAMP) ## a finished run's network as ONNX, torch.export or Keras: make export RUN=name FORMAT=onnx
	@$(PYTHON) scripts/export.py "run=$$RUN" format=$(FORMAT) $(ARGS)

##@ Publish

publish: $(STAMP) ## tables, PNG figures and compressed records of a study's finished runs, for the repository
	@$(PYTHON) scripts/publish.py study=$(STUDY) $(ARGS)

leaderboard: $(STAMP) ## fewest parameters for an accuracy, ours beside the published: docs/leaderboard.md
	@$(PYTHON) scripts/leaderboard.py $(ARGS)

simulate: $(STAMP) ## coverage and error rates of the statistics on simulated studies, into docs/statistics.md
	@$(PYTHON) scripts/simulate.py $(ARGS)

##@ Measure

bench: $(STAMP) ## what a step and an epoch of each layer cost on this machine, as ratios; CSV and a chart
	@$(PYTHON) scripts/bench.py $(ARGS)

gpu: ## the first hour on a rented GPU: checks, bench, a campaign: make gpu TIME=50m STUDY=paper FOLDER=/mnt/kept
	@bash scripts/gpu_session.sh --time $(TIME) $(if $(FOLDER),--folder "$$FOLDER") $(if $(filter command environment,$(firstword $(origin STUDY))),--study $(STUDY)) $(ARGS)

registers: $(STAMP) ## registers and spills of the Triton kernels, compiled for sm_90 without a GPU
	@$(PYTHON) scripts/registers.py $(ARGS)

chaos: $(STAMP) ## kill a study's workers a hundred times and compare its bytes with an undisturbed one
	@$(PYTHON) scripts/chaos.py $(ARGS)

##@ Work on it

help: ## what there is to type
	@awk -F ':.*## ' '/^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-12s%s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo 'with STUDY=$(STUDY) LAUNCH=$(LAUNCH) ARGS="$(ARGS)"; studies: $(notdir $(basename $(wildcard conf/study/*.yaml)))'

setup: $(STAMP) ## the environment, from the pinned and hashed requirements.lock

# An environment whose Python is gone (upgraded away, or below a folder that was renamed) is no environment.
GONE := $(shell test ! -e $(STAMP) || test -x $(PYTHON) || echo gone)
.PHONY: gone

$(STAMP): requirements.lock pyproject.toml scripts/setup.sh $(GONE)
	@bash scripts/setup.sh $(VENV)

# Three workers on two cores: one of them is always waiting, for a cluster or a process to end.
test: $(STAMP) ## the whole test suite
	@$(PYTHON) -m pytest -n 4 --dist loadfile --no-loadscope-reorder $(PYTEST)

lint: $(STAMP) ## ruff and mypy
	@$(PYTHON) -m ruff check . && $(PYTHON) -m ruff format --check . && $(PYTHON) -m mypy

lock: $(STAMP) ## resolve requirements.lock anew from pyproject.toml
	@bash scripts/lock.sh $(VENV)

clean: ## remove the environment (runs/, data/ and results/ stay)
	rm -rf $(VENV)
