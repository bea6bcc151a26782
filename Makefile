# `make run` and `make test` need only a fresh clone; `make help` lists the other targets.
#
# Nothing is written into the checkout. Build output, models and samples are in one cache folder, so that they
# survive `git clean` and are shared by clones. These variables can be set in the environment or on the command line.
CACHE            := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/halkspeech
CARGO_TARGET_DIR ?= $(CACHE)/target
MODELS_DIR       ?= $(CACHE)/models
SAMPLES_DIR      ?= $(CACHE)/samples
DIST_DIR         ?= $(CACHE)/dist
PYTHON_ENV       ?= $(CACHE)/python
BROWSER_ENV      ?= $(CACHE)/browser
WHISPER__MODEL   ?= base
UVICORN_PORT     ?= 8000
# Additional cargo features of the server. For GPUs use `make cuda`.
FEATURES         ?=

# What `halkspeech --version` calls its commit: this checkout's, or nothing where the sources are not one. A new value
# compiles src/main.rs again and links, nothing else. Cargo commands without make leave it out.
HALKSPEECH_COMMIT := $(or $(HALKSPEECH_COMMIT),$(shell git --git-dir=.git describe --always --dirty --abbrev=12 --exclude='*' 2>/dev/null))

# Every cargo command uses the release profile. CTranslate2 is compiled inside a build script, once for each
# profile: a dev profile would need a second build. For the same reason RUSTFLAGS is not set here, which would need a
# third one.
CARGO := cargo
FLAGS := --release --locked $(if $(FEATURES),--features $(FEATURES))

export CARGO_TARGET_DIR MODELS_DIR SAMPLES_DIR DIST_DIR PYTHON_ENV BROWSER_ENV HALKSPEECH_COMMIT
# Settings of the server apply only to `run`: tests set their own.
run: export WHISPER__MODEL := $(WHISPER__MODEL)
run: export UVICORN_PORT := $(UVICORN_PORT)
# Always a separate folder: neither build replaces the program of the other or rebuilds it.
cuda: export CARGO_TARGET_DIR := $(CACHE)/target-cuda
cuda-runner: export CARGO_TARGET_DIR := $(CACHE)/target-cuda-runner
cuda-runner: export CUDA_FEATURE := cuda-runner
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin

# Build scripts start make without these flags.
unexport MAKEFLAGS MFLAGS
.NOTPARALLEL:
.PHONY: run test test-browser build cuda cuda-runner wheel image models fetch setup setup-test lint help

run: build ## set up, build, fetch the starter model, serve on port 8000
	@scripts/fetch_models.sh $(filter base tiny.en,$(WHISPER__MODEL)) samples
	@printf '\nWhen the server says that it is ready, try:\n\n    %s\n\n' \
	  "curl http://localhost:$(UVICORN_PORT)/v1/audio/transcriptions -F file=@$(SAMPLES_DIR)/jfk.wav -F model=$(WHISPER__MODEL)"
	@exec "$(CARGO_TARGET_DIR)/release/halkspeech" serve

test: setup-test fetch lint ## set up, then formatting, lints, all tests and the documentation
	@scripts/test.sh $(FLAGS)
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace $(FLAGS) --no-deps

test-browser: $(if $(HALKSPEECH_BIN),,build) ## test the page in Chromium, against the server with the real model (docs/page.md)
	@scripts/setup.sh browser
	@scripts/fetch_models.sh base samples
	node --test --test-concurrency=1 tests/browser/*.test.mjs

lint: setup-test
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace $(FLAGS) --all-targets -- -D warnings
	$(PYTHON_ENV)/bin/ruff check --no-cache .

build: setup ## set up, then compile the server
	$(CARGO) build $(FLAGS)

cuda: setup ## compile it for CPU and NVIDIA GPUs in one program; needs no GPU (docs/gpu.md)
	@scripts/cuda_build.sh $(if $(FEATURES),--features $(FEATURES))

cuda-runner: setup ## the same, with the CPU builds' engine on GPUs as well (docs/gpu.md)
	@scripts/cuda_build.sh $(if $(FEATURES),--features $(FEATURES))

wheel: build ## pack the program as a Python wheel for other machines (docs/operations.md)
	@scripts/wheel.sh $(if $(FEATURES),--features $(FEATURES))

image: ## build the container image `halkspeech` for CPUs; needs only Docker (docs/containers.md)
	docker build --target cpu --build-arg HALKSPEECH_COMMIT=$(HALKSPEECH_COMMIT) --tag halkspeech .

models: setup fetch ## fetch the starter models (base, tiny.en) and the speech sample

fetch:
	@scripts/fetch_models.sh base tiny.en samples

setup:
	@scripts/setup.sh run

setup-test:
	@scripts/setup.sh test

help: ## show this list
	@awk -F ':.* ## ' '/^[a-z-]+:.* ## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
