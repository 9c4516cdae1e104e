# Everything a clone needs. Each target sets up .venv first; a second run rebuilds only what changed.
#   make demo            a simulated arm looks at an object, the node answers its shape
#   make sample-bag      a recording of the simulated arm, build/sample.mcap
#   make test            lint, types, tests; TEST_PROCESSES=4 for as many at once, 0 for one without others (2)
#   make bench-kernels   the kernels' table of times
#   make asan            the kernels' tests under the address and undefined-behaviour sanitizers
#   make fuzz-kernels    random calls of the kernels under the same sanitizers, ten minutes (FUZZ_SECONDS)
#   make fuzz-files      damaged files through every reader, an hour (FUZZ_SECONDS)
#   make audit           known vulnerabilities of what is installed, bandit, a bill of materials (build/sbom.json)
#   make neon            the kernels' tests on aarch64, emulated
#   make fuzz-node       requests and streams of random content to the node, N=1000 of each
#   make soak N=100      N reconstructions in a row: memory, descriptors, threads, seconds, build/soak.png
#   make faults          what is done to a running node, what must happen and what did
#   make docs            the documentation and the API reference as a site, build/site/index.html
#   make setup           only the set-up
# PYTHON=python3.12 picks the interpreter (3.10 to 3.14); without it the first one that fits is taken.
# ROS=jazzy takes Jazzy's wheels instead of Kilted's, in an environment beside the other, .venv-jazzy.
# CMAKE_BUILD_PARALLEL_LEVEL=2 bounds the compilers that run at once; without it cores and memory do (tools/jobs.sh).

SHELL := /bin/sh
# Neither make nor rosidl's CMake files can work below any other path, which would show only after the downloads.
ifneq ($(shell pwd | LC_ALL=C grep '[^A-Za-z0-9/._+,@=~-]'),)
$(error make and ROS 2's build tools cannot work below $(CURDIR): move the clone to a path of plain letters without spaces)
endif
ROS ?= kilted
ifeq ($(wildcard requirements-ros-$(ROS).txt),)
$(error ROS=$(ROS): choose $(patsubst requirements-ros-%.txt,%,$(wildcard requirements-ros-*.txt)))
endif
export CMAKE_BUILD_PARALLEL_LEVEL ?= $(shell tools/jobs.sh)
VENV := .venv$(if $(filter kilted,$(ROS)),,-$(ROS))
STAMPS := $(VENV)/stamps
TEST_PROCESSES ?= 2
BUILD := build/venv$(if $(filter kilted,$(ROS)),,-$(ROS))
RUN := . $(VENV)/bin/activate &&
INTERFACES := $(wildcard msg/*.msg srv/*.srv action/*.action) CMakeLists.txt package.xml mvgamba_ros/__init__.py \
	$(wildcard tools/tf2_msgs/*.* tools/tf2_msgs/msg/*.msg) tools/build_interfaces.sh
KERNELS := $(shell find mvgamba_ros/kernels/native -type f 2>/dev/null)

# The wheels' start-up hook marks a process tree as bootstrapped; a mark inherited from another environment misleads it.
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE

.PHONY: setup test lint demo sample-bag docs bench-kernels sanitized asan fuzz-kernels fuzz-files fuzz-node soak faults audit neon clean

setup: $(STAMPS)/package $(STAMPS)/interfaces

test: lint
	$(RUN) python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

lint: setup
	$(RUN) ruff format --check . && ruff check . && mypy

demo: setup
	$(RUN) python -m mvgamba_ros.ros.demo $(DEMO_ARGS)

sample-bag: setup
	rm -f build/sample.mcap
	$(RUN) python -m mvgamba_ros.ros.demo.record_drive --output build/sample.mcap $(SAMPLE_ARGS)

# To search in it, serve it: python -m http.server -d build/site
docs: setup
	$(RUN) NO_MKDOCS_2_WARNING=1 mkdocs build --quiet
	@echo build/site/index.html

bench-kernels: setup
	$(RUN) python -m benchmarks.kernels $(BENCH_ARGS)

fuzz-node: setup
	$(RUN) MVGAMBA_FUZZ=$(or $(N),1000) python -m pytest test/test_ros_fuzz.py

soak: setup
	$(RUN) python -m benchmarks.soak --count $(or $(N),100)

faults: setup
	$(RUN) python -m benchmarks.faults $(FAULTS_ARGS)

sanitized: setup
	cmake -S mvgamba_ros/kernels/native -B build/kernels > build/asan.log
	cmake --build build/kernels --target mvgamba_kernels_asan >> build/asan.log

# Python is not built with the sanitizers, so they are preloaded; its own leaks are not ours.
SANITIZERS = LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libstdc++.so)" \
	ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
	MVGAMBA_KERNELS=$(CURDIR)/build/kernels/asan

asan: sanitized
	$(RUN) $(SANITIZERS) python -m pytest $(PYTEST_ARGS) $(filter-out %_cuda.py,$(wildcard test/test_kernels_*.py))

fuzz-kernels: sanitized
	$(RUN) $(SANITIZERS) python test/fuzz_kernels.py --seconds $(or $(FUZZ_SECONDS),600) --seed $(or $(FUZZ_SEED),0)

fuzz-files: setup
	$(RUN) MVGAMBA_FUZZ_SECONDS=$(or $(FUZZ_SECONDS),3600) MVGAMBA_FUZZ_SEED=$(or $(FUZZ_SEED),1) \
		python -m pytest -s test/test_fuzz_files.py

# Known vulnerabilities of what is locked, bandit's findings in our own code, and a list of all that is installed. In an
# environment of its own, build/audit.
audit: setup build/audit/installed
	build/audit/bin/bandit --quiet --recursive --configfile pyproject.toml mvgamba_ros tools setup.py
	build/audit/bin/cyclonedx-py environment --output-reproducible --output-file build/sbom.json $(VENV)/bin/python
	@echo build/sbom.json
	build/audit/bin/pip-audit --strict --disable-pip --requirement locks/environment.txt --requirement locks/ros-$(ROS).txt

build/audit/installed: locks/audit.txt $(STAMPS)/venv
	"$$(tools/find_python.sh $(PYTHON))" -m venv build/audit
	build/audit/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r locks/audit.txt
	touch $@

neon: setup
	$(RUN) tools/test_neon.sh $(PYTEST_ARGS)

clean:
	rm -rf .venv .venv-* build install log

$(STAMPS)/venv: tools/find_python.sh tools/system_packages.sh
	tools/system_packages.sh
	"$$(tools/find_python.sh $(PYTHON))" -m venv $(VENV)
	mkdir -p $(STAMPS) && touch $@

$(STAMPS)/torch: $(STAMPS)/venv tools/install_torch.sh locks/torch-cpu.txt locks/torch-default.txt
	$(RUN) tools/install_torch.sh
	touch $@

# What requirements*.txt ask for and what those need, each with the hashes of its files: tools/lock.sh wrote them down.
$(STAMPS)/requirements: $(STAMPS)/torch locks/environment.txt locks/ros-$(ROS).txt tools/fix_ros_wheels.py
	$(RUN) python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
		-r locks/environment.txt -r locks/ros-$(ROS).txt
	$(RUN) python tools/fix_ros_wheels.py
	touch $@

$(STAMPS)/package: $(STAMPS)/requirements setup.py pyproject.toml $(KERNELS)
	mkdir -p build
	$(RUN) tools/build_with_log.sh "the kernels" build/package.log \
		python -m pip install --verbose --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# After the kernels, not beside them: `make -j` runs no more compilers than fit.
$(STAMPS)/interfaces: $(STAMPS)/requirements $(INTERFACES) | $(STAMPS)/package
	mkdir -p build
	$(RUN) tools/build_with_log.sh "the ROS 2 interfaces" build/interfaces.log tools/build_interfaces.sh $(BUILD)
	touch $@
