# Fuzz targets: each .c file here is one but replay.c, the main() that they have without a fuzzer, and record.c, which makes seeds.

FUZZ_TARGETS = $(filter-out replay record,$(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/*.c)))
FUZZ_TESTS = $(FUZZ_TARGETS:%=$(BUILD)/tests/fuzz/%)
FUZZ_MAIN = $(BUILD)/obj/tests/fuzz/replay.o # Or libFuzzer's.
FUZZ_LIBS = $(TEST_SUPPORT) $(CONTROLLER_LIB) $(OPENFLOW_LIB) $(FLOWS_LIB)
FUZZ_RECORD = $(BUILD)/tests/fuzz/record

$(FUZZ_TESTS): $(BUILD)/tests/fuzz/%: $(BUILD)/obj/tests/fuzz/%.o $(filter %.o,$(FUZZ_MAIN)) $(FUZZ_LIBS)
	@mkdir -p $(@D)
	@echo '  LD      $@'
	$(Q)$(CC) $(CFLAGS) $(SP_LDFLAGS) -o $@ $< $(FUZZ_MAIN) $(TEST_SUPPORT) $(SP_LIBS) $(SP_SYSTEM_LIBS) -lcmocka

$(FUZZ_RECORD): $(BUILD)/obj/tests/fuzz/record.o $(FUZZ_LIBS)
	@mkdir -p $(@D)
	@echo '  LD      $@'
	$(Q)$(CC) $(CFLAGS) $(SP_LDFLAGS) -o $@ $< $(TEST_SUPPORT) $(SP_LIBS) $(SP_SYSTEM_LIBS) -lcmocka

# What the targets have met so far: seeds as files, those that the product's own code makes, and what once went wrong.
FUZZ_SEEDS = $(BUILD)/fuzz-seeds
$(FUZZ_SEEDS): $(FUZZ_RECORD)
	@rm -rf $@ && mkdir -p $@
	$(Q)$(FUZZ_RECORD) $@
.PHONY: check-fuzz-replay
check-fuzz-replay: deps-test $(FUZZ_TESTS) $(FUZZ_SEEDS)
	@set -e; for t in $(FUZZ_TARGETS); do echo "== fuzz target $$t"; \
	    $(BUILD)/tests/fuzz/$$t $$(find tests/fuzz/seeds/$$t tests/fuzz/regressions/$$t $(FUZZ_SEEDS)/$$t -type d 2>/dev/null); done

# With libFuzzer, and libopenvswitch built for it: only the objects that the codec needs; what a target needs besides comes out of
# the plain library.
FUZZ_OVS_CACHE = $(OVS_CACHE)-fuzz
FUZZ_CFLAGS = -O1 -gline-tables-only -fno-omit-frame-pointer
FUZZ_MEMBERS = ld -r -t -t -o $(BUILD)/members.o --whole-archive $(OPENFLOW_LIB) --no-whole-archive $(OVS_READY) | sed -n 's/.*libopenvswitch.a)//p' | tr '\n' ' '
.PHONY: deps-fuzz fuzz-programs fuzz check-fuzz fuzz-coverage
deps-fuzz: deps-test
	$(call packages,clang llvm libclang-rt-dev)
fuzz-programs: deps-fuzz $(OPENFLOW_LIB) $(OVS_READY) $(FUZZ_SEEDS)
	$(Q)$(MAKE) BUILD=$(BUILD)/fuzz CC=clang CFLAGS='$(FUZZ_CFLAGS)' FUZZ_MAIN=-fsanitize=fuzzer \
	    SANITIZE='-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -U_FORTIFY_SOURCE' \
	    OVS_SYSTEM= OVS_CACHE=$(FUZZ_OVS_CACHE) OVS_REST='$(OVS_LIBS)' OVS_MEMBERS="$$($(FUZZ_MEMBERS))" \
	    OVS_CFLAGS='$(FUZZ_CFLAGS) -pipe -fPIE -fsanitize=fuzzer-no-link,address' fuzz-tests
.PHONY: fuzz-tests
fuzz-tests: $(FUZZ_TESTS)
# ARGS: targets and --seconds, say.
FUZZ_RUN = PYTHONDONTWRITEBYTECODE=1 $(PYTHON) tests/fuzz/run.py --build $(BUILD)/fuzz --seeds $(FUZZ_SEEDS)
fuzz: fuzz-programs
	$(FUZZ_RUN) $(or $(ARGS),--seconds 600)
check-fuzz: fuzz-programs
	$(FUZZ_RUN) --seconds 60 --fresh

# Which lines of the parsers the seeds, the regressions, what fuzzing has added on this machine, and the unit tests reach.
COVERAGE_FLAGS = -fprofile-instr-generate -fcoverage-mapping
COVERAGE_BUILD = $(BUILD)/coverage
fuzz-coverage: deps-fuzz $(FUZZ_SEEDS)
	$(Q)$(MAKE) BUILD=$(COVERAGE_BUILD) CC=clang CFLAGS='-O0 -g' SANITIZE='$(COVERAGE_FLAGS) -U_FORTIFY_SOURCE' coverage-tests
	PYTHONDONTWRITEBYTECODE=1 $(PYTHON) tests/fuzz/coverage.py --build $(COVERAGE_BUILD) --inputs $(FUZZ_SEEDS) $(BUILD)/fuzz/corpus $(ARGS)
.PHONY: coverage-tests
coverage-tests: $(FUZZ_TESTS) $(UNIT_TESTS)
