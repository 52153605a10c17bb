# Targets for people and CI. `make check` is what a change must pass.
GO     ?= go
BIN    := bin/sparkrun
LDFLAGS := -s -w $(if $(VERSION),-X sparkrun/cmd/internal/cli.Version=$(VERSION))
# package:target of every fuzz test
FUZZ   := $(shell grep -rl --include='*_test.go' '^func Fuzz' cmd scenario runner targets sinks | xargs grep -Ho '^func Fuzz[A-Za-z0-9_]*' | sed 's|/[^/]*:func |:|' | sort -u)
FUZZTIME ?= 60s

# All but the race detector goes without cgo and without flags that compile every package anew:
# vet, the image of the containers' tests, fuzz tests and the program share what they compile,
# which from empty caches is more than all tests take.
build vet fuzz large: export CGO_ENABLED = 0

.PHONY: build test check fmt vet lint fuzz fuzz-short bench large examples dist clean

build:
	$(GO) build -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/sparkrun

test:
	$(GO) test -race -vet=off -timeout 25m ./...
	CGO_ENABLED=0 $(GO) test -vet=off -run '^TestLargeFile$$' ./runner/dataset

check: fmt vet test

fmt:
	@out=$$(gofmt -l cmd examples scenario runner targets sinks); [ -z "$$out" ] || { echo "gofmt these files:"; echo "$$out"; exit 1; }

vet:
	$(GO) vet ./...
	GOOS=darwin $(GO) vet -gcflags=all='-N -l' ./... # nobody runs what it compiles: a quarter less time

lint:
	golangci-lint run

# Each fuzz test for FUZZTIME; crashers land in the package's testdata/fuzz. Go fails one now and
# then whose time ends at a bad moment, with nothing found: "context deadline exceeded".
fuzz:
	@set -e; for f in $(FUZZ); do echo "== $$f"; \
	  out=$$($(GO) test -run '^$$' -fuzz "^$${f#*:}\$$" -fuzztime $(FUZZTIME) ./$${f%%:*} 2>&1) || \
	    case "$$out" in *"Failing input written"*) echo "$$out"; exit 1;; *"context deadline exceeded"*) ;; *) echo "$$out"; exit 1;; esac; \
	  echo "$$out" | tail -n 2; done

fuzz-short:
	@$(MAKE) --no-print-directory fuzz FUZZTIME=5s

# What the hot paths cost, then the ratios to other clients (two cores, six minutes).
# What is not installed (cc, python3 with aiohttp) is named and left out.
bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...
	BENCH_RATIOS=1 $(GO) test -count=1 -run TestRatios -v ./runner/load/bench

# A ShareGPT file of 1 GB is sampled and played; the process must stay under 200 MB.
large:
	LARGE_MB=1024 $(GO) test -count=1 -v -run 'TestLargeFile' ./runner/dataset

# Every example is validated, formatted and planned; those that need no GPU are run.
examples: build
	$(BIN) fmt --check examples
	@set -e; for f in examples/*.hcl; do echo "== plan $$f"; $(BIN) plan $$f >/dev/null; done
	$(BIN) apply examples/quickstart.hcl
	$(BIN) apply examples/ci.hcl
	$(BIN) apply examples/multi-turn.hcl
	$(BIN) apply examples/trace.hcl
	$(BIN) apply examples/generator.hcl --var workers=2
	$(BIN) apply examples/single-turn.hcl --var seconds=2 --var concurrency=4

dist:
	@set -e; for p in linux/amd64 linux/arm64 darwin/arm64; do \
	  CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/sparkrun-$${p%/*}-$${p#*/} ./cmd/sparkrun; done

clean:
	rm -rf bin results
