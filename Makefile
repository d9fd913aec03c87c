# Armour's two commands: `make run` and `make test`. Both install what the
# machine lacks, say so, and can be repeated.
SHELL := /bin/bash
export SQLX_OFFLINE ?= true
CARGO ?= cargo
# Where set-up puts a Node.js if the machine's is too old.
export PATH := $(CURDIR)/web-console/.node/bin:$(PATH)
# The agent of development and tests can hand out its state, to be cloned.
BINARIES := --workspace --bins --all-features
# Programs and tests in one go: asked for apart, what both need is compiled twice,
# since the tests' dependencies turn on features of it.
EVERYTHING := --workspace --all-targets --all-features

.PHONY: keycloak advisories chaos databases crashes clients interop newcomer docs reference fuzz model symbolic scale helm-snapshots console-load drills memory upgrade help setup setup-test run test test-rust test-python test-console lint console faults clones bench sqlx openapi roles rotation vectors screenshots

help: ## Say what there is to make
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

setup: ## Install what a bare Debian machine lacks
	@scripts/setup

setup-test: ## And what tests need besides
	@scripts/setup test

run: setup console ## Run everything here: PostgreSQL, control plane, console, upstream, two agents
	$(CARGO) build -p armour-cli -p armour-control-plane -p armour-agent --features armour-agent/clone-demo
	target/debug/armour dev

test: setup-test lint test-rust test-python test-console ## Run lints and every test

test-rust: setup-test
	$(CARGO) build $(EVERYTHING)
	ARMOUR_MUST_TRY=$${ARMOUR_MUST_TRY-$$(scripts/must-try)} \
		scripts/with-postgres $(CARGO) test --workspace --all-features
	scripts/databases

test-python: setup-test console
	$(CARGO) build $(EVERYTHING)
	# Two files at a time: most tests wait for programs.
	scripts/with-postgres tests/.venv/bin/pytest -q -n 2 --dist loadfile tests

test-console: setup-test console
	$(CARGO) build $(EVERYTHING)
	scripts/test-console

keycloak: ## Install Keycloak, with which the console's tests sign in then; needs Maven and Java 17
	scripts/keycloak

lint: setup-test ## Check formatting, lints, imports, and where dependencies come from
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets --all-features -- -D warnings
	cd web-console && npm run --silent imports
	scripts/supply-chain

advisories: setup-test ## Known vulnerabilities of dependencies; needs their databases
	$(CARGO) deny check advisories
	cd web-console && npm audit

console: setup ## Build the web console
	cd web-console && npm run --silent build

screenshots: setup-test console ## Take the screenshots of docs/console anew
	ARMOUR_SCREENSHOTS=$(CURDIR)/docs/console scripts/test-console

console-load: setup-test console ## Scroll a list of 100,000 pairs; API and frame times
	$(CARGO) build --release $(BINARIES)
	scripts/test-console --config playwright.load.config.ts

faults: setup ## 100,000 exchanges with loss, crashes and reconnects
	$(CARGO) build --release $(BINARIES)
	target/release/faults

chaos: setup-test ## An hour of random faults and thefts over network namespaces; needs root
	$(CARGO) build --release $(BINARIES)
	target/release/chaos --minutes $(or $(MINUTES),60)

crashes: setup ## Kill each process at its every write; ONLY=part of a process's name, SAMPLES=writes of each
	$(CARGO) build --release $(BINARIES)
	target/release/crashes $(if $(ONLY),--only "$(ONLY)") $(if $(SAMPLES),--samples $(SAMPLES))

model: ## Every state of the model, within larger bounds than in the tests
	$(CARGO) run --release -p armour-model

symbolic: setup-test ## Identities, openings and exchanges under a symbolic attacker
	python3 tests/symbolic.py
	python3 tests/symbolic.py --only identities --sessions 2

fuzz: setup-test ## Fuzz each target for SECONDS, guided by coverage; the corpus grows
	command -v cargo-fuzz >/dev/null || $(CARGO) install --version 0.13.2 cargo-fuzz
	scripts/fuzz $(or $(SECONDS),60)

drills: setup-test ## Rolling restart, failover and restore under traffic, streams, fleets; tables
	$(CARGO) build --release $(BINARIES)
	for drill in rolling failover restore streams fleet; do echo "$$drill:"; target/release/drills $$drill || exit 1; done

memory: setup ## What 10,000 bundles and 1,000 lanes take of a producer's memory; JSON
	$(CARGO) test -p armour-endpoint --all-features --lib producer::tests::memory -- --ignored --nocapture

interop: setup-test ## Other people's clients and servers, Autobahn and h2spec, with agents and without; a table
	$(CARGO) build $(BINARIES)
	scripts/interop

upgrade: setup-test ## Rolling upgrade under traffic from the commit FROM
	scripts/upgrade $(FROM)

scale: setup-test ## What tenants, pairs and exchanges cost in PostgreSQL, by powers of ten
	$(CARGO) build $(BINARIES)
	scripts/with-postgres tests/.venv/bin/python tests/scale.py

databases: setup-test ## Install PostgreSQL 16 to 18 for the tests, and try the control plane on each
	$(CARGO) build $(EVERYTHING)
	scripts/databases install

clones: setup ## 100 clones of running consumers and 100 of producers, one of three: all found
	$(CARGO) build --release $(BINARIES)
	target/release/clones --bystanders 2

newcomer: ## From a fresh clone to the tutorial's end, with times; uses the default ports
	scripts/newcomer

bench: setup ## Ratios against primitives, vodozemac, ohttp and pgbench
	scripts/bench

sqlx: setup ## Write the offline data of the SQL statements anew
	scripts/with-postgres scripts/prepare-sqlx

clients: setup-test ## Generate the typed clients for Python and TypeScript
	scripts/clients

openapi: ## Write openapi/openapi.json anew
	ARMOUR_UPDATE_OPENAPI=1 scripts/with-postgres $(CARGO) test -p armour-control-plane --test integration openapi_document

reference: ## Write docs/configuration.md anew; manual pages and completions into target/reference
	ARMOUR_UPDATE_REFERENCE=1 $(CARGO) test -p armour-reference
	$(CARGO) run -q -p armour-reference -- pages target/reference

docs: setup-test ## Make the documentation's book, target/book
	mdbook build

roles: ## Write the table of docs/roles.md anew
	ARMOUR_UPDATE_ROLES=1 scripts/with-postgres $(CARGO) test -p armour-control-plane --test integration documented_table

rotation: ## Seal 100,000 secrets anew under traffic while a replica dies
	ARMOUR_ROTATED_SECRETS=100000 scripts/with-postgres $(CARGO) test -p armour-control-plane --test integration rotation_under_traffic -- --nocapture

helm-snapshots: setup-test ## Write tests/helm/snapshots anew
	ARMOUR_UPDATE_SNAPSHOTS=1 scripts/with-postgres tests/.venv/bin/pytest -q tests/test_helm.py -k snapshots

vectors: ## Write tests/vectors anew
	ARMOUR_UPDATE_VECTORS=1 $(CARGO) test -p armour-protocol --all-features --test integration published_vectors
