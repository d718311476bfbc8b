# The benchmarks: `make bench`, with ARGS.  The peer, OVN, is unpacked from Debian's packages, not installed: nothing of it starts by itself.

BENCH_TOOLS = $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/bench/*.c)) $(BUILD)/tests/bench/bridges
OVN_ROOT = $(BUILD)/ovn
OVN_READY = $(OVN_ROOT)/usr/bin/ovn-controller

$(OVN_READY):
	@echo '  OVN     $(OVN_ROOT)'
	@rm -rf $(OVN_ROOT) && mkdir -p $(OVN_ROOT)/deb
	$(Q)cd $(OVN_ROOT)/deb && apt-get download -q ovn-common ovn-central ovn-host >download.log 2>&1 || { cat download.log; exit 1; }
	$(Q)for p in $(OVN_ROOT)/deb/*.deb; do dpkg-deb -x $$p $(OVN_ROOT) || exit 1; done
	@touch $@

$(BUILD)/tests/bench/bridges: $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tests/bench/bridges/*.c))
	@mkdir -p $(@D)
	@echo '  LD      $@'
	$(Q)$(CC) $(CFLAGS) $(SP_LDFLAGS) -o $@ $^ -luv

.PHONY: bench bench-tools
bench-tools: deps-test all $(BENCH_TOOLS)
bench: bench-tools $(OVN_READY)
	PYTHONDONTWRITEBYTECODE=1 BUILD=$(BUILD) $(PYTHON) tests/bench/bench.py $(ARGS)
