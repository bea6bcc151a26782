# `make run` and `make test` do everything from a fresh clone on; `make help` lists the rest.
#
# Nothing is written into the checkout. Build output, models and samples live in one cache folder, so that they
# survive `git clean` and serve several clones. Each of these may be set in the environment or on the command line.
CACHE            := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/halkspeech
CARGO_TARGET_DIR ?= $(CACHE)/target
MODELS_DIR       ?= $(CACHE)/models
SAMPLES_DIR      ?= $(CACHE)/samples
PYTHON_ENV       ?= $(CACHE)/python
WHISPER__MODEL   ?= base
UVICORN_PORT     ?= 8000
# More cargo features of the server. For GPUs there is `make cuda`.
FEATURES         ?=

# Every cargo command uses the release profile. CTranslate2 is compiled inside a build script, for 30 minutes on two
# cores, once for each profile: with a dev profile beside it, everybody would pay twice. For the same reason nothing
# here sets RUSTFLAGS, which would be a third build.
CARGO := cargo
FLAGS := --release --locked $(if $(FEATURES),--features $(FEATURES))

export CARGO_TARGET_DIR MODELS_DIR SAMPLES_DIR PYTHON_ENV
# Settings of the server are for `run` only: tests bring their own.
run: export WHISPER__MODEL := $(WHISPER__MODEL)
run: export UVICORN_PORT := $(UVICORN_PORT)
# A folder of its own, whatever the environment says: neither build replaces the program of the other, or rebuilds it.
cuda: export CARGO_TARGET_DIR := $(CACHE)/target-cuda
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin

# make's own flags are not meant for the makes that build scripts start.
unexport MAKEFLAGS MFLAGS
.NOTPARALLEL:
.PHONY: run test build cuda models fetch setup setup-test lint help

run: build ## set up, build, fetch the starter model, serve on port 8000
	@scripts/fetch_models.sh $(filter base tiny.en,$(WHISPER__MODEL)) samples
	@printf '\nWhen the server says that it is ready, try:\n\n    %s\n\n' \
	  "curl http://localhost:$(UVICORN_PORT)/v1/audio/transcriptions -F file=@$(SAMPLES_DIR)/jfk.wav -F model=$(WHISPER__MODEL)"
	@exec "$(CARGO_TARGET_DIR)/release/halkspeech" serve

test: setup-test fetch lint ## set up, then formatting, lints, all tests and the documentation
	$(CARGO) test $(FLAGS)
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc $(FLAGS) --no-deps

lint: setup-test
	$(CARGO) fmt --check
	$(CARGO) clippy $(FLAGS) --all-targets -- -D warnings
	$(PYTHON_ENV)/bin/ruff check --no-cache .

build: setup ## set up, then compile the server
	$(CARGO) build $(FLAGS)

cuda: setup ## compile it for CPU and NVIDIA GPUs in one program; needs no GPU (docs/gpu.md)
	@scripts/cuda_build.sh $(if $(FEATURES),--features $(FEATURES))

models: setup fetch ## fetch the starter models (base, tiny.en) and the speech sample

fetch:
	@scripts/fetch_models.sh base tiny.en samples

setup:
	@scripts/setup.sh run

setup-test:
	@scripts/setup.sh test

help: ## show this list
	@awk -F ':.* ## ' '/^[a-z]+:.* ## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
