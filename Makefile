# Everything that a person does with this repository begins here: `make help`.
# A fresh machine needs Go and make; whatever else a target needs, it fetches, or says how to have it.

SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS   += --no-print-directory

BIN := bin/onefold

# Versions of the tools. Each is built into a git-ignored folder of its own version; go.mod knows none of them, so that
# nobody who imports our packages inherits a linter.
LINT_VERSION := v2.15.0
LINT         := .tools/$(LINT_VERSION)/golangci-lint

BUF_VERSION := v1.75.0
BUF         := .tools/buf-$(BUF_VERSION)/buf

TEMPL_VERSION := v0.3.977
TEMPL         := .tools/templ-$(TEMPL_VERSION)/templ

# Finds what is wrong with a page for people who use it otherwise; for tests only (decision 0011).
AXE_VERSION := 4.14.0
AXE_SUM     := 2277b0a3ef47af9b52497faa3e71598e86e0a0e5e6eb295207a5657ede4709af
AXE         := .tools/axe-core-$(AXE_VERSION)/package/axe.min.js

KAFKA     := deploy/test/kafka
KAFKA_LIB := $(CURDIR)/build/kafka/lib

# What the race detector sees: SQLite in Go is some twenty times slower under it, so the program as a whole is not in it.
RACE     := . ./event/... ./customer/... ./adapters/... ./mappings/... ./simulation/... ./pipeline/... ./store/... ./console/... ./plugins/...
# What runs against a real Apache Kafka, and what of it `make test` runs.
ON_KAFKA := ./pipeline/kafka ./cmd/onefold
SMOKE    := TestRoundTrip|Smoke
# How long each fuzz target runs in `make test-full`.
FUZZTIME ?= 10s
# How long `make soak-doors` kills.
DOORS ?= 2m
# What `make bench` measures, and how often.
BENCH      ?= .
BENCHCOUNT ?= 5

# $(call with,NEED,COMMAND) runs COMMAND if the machine has NEED; else one line has said what is missing, which is a failure
# where ONEFOLD_TEST_REQUIRE names it.
define with
status=0; deploy/test/need.sh $(1) || status=$$?; case $$status in 0) $(2) ;; 1) ;; *) exit $$status ;; esac
endef
on_kafka = KAFKA_LIB=$(KAFKA_LIB) $(KAFKA)/kafka.sh run build/kafka/$(1)

##@ Use
.PHONY: help
help: ## Say what there is to do
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: build
build: ## Build the program, bin/onefold; it takes its version from git
	go build -trimpath -o $(BIN) ./cmd/onefold

.PHONY: demo
demo: build ## Run everything in one process on made-up events: broker, store, pipeline, API
	$(BIN) demo

##@ Test
.PHONY: test
test: ## Lint, vet and every test, and a smoke test on a real Apache Kafka (12 minutes at most, two cores, empty caches)
	@$(MAKE) -j2 -Otarget lint vet
	@$(MAKE) unit smoke

.PHONY: test-full
test-full: ## Race detector, faults, kills, fuzzing, the whole of the Kafka tests on a real one (30 minutes at most)
	@$(MAKE) alerts pages race faults kafka fuzz

.PHONY: alerts
alerts: ## The Prometheus rules: each alert fires where it should, and not where it should not
	@$(call with,promtool,cd deploy/prometheus && promtool check config prometheus.yml && promtool test rules tests/*.yml)

.PHONY: pages
pages: ## The console in a real Chromium: wide and narrow, light and dark, by keys, judged by axe
	@$(call with,chromium,$(MAKE) $(AXE) && \
		ONEFOLD_TEST_AXE=$(CURDIR)/$(AXE) go test -count=1 -timeout 15m -run Chromium ./console/pages)

# SITE, NAME and CUSTOMER say where the demo runs, whom to look for there, and whose page to open.
.PHONY: screenshots
screenshots: $(AXE) ## Pictures of a running demo in build/screenshots: SITE=http://127.0.0.1:8080 NAME=... CUSTOMER=cus_...
	@mkdir -p build/screenshots
	ONEFOLD_TEST_AXE=$(CURDIR)/$(AXE) ONEFOLD_TEST_SHOTS=$(CURDIR)/build/screenshots ONEFOLD_TEST_SITE=$(SITE) ONEFOLD_TEST_NAME="$(NAME)" \
		ONEFOLD_TEST_CUSTOMER=$(CUSTOMER) go test -count=1 -timeout 15m -run ChromiumShootsASite ./console/pages

.PHONY: unit
unit: ## Every test once, in random order
	@deploy/test/need.sh kcat || [ $$? -eq 1 ]
	@deploy/test/need.sh python || [ $$? -eq 1 ]
	@deploy/test/need.sh promtool || [ $$? -eq 1 ]
	go test -shuffle=on -timeout 10m ./...

.PHONY: smoke
smoke: ## A few tests on a real Apache Kafka
	@$(call with,kafka,$(MAKE) $(KAFKA_LIB)/.done && \
		$(call on_kafka,smoke) go test -count=1 -timeout 5m -run '$(SMOKE)' $(ON_KAFKA))

.PHONY: race
race: ## The race detector on all but the program as a whole
	@$(call with,race,set -x; CGO_ENABLED=1 go test -race -short -shuffle=on -timeout 15m $(RACE))

.PHONY: faults
faults: ## The long tests: faults, kills, many messages
	ONEFOLD_TEST_FULL=1 go test -count=1 -shuffle=on -timeout 20m ./pipeline/... ./store/... ./cmd/...

.PHONY: soak-doors
soak-doors: ## Kill the plugin, the CRM and the service for DOORS under load, and edit 10,000 times: the CRM must hold what the master holds
	ONEFOLD_TEST_DOORS=$(DOORS) go test -count=1 -v -timeout 60m -run 'TestKilledDoors|TestNoPingPong' ./cmd/onefold

.PHONY: kafka
kafka: ## All tests that speak to a broker, on a real Apache Kafka
	@$(call with,kafka,$(MAKE) $(KAFKA_LIB)/.done && \
		ONEFOLD_TEST_FULL=1 $(call on_kafka,full) go test -count=1 -timeout 15m $(ON_KAFKA))

.PHONY: fuzz
fuzz: ## Each fuzz target for FUZZTIME
	@grep -rl --include='*_test.go' '^func Fuzz' . | while read -r file; do \
		sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$file" | while read -r target; do \
			echo "fuzz $$target in $$(dirname "$$file")"; \
			go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "$$(dirname "$$file")" </dev/null; \
		done; \
	done

.PHONY: bench
bench: ## Benchmarks: BENCH names them, BENCHCOUNT says how often
	go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(BENCHCOUNT) ./...

##@ Mend
.PHONY: lint
lint: $(LINT) ## Find what breaks the rules of .golangci.yml
	$(LINT) run ./...

.PHONY: vet
vet: ## Find what the compiler lets pass
	go vet ./...

.PHONY: fmt
fmt: $(LINT) ## Format the code
	$(LINT) fmt ./...

.PHONY: generate
generate: $(BUF) $(TEMPL) ## Make generated files anew: the messages of plugins/proto, in Go and for Python, and the console's pages
	$(TEMPL) fmt console/pages
	$(TEMPL) generate -include-version=false -path console/pages
	cd plugins/proto && $(CURDIR)/$(BUF) generate
	go test ./plugins/proto -run TestPythonStub -update

.PHONY: verify
verify: $(LINT) $(TEMPL) ## What must hold before a change goes in, without tests: format, vet, lint, go.mod, layout, generated pages
	deploy/test/generated.sh $(TEMPL)
	$(LINT) fmt --diff ./...
	go vet ./...
	$(LINT) run ./...
	go mod tidy -diff
	go mod verify
	go test -count=1 .

.PHONY: clean
clean: ## Remove what was built and fetched
	rm -rf bin build .tools

$(LINT):
	GOBIN=$(CURDIR)/$(@D) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)

$(BUF):
	GOBIN=$(CURDIR)/$(@D) go install github.com/bufbuild/buf/cmd/buf@$(BUF_VERSION)

$(TEMPL):
	GOBIN=$(CURDIR)/$(@D) go install github.com/a-h/templ/cmd/templ@$(TEMPL_VERSION)

$(AXE):
	mkdir -p .tools/axe-core-$(AXE_VERSION)
	cd .tools/axe-core-$(AXE_VERSION) && npm pack --silent axe-core@$(AXE_VERSION) >/dev/null && \
		echo "$(AXE_SUM)  axe-core-$(AXE_VERSION).tgz" | sha256sum --check --quiet && tar -xzf axe-core-$(AXE_VERSION).tgz

$(KAFKA_LIB)/.done: $(KAFKA)/pom.xml
	mvn -q -B -ntp -Dstyle.color=never -f $(KAFKA)/pom.xml dependency:copy-dependencies -DoutputDirectory=$(KAFKA_LIB)
	@touch $@
