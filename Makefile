# Every verb installs what it lacks (Debian packages, as root or with sudo) and says so.
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*## .*/\1/p' Makefile)
.DEFAULT_GOAL := help
SHELL := bash

NEED := scripts/need.sh
BUILD_NEEDS := cc:build-essential pkg-config pc/alsa:libasound2-dev
HOST_LIB := $(shell gcc -print-multiarch 2>/dev/null)
# Sanitizers need their run-time library, which the toolchain brings along.
HOST := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
RTSAN_LIB = $(firstword $(wildcard $(shell rustc --print sysroot)/lib/rustlib/$(HOST)/lib/librustc-*_rt.rtsan.a))

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 22

build: ## the program, optimised
	@$(NEED) $(BUILD_NEEDS)
	cargo build --release

deb: ## a Debian package, in target/debian
	@$(NEED) $(BUILD_NEEDS) dpkg-shlibdeps:dpkg-dev
	cargo build --release
	@scripts/deb.sh

five-minutes: deb ## from an empty Debian and the package to the first recording, each command timed
	@$(NEED) mmdebstrap
	@scripts/five-minutes.sh

test-deb: deb ## installs, upgrades and removes the package in a virtual machine while it records
	@scripts/test-deb.sh

demo: ## records a spoken sentence from a virtual microphone and checks it; DEVICE=default uses a real one
	@DEVICE='$(DEVICE)' scripts/demo.sh

test: ## the tests, with a virtual sound card and, as root, broken disks
	@$(NEED) $(BUILD_NEEDS) curl jq sox python3 btrfs:btrfs-progs systemd-socket-activate:systemd zsh fish
	@scripts/virtual-card.sh install
	TONEARM_TEST_CARD=required cargo test

test-all: test test-rt clients players browser monitoring examples ## the tests with and without sound devices, under the real-time sanitizer, with others' clients, in a browser, under Prometheus; a soak of a minute
	cargo test --no-default-features --features opentelemetry
	MINUTES=$(or $(MINUTES),1) RUST_LOG=warn cargo test --test it -- --ignored --nocapture soak::
	@$(MAKE) --no-print-directory soak MINUTES=$(or $(MINUTES),1)

clients: ## Microsoft's own clients and others' tools against the daemon, from PyPI and npm
	@$(NEED) $(BUILD_NEEDS) python3:python3-venv npm:nodejs npm
	@tests/clients/install.sh
	cargo test --test it -- --ignored clients::

browser: ## the console in Debian's Chromium: recording, two tabs, restarts, 10,000 operations, axe
	@$(NEED) $(BUILD_NEEDS) chromium npm:nodejs npm
	@tests/browser/install.sh
	cargo test --test it -- --ignored --nocapture --test-threads 1 browser:: --skip screenshots

screenshots: ## makes design/screenshots/*.png anew, as the README shows them
	@$(NEED) $(BUILD_NEEDS) chromium npm:nodejs npm /usr/share/fonts/truetype/dejavu:fonts-dejavu-core
	@tests/browser/install.sh
	@mkdir -p design/screenshots
	cargo test --test it -- --ignored browser::screenshots

monitoring: ## alert rules and dashboard against a daemon that Prometheus reads
	@$(NEED) $(BUILD_NEEDS) promtool:prometheus python3 unshare:util-linux
	cargo test --test it -- --ignored monitoring::

examples: ## the programs in examples/ against a daemon
	@$(NEED) $(BUILD_NEEDS) python3:python3-venv npm:nodejs npm chromium curl jq
	@tests/clients/install.sh
	@tests/browser/install.sh
	cargo test --test it -- --ignored examples::
test-vm: ## the kernel's sound cards, unplugged and busy, and our unit under systemd, in an emulated machine; TEST=name
	@$(NEED) $(BUILD_NEEDS)
	@scripts/test-vm.sh $(TEST)

soak: ## eight lines for eight hours while things go wrong, every frame accounted for; MINUTES=n, SEED=n
	@$(NEED) $(BUILD_NEEDS)
	@scripts/virtual-card.sh install
	MINUTES=$(or $(MINUTES),480) RUST_LOG=error TONEARM_TEST_CARD=required cargo test --test it -- --ignored --nocapture soak_faults::every

load: ## ten minutes of capture beside two busy loops a core, on a disk that stalls; MINUTES=n
	@$(NEED) $(BUILD_NEEDS)
	@scripts/virtual-card.sh install
	MINUTES=$(or $(MINUTES),10) RUST_LOG=error TONEARM_TEST_CARD=required TONEARM_TEST_DISK=required cargo test --test it -- --ignored --nocapture starved::with_two_busy_loops_a_core_and

fuzz: ## feeds parsers and the journal what nobody would send, ten minutes each; MINUTES=n
	@$(NEED) cc:build-essential g++:g++
	scripts/fuzz.sh $(or $(MINUTES),10)

players: ## growing, finished and huge recordings in sox, ffmpeg and GStreamer
	@$(NEED) $(BUILD_NEEDS) sox ffmpeg gst-launch-1.0:gstreamer1.0-tools /usr/lib/$(HOST_LIB)/gstreamer-1.0/libgstwavparse.so:gstreamer1.0-plugins-good
	cargo test --test it -- --ignored players::

crash: ## kills the daemon 200 times at random moments and checks what is left; TIMES=n, SEED=n
	@$(NEED) $(BUILD_NEEDS)
	cargo test --test it -- --ignored --nocapture crash::

test-rt: ## the real-time rules: nothing allocated, no system call, as RealtimeSanitizer sees it
	@$(NEED) $(BUILD_NEEDS)
	@[ -n "$(RTSAN_LIB)" ] || { echo "this toolchain has no RealtimeSanitizer; rustup's stable since 1.95 for Linux brings it" >&2; exit 1; }
	RTSAN_ENABLE=1 RTSAN_LIB_PATH='$(RTSAN_LIB)' cargo test --features rtsan --lib --test realtime

bench: ## measures, each figure beside a reference
	@$(NEED) $(BUILD_NEEDS) pc/sndfile:libsndfile1-dev pc/spandsp:libspandsp-dev pc/speexdsp:libspeexdsp-dev
	@scripts/virtual-card.sh install
	cargo bench

bench-data: ## fetches voices and music from Debian packages for bench-detect, 20 h
	@$(NEED) sox espeak-ng
	@scripts/bench-data.sh

bench-detect: ## scores the detectors beside others; ARGS="7 8" for other audio, ARGS=silence for a part
	@$(NEED) $(BUILD_NEEDS) pc/spandsp:libspandsp-dev multimon-ng valgrind python3:python3-venv
	@[ -x target/venv/bin/python ] || python3 -m venv target/venv
	@target/venv/bin/python -c 'import webrtcvad' 2>/dev/null || target/venv/bin/pip install -q webrtcvad-wheels==2.0.14.post1
	cargo bench --no-default-features --bench detector -- $(ARGS)

lint: ## format, lints, documentation, licences
	@$(NEED) $(BUILD_NEEDS) python3:python3-venv
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	cargo clippy --all-targets --no-default-features -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --document-private-items
	scripts/licences.sh

doc: ## the library's documentation
	@$(NEED) $(BUILD_NEEDS)
	cargo doc --no-deps --document-private-items

fixtures: ## makes audio-fixtures/*.wav anew
	@$(NEED) espeak-ng sox python3
	scripts/fixtures.sh

reference: ## writes what the program says of its keys and commands into reference/
	@$(NEED) $(BUILD_NEEDS)
	WRITE_REFERENCE=1 cargo test --test it -- docs::every_key docs::every_command
