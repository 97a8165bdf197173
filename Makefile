# make demo   the main job, on the built-in simulator (with ZAI_API_KEY=… MODEL=glm-5.3-flash: on GLM)
# make test   all tests
# make check  format, lint, types, tests
# Both demo and test set up .venv first; nothing outside this folder is touched.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
MODEL ?= simulate:examples/01_repo_report/scenario.yaml
TASK ?= examples/01_repo_report/TASK.md

.PHONY: demo test check format clean

demo: $(VENV)/.demo
	$(BIN)/glm-agent run $(TASK) --model $(MODEL)

test: $(VENV)/.test
	$(BIN)/python tests/both.py

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright
	@$(MAKE) --no-print-directory test

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

$(VENV)/.demo $(VENV)/.test $(VENV)/.dev $(VENV)/.conformance $(VENV)/.bench: $(VENV)/.%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@

# make bench         what a turn costs, against a hand-written loop (BENCH="loop text -r 5": some of it)
# make bench-check   fails where a ratio got over 20 % worse than benchmarks/history/reference.json
# make bench-report  tables and plot of docs/performance.md
# make bench-profile where the time of each workload goes, by py-spy (BENCH="loop": of some)
# make bench-peers   other frameworks on the same turns, in an environment of their own
.PHONY: bench bench-check bench-report bench-profile bench-peers

bench: $(VENV)/.test
	$(BIN)/python -m benchmarks $(BENCH)

bench-check: $(VENV)/.test
	$(BIN)/python -m benchmarks --check --dry $(BENCH)

bench-report: $(VENV)/.test
	$(BIN)/python -m benchmarks --report

bench-profile: $(VENV)/.bench
	$(BIN)/python -m benchmarks --profiles $(BENCH)

bench-peers: $(VENV)-peers/.peers
	$(VENV)-peers/bin/python -m benchmarks --peers $(BENCH)

$(VENV)-peers/.peers: pyproject.toml
	$(PYTHON) -m venv $(VENV)-peers
	$(VENV)-peers/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[peers]'
	@touch $@

# make mutants       change one thing at a time in the core; fails where no test notices (see docs/mutants.md)
.PHONY: mutants

mutants: $(VENV)/.test
	$(BIN)/python tests/house/mutate.py $(MODULES)

# make faults        what our MCP client makes of 26 faults of servers (CLIENTS="ours sdk": and the official one's)
.PHONY: faults

faults: $(VENV)/.test
	$(BIN)/python tests/mcp_faults.py $(CLIENTS)

# make conformance   the MCP conformance suites, client and server (ONLY="2026-07-28 auth/": some of them)
.PHONY: conformance conformance-client conformance-server

conformance: conformance-client conformance-server

conformance-client: $(VENV)/.conformance
	$(BIN)/python tests/conformance/suite.py client "$(ONLY)"

conformance-server: $(VENV)/.conformance
	$(BIN)/python tests/conformance/suite.py server "$(ONLY)" --at-least 64

# make chaos         do harm to processes while they work, and count what the world has seen (SEED=7 KILLS=100 TASKS=200):
#                    kill -9 at random and at every record, SIGTERM, a database that crashes or cuts connections,
#                    and commands on sessions killed at every step
.PHONY: chaos

SEED ?= 1
KILLS ?= 50
TASKS ?= 150
CHAOS = $(BIN)/python tests/chaos --seed $(SEED)

chaos: $(VENV)/.test
	$(CHAOS) --kills $(KILLS) --tasks $(TASKS)
	$(CHAOS) --every-record --steps 3
	$(CHAOS) --database postgresql --kills $(KILLS) --tasks $(TASKS)
	$(CHAOS) --database postgresql --every-record --kills 36 --tasks 60 --steps 2 --concurrency 1
	$(CHAOS) --database postgresql --fault term --kills 10 --tasks 80
	$(CHAOS) --database postgresql --fault outage --kills 5 --tasks 80
	$(CHAOS) --database postgresql --fault cut --kills 30 --tasks 80
	$(CHAOS) --database sqlite --kills 8 --tasks 60
	GLM_AGENT_TEST_STRIDE=1 $(BIN)/python -m pytest tests/cli/test_kills.py

# make bench-many    10,000 short tasks through 2 workers on PostgreSQL (MANY=2000): rate, and peak of requests in flight
.PHONY: bench-many

bench-many: $(VENV)/.test
	$(BIN)/python benchmarks/many.py --tasks $(or $(MANY),10000)
