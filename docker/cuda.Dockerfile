# HalkSpeech for NVIDIA GPUs (and CPUs), on plain Debian with only the program and cuBLAS. See docs/containers.md.
#
#   docker build -f docker/cuda.Dockerfile -t halkspeech:cuda .
#   docker run --gpus all -p 8000:8000 -v halkspeech-models:/home/ubuntu/.cache/huggingface/hub halkspeech:cuda
#
# The volume may be a Hugging Face cache, or a folder of the host with a folder for each model; the only model in it
# is the default one. `curl -X POST localhost:8000/v1/models/large-v3-turbo` downloads one.
#
# The host needs NVIDIA's driver, 580 or later, and its container toolkit, but no CUDA.

FROM rust:1.95-bookworm AS build
# Compute capabilities of the GPUs to build for; 9.0 alone is an H100's.
ARG CUDA_ARCH_LIST=8.0;8.6;8.9;9.0
RUN apt-get update \
    && apt-get install -y --no-install-recommends cmake g++ python3 python3-pip \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY scripts/cuda_toolkit.sh scripts/
ENV CUDA_DIR=/cuda
RUN scripts/cuda_toolkit.sh toolkit && scripts/cuda_toolkit.sh runtime
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/target \
    CARGO_TARGET_DIR=/target CUDA_ARCH_LIST="$CUDA_ARCH_LIST" scripts/cuda_build.sh --bin halkspeech \
    && mkdir -p /out/lib && strip -o /out/halkspeech /target/release/halkspeech \
    && cp -a "$(scripts/cuda_toolkit.sh runtime)"/libcublas*.so.13 /out/lib/

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="HalkSpeech for NVIDIA GPUs" \
      org.opencontainers.image.description="OpenAI-compatible speech-to-text server that micro-batches Whisper across requests" \
      org.opencontainers.image.licenses="MIT AND LicenseRef-NVIDIA-CUDA-EULA"
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libgomp1 libstdc++6 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/* \
    && useradd --uid 1000 --create-home --shell /usr/sbin/nologin ubuntu \
    && install -d -o ubuntu -g ubuntu /home/ubuntu/.cache /home/ubuntu/.cache/huggingface \
       /home/ubuntu/.cache/huggingface/hub
COPY --from=build /out/lib/ /usr/local/lib/
RUN ldconfig
COPY --from=build /out/halkspeech /usr/local/bin/halkspeech
COPY LICENSE /usr/share/doc/halkspeech/LICENSE
# NVIDIA's container toolkit adds the driver's compute library and nvidia-smi to the container.
ENV HOME=/home/ubuntu NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER ubuntu
WORKDIR /home/ubuntu
VOLUME /home/ubuntu/.cache/huggingface/hub
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=300s --retries=3 CMD ["halkspeech", "health"]
ENTRYPOINT ["halkspeech"]
CMD ["serve"]
