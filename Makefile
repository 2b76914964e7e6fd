# Needs make and Python 3.11 or later; everything else goes into .venv.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test test-fast test-embedded proofs test-clusters images test-images check-kubernetes outages bench-money bench-overload bench-ladder bench-audit bench-feed bench-reads bench-signed-in bench-sinks screenshots release lint format openapi picture consistency advice engines run-engines lock clean

# A test run starts hundreds of processes, which share the bytecode that one of them has compiled.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet
UV ?= uv
# One more than there are cores, because tests mostly wait for stores; at most four, to limit memory.
WORKERS ?= $(shell cores=$$(getconf _NPROCESSORS_ONLN); echo $$((cores < 3 ? cores + 1 : 4)))
# Tests of a module run in one process, in the order of collection.
PARALLEL := -n $(WORKERS) --dist loadgroup --no-loadscope-reorder
WITHOUT := "not engines and not live and not long"
FAST := tests/unit tests/contracts $(addprefix tests/system/test_,guards.py words.py documentation.py)
LONG_FORM := QUARTET_PROOFS=1 QUARTET_BANK_SECONDS=30 QUARTET_LAST_UNIT_ROUNDS=50 QUARTET_MACHINE_EXAMPLES=400 \
  QUARTET_FEED_EXAMPLES=1000 QUARTET_FUZZING_EXAMPLES=100 QUARTET_VISIBLE_POSTS=10000 QUARTET_QUEUE_DEATHS=5 \
  QUARTET_CRASH_ROUNDS=2 QUARTET_RELAY_DEATH_EVERY=1 QUARTET_POINT_EVERY=1 QUARTET_DRIFT_ACCOUNTS=90 QUARTET_ALTERATIONS_ROWS=2 \
  QUARTET_PLANS_SIZE=medium QUARTET_NOTIFICATION_HISTORIES=20 QUARTET_BODY_EXAMPLES=100 QUARTET_BUDGET_MANY=50 \
  QUARTET_TOMBSTONES=100000 QUARTET_KILLS=7
PROOFS := $(addprefix tests/system/,console advice alerts proofs money drift moving plans fuzzing outages relay test_feed_definition.py test_home_interleavings.py test_kept_states.py test_notifications.py \
  backup/test_answers.py test_api_contract.py test_crashes.py test_degraded.py test_images.py test_kubernetes.py test_schema_change.py test_restarts.py test_server.py proxies) \
  $(addprefix tests/http/test_,budgets.py orders.py payouts.py refunds.py stock.py wallet.py) tests/engines/test_feeds_layout.py tests/engines/test_feeds_tombstones.py \
  tests/engines/proof_cassandra_tls.py tests/engines/proof_brokers_tls.py tests/engines/test_engines.py tests/engines/test_sinks.py tests/engines/test_feeds_faults.py tests/engines/test_documents_faults.py tests/engines/test_hot_interleavings.py \
  $(addprefix tests/engines/relational/,test_faults.py test_feeds_plans.py test_money_faults.py test_money_plans.py) tests/system/seed tests/system/test_story.py tests/system/test_packaging.py
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate

help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 25

run: .venv/.run ## serve on 127.0.0.1:8000 (PORT=... for another), with a small data set on the first start
	$(BIN)/quartet start

run-engines: .venv/.test ## the same on the real engines, which are started for this run
	$(BIN)/python -m tests.engines -- $(BIN)/quartet start

engines: .venv/.test ## start the real engines, print their URLs, and keep them running
	$(BIN)/python -m tests.engines

test: .venv/.test ## run all tests, those on the real engines included
	$(BIN)/python -m pytest $(PARALLEL)

test-fast: .venv/.test ## run unit tests, contracts on embedded adapters and guards, in less than a minute
	$(BIN)/python -m pytest $(PARALLEL) -m $(WITHOUT) $(FAST)

test-embedded: .venv/.test ## run all tests that need no engine, no server process and little time
	$(BIN)/python -m pytest $(PARALLEL) -m $(WITHOUT)

proofs: .venv/.browser ## run the long forms of the proofs, which takes about an hour and a half
	$(LONG_FORM) $(BIN)/python -m pytest --log-cli-level=INFO -o timeout=7200 $(PROOFS)

test-clusters: .venv/.test ## run the tests on clusters: pairs of PostgreSQL and Redis, three Cassandra nodes, three mongod, six Redis nodes (4 GB, a quarter of an hour)
	QUARTET_OWN_READS=10000 QUARTET_OUTAGES=docs/outages.md $(BIN)/python -m pytest --log-cli-level=INFO -o timeout=1800 \
	  $(addprefix tests/engines/relational/test_,failover.py lost_tail.py replicas.py) tests/engines/test_hot_failover.py \
	  $(addprefix tests/engines/cluster_,cassandra.py cassandra_growth.py mongo.py redis.py) \
	  $(addprefix tests/system/outages/cluster_,cassandra.py mongo.py postgres.py redis.py sequences.py)

images: ## build the images that Dockerfile and compose file name, without a registry (needs Docker, debootstrap)
	deploy/images/make.sh

test-images: .venv/.test ## build the image, start the compose file, and kill and restart its containers (needs Docker)
	QUARTET_PROOFS=1 $(BIN)/python -m pytest -o timeout=900 tests/system/test_images.py

check-kubernetes: .venv/.test build/kubernetes ## validate the output of kustomize for deploy/kubernetes against the schemas of Kubernetes (needs Go)
	QUARTET_PROOFS=1 $(BIN)/python -m pytest tests/system/test_kubernetes.py

build/kubernetes:
	GOBIN=$(CURDIR)/$@.new go install sigs.k8s.io/kustomize/kustomize/v5@v5.8.1
	GOBIN=$(CURDIR)/$@.new go install github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0
	$(PIP) install --no-deps --target $@.new kubernetes-validate==1.37.0
	mv $@.new $@

outages: .venv/.test ## regenerate the table of docs/outages.md: every route without each store, on the engines
	QUARTET_PROOFS=1 QUARTET_OUTAGES=docs/outages.md $(BIN)/python -m pytest tests/system/outages

bench-money: .venv/.test ## measure checkouts and transfers against the same SQL without Quartet (see bench/README.md)
	$(BIN)/python -m bench.money

bench-overload: .venv/.test ## measure a server at three times its peak load, with its limit and without (see bench/README.md)
	$(BIN)/python -m bench.overload

bench-ladder: .venv/.test ## measure the same traffic on each rung, from one file to four engines (see docs/growing.md)
	$(BIN)/python -m bench.ladder --chart docs/ladder-figures.svg

bench-audit: .venv/.test ## measure the audit of a ledger with a million entries (see bench/README.md)
	$(BIN)/python -m bench.audit

bench-feed: .venv/.test ## measure deliveries, feed pages and lag against the bare driver and SQL (see bench/README.md)
	$(BIN)/python -m bench.feed

bench-reads: .venv/.test ## measure reads against a Flask hello and bare WSGI on one server (see bench/README.md)
	$(BIN)/python -m bench.reads

bench-signed-in: .venv/.test ## measure signed-in reads against Flask with one SQL join (see bench/README.md)
	$(BIN)/python -m bench.signed_in

bench-sinks: .venv/.test ## measure events through each sink against a plain loop of its client library, and other work while a broker is unavailable (see bench/README.md)
	$(BIN)/python -m bench.sinks
	$(BIN)/python -m bench.sinks_away

screenshots: .venv/.browser ## take the screenshots of docs/console.md again, in Chromium
	QUARTET_PROOFS=1 QUARTET_SCREENSHOTS=docs $(BIN)/python -m pytest tests/system/console -k pictures

lint: .venv/.test ## check style, types and layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.test ## format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

release: .venv/.release ## build the wheel and the source distribution in dist/, install the wheel, and write its bill of materials
	rm -rf dist build
	$(BIN)/python -m hatchling build -d dist
	$(BIN)/python -m venv --without-pip build/installed
	$(PIP) --python build/installed/bin/python install --require-hashes -r requirements/run.txt
	$(PIP) --python build/installed/bin/python install --no-deps dist/*.whl
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --mc-type application --output-reproducible --of JSON \
	  -o dist/quartet.cdx.json build/installed/bin/python

openapi: .venv/.run ## regenerate docs/openapi.json
	$(BIN)/quartet openapi > docs/openapi.json

picture: .venv/.run ## draw docs/architecture.svg from docs/architecture.toml
	$(BIN)/python docs/architecture.py

consistency: .venv/.run ## write docs/consistency.md from docs/consistency.toml
	$(BIN)/python docs/consistency.py

advice: .venv/.run ## write the tables of docs/advice.md from the rules
	PYTHONPATH=. $(BIN)/python docs/advice.py

lock: ## lock the dependencies again (needs uv)
	$(COMPILE) pyproject.toml -o requirements/run.txt
	$(COMPILE) --extra traces -c requirements/run.txt pyproject.toml -o requirements/traces.txt
	$(COMPILE) --extra traces --group test --group engines -c requirements/traces.txt pyproject.toml -o requirements/test.txt
	$(COMPILE) --group browser -c requirements/test.txt -o requirements/browser.txt
	$(COMPILE) --group build -c requirements/test.txt -o requirements/build.txt
	$(COMPILE) --group release -c requirements/test.txt -o requirements/release.txt

clean: ## remove the environment and all caches, not the data in var/
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Version managers leave commands behind for versions that are not installed, so each command is tried.
.venv/.made:
	@for python in $(PYTHON) python3.11 python3.12 python3.13 python3.14 python3; do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "Making .venv with $$("$$python" --version)"; \
	    "$$python" -m venv .venv >/dev/null 2>&1 && exec touch $@; \
	    "$$python" -m venv --clear --without-pip .venv && \
	    "$$python" -m pip --python .venv/bin/python install --quiet --require-hashes -r requirements/build.txt && \
	    exec touch $@; \
	    echo "Python has neither ensurepip nor pip. On Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; \
	  fi; \
	done; echo "Python 3.11 or later is needed; PYTHON=/path/to/python names one that is not on PATH." >&2; exit 1

.venv/.run: .venv/.made requirements/build.txt requirements/run.txt pyproject.toml
	@echo "Installing requirements/run.txt"
	@$(PIP) install --require-hashes -r requirements/build.txt -r requirements/run.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.test: .venv/.run requirements/test.txt
	@echo "Installing requirements/test.txt"
	@$(PIP) install --require-hashes -r requirements/test.txt
	@touch $@

.venv/.browser: .venv/.test requirements/browser.txt
	@echo "Installing requirements/browser.txt"
	@$(PIP) install --require-hashes -r requirements/browser.txt
	@touch $@

.venv/.release: .venv/.run requirements/release.txt
	@echo "Installing requirements/release.txt"
	@$(PIP) install --require-hashes -r requirements/release.txt
	@touch $@
