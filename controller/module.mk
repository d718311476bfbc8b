# The daemon and the command line.

include controller/packaging/module.mk

CONTROLLER_SOURCES = $(filter-out controller/main.c,$(wildcard controller/*.c)) \
	$(foreach d,model io json store http api obs ovsdb unixctl,$(wildcard controller/$(d)/*.c))
# The console's files, in the binary.
CONSOLE_SOURCE = $(BUILD)/generated/controller/console/files.c
CONSOLE_OBJECT = $(BUILD)/obj/controller/console/files.o
CONTROLLER_LIB = $(BUILD)/lib/libsallyport-controller.a
CLI_SOURCES = $(wildcard controller/cli/*.c)

$(CONTROLLER_LIB): $(CONTROLLER_SOURCES:%.c=$(BUILD)/obj/%.o) $(CONSOLE_OBJECT)
$(BUILD)/obj/controller/api/openapi.o: controller/api/openapi.json # Which it has inside.

$(CONSOLE_SOURCE): controller/console/embed.py controller/console/static $(wildcard controller/console/static/*) | deps-build
	@mkdir -p $(@D)
	@echo '  EMBED   controller/console/static'
	$(Q)$(PYTHON) $< controller/console/static $@
$(CONSOLE_OBJECT): $(CONSOLE_SOURCE)
	@mkdir -p $(@D)
	@echo '  CC      $<'
	$(Q)$(CC) $(SP_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

SP_LIBS = -Wl,--start-group $(CONTROLLER_LIB) $(OPENFLOW_LIB) $(FLOWS_LIB) -Wl,--end-group
SP_SYSTEM_LIBS = $(OVS_LIBS) -luv -lyajl -lsqlite3 -lmicrohttpd -lssl -lcrypto -lpthread

$(BUILD)/bin/sallyportd: $(BUILD)/obj/controller/main.o $(CONTROLLER_LIB) $(OPENFLOW_LIB) $(FLOWS_LIB)
	@mkdir -p $(@D)
	@echo '  LD      $@'
	$(Q)$(CC) $(CFLAGS) $(SP_LDFLAGS) -o $@ $< $(SP_LIBS) $(SP_SYSTEM_LIBS)

$(BUILD)/bin/sallyport: $(CLI_SOURCES:%.c=$(BUILD)/obj/%.o) $(CONTROLLER_LIB) $(FLOWS_LIB)
	@mkdir -p $(@D)
	@echo '  LD      $@'
	$(Q)$(CC) $(CFLAGS) $(SP_LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(CONTROLLER_LIB) $(FLOWS_LIB) -Wl,--end-group -lyajl -lcurl
