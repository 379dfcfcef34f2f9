# Every target is a command of start/, which needs Python 3.10 to 3.14 with pip, and nothing else: `python3 start test`
# is the same as `make test`, and works where there is no make. Another interpreter: make test PYTHON=/path/to/python3.12
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.10 python3.14 python; do \
	command -v $$python && break; done)

.PHONY: compare test lint notebooks lessons site test-site bench clean

# To see in minutes that it works: make bench BENCH="--quick --out build"
bench: ARGS = $(BENCH)

compare test lint notebooks lessons site test-site bench clean:
	@test -n "$(PYTHON)" && command -v "$(PYTHON)" >/dev/null || { \
		echo "no Python is here$(PYTHON:%=, nor %): install Python 3.10 to 3.14 (Debian: apt install python3 python3-pip)," \
		"or name one with PYTHON=..."; exit 2; }
	@"$(PYTHON)" start $@ $(ARGS)
