# The pure core, and libopenvswitch, which only flows/openflow/ includes.

FLOWS_SOURCES = $(wildcard flows/*.c)
OPENFLOW_SOURCES = $(wildcard flows/openflow/*.c)
FLOWS_LIB = $(BUILD)/lib/libsallyport-flows.a
OPENFLOW_LIB = $(BUILD)/lib/libsallyport-openflow.a

$(FLOWS_LIB): $(FLOWS_SOURCES:%.c=$(BUILD)/obj/%.o)
$(OPENFLOW_LIB): $(OPENFLOW_SOURCES:%.c=$(BUILD)/obj/%.o)

# libopenvswitch: the system's where pkg-config knows it, else built once from Debian's openvswitch-source into a cache.
OVS_CACHE ?= $(CURDIR)/.cache/openvswitch
OVS_SYSTEM := $(shell pkg-config --exists libopenvswitch 2>/dev/null && echo yes)
OVS_REST ?= # Another build of it, for what this one lacks.
ifeq ($(OVS_SYSTEM),yes)
OVS_PREFIX = $(shell pkg-config --variable=prefix libopenvswitch)
OVS_LIBS = $(shell pkg-config --static --libs libopenvswitch)
OVS_READY =
else
OVS_PREFIX = $(OVS_CACHE)
OVS_LIBS = $(OVS_CACHE)/lib/libopenvswitch.a $(OVS_REST) -lm -lpthread
OVS_READY = $(OVS_CACHE)/lib/libopenvswitch.a
endif

OVS_TARBALL = /usr/src/openvswitch/openvswitch.tar.gz
OVS_JOBS ?= $(shell nproc)
OVS_CFLAGS ?= -O2 -g -pipe -ffunction-sections -fdata-sections -fPIE
OVS_MEMBERS ?= # Of the library: only these objects; none named, all.

# Without libtool (half of the time), without TLS (ours is not libopenvswitch's), with the two probes that would pull in
# other packages' libraries answered.
$(OVS_CACHE)/lib/libopenvswitch.a: | deps-build
	@echo '  OVS     libopenvswitch from $(OVS_TARBALL) (once, about a minute)'
	@test -f $(OVS_TARBALL) || { echo 'missing: $(OVS_TARBALL) (package openvswitch-source)'; exit 1; }
	@rm -rf $(OVS_CACHE)/src && mkdir -p $(OVS_CACHE)/src/b/lib/lldp $(OVS_CACHE)/include $(OVS_CACHE)/lib
	@tar xzf $(OVS_TARBALL) -C $(OVS_CACHE)/src
	$(Q)cd $(OVS_CACHE)/src/b && CONFIG_SHELL=/bin/dash dash ../openvswitch/configure -q --disable-ssl --disable-libcapng \
	    --disable-afxdp --disable-dependency-tracking PYTHON3=$(PYTHON) CFLAGS='-O2 -pipe' \
	    ac_cv_lib_unbound_ub_ctx_create=no >configure.log 2>&1 || { tail -20 configure.log; exit 1; }
	$(Q)cp flows/openflow/libopenvswitch.mk $(OVS_CACHE)/src/b/
	$(Q)cd $(OVS_CACHE)/src/b && { MAKEFLAGS= $(MAKE) -s -f libopenvswitch.mk -j$(OVS_JOBS) sp-generated && \
	    MAKEFLAGS= $(MAKE) -s -f libopenvswitch.mk -j$(OVS_JOBS) CFLAGS='$(OVS_CFLAGS)' SP_MEMBERS='$(OVS_MEMBERS)' \
	    libopenvswitch.a; } >build.log 2>&1 || { tail -20 build.log; exit 1; }
	@cp -r $(OVS_CACHE)/src/openvswitch/include/openvswitch $(OVS_CACHE)/src/openvswitch/include/openflow $(OVS_CACHE)/include/
	@cp $(OVS_CACHE)/src/b/include/openvswitch/*.h $(OVS_CACHE)/include/openvswitch/
	@mv $(OVS_CACHE)/src/b/libopenvswitch.a $@ && rm -rf $(OVS_CACHE)/src
