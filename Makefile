# Every target is a command of start/, which needs Python 3.10 to 3.14 with pip, and nothing else: `python3 start test`
# is the same as `make test`, and works where there is no make. Another interpreter: make test PYTHON=/path/to/python3.12
PYTHON ?= python3

.PHONY: compare test lint notebooks lessons site test-site bench clean

compare test lint notebooks lessons site test-site clean:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not here: install Python 3.10 to 3.14, or name one with PYTHON=..."; exit 2; }
	@$(PYTHON) start $@ $(ARGS)

# To see in minutes that it works: make bench BENCH="--quick --out build"
bench:
	@$(PYTHON) start $@ $(BENCH)
