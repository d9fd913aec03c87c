# Armour's two commands: `make run` and `make test`. Both install what the
# machine lacks, say so, and can be repeated.
SHELL := /bin/bash
export SQLX_OFFLINE ?= true
CARGO ?= cargo

.PHONY: help setup run test lint sqlx openapi

help: ## Say what there is to make
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

setup: ## Install what a bare Debian machine lacks
	@scripts/setup

run: setup ## Run everything here: PostgreSQL, control plane, upstream, two agents
	$(CARGO) build -p armour-cli -p armour-control-plane -p armour-agent --features armour-agent/clone-demo
	target/debug/armour dev

test: setup lint ## Run lints and every test
	scripts/with-postgres $(CARGO) test --workspace --all-features

lint: ## Check formatting and lints
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets --all-features -- -D warnings

sqlx: setup ## Write the offline data of the SQL statements anew
	scripts/with-postgres scripts/prepare-sqlx

openapi: ## Write openapi/openapi.json anew
	ARMOUR_UPDATE_OPENAPI=1 $(CARGO) test -p armour-control-plane --test api openapi_document
