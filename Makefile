# Everything a developer, CI or a curious visitor runs. `make` alone lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# What the product links, on Debian 12; and what the tests use as devices, cloud brokers and runners.
BUILD_PACKAGES := libmosquitto-dev libssl-dev libsqlite3-dev zlib1g-dev pkg-config
TEST_PACKAGES := $(BUILD_PACKAGES) mosquitto mosquitto-clients python3-venv chromium \
                 strace e2fsprogs xfsprogs eatmydata faketime

# The same flags for every debug build, or SwiftPM builds the world twice.
CHECKED := --explicit-target-dependency-import-check error
LOGS := .build/logs
VENV := .build/venv

# Installs the Debian packages of $(1) that are missing; asks for root only then.
define install
	missing=(); \
	if command -v dpkg-query >/dev/null; then \
	    for package in $(1); do \
	        dpkg-query -W -f='$${Status}' "$$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$$package"); \
	    done; \
	else \
	    echo "not a Debian system: make sure these are installed: $(1)" >&2; \
	fi; \
	if (( $${#missing[@]} )); then \
	    echo "installing $${missing[*]}"; \
	    if (( EUID == 0 )); then root=(); else root=(sudo); fi; \
	    "$${root[@]}" apt-get update -qq </dev/null; \
	    "$${root[@]}" env DEBIAN_FRONTEND=noninteractive \
	        apt-get install -y -qq --no-install-recommends "$${missing[@]}" </dev/null >/dev/null; \
	fi
endef

.PHONY: help demo test build lint swift-test allocations integration attacks bench campaign image manifests clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

demo: ## run the whole chain on this machine: cloud, site, devices, a cut of the link, the proof (ARGS="--seconds 60")
	@$(call install,$(BUILD_PACKAGES))
	swift build -c release --product causeway
	.build/release/causeway demo $(ARGS)

test: ## everything CI checks: format, build, Swift tests, integration tests, attacks
	@mkdir -p $(LOGS); rm -f $(LOGS)/*.log
	@$(call install,$(TEST_PACKAGES))
	@$(MAKE) --no-print-directory lint build swift-test allocations integration attacks

lint: ## formatting, and documentation of every public symbol
	@mkdir -p $(LOGS)
	swift format lint --strict --recursive --parallel Sources Tests Package.swift 2>&1 | tee $(LOGS)/lint.log
	@echo "lint: no findings" | tee -a $(LOGS)/lint.log

build: ## the debug build with its tests, once
	@mkdir -p $(LOGS)
	swift build --build-tests $(CHECKED) 2>&1 | tee $(LOGS)/build.log
	@if grep -E "$(CURDIR)/(Sources|Tests)/.*: warning:" $(LOGS)/build.log; then echo "build: warnings" >&2; exit 1; fi

# Tests with sockets, deadlines and processes of their own run a few at a time, apart from those that only compute: all at
# once they would hold each other still for longer than a deadline. If one fails, that half runs once more, one by one.
WITH_PEERS := '(SiteServer|Console|Bridge|MosquittoClient|Cloud|HandlerRuntime)Tests\.'

swift-test: ## the Swift tests (FILTER=Name to run some); needs `make build`
	@mkdir -p $(LOGS); : >$(LOGS)/swift-test.log
	@run() { SWIFT_BACKTRACE=color=no swift test --skip-build --disable-xctest $(CHECKED) "$$@" \
	    </dev/null 2>&1 | tee -a $(LOGS)/swift-test.log; }; \
	peers() { SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH=$$1 run --filter $(WITH_PEERS); }; \
	if [[ -n "$(FILTER)" ]]; then run --filter '$(FILTER)'; exit; fi; \
	peers 3 || { echo "== once more, one by one" | tee -a $(LOGS)/swift-test.log; peers 1; }; \
	run --skip $(WITH_PEERS)

allocations: ## what the hot paths allocate, against the table that is checked in; needs `make build`
	@mkdir -p $(LOGS)
	.build/debug/hot-paths allocations Tests/HotPaths/allocations.json 2>&1 | tee $(LOGS)/allocations.log

$(VENV)/installed: Tests/Integration/requirements.txt
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# Runs the tests of folder $(1) within $(2) seconds, and once more those that failed: a shared machine can hold a process
# still for longer than a deadline allows. What fails twice fails; what failed once is named in the log.
define pytest
	@mkdir -p $(LOGS)
	@export CAUSEWAY="$${CAUSEWAY:-$(CURDIR)/.build/debug/causeway}"; \
	run() { timeout --kill-after=30 $(2) $(VENV)/bin/python -m pytest -c Tests/$(1)/pytest.ini Tests/$(1) \
	    -o cache_dir=$(CURDIR)/.build/pytest-$(3) "$$@" \
	    </dev/null 2>&1 | tee -a $(LOGS)/$(3).log; }; \
	: >$(LOGS)/$(3).log; \
	run $(if $(FILTER),-k '$(FILTER)') || { \
	    echo "== once more, what failed" | tee -a $(LOGS)/$(3).log; \
	    run --last-failed --last-failed-no-failures none; \
	}
endef

integration: $(VENV)/installed ## the tests against stock mosquitto (FILTER=name to run some); needs `make build`
	$(call pytest,Integration,1500,integration)

attacks: $(VENV)/installed ## what attackers and faults do, in a short form (FILTER=name to run some); needs `make build`
	$(call pytest,Attacks,1200,attacks)

bench: ## measure against mosquitto on this machine (ROUNDS=5 SECONDS_EACH=3 ARGS="--list"); figures in .build/bench.json
	@$(call install,$(TEST_PACKAGES))
	swift build -c release --product causeway
	swift build -c release --product hot-paths
	CAUSEWAY="$(CURDIR)/.build/release/causeway" HOT_PATHS="$(CURDIR)/.build/release/hot-paths" \
	    Tests/Benchmarks/run.sh $(ARGS)

campaign: $(VENV)/installed ## a long test with a release build: NAME=kill runs Tests/Campaigns/kill.py
	@test -n "$(NAME)" || { echo "usage: make campaign NAME=..."; ls Tests/Campaigns/*.py; exit 2; }
	$(if $(filter fuzz sanitize,$(NAME)),,swift build -c release --product causeway)
	CAUSEWAY="$(CURDIR)/.build/release/causeway" $(VENV)/bin/python Tests/Campaigns/$(NAME).py $(ARGS)

image: ## build the container image with buildah
	docker/build.sh

manifests: ## check the Dockerfile and the Kubernetes manifests, offline
	docker/validate.sh

clean: ## remove build products and logs
	rm -rf .build
