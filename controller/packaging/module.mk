# Installation, and the Debian package.

prefix ?= /usr/local
sysconfdir ?= /etc
sbindir = $(prefix)/sbin
unitdir ?= $(prefix)/lib/systemd/system
PACKAGING = controller/packaging

.PHONY: install uninstall deb
install: all
	install -d $(DESTDIR)$(prefix)/share/man/man1 $(DESTDIR)$(prefix)/share/bash-completion/completions $(DESTDIR)$(unitdir)
	install -D -m 755 $(BUILD)/bin/sallyportd $(DESTDIR)$(sbindir)/sallyportd
	install -D -m 755 $(BUILD)/bin/sallyport $(DESTDIR)$(prefix)/bin/sallyport
	install -D -m 644 $(PACKAGING)/man/sallyportd.8 $(DESTDIR)$(prefix)/share/man/man8/sallyportd.8
	install -D -m 644 $(PACKAGING)/man/sallyport.conf.5 $(DESTDIR)$(prefix)/share/man/man5/sallyport.conf.5
	$(PYTHON) $(PACKAGING)/man/sallyport_1.py $(BUILD)/bin/sallyport >$(DESTDIR)$(prefix)/share/man/man1/sallyport.1
	$(BUILD)/bin/sallyport completion >$(DESTDIR)$(prefix)/share/bash-completion/completions/sallyport
	install -D -m 644 $(PACKAGING)/sysusers.conf $(DESTDIR)$(prefix)/lib/sysusers.d/sallyport.conf
	sed 's|@sbindir@|$(sbindir)|; s|@sysconfdir@|$(sysconfdir)|' $(PACKAGING)/sallyportd.service >$(DESTDIR)$(unitdir)/sallyportd.service
	test -e $(DESTDIR)$(sysconfdir)/sallyport/sallyport.conf || \
	    install -D -m 644 $(PACKAGING)/sallyport.conf $(DESTDIR)$(sysconfdir)/sallyport/sallyport.conf

# The configuration and the database stay.
uninstall:
	rm -f $(DESTDIR)$(sbindir)/sallyportd $(DESTDIR)$(prefix)/bin/sallyport $(DESTDIR)$(prefix)/share/man/man8/sallyportd.8 \
	    $(DESTDIR)$(prefix)/share/man/man5/sallyport.conf.5 $(DESTDIR)$(prefix)/share/man/man1/sallyport.1 \
	    $(DESTDIR)$(prefix)/share/bash-completion/completions/sallyport $(DESTDIR)$(prefix)/lib/sysusers.d/sallyport.conf \
	    $(DESTDIR)$(unitdir)/sallyportd.service

# Built in a copy of the tree, whose top has debian/.
DEB_TREE = $(BUILD)/deb/sallyport-$(VERSION)
DEB = $(BUILD)/deb/sallyport_$(VERSION)_$(shell dpkg --print-architecture 2>/dev/null).deb
deb: deps-deb $(OVS_READY)
	@rm -rf $(BUILD)/deb && mkdir -p $(DEB_TREE)
	@cp -r controller flows include tests topology Makefile README.md LICENSE $(DEB_TREE)/
	@cp -r $(PACKAGING)/debian $(DEB_TREE)/
	$(Q)cd $(DEB_TREE) && env -u BUILD -u MAKEFLAGS -u MAKELEVEL OVS_CACHE=$(OVS_CACHE) dpkg-buildpackage -b -us -uc >../build.log 2>&1 || \
	    { tail -40 ../build.log; exit 1; }
	@echo '  DEB     $(DEB)'
