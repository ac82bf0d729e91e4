# A node in a container: built with the run-time library of Swift in it, on an image that has nothing of the compiler.
#
#   docker build -t cacheismo:0.1.0 .
#   docker run --rm -p 127.0.0.1:11211:11211 cacheismo:0.1.0
#
# Options are given as variables (-e CACHEISMO_MEMORY=512), as a file (-v …/cacheismo.conf:/etc/cacheismo/cacheismo.conf:ro
# -e CACHEISMO_CONFIG=/etc/cacheismo/cacheismo.conf), or behind the image's name: serve -m 512.

ARG SWIFT_IMAGE=swift:6.3-bookworm
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${SWIFT_IMAGE} AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends liblua5.4-dev libzstd-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
# What others wrote changes seldom: fetched once, and kept while only ours does.
COPY Package.swift Package.resolved* ./
RUN swift package resolve
COPY Sources ./Sources
COPY Tests ./Tests
COPY Benchmarks ./Benchmarks
RUN swift build --configuration release --static-swift-stdlib --product cacheismo \
    && strip --strip-unneeded .build/release/cacheismo

FROM ${BASE_IMAGE} AS node
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgcc-s1 libjs-chart.js liblua5.4-0 libstdc++6 libzstd1 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /source/.build/release/cacheismo /usr/bin/cacheismo
# Nobody's in particular; it writes nothing.
USER 65532:65532
# Of the container, not of the machine: what is published is another matter.
ENV CACHEISMO_LISTEN=0.0.0.0
EXPOSE 11211 8211
STOPSIGNAL SIGTERM
# Whether it is well is asked over HTTP, by whoever runs it: CACHEISMO_HTTP, and /health/live and /health/ready there.
ENTRYPOINT ["cacheismo"]
CMD ["serve"]
