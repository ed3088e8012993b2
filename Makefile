# shelfedge. `make demo` shows the product at work, `make test` proves it; both install what they need into .venv.
PYTHON ?= python3
BIN := .venv/bin
DEMO := demo
DEMO_SEED := 1
DEMO_SKUS := 200
DEMO_PHOTOS := flat:8,24,2
DEMO_PRODUCTS := 8

BENCH := bench
BENCH_SIZES := 500 1000 2000
BENCH_SEED := 5000

.PHONY: help install demo test test-slow bench-decisions bench-reliability check format schemas clean

help:
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: .venv/.installed ## make .venv with everything that the demo and the tests need

.venv/.installed: pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "install: found $$($(PYTHON) --version 2>&1), expected Python 3.10 or newer; run make PYTHON=python3.12" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || \
	  { echo "install: python's venv module is incomplete; run apt-get install python3-venv" >&2; exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(DEMO)/bundle/manifest.json $(DEMO)/clip/truth.json ## the whole way from pretrained weights to decisions on a cart clip
	$(BIN)/python deploy/demo.py --work $(DEMO) --config configs/demo-cart.yaml

$(DEMO)/backbone/efficientnet-lite0.onnx: | .venv/.installed
	$(BIN)/edge-backbone efficientnet-lite0 --out $(@D)

$(DEMO)/catalogue/render.json: | .venv/.installed
	$(BIN)/edge-render catalogue --skus $(DEMO_SKUS) --seed $(DEMO_SEED) --photos $(DEMO_PHOTOS) --out $(@D)

$(DEMO)/clip/truth.json: | .venv/.installed
	$(BIN)/edge-render clip --skus $(DEMO_SKUS) --seed $(DEMO_SEED) --products $(DEMO_PRODUCTS) --out $(@D)

$(DEMO)/build/manifest.json: $(DEMO)/backbone/efficientnet-lite0.onnx $(DEMO)/catalogue/render.json
	$(BIN)/edge-build --model $< --images $(DEMO)/catalogue/reference --labelled-photos 400 --device x86-dev --out $(@D)

$(DEMO)/bundle/manifest.json: $(DEMO)/build/manifest.json $(DEMO)/catalogue/render.json
	$(BIN)/edge-calibrate --build $(DEMO)/build --catalogue $(DEMO)/catalogue --mix uniform --out $(@D)

# A process of the suite has one core: NumPy's threads would wait for each other. A quarter of its time it waits for
# daemons and sockets, so there is one more than cores.
WORKERS = $(shell $(BIN)/python -c 'import os; print(min(4, len(os.sched_getaffinity(0)) + 1))')
test: export OPENBLAS_NUM_THREADS := 1
test: install ## the whole default suite, in up to four processes
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations 15

test-slow: install ## the tests that take minutes
	$(BIN)/python -m pytest -m slow --timeout 1800

bench-decisions: $(BENCH_SIZES:%=$(BENCH)/%.json) ## the promises on catalogues of 500, 1,000 and 2,000 products (an hour)
	$(BIN)/python benchmarks/decisions.py --table $^

$(BENCH)/%/catalogue/render.json: | .venv/.installed
	$(BIN)/edge-render catalogue --skus $* --seed $$(($(BENCH_SEED) + $*)) --unknown 240 --out $(@D)

$(BENCH)/%/build/manifest.json: $(DEMO)/backbone/efficientnet-lite0.onnx $(BENCH)/%/catalogue/render.json
	$(BIN)/edge-build --model $< --images $(BENCH)/$*/catalogue/reference --device x86-dev --out $(@D)

$(BENCH)/%/bundle/manifest.json: $(BENCH)/%/build/manifest.json
	$(BIN)/edge-calibrate --build $(BENCH)/$*/build --catalogue $(BENCH)/$*/catalogue --mix uniform --cache $(BENCH)/$*/cache --out $(@D)

$(BENCH)/%.json: $(BENCH)/%/bundle/manifest.json
	$(BIN)/python benchmarks/decisions.py --build $(BENCH)/$*/build --catalogue $(BENCH)/$*/catalogue --cache $(BENCH)/$*/cache --report $(BENCH)/$*/bundle/report.json --out $@

.PRECIOUS: $(BENCH)/%/catalogue/render.json $(BENCH)/%/build/manifest.json $(BENCH)/%/bundle/manifest.json

bench-reliability: install ## break cameras, consumers, disks, clocks and the daemon itself (an hour and a half; root for disks)
	@mkdir -p $(BENCH)
	$(BIN)/python -m benchmarks.reliability --out $(BENCH)/reliability.json

check: install ## lint, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install ## let ruff lay the code out
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schemas: install ## write the JSON schemas of configuration and messages again
	$(BIN)/python -m edge.schemas configs/schema

clean: ## remove what make made, except downloads
	rm -rf .venv $(DEMO) $(BENCH) build dist *.egg-info
