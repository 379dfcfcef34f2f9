# Each target does all its set-up: they need Python 3.10, 3.11 or 3.12 with pip, and nothing else (make site: 3.11 or 3.12).
# Another interpreter: make test PYTHON=/path/to/python3.12

SUPPORTED = import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))
PYTHON ?= $(shell for python in python3 python3.11 python3.12 python3.10 python; do \
	$$python -c '$(SUPPORTED)' 2>/dev/null && echo $$python && break; done)

# tox goes into a folder of its own: pip --target works where a system's Python refuses other installs, and where
# the venv module is missing. tox then makes its environments with the virtualenv that it brings along.
BOOTSTRAP = .bootstrap
TOX = PYTHONPATH=$(BOOTSTRAP) $(PYTHON) -m tox

# The environment with all three frameworks
BIN = .tox/parity/bin
ALL = $(TOX) run -q -e parity --notest

# Few enough epochs to end within three minutes on two cores; the book trains for 500.
COMPARE = --epochs 100 --seed 1

.PHONY: compare test lint notebooks lessons site test-site bench clean

compare: $(BOOTSTRAP)/tox
	@$(ALL)
	@$(BIN)/d2lrnn compare $(COMPARE)

test: $(BOOTSTRAP)/tox
	@$(TOX) run-parallel --parallel auto -e lint,base,torch,mxnet,tensorflow,parity

lint: $(BOOTSTRAP)/tox
	@$(TOX) run -e lint

# Write the notebooks of the lessons, after a change to one
notebooks: $(BOOTSTRAP)/tox
	@$(ALL)
	@$(BIN)/python notebooks/generator write

# Execute all of them, and keep them with their outputs in build/lessons
lessons: $(BOOTSTRAP)/tox
	@$(ALL)
	@$(BIN)/python notebooks/generator execute

# The site, in build/site: executes what was not executed yet, and measures what its comparison page shows
site: $(BOOTSTRAP)/tox
	@$(ALL)
	@$(BIN)/python notebooks/generator execute --stale
	@$(MAKE) --no-print-directory build/compare.json
	@rm -rf build/site build/doctrees
	@$(BIN)/sphinx-build -W --keep-going -q -d build/doctrees -b html notebooks/site build/site
	@echo "the site: build/site/index.html"

build/compare.json: Makefile $(shell find d2lrnn -name '*.py')
	@mkdir -p build
	@$(BIN)/d2lrnn compare $(COMPARE) --json --png build/compare.png --html build/report.html > build/measured
	@mv build/measured build/compare.json

# The built site in a real browser
test-site: $(BOOTSTRAP)/tox
	@$(ALL)
	@$(BIN)/python -m pytest tests -m site

# Speed and memory, against the book's own package and against the machine's limit, into benchmarks/RESULTS.md. It takes
# half an hour of a machine that does nothing else. To see in minutes that it works: make bench BENCH="--quick --out build"
bench: $(BOOTSTRAP)/tox
	@$(ALL)
	@$(TOX) run -q -e book
	@$(BIN)/python benchmarks/bench.py --book-python .tox/book/bin/python $(BENCH)

$(BOOTSTRAP)/tox:
	@test -n "$(PYTHON)" || { echo "d2lrnn needs Python 3.10, 3.11 or 3.12: install one, or name it with PYTHON=..."; exit 2; }
	@$(PYTHON) -m pip --version >/dev/null || { echo "$(PYTHON) has no pip: install it (Debian: apt install python3-pip)"; exit 2; }
	@rm -rf $(BOOTSTRAP)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --target $(BOOTSTRAP) tox -c constraints.txt

clean:
	rm -rf $(BOOTSTRAP) .tox build dist
