# The Mininet topologies and the demo.

.PHONY: demo
demo: deps-demo all
	$(PYTHON) topology/demo.py $(ARGS)
