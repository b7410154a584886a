# The doors of this project. Each target does its own set-up; see README.md.
.PHONY: demo test lint bench e2e setup reference schemathesis fuzz clean

CARGO ?= cargo
NEXTEST := $(shell command -v cargo-nextest 2>/dev/null)

# The kubia story, shown command by command, in a lab that leaves nothing behind. Needs root.
demo: setup
	$(CARGO) build --release -p plinth -p plinth-tests --bins
	target/release/story

# Everything but benches and long fuzzing. Needs root.
test: setup lint
	$(CARGO) build --workspace --bins
ifdef NEXTEST
	$(CARGO) nextest run --workspace --no-fail-fast
else
	$(CARGO) test --workspace --no-fail-fast
endif

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

# The end-to-end story alone, on the development build.
e2e: setup
	$(CARGO) build -p plinth -p plinth-tests --bins
	target/debug/story

# Speed and memory on this host; numbers go into SPECIFICATION.md by hand.
bench: setup
	$(CARGO) build --release -p plinth -p plinth-bench --bins
	target/release/plinth-bench
	target/release/plinth-bench load

# Replays the answers of a real Kubernetes (../shared/reference) against a server without a node.
reference: setup
	$(CARGO) build --release -p plinth -p plinth-tests --bins
	scripts/reference.sh

# Values that schemathesis makes up for everything the API offers, for ten minutes; `make test` does so for one.
schemathesis: setup
	$(CARGO) build --workspace --bins
	scripts/schemathesis.sh 600

# Every decoder of bytes from outside, 30 s each.
fuzz: setup
	scripts/fuzz.sh 30

setup:
	scripts/setup.sh
