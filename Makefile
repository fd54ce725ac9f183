# `make` alone lists the targets. Everything runs in .venv, which `make setup` fills from
# requirements.lock. A recipe is one bash script.

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

VENV := .venv
BIN  := $(VENV)/bin
UV   ?= uv
export PYTHON

# One process for each core; each takes up to 3 GB.
SPREAD ?= --numprocesses auto --maxprocesses 4 --dist loadscope --no-loadscope-reorder

.PHONY: help setup demo test test-unit coverage soak bench servers lint format lock clean

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## /  make \1\t/p' Makefile | expand -t 18
	echo
	echo '  make PYTHON=/path/to/python3.10 setup      the Python to make .venv with'
	echo "  make PYTEST_ARGS=\"-m 'not e2e'\" test       more arguments for pytest"

setup: ## make .venv and install the locked packages (a few minutes, once)

demo: setup ## run the MNIST example from data to pushed model
	@$(BIN)/paredown run configs/mnist/pipeline.yaml

test: lint servers ## lint, then run the tests
	@$(BIN)/python -m pytest $(SPREAD) $(PYTEST_ARGS)

COVERAGE := coverage==7.16.2
coverage: setup servers ## run the tests; show which lines they, and what they start, leave out
	@$(BIN)/python -c 'import coverage' 2>/dev/null || $(BIN)/python -m pip install -qq --no-deps $(COVERAGE)
	$(BIN)/coverage erase
	failed=0
	$(BIN)/coverage run -m pytest $(SPREAD) $(PYTEST_ARGS) || failed=$$?
	$(BIN)/coverage combine -q
	$(BIN)/coverage html -q
	$(BIN)/coverage report --skip-covered --sort=miss
	exit $$failed

test-unit: setup ## run the tests that need no TensorFlow (a minute)
	@$(BIN)/python -m pytest $(SPREAD) -m unit $(PYTEST_ARGS)

soak: setup ## run the tests that are long by nature: fuzzed input, killed runs (an hour)
	@$(BIN)/python -m pytest $(SPREAD) -m soak $(PYTEST_ARGS)

bench: setup ## measure against a plain TFMOT script, and by the number of examples (an hour; BENCH_ARGS=--quick: 12 min)
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

lint: setup ## style (ruff), types (mypy) and which room may import which (import-linter)
	@$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: setup ## let ruff fix what it can and format the code
	@$(BIN)/ruff check --fix . || true
	$(BIN)/ruff format .

lock: ## resolve requirements.in again, moving only what must (needs uv)
	@$(UV) pip compile -q --generate-hashes --python-version 3.10 \
	    --python-platform x86_64-manylinux_2_28 --custom-compile-command 'make lock' \
	    requirements.in -o requirements.lock

DOCKER ?= docker
.PHONY: image
image: ## build the container image of a cluster's tasks: make IMAGE=registry/name:tag image
	@if [ -z "$(IMAGE)" ]; then
	    echo 'Which image? Write e.g.  make IMAGE=registry.example.com/team/paredown:1.0 image' >&2
	    exit 2
	elif ! command -v $(DOCKER) >/dev/null; then
	    echo "There is no $(DOCKER) to build the image with. Install Docker, or name a program that builds as it" \
	        "does:  make DOCKER=podman IMAGE=$(IMAGE) image" >&2
	    exit 1
	elif ! why=$$($(DOCKER) info 2>&1 >/dev/null); then
	    echo "$(DOCKER) has no engine to build the image with: $${why##*$$'\n'}" >&2
	    echo "Start one, or build on a machine that has one:  $(DOCKER) build --tag $(IMAGE) ." >&2
	    exit 1
	fi
	$(DOCKER) build --tag $(IMAGE) $(if $(BASE),--build-arg BASE=$(BASE)) .
	echo "$(IMAGE) is built. For a cluster to pull it:  $(DOCKER) push $(IMAGE)"

clean: ## remove .venv, caches and build products; results of runs stay
	@rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ---------------------------------------------------------------------------------------------------
# Programs that tests run for real, as Debian packages. Where they cannot be installed their tests are
# skipped, and fail with CI=true.

servers:
	@missing=
	has() { PATH="$$PATH:/usr/sbin" command -v "$$1" >/dev/null; }
	has mariadbd || missing+=' mariadb-server'
	compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || has postgres || missing+=' postgresql'
	has chromium || missing+=' chromium'
	has readelf || missing+=' binutils'
	has g++ || missing+=' g++'
	if [ -z "$$missing" ]; then exit 0; fi
	by_hand="apt-get install --no-install-recommends$$missing"
	if ! has apt-get; then
	    echo "Tests that need$$missing are skipped: there is no apt-get to install them with." >&2
	    exit 0
	elif [ "$$(id -u)" = 0 ]; then
	    root=
	elif sudo -n true 2>/dev/null; then
	    root='sudo -n'
	else
	    echo "Tests that need$$missing are skipped. To have them run:  sudo $$by_hand" >&2
	    exit 0
	fi
	echo "Installing$$missing for the tests, with $${root:+sudo }apt-get; no service is started."
	log=$$(mktemp)
	trap 'rm -f "$$log"' EXIT
	# A package starts its server unless this file forbids it.
	install='policy=/usr/sbin/policy-rc.d
	    if [ ! -e $$policy ]; then
	        trap "rm -f $$policy" EXIT
	        printf "#!/bin/sh\nexit 101\n" >$$policy
	        chmod +x $$policy
	    fi
	    export DEBIAN_FRONTEND=noninteractive
	    apt="apt-get -qq -y -o Acquire::Retries=1 -o Acquire::http::Timeout=30 -o DPkg::Lock::Timeout=120"
	    $$apt update; $$apt install --no-install-recommends "$$@"'
	if ! $$root bash -c "$$install" install $$missing &>"$$log" </dev/null; then
	    tail -n 5 "$$log" >&2
	    echo "That failed; tests that need$$missing are skipped. By hand:  $${root:+sudo }$$by_hand" >&2
	fi

# ---------------------------------------------------------------------------------------------------
# The set-up. Two stamps, each written when its step is done, tell what .venv was made from: one for
# the lock file and this folder (a venv cannot be moved), one for setup.py. An interrupted set-up has
# left no stamp and is started again.

# pyfarmhash is C++ and has no wheel for Python 3.10. Where there is no compiler this one, which comes
# as a wheel, builds it and is thrown away.
ZIG := ziglang==0.13.0 \
    --hash=sha256:3ce0c9f16547e5d61b32e0d226926e9a2552ef4b91fccf7ab5ea1a623a77824b

setup:
	@lock_key=$$({ cat requirements.lock; pwd; } | sha256sum)
	setup_key=$$(cat setup.py pyproject.toml | sha256sum)
	stamped() { [ -x $(BIN)/python ] && [ -f $(VENV)/$$1 ] && [ "$$(<$(VENV)/$$1)" = "$$2" ]; }
	pip() { $(BIN)/python -m pip -qq --disable-pip-version-check --no-input "$$@"; }
	if stamped .stamp-lock "$$lock_key" && stamped .stamp-setup "$$setup_key"; then exit 0; fi

	if ! stamped .stamp-lock "$$lock_key"; then
	    # Every candidate is run: a pyenv shim may be there and exit 127.
	    python= rejected=
	    for candidate in "$$PYTHON" python3.10 python3 python \
	        "$${PYENV_ROOT:-}"/versions/3.10.*/bin/python3.10 \
	        "$${HOME:-}"/.pyenv/versions/3.10.*/bin/python3.10 \
	        "$${HOME:-}"/.local/share/uv/python/cpython-3.10*/bin/python3.10; do
	        if [ -z "$$candidate" ]; then
	            continue
	        elif ! "$$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 10))' &>/dev/null; then
	            [ "$$candidate" != "$$PYTHON" ] || echo "$$PYTHON does not run as Python 3.10; looking for another." >&2
	        elif ! why=$$("$$candidate" -c 'import ctypes, ensurepip, ssl, venv, zlib' 2>&1); then
	            rejected+="$$candidate cannot be used: $${why##*$$'\n'}"$$'\n'
	        else
	            python=$$candidate
	            break
	        fi
	    done
	    if [ -z "$$python" ]; then
	        printf '%s' "$$rejected" >&2
	        echo 'No usable Python 3.10 was found. TFX 1.16, which Paredown is built on, needs that version.' >&2
	        echo '  pyenv:  pyenv install 3.10' >&2
	        echo '  uv:     uv python install 3.10' >&2
	        echo '  apt:    apt-get install python3.10 python3.10-venv python3.10-dev   (where the release has' >&2
	        echo '          them: Ubuntu 22.04 does, Debian 12 does not; the -venv package holds ensurepip)' >&2
	        echo 'make looks at where these put it. Or name one:  make PYTHON=/path/to/python3.10 setup' >&2
	        exit 1
	    fi

	    "$$python" -c 'import sys; print("Using", sys.executable, "%d.%d.%d" % sys.version_info[:3])'
	    echo "Installing $$(grep -c '^[a-z0-9].*==' requirements.lock) packages into $(VENV): this takes about 5 minutes."
	    rm -rf $(VENV)
	    "$$python" -m venv $(VENV)
	    tmp=$$(mktemp -d)
	    trap 'rm -rf "$$tmp"' EXIT

	    # The build tools come first, so that the source packages are built with the locked ones.
	    awk '/^[^ #]/ {wanted = /^(pip|setuptools|wheel)==/} wanted' requirements.lock >"$$tmp/tools.txt"
	    pip install --no-deps --require-hashes -r "$$tmp/tools.txt"

	    include=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))')
	    if [ ! -f "$$include/Python.h" ]; then
	        echo "$$include/Python.h is missing, and pyfarmhash is built with it." \
	            "Install python3.10-dev (apt), or use a Python of pyenv." >&2
	        exit 1
	    fi
	    cxx=
	    for candidate in "$${CXX:-}" c++ g++ clang++; do
	        if $$candidate -shared -fPIC -I "$$include" -o "$$tmp/probe.so" -x c++ - &>/dev/null \
	            <<<$$'#include <Python.h>\n#include <iostream>'; then
	            cxx=$$candidate
	            break
	        fi
	    done
	    if [ -z "$$cxx" ]; then
	        echo "There is no C++ compiler: fetching one (80 MB) for this set-up only."
	        echo '$(ZIG)' >"$$tmp/zig.txt"
	        pip install --no-deps --require-hashes -r "$$tmp/zig.txt" --target "$$tmp/zig"
	        # Link as C: pyfarmhash needs nothing of the C++ library, and Zig would take minutes to build it.
	        cat >"$$tmp/c++" <<'END'
	#!/bin/sh
	case " $$* " in *" -shared "*) mode=cc ;; *) mode=c++ ;; esac
	tmp=$$(dirname "$$0")
	PYTHONPATH=$$tmp/zig ZIG_GLOBAL_CACHE_DIR=$$tmp/cache exec $(CURDIR)/$(BIN)/python -m ziglang $$mode "$$@"
	END
	        chmod +x "$$tmp/c++"
	        cxx=$$tmp/c++
	    fi

	    CXX=$$cxx pip install --no-deps --require-hashes --no-build-isolation -r requirements.lock
	    echo "$$lock_key" >$(VENV)/.stamp-lock
	fi

	pip install --no-deps --no-build-isolation -e .
	echo "$$setup_key" >$(VENV)/.stamp-setup
	echo "$(VENV) is ready."
