# syntax=docker/dockerfile:1
# The relay in an image of some 100 MB, as a user without rights, with a root that can be read-only.
#
#   docker build -t weir .
#   docker run --read-only -v ./relay.yaml:/etc/weir/relay.yaml:ro -p 18000:18000 weir
#
# The toolchain, and the system that its programs run on; both are the same Debian, so that the libraries fit.
ARG SWIFT=swift:6.3-bookworm
ARG DEBIAN=debian:bookworm-slim

FROM ${SWIFT} AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        libcurl4-openssl-dev libev-dev liblmdb-dev libmicrohttpd-dev libnghttp2-dev libprotobuf-dev libre2-dev libssl-dev \
        libxxhash-dev libyaml-dev pkg-config python3-venv zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /weir
# What the descriptors need of the test suite's environment, and nothing else of it.
COPY integration/requirements.txt integration/descriptors.py integration/service_protos.py integration/
RUN grep -E '^(grpcio|protobuf|xds-protos|opentelemetry-proto)==' integration/requirements.txt >descriptors.txt \
    && python3 -m venv /venv \
    && /venv/bin/pip install --no-cache-dir -r descriptors.txt \
    && /venv/bin/python integration/descriptors.py /xds-descriptors.binpb
COPY Package.swift ./
COPY Sources Sources
COPY Tests Tests
RUN swift build -c release --product weir --static-swift-stdlib \
    && install -m 755 .build/release/weir /usr/local/bin/weir \
    && strip --strip-unneeded /usr/local/bin/weir

FROM ${DEBIAN}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="weir" \
      org.opencontainers.image.description="An xDS relay between an Envoy control plane and its proxies" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# The newest fixes of the libraries at the time of the build; the bill of materials of a release has their versions.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        ca-certificates libcurl4 libev4 liblmdb0 libmicrohttpd12 libnghttp2-14 libprotobuf32 libre2-9 libssl3 libstdc++6 \
        libxxhash0 libyaml-0-2 zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 65532 weir \
    && useradd --system --uid 65532 --gid weir --home-dir /var/lib/weir --shell /usr/sbin/nologin weir \
    && install -d -o weir -g weir -m 700 /var/lib/weir \
    && install -d /etc/weir
COPY --from=build /usr/local/bin/weir /usr/local/bin/weir
COPY --from=build /xds-descriptors.binpb /usr/local/share/weir/xds-descriptors.binpb
USER 65532:65532
WORKDIR /var/lib/weir
VOLUME /var/lib/weir
EXPOSE 18000 9901
STOPSIGNAL SIGTERM
# Where the debug endpoint is not plain HTTP on loopback, WEIR_ADMIN and WEIR_TOKEN_FILE say how to reach it, or the
# platform's own probes replace this.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["weir", "status", "--timeout", "3s"]
ENTRYPOINT ["weir"]
CMD ["serve", "--config", "/etc/weir/relay.yaml"]
