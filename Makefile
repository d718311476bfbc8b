# Sallyport.  `make help` lists the targets; each folder's sources are found by its module.mk.

BUILD ?= build
CC ?= gcc
PYTHON = /usr/bin/python3
Q = @

CFLAGS ?= -O2 -g
SANITIZE ?=
SP_CFLAGS = -std=gnu11 -Wall -Wextra -Wshadow -Werror -Wno-unused-parameter -Wmissing-prototypes -Wstrict-prototypes \
	-Wpointer-arith -Wwrite-strings -fno-strict-aliasing -fno-common -ffunction-sections -fdata-sections \
	-fPIE -fstack-protector-strong -D_GNU_SOURCE -D_FORTIFY_SOURCE=2 -DSP_VERSION='"$(VERSION)"' \
	-I. -Iinclude -isystem $(OVS_PREFIX)/include $(SANITIZE)
SP_LDFLAGS = -pie -Wl,-z,relro,-z,now -Wl,--gc-sections $(SANITIZE)
VERSION = 0.1.0

.DEFAULT_GOAL = all
.DELETE_ON_ERROR:
.SECONDARY: # Keeps objects of test programs for the next build.

# Sources, libraries and packages are named by the folders.
include flows/module.mk
include controller/module.mk
include tests/module.mk
include tests/fuzz/module.mk
include tests/bench/module.mk
include topology/module.mk

.PHONY: all help clean distclean deps-build deps-test deps-demo deps-deb install-deps
all: deps-build $(BUILD)/bin/sallyportd $(BUILD)/bin/sallyport

help:
	@echo 'make               build/bin/sallyportd and build/bin/sallyport'
	@echo 'make check         every test (as root: real Open vSwitch, packets in namespaces)'
	@echo 'make check-unit    unit tests      make check-property  property tests'
	@echo 'make check-api     the HTTP API    make check-system    real Open vSwitch'
	@echo 'make check-truth, make check-truth-live  longer proofs with real packets'
	@echo 'make check-style   layers, sizes, names'
	@echo 'make check-lint    cppcheck, clang-tidy, scan-build'
	@echo 'make check-metrics promtool on /metrics and the alert rules'
	@echo 'make check-console the web console in Chromium; screenshots in build/screenshots'
	@echo 'make check-formal  flows against random policies, proved for all packets'
	@echo 'make check-fault   disk, memory, log and network fail; make check-fault-long, make soak for hours'
	@echo 'make check-mutants seeded bugs: which test kills which'
	@echo 'make check-asan    unit and property tests under ASan and UBSan'
	@echo 'make check-tsan    unit tests and a daemon at work under TSan'
	@echo 'make check-abuse   hostile clients and switches beside good ones, which are timed'
	@echo 'make check-fuzz    each fuzz target for a minute; make fuzz ARGS="session --seconds 3600"; make fuzz-coverage'
	@echo 'make bench         speed and scale beside the switch itself, ovs-ofctl and OVN; ARGS="changes --ports 100"'
	@echo 'make install       DESTDIR=, prefix=/usr/local; make uninstall; make deb builds a Debian package'
	@echo 'make demo          the story of the README on a Mininet net; ARGS=--stay keeps it up'
	@echo 'make clean         removes build/; make distclean also the libopenvswitch cache'

# Packages.  $(call packages,NAMES): as root, installs what is missing; else says what is missing in one line and fails.
define packages
	@missing=; for p in $(1); do \
	    dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ] && command -v dpkg-query >/dev/null; then \
	    if [ "$$(id -u)" = 0 ]; then \
		echo "installing:$$missing"; \
		{ apt-get update -q && DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -q --no-install-recommends $$missing; } \
		    >/tmp/sallyport-apt.$$$$ 2>&1 || { cat /tmp/sallyport-apt.$$$$; rm -f /tmp/sallyport-apt.$$$$; exit 1; }; \
		rm -f /tmp/sallyport-apt.$$$$; \
	    else echo "missing packages:$$missing (run as root, or: apt-get install$$missing)"; exit 1; fi; fi
endef

BUILD_PACKAGES = gcc make libc6-dev pkg-config python3 openvswitch-source libuv1-dev libyajl-dev libsqlite3-dev libmicrohttpd-dev \
	libssl-dev libcurl4-openssl-dev
TEST_PACKAGES = libcmocka-dev openvswitch-switch python3-pytest python3-scapy python3-jsonschema iproute2 ethtool tcpdump iputils-ping \
	procps sqlite3 curl jq universal-ctags openssl python3-z3 systemd groff man-db util-linux
DEB_PACKAGES = debhelper dpkg-dev lintian
DEMO_PACKAGES = openvswitch-switch mininet iproute2 ethtool iputils-ping procps python3

# What the goals will need is named, or installed, all at once.
GOAL_PACKAGES = $(if $(filter check check-%,$(MAKECMDGOALS)),$(TEST_PACKAGES) $(DEMO_PACKAGES)) $(if $(filter demo,$(MAKECMDGOALS)),$(DEMO_PACKAGES))

deps-build:
	$(call packages,$(sort $(BUILD_PACKAGES) $(GOAL_PACKAGES)))
deps-test: deps-build
	$(call packages,$(sort $(TEST_PACKAGES) $(DEMO_PACKAGES)))
deps-demo: deps-build
	$(call packages,$(DEMO_PACKAGES))
deps-deb: deps-build
	$(call packages,$(DEB_PACKAGES))
install-deps: deps-test deps-demo

# Objects.
$(BUILD)/obj/%.o: %.c $(OVS_READY) | deps-build
	@mkdir -p $(@D)
	@echo '  CC      $<'
	$(Q)$(CC) $(SP_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

.PHONY: objects
objects: $(CONTROLLER_LIB) $(OPENFLOW_LIB) $(FLOWS_LIB) # Every library: what compiles, before what links.

$(BUILD)/lib/%.a:
	@mkdir -p $(@D)
	@echo '  AR      $@'
	$(Q)rm -f $@ && ar crs $@ $^

clean:
	rm -rf $(BUILD)
distclean: clean
	rm -rf .cache

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
