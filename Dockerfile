# HalkSpeech for processors. For NVIDIA GPUs: docker/cuda.Dockerfile. Both are described in docs/containers.md.
#
#   docker build -t halkspeech .
#   docker run -p 8000:8000 -v halkspeech-models:/home/ubuntu/.cache/huggingface/hub halkspeech
#
# The volume may be a Hugging Face cache, or a folder of the host with a folder for each model; the only model in it
# is the default one. `curl -X POST localhost:8000/v1/models/base` downloads one.
#
# Building needs BuildKit, which keeps crates and object files between builds: CTranslate2 is compiled once.

FROM rust:1.95-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends cmake g++ \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/target \
    CARGO_TARGET_DIR=/target cargo build --release --locked --bin halkspeech \
    && mkdir /out && strip -o /out/halkspeech /target/release/halkspeech

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="HalkSpeech" \
      org.opencontainers.image.description="OpenAI-compatible speech-to-text server that micro-batches Whisper across requests" \
      org.opencontainers.image.licenses="MIT"
# The user, and the folder for models, that the Python edition's image had. A volume that is made for the folder
# takes its owner from here; a folder of the host must be writable for user 1000 where models are downloaded.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libgomp1 libstdc++6 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/* \
    && useradd --uid 1000 --create-home --shell /usr/sbin/nologin ubuntu \
    && install -d -o ubuntu -g ubuntu /home/ubuntu/.cache /home/ubuntu/.cache/huggingface \
       /home/ubuntu/.cache/huggingface/hub
COPY --from=build /out/halkspeech /usr/local/bin/halkspeech
COPY LICENSE /usr/share/doc/halkspeech/LICENSE
ENV HOME=/home/ubuntu
USER ubuntu
WORKDIR /home/ubuntu
VOLUME /home/ubuntu/.cache/huggingface/hub
EXPOSE 8000
# `health` asks the server in the same container, on the port of the same settings.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 CMD ["halkspeech", "health"]
ENTRYPOINT ["halkspeech"]
CMD ["serve"]
