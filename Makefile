# `make` alone lists the targets. Everything runs in .venv, which `make setup` fills from a lock file of
# requirements/. A recipe is one bash script.

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

VENV := .venv
BIN  := $(VENV)/bin
UV   ?= uv
export PYTHON
export STACK

# One process for each core; each takes up to 3 GB.
SPREAD ?= --numprocesses auto --maxprocesses 4 --dist loadscope --no-loadscope-reorder

.PHONY: help setup demo test test-unit coverage soak bench servers web web-quietly lint format lock clean

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## /  make \1\t/p' Makefile | expand -t 18
	echo
	echo '  make PYTHON=/path/to/python3.13 setup      the Python to make .venv with'
	echo '  make STACK=py310 setup                     the lock file of requirements/ to install'
	echo "  make PYTEST_ARGS=\"-m 'not e2e'\" test       more arguments for pytest"

setup: ## make .venv and install the locked packages (a few minutes, once)

demo: setup ## run the MNIST example from data to pushed model
	@$(BIN)/paredown run configs/mnist/pipeline.yaml

# A test that hangs where Python cannot interrupt it ends its process, with the stacks of all threads, so that the run
# goes on and names the test. A process that ends is replaced, but not for ever.
HANGS := --timeout=600 -o faulthandler_timeout=700 -o faulthandler_exit_on_timeout=true --max-worker-restart=3

test: lint servers web-quietly ## lint, then run the tests
	@$(BIN)/python -m pytest $(SPREAD) $(HANGS) $(PYTEST_ARGS)

.PHONY: test-newest
test-newest: export PYTEST_ARGS := $(PYTEST_ARGS)
test-newest: ## set up, demo and tests on the newest stack in a new Debian 13 root (needs root and debootstrap; an hour)
	@tests/newest.sh

COVERAGE := coverage==7.16.2
coverage: setup servers web-quietly ## run the tests; show which lines they, and what they start, leave out
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

lock: ## resolve requirements/*.in again, moving only what must (needs uv)
	@$(UV) pip compile -q --generate-hashes --custom-compile-command 'make lock' --python-version 3.10 \
	    --python-platform x86_64-manylinux_2_28 requirements/py310.in -o requirements/py310.lock
	# For every Python of the stack; a package that only some need has a marker.
	$(UV) pip compile -q --generate-hashes --custom-compile-command 'make lock' --python-version 3.11 --universal \
	    --override requirements/py313-overrides.txt requirements/py313.in -o requirements/py313.lock
	$(UV) pip compile -q --generate-hashes --custom-compile-command 'make lock' --python-version 3.10 --universal \
	    $(TFJS)/requirements.in -o $(TFJS)/requirements.lock

LITERT_JS := components/common/tflite/litert_js
web: ## install LiteRT.js and what drives a browser, for target: web (needs Node 18, npm and Chromium)
	@has() { command -v "$$1" >/dev/null; }
	missing=
	has node || missing+=' nodejs'
	has npm || missing+=' npm'
	has chromium || has chromium-browser || has google-chrome || missing+=' chromium'
	if [ -n "$$missing" ]; then
	    echo "Install first:  apt-get install --no-install-recommends$$missing" >&2
	    exit 1
	fi
	npm ci --ignore-scripts --no-audit --no-fund --prefix $(LITERT_JS)

TFJS := components/common/tfjs
.PHONY: tfjs
tfjs: ## install the converter to TensorFlow.js in .tfjs, for push: {tfjs: …} (3 GB; needs Python 3.10 to 3.12, Node, npm)
	@for python in "$$PYTHON" python3.{10,11,12} "$${HOME:-}"/.pyenv/versions/3.1{0,1,2}.*/bin/python3; do
	    if "$$python" -c 'import sys, ensurepip; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' &>/dev/null; then
	        found=$$python
	        break
	    fi
	done
	if [ -z "$${found:-}" ]; then
	    echo 'There is no Python 3.10 to 3.12 to install with. Name one:  make PYTHON=/path/to/python3.11 tfjs' >&2
	    exit 1
	fi
	if ! command -v npm >/dev/null; then
	    echo 'Install first:  apt-get install --no-install-recommends nodejs npm' >&2
	    exit 1
	fi
	mkdir -p .tfjs
	"$$found" -m venv --clear .tfjs/venv
	$(UV) pip install --quiet --python .tfjs/venv/bin/python --no-deps --require-hashes -r $(TFJS)/requirements.lock \
	    2>/dev/null || .tfjs/venv/bin/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes \
	        -r $(TFJS)/requirements.lock
	cp $(TFJS)/package.json $(TFJS)/package-lock.json .tfjs/
	npm ci --ignore-scripts --no-audit --no-fund --prefix .tfjs

# For `make test`: tests that need it are skipped if it cannot be installed, and say how to.
web-quietly: servers
	@stamp=$(LITERT_JS)/node_modules/.package-lock.json
	if [ ! $$stamp -nt $(LITERT_JS)/package-lock.json ] && ! $(MAKE) -s web >/dev/null 2>&1; then
	    echo 'Tests in a browser are skipped. To have them run:  make web' >&2
	fi

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
	$(DOCKER) build --tag $(IMAGE) $(if $(STACK),--build-arg STACK=$(STACK)) $(if $(BASE),--build-arg BASE=$(BASE)) \
	    $(if $(WEB),--build-arg WEB=with-web) .
	echo "$(IMAGE) is built. For a cluster to pull it:  $(DOCKER) push $(IMAGE)"

clean: ## remove .venv, caches and build products; results of runs stay
	@rm -rf $(VENV) .tfjs build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ---------------------------------------------------------------------------------------------------
# Programs that tests run for real, as Debian packages. If they cannot be installed, their tests are
# skipped, and fail with CI=true.

servers:
	@missing=
	has() { PATH="$$PATH:/usr/sbin" command -v "$$1" >/dev/null; }
	has mariadbd || missing+=' mariadb-server'
	compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || has postgres || missing+=' postgresql'
	has chromium || missing+=' chromium'
	has node || missing+=' nodejs'
	has npm || missing+=' npm'
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
# The set-up. Stamps, each written when its step is done, say what .venv was made from: the stack; its lock
# file and this folder (a venv cannot be moved); setup.py. An interrupted set-up has left no stamp and is
# started again.

# pyfarmhash is C++ and has no wheel for these Pythons. If there is no compiler this one, which comes as a
# wheel, builds it and is thrown away.
ZIG := ziglang==0.13.0 \
    --hash=sha256:3ce0c9f16547e5d61b32e0d226926e9a2552ef4b91fccf7ab5ea1a623a77824b

setup:
	@lock_key() { { cat "requirements/$$1.lock"; pwd; } | sha256sum; }
	setup_key=$$(cat setup.py pyproject.toml | sha256sum)
	stamped() { [ -x $(BIN)/python ] && [ -f $(VENV)/$$1 ] && [ "$$(<$(VENV)/$$1)" = "$$2" ]; }
	installed() {
	    [ -f $(VENV)/.stamp-stack ] && stack=$$(<$(VENV)/.stamp-stack) && [ "$${STACK:-$$stack}" = "$$stack" ] \
	        && [ -f "requirements/$$stack.lock" ] && stamped .stamp-lock "$$(lock_key "$$stack")"
	}
	pip() { $(BIN)/python -m pip -qq --disable-pip-version-check --no-input "$$@"; }
	if installed && stamped .stamp-setup "$$setup_key"; then exit 0; fi

	if ! installed; then
	    # Any Python can choose. Every candidate is run: a pyenv shim may exist and exit with 127.
	    any=
	    for candidate in "$$PYTHON" python3 python python3.{13,12,11,10} \
	        "$${PYENV_ROOT:-}"/versions/3.*/bin/python3 "$${HOME:-}"/.pyenv/versions/3.*/bin/python3 \
	        "$${HOME:-}"/.local/share/uv/python/cpython-3.*/bin/python3; do
	        if [ -n "$$candidate" ] && "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 9))' &>/dev/null; then
	            any=$$candidate
	            break
	        fi
	    done
	    if [ -z "$$any" ]; then
	        { echo 'No Python was found.'; cat requirements/advice.txt; } >&2
	        exit 1
	    fi
	    chosen=$$("$$any" requirements/stack.py)
	    { read -r stack; read -r python; } <<<"$$chosen"

	    lock=requirements/$$stack.lock
	    echo "Installing $$(grep -c '^[a-z0-9].*==' "$$lock") packages into $(VENV): this takes a few minutes."
	    rm -rf $(VENV)
	    "$$python" -m venv $(VENV)
	    tmp=$$(mktemp -d)
	    trap 'rm -rf "$$tmp"' EXIT

	    # The build tools come first, so that the source packages are built with the locked ones.
	    awk '/^[^ #]/ {wanted = /^(pip|setuptools|wheel)==/} wanted' "$$lock" >"$$tmp/tools.txt"
	    pip install --no-deps --require-hashes -r "$$tmp/tools.txt"

	    include=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))')
	    if [ ! -f "$$include/Python.h" ]; then
	        echo "$$include/Python.h is missing, and pyfarmhash is built with it." \
	            "Install $$(basename "$$include")-dev (apt) or -devel (dnf), or use a Python of pyenv or uv." >&2
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

	    # uv is ten times as fast as pip. It has its own settings for indexes and certificates: if it fails, pip installs.
	    if $(UV) --version &>/dev/null && CXX=$$cxx $(UV) pip install --quiet --python $(BIN)/python --no-deps \
	        --require-hashes --no-build-isolation --compile-bytecode -r "$$lock" 2>"$$tmp/uv.log"; then
	        echo 'Installed with uv.'
	    else
	        if [ -s "$$tmp/uv.log" ]; then
	            echo "Installing with pip, because uv failed: $$(grep -m 1 . "$$tmp/uv.log")"
	        fi
	        # ai-edge-litert needs a backport that declares Python < 3.11 and works with later ones; uv ignores that, too.
	        CXX=$$cxx pip install --no-deps --require-hashes --no-build-isolation --ignore-requires-python -r "$$lock"
	    fi
	    echo "$$stack" >$(VENV)/.stamp-stack
	    lock_key "$$stack" >$(VENV)/.stamp-lock
	fi

	pip install --no-deps --no-build-isolation -e .
	echo "$$setup_key" >$(VENV)/.stamp-setup
	echo "$(VENV) is ready."
