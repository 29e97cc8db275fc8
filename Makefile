# Every target runs through tools/bootstrap.py, which makes .venv from constraints.txt first (seconds when it is there).
PYTHON ?= python3
RUN := $(PYTHON) tools/bootstrap.py

.DEFAULT_GOAL := help
.PHONY: help demo test slow lint bench clean

help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## Shadow both example pipelines, print the verdicts, write reports/*.html
	@$(RUN) demo

test: ## Run the tests but the slow ones; ends within minutes whatever crashes or hangs
	@$(RUN) test

slow: ## Run the slow tests and the marathons (long simulations, hundreds of kills)
	@$(RUN) slow

lint: ## Linters, type checker, import contracts
	@$(RUN) lint

bench: ## Measure the mirror, the candidate runtime, the statistics and the verdict against public peers
	@$(RUN) bench

clean: ## Remove the environment, caches and generated reports
	@$(PYTHON) tools/bootstrap.py clean
