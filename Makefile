# The commands of this repository: `make demo` to see it work, `make test` to check all of it.
# Everything is built in release, so that the demo and the tests share what is compiled.

SWIFT_BUILD = swift build --configuration release

.PHONY: help demo test bench bench-analytics format clean

help: ## Say what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1	\2/p' $(MAKEFILE_LIST) | expand -t 16

demo: ## Three nodes on this machine, a year of flights, jobs across them
	@scripts/install-dependencies
	$(SWIFT_BUILD) --product cacheismo
	@exec .build/release/cacheismo demo

test: ## Build and run every test
	@scripts/install-dependencies --test
	$(SWIFT_BUILD) --build-tests
	swift test --configuration release --skip-build

bench: ## Measure beside memcached and redis, where they are installed
	@scripts/install-dependencies
	$(SWIFT_BUILD) --product cacheismo
	@exec .build/release/cacheismo bench

bench-analytics: ## Measure queries beside DuckDB and ClickHouse (from PyPI, into .build-peers)
	@scripts/install-dependencies
	$(SWIFT_BUILD) --product cacheismo
	@test -x .build-peers/bin/python || python3 -m venv .build-peers
	@.build-peers/bin/python -m pip install --quiet --disable-pip-version-check duckdb chdb || true
	@.build-peers/bin/python Benchmarks/Analytics/run.py --all

format: ## Lay out the Swift sources as the house style says
	swift format format --in-place --parallel --recursive Sources Tests Package.swift

clean: ## Remove what was built and the test clients
	rm -rf .build .build-clients .build-peers
