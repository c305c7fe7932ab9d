# make test       everything CI runs: vet, unit tests, real peers, the demo
# make test-unit  what needs nothing but Go and a C compiler (race detector)
# make bench      ratios against Postfix on this machine, and ten minutes with peers that misbehave; reading mails against enmime; reply extraction in MB/s
# make fuzz       every fuzz target for FUZZTIME each
# make lint       gofmt and go vet
# make build      one static binary in bin/

GO       ?= go
FUZZTIME ?= 2m
export GOTOOLCHAIN = local
export TICKETGATE_CORPORA ?= $(abspath ../shared/corpora)

VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  := -s -w -X main.version=$(VERSION)

.PHONY: test test-unit peers modules bench fuzz lint build

test: peers modules lint
	$(GO) test -race -timeout 15m ./...
	$(GO) run ./cmd/ticketgate demo --once

test-unit:
	$(GO) test -race -short -timeout 10m ./...

peers:
	test/install-peers

# The network may stumble; a second try costs less than a failed build.
modules:
	@for pause in 5 10 20 40 0; do \
	  $(GO) mod download && exit 0; \
	  echo "go mod download failed" >&2; sleep $$pause; \
	done; exit 1

bench: peers build
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 120m ./test/bench
	TICKETGATE_SOAK=10m $(GO) test -run '^$$' -bench Soak -benchtime 1x -timeout 30m ./delivery
	$(GO) test -run '^$$' -bench . -benchtime 500x -timeout 10m ./ticketing/message
	cd test/bench/mime && $(GO) test -v -run . -bench . -benchtime 500x -timeout 10m .

fuzz:
	test/fuzz $(FUZZTIME)

lint:
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; exit 1; fi
	$(GO) vet ./...

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ticketgate ./cmd/ticketgate
