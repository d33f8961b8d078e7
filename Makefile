# Every command of this repository, in one place: `make` lists them.
#
# What a target needs and the machine lacks, scripts/tools brings: once per machine, at a pinned version, into one
# folder outside the tree. What is there already is used as it is.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

CARGO ?= cargo
REDLOCK_CACHE ?= $(HOME)/.cache/redlock-proxy
export REDLOCK_CACHE

# What the tests and `demo` look up by name: valkey-server, a python3 that has redis-py, a node that has ioredis.
# Behind the machine's own PATH for `demo`, which takes what the user has; before it for the tests, which take the pins.
cached_tools := $(REDLOCK_CACHE)/bin
test_environment = PATH="$(REDLOCK_CACHE)/python/bin:$(cached_tools):$$PATH" NODE_PATH="$(REDLOCK_CACHE)/node/node_modules"

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## try it: three local primaries and the proxy on 127.0.0.1:6379, until Ctrl-C
	@scripts/tools any-server
	@echo "building redlock-proxy (the first time takes a minute or two)"
	@$(CARGO) build --locked --quiet
	@PATH="$$PATH:$(cached_tools)" $(CARGO) run --locked --quiet -- dev

.PHONY: setup
setup: ## bring what the tests need: redis-server, valkey-server, redis-py, ioredis, libfaketime, iproute2
	@scripts/tools redis valkey python node faketime ip

.PHONY: check
check: ## the inner loop: format, clippy, unit and pure tests, the fuzz targets over their corpus (3 min warm)
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) test --locked --lib --package redlock-proxy --package fuzzed

.PHONY: test
test: setup ## every test, on real servers, and what they need before (12 min)
	$(test_environment) $(CARGO) test --locked --workspace

.PHONY: interop
interop: setup ## clients, Redlock libraries and examples in their languages; ONLY=name for some (15 min)
	@scripts/tools interop
	$(CARGO) build --locked --bin redlock-proxy
	$(test_environment) $(CARGO) run --locked --package interop -- $(ONLY)

.PHONY: fuzz
fuzz: SECONDS ?= 5
fuzz: ## each fuzz target for SECONDS=5; ONLY=name for some (6 min cold)
	@scripts/tools cargo-fuzz
	scripts/fuzz $(SECONDS) $(ONLY)

.PHONY: torture
torture: ## faults of every kind at random for MINUTES=30, while clients watch; SEED=, SERVER=valkey, ONLY=clock, SET=key=value
	@scripts/tools redis valkey faketime
	$(CARGO) build --locked --release --bin redlock-proxy
	$(test_environment) $(CARGO) run --locked --release --package torture -- --minutes $(or $(MINUTES),30) \
	  $(SEED:%=--seed %) $(SERVER:%=--server %) $(ONLY:%=--only %) $(SET:%=--set %)

.PHONY: bench
bench: ## locks and the relay, next to the least they can cost and to Redlock libraries (20 min); QUICK=1: does it work? (3 min)
	@scripts/tools redis valkey node go java strace valgrind
	$(test_environment) $(CARGO) run --locked --release --package bench -- \
	  $(if $(QUICK),--rounds 1 --seconds 0.3 --into target/bench)

.PHONY: doc
doc: ## the library's documentation; a warning fails
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items

.PHONY: deny
deny: ## licences, banned and duplicate crates, sources; offline once cargo-deny is there
	@scripts/tools cargo-deny
	$(CARGO) fetch --locked --quiet
	$(cached_tools)/cargo-deny --offline --locked check licenses bans sources

.PHONY: lint
lint: ## the Dockerfile and the YAML files
	@scripts/tools linters
	$(REDLOCK_CACHE)/linters/bin/hadolint Dockerfile
	$(REDLOCK_CACHE)/linters/bin/yamllint --strict --config-file .ci/yamllint.yaml docker-compose.yml .ci $(wildcard config)

.PHONY: ci
ci: ## all of it, each step timed and bounded
	@.ci/steps

.PHONY: fmt
fmt: ## format the Rust code
	$(CARGO) fmt --all
