# Every target sets up what it needs by itself: see scripts/setup.sh.

PYTHON_VENV := .venv/bin/python

# Two more than there are cores: the demo, handovers and kills pass in real time, and wait more than they work.
TEST_WORKERS := $(shell expr $$(getconf _NPROCESSORS_ONLN) + 2)

.DEFAULT_GOAL := help
.PHONY: help setup setup-test demo serve test check format bench latency peers fuzz crash bookings long soak handover image-check lock audit clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup ## Place four simulated calls on this machine: no keys, no network
	@$(PYTHON_VENV) -m relay demo $(if $(VOICE),--voice $(VOICE)) $(ARGS)

serve: setup ## Answer calls; settings come from the environment and .env
	@$(PYTHON_VENV) -m relay serve

# What is compiled is kept, whatever the machine's habits: some seventy processes begin here.
test: setup-test ## Run the tests; ARGS="-k door" runs some of them
	@PYTHONDONTWRITEBYTECODE= $(PYTHON_VENV) -m pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

check: setup ## Lint, formatting, types, Dockerfile
	@$(PYTHON_VENV) -m ruff check .
	@$(PYTHON_VENV) -m ruff format --check .
	@$(PYTHON_VENV) -m mypy
	@.venv/bin/hadolint Dockerfile

format: setup ## Put the sources into their form
	@$(PYTHON_VENV) -m ruff check --fix .
	@$(PYTHON_VENV) -m ruff format .

bench: setup ## Measure: every program in bench/, whether the one before it missed a goal or not
	@missed=; for program in bench/[a-z]*.py; do echo "== $$program"; $(PYTHON_VENV) $$program; status=$$?; \
		[ $$status -lt 128 ] || exit $$status; [ $$status -eq 0 ] || missed="$$missed $$program"; done; \
		[ -z "$$missed" ] || { echo "not kept, or at fault:$$missed"; exit 1; }

latency: setup ## What CI holds the relay's latency to, in three minutes at the most
	@$(PYTHON_VENV) bench/latency.py --ci

peers: setup ## Our relay beside others, on one core: half an hour, needs Node and the network
	@$(PYTHON_VENV) bench/peers/run.py $(ARGS)

fuzz: setup-test ## Fuzz the C core under sanitizers (needs clang), then the call's core and failpoints; FUZZ_SECONDS
	@sh tests/fuzz/run.sh
	@FUZZ_TIMES=32 $(PYTHON_VENV) -m pytest tests/faults/test_failpoints.py \
		tests/wire/test_realtime_vendor.py tests/transfer/test_warm.py tests/faults/test_model_faults.py \
		tests/sim/test_grammars.py
	@FUZZ_TIMES=64 $(PYTHON_VENV) -m pytest tests/core/test_playout.py tests/core/test_call_machine.py \
		tests/core/test_sounded.py tests/test_replay.py tests/tools/test_conversations.py tests/web/test_forms.py \
		tests/shell/test_mayhem.py tests/shell/test_notifier.py tests/shell/test_purse.py \
		tests/shell/test_ear.py tests/shell/test_mouth.py

crash: setup-test ## Kill the relay's journal 50 times on each database, and stop PostgreSQL for 30 s
	@CRASH_KILLS=50 OUTAGE_S=30 OUTAGE_CALLS=50 $(PYTHON_VENV) -m pytest -s tests/adapters/test_durability.py

bookings: setup-test ## A thousand random pairs of calls that book: none wrong, none twice (RUNS)
	@RUNS=$${RUNS:-1000} FUZZ_TIMES=20 $(PYTHON_VENV) -m pytest -n auto \
		tests/shell/test_bookings_at_random.py tests/adapters/test_store_bookings.py

long: setup-test ## A call of ten minutes through the whole shell, simulated: does anything grow?
	@CALL_MINUTES=10 $(PYTHON_VENV) -m pytest -s tests/shell/test_ten_minutes.py

soak: setup ## Fifty calls at a time, with faults, for SOAK_S seconds: what stays behind?
	@$(PYTHON_VENV) bench/_soak.py

handover: setup-test ## Restart and kill relays under 20 calls that go on in another one
	@HANDOVER_CALLS=20 $(PYTHON_VENV) -m pytest -s tests/handover

image-check: ## Prove the Dockerfile without Docker (needs root and debootstrap)
	@scripts/image_check.sh

lock: setup ## Write down every dependency with its hashes; ARGS=--upgrade for newer ones
	@scripts/lock.sh $(ARGS)

audit: setup ## Ask whether something known to be unsafe is locked (needs the network)
	@scripts/audit.sh

clean: ## Remove what the other targets made
	rm -rf .venv .cache build dist *.egg-info relay/audio/_native*.so relay/audio/_native.c

setup:
	@scripts/setup.sh

setup-test:
	@scripts/setup.sh postgres
