# Two commands do all set-up on a fresh machine:
#   make demo   learn and recognise parts that the project draws itself
#   make test   every check that CI runs
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Other Pythons that the project supports, tried where they are at hand. A name on the path
# may be a version manager's that does not run, so each is asked.
OTHERS := $(foreach v,3.10 3.13,$(firstword $(foreach p,python$(v) \
          $(wildcard $(HOME)/.pyenv/versions/$(v).*/bin/python$(v)),\
          $(if $(shell $(p) -c 'print(1)' 2>/dev/null),$(p)))))
ARM64 ?= .arm64
# Tests of what a processor might compute otherwise.
NUMBERS := tests/test_pebble.py tests/test_store_exactness.py tests/test_features.py \
           tests/test_heads.py tests/test_similarity.py tests/test_runtimes.py \
           tests/test_litert_legacy.py
PIP_OPTIONS := --quiet --disable-pip-version-check

.PHONY: demo test check test-others test-arm64 wheels-arm64 test-accelerators \
        benchmarks clean
.DELETE_ON_ERROR:

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install $(PIP_OPTIONS) -e '.[litert]'
	touch $@

$(VENV)/installed-dev: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install $(PIP_OPTIONS) -e '.[dev]'
	touch $@ $(VENV)/installed

demo: $(VENV)/installed
	$(BIN)/edgeinc demo

check: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: check
	$(BIN)/pytest -q
	$(MAKE) --no-print-directory test-others

test-others:
	@for python in $(OTHERS); do \
	  name=$(VENV)-$$(basename $$python); \
	  echo "== $$python"; \
	  { [ $$name/installed-dev -nt pyproject.toml ] || { $$python -m venv $$name && \
	    $$name/bin/pip install $(PIP_OPTIONS) -e '.[dev]' && touch $$name/installed-dev; }; } && \
	  $$name/bin/pytest -q || exit 1; \
	done

# Under emulation, as on a Raspberry Pi: Debian bookworm's own Python and numpy. As root, with the
# Debian packages debootstrap and qemu-user-static; an hour or more.
test-arm64:
	[ -e $(ARM64)/built ] || PYTHON=$(PYTHON) tests/arm64/build $(ARM64)
	QEMU_CPU=cortex-a72 tests/arm64/run $(ARM64) python3 -m pytest -q
	QEMU_CPU=cortex-a76 tests/arm64/run $(ARM64) python3 -m pytest -q $(NUMBERS)
	SITE=legacy tests/arm64/run $(ARM64) python3 -m pytest -q $(NUMBERS)

# What a plain install takes there, for each Python that is here.
wheels-arm64:
	@for python in $(PYTHON) $(OTHERS); do $$python tests/arm64/wheels.py || exit 1; done

# Providers whose packages are large, and Arm's compiler, each in an environment of its own.
# OpenVINO's holds an ONNX Runtime, in the place of the one that the project asks for; hence the
# names one by one.
test-accelerators:
	[ -e $(VENV)-qnn/installed ] || { $(PYTHON) -m venv $(VENV)-qnn && \
	  $(VENV)-qnn/bin/pip install $(PIP_OPTIONS) -e '.[dev]' onnxruntime-qnn && \
	  touch $(VENV)-qnn/installed; }
	$(VENV)-qnn/bin/pytest -q tests/test_accelerators.py tests/test_devices.py
	[ -e $(VENV)-openvino/installed ] || { $(PYTHON) -m venv $(VENV)-openvino && \
	  $(VENV)-openvino/bin/pip install $(PIP_OPTIONS) numpy onnxruntime-openvino onnx PyYAML \
	    opencv-python-headless click pytest && \
	  $(VENV)-openvino/bin/pip install $(PIP_OPTIONS) --no-deps -e . && \
	  touch $(VENV)-openvino/installed; }
	$(VENV)-openvino/bin/pytest -q tests/test_accelerators.py
	[ -e $(VENV)-vela/installed ] || { $(PYTHON) -m venv $(VENV)-vela && \
	  $(VENV)-vela/bin/pip install $(PIP_OPTIONS) ethos-u-vela pytest && \
	  touch $(VENV)-vela/installed; }
	$(VENV)-vela/bin/python -m pytest -q tests/test_vela.py

benchmarks: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) $(VENV)-* build dist demo-output .*_cache
