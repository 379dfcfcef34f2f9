# Every target is a command of start/, which needs Python 3.10 to 3.14 with pip, and nothing else: `python3 start test`
# is the same as `make test`, and works where there is no make. Another interpreter: make test PYTHON=/path/to/python3.12
ifeq ($(strip $(PYTHON)),)
PYTHON := $(shell for python in python3 python3.13 python3.12 python3.11 python3.10 python3.14 python; do \
	command -v $$python && break; done)
endif

.PHONY: compare test lint notebooks lessons site test-site bench accuracy long-runs reproduce faults clean

# To see in minutes that it works: make bench BENCH="--quick --out build"
bench: ARGS = $(BENCH)
# Likewise: make reproduce REPRODUCE="--quick"
reproduce: ARGS = $(REPRODUCE)
# The short form, of minutes: make faults FAULTS=--quick
faults: ARGS = $(FAULTS)

compare test lint notebooks lessons site test-site bench accuracy long-runs reproduce faults clean:
	@test "$$("$(PYTHON)" -c 'print(3)' 2>/dev/null)" = 3 || { \
		echo "PYTHON=$(PYTHON) is no Python that can be run: install Python 3.10 to 3.14 (Debian: apt install python3" \
		"python3-pip), or name one: make test PYTHON=python3.12"; exit 2; }
	@"$(PYTHON)" start $@ $(ARGS)
