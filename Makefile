# weir: everything a user or developer runs. `make help` lists it.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: run test build test-unit test-integration conformance simulate format lint docs bench bench-micro chaos soak storm \
        sanitize coverage coverage-integration compatibility fuzz manifests deb sbom clean help deps

# The toolchain's own folder, where it is not on the PATH already.
export PATH := $(PATH):/opt/swift/usr/bin

PACKAGES := libev-dev libnghttp2-dev libssl-dev libyaml-dev libre2-dev libmicrohttpd-dev libprotobuf-dev zlib1g-dev \
            libxxhash-dev liblmdb-dev libcurl4-openssl-dev dpkg-dev pkg-config python3-venv curl groff-base prometheus chromium \
            chromium-driver zsh fish
VENV := .venv
VENV_DONE := $(VENV)/.done
RELEASE := .build/release
# The binary carries the Swift runtime, so that a machine without the toolchain can run it.
RELEASE_FLAGS := -c release --product weir --static-swift-stdlib
# Products that other programs use, and programs that show how.
LIBRARIES := WeirXDS XDSClient XDSServer
EXAMPLES := simple-server simple-client
BENCH_FLAGS := -c release --product weir-bench --static-swift-stdlib
DESCRIPTORS := .build/xds-descriptors.binpb
# What became of each test, for `make conformance`.
RESULTS := .build/conformance
SWIFT_PLACES := Sources Examples Tests Package.swift

say = printf '\n==> %s\n' $(1)

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## Build, and serve configs/demo.yaml until Ctrl-C.
	@echo
	@echo "  gRPC (xDS) for Envoy and gRPC clients   127.0.0.1:18000"
	@echo "  debug page                              http://127.0.0.1:9901/"
	@echo "  a ready-made Envoy, in another terminal:"
	@echo "      $(VENV)/bin/envoy -c configs/envoy-demo.yaml --concurrency 1"
	@echo "      then open                           http://127.0.0.1:10000/"
	@echo "  edit a file in configs/resources and save it: Envoy has it at once. Ctrl-C stops."
	@echo
	@exec $(RELEASE)/weir serve --config configs/demo.yaml

build: deps $(VENV_DONE) ## Build the release binary .build/release/weir.
	@$(call say,'Building weir (release); some minutes the first time')
	@swift build $(RELEASE_FLAGS)
	@$(MAKE) --no-print-directory $(DESCRIPTORS)
	@cmp -s $(DESCRIPTORS) $(RELEASE)/xds-descriptors.binpb || cp $(DESCRIPTORS) $(RELEASE)/xds-descriptors.binpb
	@swift build $(BENCH_FLAGS)
	@for example in $(EXAMPLES); do swift build -c release --product $$example --static-swift-stdlib; done
	@$(call say,'Built $(RELEASE)/weir')

test: test-unit test-integration ## Run all tests: Swift's, then the ones with real Envoys and gRPC clients.
	@$(MAKE) --no-print-directory conformance

test-unit: deps $(VENV_DONE) $(DESCRIPTORS) ## Run the Swift tests.
	@$(call say,'Unit tests (swift test); builds everything in debug mode first')
	@mkdir -p $(RESULTS)
	@SWIFT_DETERMINISTIC_HASHING=1 swift test --event-stream-output-path $(RESULTS)/swift.jsonl

test-integration: build ## Run the integration suite against the release binary.
	@$(call say,'Integration tests (pytest): scripted control planes and clients$(comma) real Envoy$(comma) gRPC')
	@mkdir -p $(RESULTS)
	@$(VENV)/bin/pytest integration --junitxml $(RESULTS)/integration.xml

conformance: $(VENV_DONE) ## Hold docs/conformance.md against the tests and what became of them in the last `make test`.
	@$(call say,'Conformance: items met by group')
	@$(VENV)/bin/python integration/conformance.py

simulate: deps ## Run the simulation of a relay on SEEDS=5000 random histories from FIRST=0; SEED=n replays one.
	@$(call say,'Simulation')
	@swift build --build-tests
	@SWIFT_DETERMINISTIC_HASHING=1 $(if $(SEED),WEIR_SEED=$(SEED),WEIR_SEEDS=$(or $(SEEDS),5000) WEIR_FIRST_SEED=$(or $(FIRST),0)) \
	    swift test --skip-build --filter RelaySimulationTests

DIST := .build/dist
deb: build ## Make the Debian package .build/dist/weir_VERSION_ARCH.deb of the release binary.
	@$(call say,'Debian package')
	@configs/packaging/deb/build.sh $(RELEASE)/weir $(RELEASE)/xds-descriptors.binpb $(DIST)

sbom: build ## Make the bill of materials .build/dist/weir.spdx.json (SPDX 2.3) of the release binary.
	@mkdir -p $(DIST)
	@python3 configs/packaging/sbom.py $(RELEASE)/weir $(DIST)/weir.spdx.json
	@echo $(DIST)/weir.spdx.json

manifests: $(VENV_DONE) ## Render the Helm chart into the plain manifests of configs/kubernetes.
	@$(VENV)/bin/python integration/manifests.py --write

format: ## Rewrite the Swift sources in the project's format.
	@swift format -i -r $(SWIFT_PLACES)

lint: ## Check format, the table of conformance and the Python files' syntax; changes nothing.
	@$(call say,'Lint')
	@swift format lint --strict -r $(SWIFT_PLACES)
	@python3 -m compileall -q integration
	@python3 integration/conformance.py --sources-only >/dev/null
	@echo 'no findings'

docs: deps ## Write the reference of the library products to .build/docs.
	@$(call say,'Reference of $(LIBRARIES)')
	@for library in $(LIBRARIES); do swift build --target $$library; done
	@python3 integration/reference.py $(LIBRARIES)

bench: build ## Measure weir beside the raw write loop; SCENARIOS='fan-out-delta memory' for some, STREAMS=n for fewer.
	@$(call say,'Benchmarks: some minutes; leave the machine alone meanwhile')
	@python3 integration/benchmark.py --streams $(or $(STREAMS),10000) --json .build/bench.json $(SCENARIOS)

chaos: build ## Kill, cut, starve and garble a relay and its peers for MINUTES=3, then 50,000 connections; SEED=n replays.
	@$(call say,'Chaos: seeded faults to real processes')
	@$(VENV)/bin/python integration/chaos.py $(if $(SEED),--seed $(SEED)) --minutes $(or $(MINUTES),3) $(FAULTS)

soak: build ## 2,000 clients under constant change for MINUTES=20: nobody may diverge, memory must stay flat.
	@$(call say,'Soak')
	@$(VENV)/bin/python integration/soak.py $(if $(SEED),--seed $(SEED)) --minutes $(or $(MINUTES),20) --clients $(or $(CLIENTS),2000)

storm: build ## CLIENTS=10000 that connect with TLS in the same seconds, against HANDSHAKES=500 a second.
	@$(call say,'Reconnect storm')
	@$(VENV)/bin/python integration/storm.py --clients $(or $(CLIENTS),10000) --handshakes $(or $(HANDSHAKES),500)

bench-micro: PACKAGES += valgrind
bench-micro: build ## Count what the pure parts cost (valgrind), beside integration/microbench.json; below a minute.
	@$(call say,'Micro-benchmarks')
	@python3 integration/microbench.py

sanitize: sanitize-address sanitize-thread ## Run all tests under the address and the thread sanitizer.

# A report of the sanitizer, in a test or in a weir that a test started, fails the run.
sanitize-%: deps $(VENV_DONE) $(DESCRIPTORS)
	@$(call say,'Unit tests under the $* sanitizer')
	@swift test --disable-xctest --sanitize=$* --scratch-path .build/$*
	@for product in weir $(EXAMPLES); do swift build --sanitize=$* --scratch-path .build/$* --product $$product; done
	@cp $(DESCRIPTORS) .build/$*/debug/xds-descriptors.binpb
	@rm -f .build/$*/report.*
	@$(call say,'Integration tests under the $* sanitizer')
	@ASAN_OPTIONS=log_path=$(CURDIR)/.build/$*/report TSAN_OPTIONS=log_path=$(CURDIR)/.build/$*/report \
	    WEIR_BINARY=.build/$*/debug/weir $(VENV)/bin/pytest integration -m 'not release_build'
	@! ls .build/$*/report.* 2>/dev/null || { cat .build/$*/report.*; exit 1; }

COVERAGE := .build/coverage
coverage: deps $(VENV_DONE) $(DESCRIPTORS) ## Tell which share of the lines the Swift tests run, by module; INTEGRATION=1 adds the other suite.
	@$(call say,'Unit tests with counters')
	@rm -rf $(COVERAGE)/debug/codecov $(COVERAGE)/profiles
	@SWIFT_DETERMINISTIC_HASHING=1 swift test --disable-xctest --enable-code-coverage --scratch-path $(COVERAGE)
	@$(if $(INTEGRATION),$(MAKE) --no-print-directory coverage-integration)
	@$(call say,'Line coverage')
	@python3 integration/line_coverage.py $(COVERAGE)

# Runs that end by themselves add to eight profiles, taking turns; one that is killed tells nothing.
coverage-integration:
	@$(call say,'Integration tests of a weir with counters')
	@for product in weir $(EXAMPLES); do \
	    swift build --enable-code-coverage --scratch-path $(COVERAGE) --product $$product; \
	done
	@cp $(DESCRIPTORS) $(COVERAGE)/debug/xds-descriptors.binpb
	@LLVM_PROFILE_FILE='$(CURDIR)/$(COVERAGE)/profiles/weir-%8m.profraw' WEIR_BINARY=$(COVERAGE)/debug/weir \
	    $(VENV)/bin/pytest integration -m 'not release_build'

compatibility: build ## Run the tests with real peers with other releases of Envoy and gRPC; the table of docs/compatibility.md.
	@$(call say,'Compatibility: a Python environment for each release')
	@$(VENV)/bin/python integration/compatibility.py $(if $(WRITE),--write)

# Seconds for each fuzzer, and which of them (all, unless named).
TIME ?= 60
TARGETS ?=
fuzz: deps $(VENV_DONE) $(DESCRIPTORS) ## Run each fuzzer for TIME=60 seconds; TARGETS="http2 rules" runs these only.
	@$(call say,'Fuzzers: libFuzzer with the address sanitizer$(comma) $(TIME) s each')
	@TIME=$(TIME) Tests/Fuzz/run.sh $(TARGETS)

clean: ## Remove everything that was built or installed in this folder.
	@rm -rf .build $(VENV) integration/artifacts

# --- What the targets above stand on.

comma := ,

# Debian's packages: nothing to do when dpkg knows them all.
deps: ## Install the Debian packages that are missing.
	@if ! command -v dpkg-query >/dev/null; then \
	    echo "Not a Debian machine; these must be there in your system's form: $(PACKAGES)"; \
	else \
	    missing=$$(for package in $(PACKAGES); do \
	        dpkg-query -W -f '$${db:Status-Status}' $$package 2>/dev/null | grep -qx installed || echo $$package; \
	    done); \
	    if [ -n "$$missing" ]; then \
	        $(call say,'Installing Debian packages'); echo $$missing; \
	        if [ "$$(id -u)" = 0 ]; then as_root=; else as_root=sudo; fi; \
	        $$as_root apt-get update -q; \
	        DEBIAN_FRONTEND=noninteractive $$as_root apt-get install -y -q --no-install-recommends $$missing; \
	    fi; \
	fi
	@if ! command -v swift >/dev/null; then \
	    echo 'swift is not on the PATH: install the Swift 6.3 toolchain for Debian 12' >&2; exit 1; \
	fi

# The peers of the integration suite (Envoy itself among them), pinned.
$(VENV_DONE): integration/requirements.txt | deps
	@$(call say,'Python environment with Envoy and gRPC (.venv)')
	@python3 -m venv $(VENV)
	@$(VENV)/bin/pip install --disable-pip-version-check --quiet -r integration/requirements.txt
	@touch $@

# What the debug endpoint needs to show resources as JSON, and the files origin to read them.
$(DESCRIPTORS): integration/descriptors.py $(VENV_DONE)
	@$(call say,'Descriptor set of the xDS messages')
	@mkdir -p $(@D)
	@$(VENV)/bin/python integration/descriptors.py $@
