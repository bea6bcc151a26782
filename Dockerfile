# HalkSpeech's images: `cpu`, the default target, and `cuda` for NVIDIA GPUs (and CPUs).
# docs/containers.md describes both.
#
#   docker build -t halkspeech .
#   docker run -p 8000:8000 -v halkspeech-models:/home/ubuntu/.cache/huggingface/hub halkspeech
#
#   docker build --target cuda -t halkspeech:cuda .
#   docker run --gpus all -p 8000:8000 -v halkspeech-models:/home/ubuntu/.cache/huggingface/hub halkspeech:cuda
#
# The volume may be a Hugging Face cache, or a folder of the host with a folder for each model; `base`, or
# the only model in it, is the default one. `curl -X POST localhost:8000/v1/models/base` downloads one.
#
# Building needs BuildKit (the default from Docker 23 on, DOCKER_BUILDKIT=1 before), which keeps crates and object files
# between builds: CTranslate2 is compiled once for each image. `--build-context build=FOLDER` uses FOLDER/out/halkspeech
# instead of compiling it; `build-cuda` does the same for the other image, with FOLDER/out/lib.

FROM rust:1.95-bookworm AS compiler
RUN apt-get update \
    && apt-get install -y --no-install-recommends cmake g++ make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source

FROM compiler AS build
COPY . .
# The commit that `halkspeech --version` prints: the build context has no git repository.
ARG HALKSPEECH_COMMIT
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/target,sharing=locked \
    CARGO_TARGET_DIR=/target cargo build --release --locked --bin halkspeech \
    && mkdir /out && strip -o /out/halkspeech /target/release/halkspeech

FROM compiler AS build-cuda
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-pip \
    && rm -rf /var/lib/apt/lists/*
COPY scripts/cuda_toolkit.sh scripts/
ENV CUDA_DIR=/cuda
RUN scripts/cuda_toolkit.sh toolkit && scripts/cuda_toolkit.sh runtime
COPY . .
# Compute capabilities of the GPUs to build for; 9.0 alone is an H100's.
ARG CUDA_ARCH_LIST=8.0;8.6;8.9;9.0
ARG HALKSPEECH_COMMIT
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/target,sharing=locked \
    CARGO_TARGET_DIR=/target CUDA_ARCH_LIST="$CUDA_ARCH_LIST" scripts/cuda_build.sh --bin halkspeech \
    && mkdir -p /out/lib && strip -o /out/halkspeech /target/release/halkspeech \
    && cp -a "$(scripts/cuda_toolkit.sh runtime)"/libcublas*.so.13 /out/lib/

# The common base of both images, without the program.
FROM debian:bookworm-slim AS runtime
# The user, and the folder for models, that the Python edition's image had. A volume that is made for the folder
# takes its owner from here; a folder of the host must be writable for user 1000 where models are downloaded.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libgomp1 libstdc++6 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/* \
    && useradd --uid 1000 --create-home --shell /usr/sbin/nologin ubuntu \
    && install -d -o ubuntu -g ubuntu /home/ubuntu/.cache /home/ubuntu/.cache/huggingface \
       /home/ubuntu/.cache/huggingface/hub
COPY LICENSE /usr/share/doc/halkspeech/LICENSE
ENV HOME=/home/ubuntu
WORKDIR /home/ubuntu
VOLUME /home/ubuntu/.cache/huggingface/hub
EXPOSE 8000
# `health` asks the server in the same container, on the port of the same settings.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 CMD ["halkspeech", "health"]
ENTRYPOINT ["halkspeech"]
CMD ["serve"]

# Only the program and cuBLAS. The host needs NVIDIA's driver, 580 or later, and its container toolkit, but no CUDA.
FROM runtime AS cuda
LABEL org.opencontainers.image.title="HalkSpeech for NVIDIA GPUs" \
      org.opencontainers.image.description="OpenAI-compatible speech-to-text server that micro-batches Whisper across requests" \
      org.opencontainers.image.licenses="MIT AND LicenseRef-NVIDIA-CUDA-EULA"
COPY --from=build-cuda /out/lib/ /usr/local/lib/
RUN ldconfig
COPY --from=build-cuda /out/halkspeech /usr/local/bin/halkspeech
# NVIDIA's container toolkit adds the driver's compute library and nvidia-smi to the container.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER ubuntu
HEALTHCHECK --interval=10s --timeout=5s --start-period=300s --retries=3 CMD ["halkspeech", "health"]

# The last stage is the default.
FROM runtime AS cpu
LABEL org.opencontainers.image.title="HalkSpeech" \
      org.opencontainers.image.description="OpenAI-compatible speech-to-text server that micro-batches Whisper across requests" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /out/halkspeech /usr/local/bin/halkspeech
USER ubuntu
