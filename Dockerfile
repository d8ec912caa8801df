# Inference alone: docker build -t iaca . && docker run --rm -v "$PWD:/data" iaca /data/video.mp4 /data/out
FROM python:3.11-slim-bookworm

# The CPU build of torch is smaller by several GB. Its site says how to name it: --build-arg TORCH="..."
ARG TORCH="torch torchvision torchaudio"
# Everything else is 0.6 GB. For models of the hub or blendshapes: --build-arg EXTRAS="infer,hub,blendshapes"
ARG EXTRAS="infer"
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 IACA_WEIGHTS=/opt/iaca/weights MPLCONFIGDIR=/tmp

WORKDIR /opt/iaca
# hadolint ignore=DL3013,SC2086
RUN pip install ${TORCH}
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
# hadolint ignore=DL3013
RUN pip install ".[${EXTRAS}]" && rm -r build src/*.egg-info && python -m iaca.encoders get && useradd --uid 1000 --create-home iaca

USER 1000
WORKDIR /data
ENTRYPOINT ["python", "-m", "iaca.inference"]
