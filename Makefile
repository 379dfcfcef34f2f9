# make compare and make test do all the set-up: they need Python 3.10, 3.11 or 3.12 with pip, and nothing else.
# Another interpreter: make test PYTHON=/path/to/python3.12

SUPPORTED = import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))
PYTHON ?= $(shell for python in python3 python3.11 python3.12 python3.10 python; do \
	$$python -c '$(SUPPORTED)' 2>/dev/null && echo $$python && break; done)

# tox goes into a folder of its own: pip --target works where a system's Python refuses other installs, and where
# the venv module is missing. tox then makes its environments with the virtualenv that it brings along.
BOOTSTRAP = .bootstrap
TOX = PYTHONPATH=$(BOOTSTRAP) $(PYTHON) -m tox

# Few enough epochs to end within three minutes on two cores; the book trains for 500.
COMPARE = --epochs 100 --seed 1

.PHONY: compare test lint clean

compare: $(BOOTSTRAP)/tox
	@$(TOX) run -q -e parity --notest
	@.tox/parity/bin/d2lrnn compare $(COMPARE)

test: $(BOOTSTRAP)/tox
	@$(TOX) run -e lint,base,torch,mxnet,tensorflow,parity

lint: $(BOOTSTRAP)/tox
	@$(TOX) run -e lint

$(BOOTSTRAP)/tox:
	@test -n "$(PYTHON)" || { echo "d2lrnn needs Python 3.10, 3.11 or 3.12: install one, or name it with PYTHON=..."; exit 2; }
	@$(PYTHON) -m pip --version >/dev/null || { echo "$(PYTHON) has no pip: install it (Debian: apt install python3-pip)"; exit 2; }
	@rm -rf $(BOOTSTRAP)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --target $(BOOTSTRAP) tox -c constraints.txt

clean:
	rm -rf $(BOOTSTRAP) .tox build dist
