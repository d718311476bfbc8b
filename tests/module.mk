# Tests.  Each .c file of unit/ and property/ is one cmocka program; api/ and system/ are pytest folders.

UNIT_TESTS = $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/*.c))
PROPERTY_TESTS = $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/property/*.c))
# Shared by test programs: tests/support/*.c, but for the HTTP server, as there are programs that are one themselves.
HTTP_SITE = $(BUILD)/obj/tests/support/http_site.o
TEST_SUPPORT = $(filter-out $(HTTP_SITE),$(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tests/support/*.c)))
$(patsubst %,$(BUILD)/tests/unit/%,http http_connection http_stream): $(HTTP_SITE)

$(BUILD)/tests/%: $(BUILD)/obj/tests/%.o $(TEST_SUPPORT) $(CONTROLLER_LIB) $(OPENFLOW_LIB) $(FLOWS_LIB)
	@mkdir -p $(@D)
	@echo '  LD      $@'
	$(Q)$(CC) $(CFLAGS) $(SP_LDFLAGS) -o $@ $(filter %.o,$^) $(SP_LIBS) $(SP_SYSTEM_LIBS) -lcmocka

$(BUILD)/obj/tests/%.o: | deps-test

# The console in a real browser; ARGS are node's: ARGS='--test-name-pattern=preset'.  The packages for it come only with this target.
CONSOLE_MODULES = tests/console/node_modules/.installed
$(CONSOLE_MODULES): tests/console/package-lock.json
	@command -v npm >/dev/null || $(MAKE) deps-node
	cd tests/console && npm ci --no-audit --no-fund
	@touch $@
.PHONY: deps-node deps-console
deps-node: # Unless there is a node of another origin.
	$(call packages,nodejs npm)
deps-console:
	$(call packages,chromium)
check-console: deps-test deps-console all $(CONSOLE_MODULES)
	PYTHONDONTWRITEBYTECODE=1 $(PYTHON) tests/console/run.py $(ARGS)

.PHONY: check-console check check-unit check-property check-style check-api check-system check-truth check-truth-short check-truth-live check-asan check-clang check-fault check-fault-long soak
check: check-style check-mutants-apply check-unit check-property check-api check-system check-truth-short check-formal-short check-fault
	@echo 'make check: all suites passed'

check-unit: deps-test $(UNIT_TESTS) check-fuzz-replay
	@set -e; for t in $(UNIT_TESTS); do echo "== $$t"; $$t; done
check-property: deps-test $(PROPERTY_TESTS)
	@set -e; for t in $(PROPERTY_TESTS); do echo "== $$t"; $$t; done
check-style: deps-test objects
	OVS_PREFIX=$(OVS_PREFIX) $(PYTHON) tests/check/check.py
# Reads the code for mistakes: cppcheck, clang-tidy (.clang-tidy) and scan-build.  ARGS='clang-tidy' takes one of them.
.PHONY: check-lint check-tsan check-tsan-daemon
check-lint: deps-build $(OVS_READY)
	$(call packages,cppcheck clang clang-tidy clang-tools)
	OVS_PREFIX=$(OVS_PREFIX) PYTHONDONTWRITEBYTECODE=1 $(PYTHON) tests/check/lint.py $(ARGS)
PYTEST = PYTHONDONTWRITEBYTECODE=1 $(PYTHON) -m pytest -q -p no:cacheprovider
check-api: deps-test all
	$(PYTEST) tests/api
# Programs that drive a part of the product without the daemon.
SYSTEM_TOOLS = $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/system/*.c))
check-system: deps-test all $(SYSTEM_TOOLS)
	$(PYTEST) tests/system

# A failing disk, want of memory, a bad network.  The short run is a part of `make check`.
FAULT_SHIMS = $(patsubst tests/%.c,$(BUILD)/tests/%.so,$(wildcard tests/fault/*.c))
$(BUILD)/tests/fault/%.so: tests/fault/%.c
	@mkdir -p $(@D)
	@echo '  LD      $@'
	$(Q)$(CC) $(filter-out -fPIE,$(SP_CFLAGS)) -fPIC $(CFLAGS) -shared -o $@ $<
check-fault: deps-test all $(FAULT_SHIMS)
	$(PYTEST) tests/fault
check-fault-long: deps-test all $(FAULT_SHIMS)
	SALLYPORT_LONG=1 $(PYTEST) -s tests/fault
# An hour of everything, and what the daemon takes meanwhile.  ARGS='--seconds 600 --seed 7'.
soak: deps-test all
	PYTHONDONTWRITEBYTECODE=1 $(PYTHON) tests/fault/soak.py $(ARGS)

# Abuse of every kind, while others' requests and echoes are timed: some six minutes.  ARGS='idle_connections --seconds 60' takes some.
.PHONY: check-abuse
check-abuse: deps-test all
	PYTHONDONTWRITEBYTECODE=1 BUILD=$(BUILD) $(PYTHON) tests/abuse/run.py $(ARGS)

# What passes is what the rules say.  The short run is a part of `make check`; tests/README.md tells of the long ones.
check-truth-short: deps-test all
	$(PYTEST) tests/truth
# What goes on while something is revoked, restarted, deleted, plugged in: the long runs, some 45 minutes.
check-truth-live: deps-test all
	SALLYPORT_LONG=1 $(PYTEST) -s tests/truth/test_closed.py tests/truth/test_next_owner.py tests/truth/test_coming_and_going.py
	PYTHONDONTWRITEBYTECODE=1 $(PYTHON) tests/truth/run_live.py revocation $(ARGS)
	PYTHONDONTWRITEBYTECODE=1 $(PYTHON) tests/truth/run_live.py restarts --flows 10000
	PYTHONDONTWRITEBYTECODE=1 $(PYTHON) tests/truth/run_live.py restarts --flows 100000
check-truth: check-truth-short
	PYTHONDONTWRITEBYTECODE=1 $(PYTHON) tests/truth/run.py $(or $(ARGS),--policies 200)
	PYTHONDONTWRITEBYTECODE=1 $(PYTHON) tests/truth/run_edits.py $(or $(EDITS),--edits 1000)
	PYTHONDONTWRITEBYTECODE=1 $(PYTHON) tests/truth/run_replacements.py $(or $(REPLACEMENTS),--lists 100)
	SALLYPORT_PATIENT=1 SALLYPORT_DRIFTS=5 SALLYPORT_EVASIONS=20000 $(PYTEST) -rP \
	    tests/truth/test_refusals.py tests/truth/test_drift.py tests/truth/test_evasions_random.py

.PHONY: check-formal check-formal-short check-mutants check-mutants-apply
# The flows of the switch and the policy, proved equal for all packets.  ARGS='--seed 7 --policies 50' makes the long run another.
check-formal-short: deps-test all
	$(PYTEST) tests/formal
check-formal: check-formal-short
	PYTHONDONTWRITEBYTECODE=1 $(PYTHON) tests/formal/run.py $(or $(ARGS),--policies 200)

# Seeded bugs.  The short check is that each still applies; the long run takes hours.  ARGS='NAME...' takes some of them.
check-mutants-apply:
	@PYTHONDONTWRITEBYTECODE=1 $(PYTHON) tests/mutants/run.py --check
check-mutants: deps-test all $(UNIT_TESTS) $(PROPERTY_TESTS) $(SYSTEM_TOOLS)
	OVS_CACHE=$(OVS_CACHE) PYTHONDONTWRITEBYTECODE=1 $(PYTHON) tests/mutants/run.py --report $(BUILD)/mutants.md $(ARGS)

# Prometheus's tool is taken out of its package without installing that, which would start a server.
PROMTOOL = $(CURDIR)/.cache/promtool
$(PROMTOOL):
	@mkdir -p $(@D)/prometheus
	@cd $(@D)/prometheus && { apt-get update -q && apt-get download -q prometheus; } >apt.log 2>&1 || { cat apt.log; exit 1; }
	@cd $(@D)/prometheus && dpkg-deb -x prometheus_*.deb . && mv usr/bin/promtool $@ && rm -rf $(@D)/prometheus
.PHONY: check-metrics
check-metrics: deps-test all $(PROMTOOL)
	PROMTOOL=$(PROMTOOL) $(PYTEST) tests/api/test_watching.py

# Everything compiles and links with clang too, the tests included.
.PHONY: test-programs
test-programs: deps-test $(UNIT_TESTS) $(PROPERTY_TESTS) $(SYSTEM_TOOLS)
check-clang:
	$(call packages,clang)
	$(MAKE) BUILD=$(BUILD)/clang CC=clang all test-programs

# The Debian package, on a copy of this machine that is gone afterwards.
.PHONY: check-package
check-package: deps-test deb
	$(PYTEST) tests/package

# There is one thread beside the loop's, the store's writer: unit tests, and a daemon at work, under ThreadSanitizer.  `setarch -R`:
# gcc 12's does not know where newer kernels put things.
TSAN = TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1 setarch -R $(MAKE) BUILD=$(BUILD)/tsan CFLAGS='-O2 -g' \
	SANITIZE='-fsanitize=thread -U_FORTIFY_SOURCE'
check-tsan: deps-test
	$(TSAN) check-unit
	$(TSAN) check-tsan-daemon
check-tsan-daemon: all
	SALLYPORTD=$(CURDIR)/$(BUILD)/bin/sallyportd BUILD=$(BUILD) $(PYTEST) tests/fault/test_network.py \
	    tests/api/test_durability.py tests/api/test_changes.py

check-asan:
	$(MAKE) BUILD=$(BUILD)/asan CFLAGS='-O1 -g -fno-omit-frame-pointer' SANITIZE='-fsanitize=address,undefined -fno-sanitize-recover=all -U_FORTIFY_SOURCE' \
	    check-unit check-property
