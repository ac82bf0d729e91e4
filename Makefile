# The commands of this repository: `make demo` to see it work, `make test` to check all of it.
# Everything is built in release, so that the demo and the tests share what is compiled.

SWIFT_BUILD = swift build --configuration release
SWIFT_SOURCES = Sources Tests Benchmarks Package.swift

.PHONY: help demo test install uninstall deb bench bench-cluster bench-analytics simulate fuzz tsan format lint clean

help: ## Say what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1	\2/p' $(MAKEFILE_LIST) | expand -t 24

demo: ## Three nodes on this machine, a year of flights, jobs across them
	@scripts/install-dependencies
	$(SWIFT_BUILD) --product cacheismo
	@exec .build/release/cacheismo demo

test: ## Build and run every test
	@scripts/install-dependencies --test
	$(SWIFT_BUILD) --build-tests
	swift test --configuration release --skip-build

PREFIX ?= /usr/local
# What is to be installed, where it was built before; unless given it is built here.
BINARY ?=

install: ## Install the program, its manual page and completions for bash, zsh and fish, PREFIX=/usr/local
	$(if $(BINARY),,@scripts/install-dependencies)
	$(if $(BINARY),,$(SWIFT_BUILD) --product cacheismo)
	@scripts/install-program install $(or $(BINARY),.build/release/cacheismo) "$(DESTDIR)$(PREFIX)"

uninstall: ## Remove what was installed, PREFIX=/usr/local
	@scripts/install-program uninstall "$(DESTDIR)$(PREFIX)"

deb: ## Build a Debian package with the Swift run-time library in it, and have lintian look at it
	$(if $(BINARY),,@scripts/install-dependencies)
	$(if $(BINARY),,$(SWIFT_BUILD) --static-swift-stdlib --scratch-path .build-deb --product cacheismo)
	@package=$$(scripts/build-deb $(or $(BINARY),.build-deb/release/cacheismo) "$(DEB_FOLDER)") && echo "made $$package" && \
		if command -v lintian >/dev/null; then lintian --fail-on error --allow-root "$$package"; \
		else echo "lintian is not installed: nobody has looked at the package"; fi

# Where the package is put.
DEB_FOLDER ?= .build-deb

bench: ## Measure beside memcached and redis, where they are installed
	@scripts/install-dependencies
	$(SWIFT_BUILD) --product cacheismo
	@exec .build/release/cacheismo bench

bench-cluster: ## Measure three nodes asked through one, beside one node and twemproxy, where it is installed
	@scripts/install-dependencies
	$(SWIFT_BUILD) --product cacheismo
	@exec .build/release/cacheismo bench --cluster

bench-analytics: ## Measure queries beside DuckDB and ClickHouse (from PyPI, into .build-peers)
	@scripts/install-dependencies
	$(SWIFT_BUILD) --product cacheismo
	@test -x .build-peers/bin/python || python3 -m venv .build-peers
	@.build-peers/bin/python -m pip install --quiet --disable-pip-version-check duckdb chdb || true
	@.build-peers/bin/python Benchmarks/Analytics/run.py --all

SEEDS ?= 20
EVENTS ?= 100000

simulate: ## Lives of simulated clusters, SEEDS=20 EVENTS=100000 FIRST=1; SEED=17 shows one
	@scripts/install-dependencies
	$(SWIFT_BUILD) --product Simulation
	@.build/release/Simulation SEEDS=$(SEEDS) EVENTS=$(EVENTS) $(if $(FIRST),FIRST=$(FIRST)) $(if $(SEED),SEED=$(SEED))

FUZZ_SECONDS ?= 60
# Without a main of its own from the sanitizer, and with the linker that takes what the fuzzer adds. No backtraces: they would
# wait for a debugger's answer.
FUZZ_BUILD = CACHEISMO_FUZZ=1 $(SWIFT_BUILD) --scratch-path .build-fuzz --product Fuzz -Xswiftc -parse-as-library \
	-Xswiftc -sanitize=fuzzer,address -Xcc -fsanitize=address -Xswiftc -use-ld=lld

fuzz: ## Fuzz session, store, readers, decoders, plans, scripts and peers, FUZZ_SECONDS=60 in all; what fails is in .build-fuzz/found
	@scripts/install-dependencies
	$(FUZZ_BUILD)
	@mkdir -p .build-fuzz/found
	@for target in session store text wire plans scripts peers; do \
		mkdir -p .build-fuzz/corpus-$$target; \
		echo "== $$target"; \
		SWIFT_BACKTRACE=enable=no ASAN_OPTIONS=detect_leaks=0 .build-fuzz/release/Fuzz $$target \
			-max_total_time=$$(( ($(FUZZ_SECONDS) + 6) / 7 )) -max_len=2000 -print_final_stats=1 -verbosity=0 \
			-artifact_prefix=.build-fuzz/found/$$target- .build-fuzz/corpus-$$target Tests/Fuzz/Corpus/$$target \
			< /dev/null || exit 1; \
	done

TSAN_SECONDS ?= 20

tsan: ## Hammer two nodes that were built with the thread sanitizer, TSAN_SECONDS=20
	@scripts/install-dependencies
	swift build --configuration debug --sanitize=thread --product cacheismo --scratch-path .build-tsan
	clang -shared -fPIC -O1 -Wall -Wextra -Werror -o .build-tsan/mutex.so Tests/Sanitizer/mutex.c
	python3 Tests/Clients/hammer.py .build-tsan/debug/cacheismo .build-tsan/mutex.so $(TSAN_SECONDS)

format: ## Lay out the Swift sources as the house style says
	swift format format --in-place --parallel --recursive $(SWIFT_SOURCES)

lint: ## Fail where they are not laid out so
	swift format lint --strict --parallel --recursive $(SWIFT_SOURCES)

clean: ## Remove what was built and the test clients
	rm -rf .build .build-clients .build-peers .build-tsan .build-deb
