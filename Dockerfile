# syntax=docker/dockerfile:1

# ---- build
FROM rust:1.95.0-slim-trixie AS build
WORKDIR /source
COPY . .
# The caches outlive the layer: when a source file changes, the dependencies are compiled already. The binary is copied
# out because a cache is no part of the image.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    cargo build --release --locked --bin redlock-proxy \
    && cp target/release/redlock-proxy /usr/local/bin/

# ---- run
FROM debian:13.1-slim
LABEL org.opencontainers.image.title="redlock-proxy" \
      org.opencontainers.image.description="A Redis-protocol proxy that adds Redlock semantics: RLOCK, RUNLOCK and REXTEND over a quorum of primaries" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /usr/local/bin/redlock-proxy /usr/local/bin/redlock-proxy

# A number, not a name: Kubernetes' runAsNonRoot wants one, and the proxy needs no entry in /etc/passwd. It writes no
# file, so a read-only root file system will do too.
USER 65532:65532
EXPOSE 6379
STOPSIGNAL SIGTERM

# A plain ping asks whether this process answers, not whether its primaries do: restarting the proxy would mend nothing
# of theirs. It asks 127.0.0.1:6379; a configuration that listens elsewhere needs a health check that says so.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["/usr/local/bin/redlock-proxy", "ping"]

# Mount the configuration there, or replace the arguments:
#   docker run redlock-proxy --listen 0.0.0.0:6379 --primary a:6379 --primary b:6379 --primary c:6379
ENTRYPOINT ["/usr/local/bin/redlock-proxy"]
CMD ["--config", "/etc/redlock-proxy.yaml"]
