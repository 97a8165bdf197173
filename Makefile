# make demo   the main job, on the built-in simulator (with ZAI_API_KEY=… MODEL=glm-5.3-flash: on GLM)
# make test   all tests
# make check  format, lint, types, tests
# Both demo and test set up .venv first; nothing outside this folder is touched.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
MODEL ?= simulate:examples/01_repo_report/scenario.yaml
TASK ?= examples/01_repo_report/TASK.md

.PHONY: demo test check format bench clean

demo: $(VENV)/.demo
	$(BIN)/glm-agent run $(TASK) --model $(MODEL)

test: $(VENV)/.test
	$(BIN)/python -m pytest

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/python -m pytest

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "glm-agent needs Python 3.11 or later, and '$(PYTHON)' is older or missing: call make PYTHON=/path/to/python3.11"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "Python cannot make a virtual environment here. On Debian and Ubuntu: apt-get install python3-venv"; exit 2; }

$(VENV)/.demo $(VENV)/.test $(VENV)/.dev: $(VENV)/.%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@
