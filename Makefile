# longsplice: `make help` lists the targets. Needs Go 1.26, git and make; `race` also a C compiler.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

GO        ?= go
PREFIX    ?= /usr/local
FUZZTIME  ?= 3s
SIM_SEEDS ?=
SIM_FOR   ?= $(if $(SIM_SEEDS),,10m)
SIM_FIRST ?= random
SOAK_BYTES ?= $(if $(SOAK_FOR),,107e9)
TESTFLAGS ?=
BENCHFLAGS ?=

# A clone without tags is named by its commit, a tree without git is "dev".
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  := $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
# The linter's dependencies stay out of the program's go.mod.
TOOL    := $(GO) tool -modfile=tools/go.mod

.DEFAULT_GOAL := help
.PHONY: run test check build race fuzz-smoke sim soak faults baselines bench bench-full bench-peers generate verify-generated fmt fmt-check vet ladder lint install clean help

run: build ## the demo: backends, clients and the real data path in one process
	bin/longsplice demo

test: ## every test
	$(GO) test -timeout 10m $(TESTFLAGS) ./...

check: fmt-check vet ladder lint ## format, vet, the ladder of imports, lint

build: ## bin/longsplice and bin/longsplice-bench, static
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

race: ## every test under the race detector, with fewer simulation seeds
	CGO_ENABLED=1 LONGSPLICE_SIM_SEEDS=$${LONGSPLICE_SIM_SEEDS:-2000} $(GO) test -race -timeout 15m $(TESTFLAGS) ./...

fuzz-smoke: ## every fuzz target for FUZZTIME (3s)
	@found=0; \
	while IFS=: read -r file _ target; do \
		found=1; \
		echo "fuzz $$target in $$(dirname $$file) for $(FUZZTIME)"; \
		$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x "$$(dirname $$file)" </dev/null; \
	done < <(grep -rnoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | sed 's/func //' | sort); \
	[ $$found = 1 ] || { echo 'fuzz-smoke: found no fuzz target' >&2; exit 1; }

sim: ## the simulation for SIM_FOR (10m), or SIM_SEEDS seeds, from SIM_FIRST (random) on
	LONGSPLICE_SIM_FOR=$(SIM_FOR) LONGSPLICE_SIM_SEEDS=$(SIM_SEEDS) LONGSPLICE_SIM_FIRST=$(SIM_FIRST) \
		$(GO) test ./pkg/worker -run '^TestSimulation$$' -count 1 -timeout 0 -v

soak: ## traffic and faults until SOAK_FOR (1h) is over or SOAK_BYTES (107e9, if no SOAK_FOR) are relayed; SOAK_ONE: of one connection
	SOAK_FOR='$(SOAK_FOR)' SOAK_BYTES='$(SOAK_BYTES)' SOAK_ONE='$(SOAK_ONE)' \
		$(GO) test ./pkg/matrix -run '^TestSoak' -count 1 -timeout 0 -v

faults: ## the wrong lines of pkg/matrix/testdata/faults (FAULTS=regexp over "row: what"): each makes its test fail
	LONGSPLICE_FAULTS=1 FAULTS='$(FAULTS)' $(GO) test -v -count 1 -timeout 0 -run '^TestFaultsAreKilled$$' ./pkg/matrix

baselines: ## how connections end through longsplice, HAProxy, nginx and io.Copy
	GO='$(GO)' benchmarks/baselines.sh

bench: build ## the short set: longsplice beside its peers on this machine, in under 10 minutes (BENCHFLAGS: of run)
	bin/longsplice-bench run $(BENCHFLAGS)

bench-full: build ## every case
	bin/longsplice-bench run --full $(BENCHFLAGS)

bench-peers: ## install the programs that bench compares with
	benchmarks/install-peers.sh

generate: ## regenerate the committed generated files
	$(GO) generate ./...

verify-generated: ## fail if generate changes a file of the tree
	@before=$$(git diff HEAD | sha256sum; git status --porcelain); \
	$(MAKE) --no-print-directory generate; \
	after=$$(git diff HEAD | sha256sum; git status --porcelain); \
	[ "$$before" = "$$after" ] || { git status --short; echo 'verify-generated: generated files are out of date' >&2; exit 1; }

fmt: ## gofumpt over the tree
	$(TOOL) gofumpt -w .

fmt-check:
	@out=$$(gofmt -l .); [ -z "$$out" ] || { gofmt -d $$out; echo "fmt-check: run make fmt" >&2; exit 1; }

vet:
	$(GO) vet ./...

ladder:
	$(GO) test -run '^TestLadder' .

lint: ## golangci-lint; the first run builds it
	$(TOOL) golangci-lint run ./...

install: build ## into PREFIX (/usr/local), under DESTDIR if set
	install -D -m 0755 bin/longsplice $(DESTDIR)$(PREFIX)/bin/longsplice
	install -D -m 0755 bin/longsplice-bench $(DESTDIR)$(PREFIX)/bin/longsplice-bench

clean: ## remove what build made
	rm -rf bin
	find . -name '*.test' -type f -delete

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
