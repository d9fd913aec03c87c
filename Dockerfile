# syntax=docker/dockerfile:1
# Two images: `docker build --target control-plane .` and `--target agent`. Each is one
# static program in an otherwise empty file system; it runs as nobody in particular,
# needs nothing written and no capability. A release pins RUST and NODE by digest.
ARG RUST=rust:1.95.0-slim-bookworm
ARG NODE=node:22-bookworm-slim

FROM ${NODE} AS console
WORKDIR /armour
COPY openapi openapi
COPY web-console/package.json web-console/package-lock.json web-console/
RUN cd web-console && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --no-audit --no-fund
COPY web-console web-console
RUN cd web-console && npm run --silent build

FROM ${RUST} AS build
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates cmake g++ make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /armour
COPY Cargo.toml Cargo.lock ./
COPY .sqlx .sqlx
COPY benches benches
COPY crates crates
COPY migrations migrations
COPY services services
COPY tests/e2e tests/e2e
COPY tests/fuzz tests/fuzz
COPY tests/model tests/model
COPY scripts/build-image scripts/build-image
ARG PROFILE=release
RUN cargo install --locked --version 0.5.9 --root /usr/local cargo-cyclonedx
RUN scripts/build-image ${PROFILE} /image && scripts/build-image --sbom /image

FROM scratch AS control-plane
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /image/control-plane /
COPY --from=console /armour/web-console/dist /usr/share/armour/console
USER 65532:65532
EXPOSE 7100 9090
ENTRYPOINT ["/usr/bin/armour-control-plane"]

FROM scratch AS agent
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /image/agent /
USER 65532:65532
EXPOSE 7202 7203
ENTRYPOINT ["/usr/bin/armour-agent"]
