# Read inside a configured Open vSwitch build tree: the library's objects without libtool.

include Makefile
SP_GENERATED = $(BUILT_SOURCES) $(nodist_lib_libopenvswitch_la_SOURCES) include/openvswitch/version.h \
	lib/meta-flow.inc lib/nx-match.inc lib/ofp-actions.inc1 lib/ofp-actions.inc2 lib/ofp-errors.inc lib/ofp-msgs.inc
SP_OBJECTS = $(sort $(patsubst %.lo,%.o,$(lib_libopenvswitch_la_OBJECTS)))
ifneq ($(SP_MEMBERS),)
SP_OBJECTS := $(filter $(addprefix %/,$(SP_MEMBERS)),$(SP_OBJECTS))
endif
sp-generated: $(SP_GENERATED)
libopenvswitch.a: $(SP_OBJECTS)
	rm -f $@ && ar crs $@ $(SP_OBJECTS)
