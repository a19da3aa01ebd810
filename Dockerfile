# syntax=docker/dockerfile:1
# The collector, as small as it goes: what builds it stays behind, and it runs as nobody in particular.
# compose.yaml builds the stages "collector" and "simulator".

FROM python:3.13-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CACHE_DIR=/cache/pip
WORKDIR /source
# The build back end at its pinned version: build isolation would fetch a newer one.
COPY constraints.txt .
RUN --mount=type=cache,target=/cache/pip \
    pip install --constraint constraints.txt hatchling && python -m venv /app
COPY pyproject.toml README.md LICENSE ./
COPY collector collector
COPY schema schema
COPY dashboards/grafana dashboards/grafana
COPY simulation simulation
RUN pip wheel --no-deps --no-build-isolation --no-cache-dir --wheel-dir /wheels .
RUN --mount=type=cache,target=/cache/pip \
    /app/bin/pip install --constraint constraints.txt "$(ls /wheels/collector-*.whl)[kafka]"

FROM build AS build-simulator
RUN --mount=type=cache,target=/cache/pip \
    /app/bin/pip install --constraint constraints.txt "$(ls /wheels/collector-*.whl)[simulation]"

FROM python:3.13-slim-trixie AS base
ENV PATH=/app/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# A number, so that Kubernetes can tell that it is not root.
USER 10001:10001
WORKDIR /tmp

FROM base AS simulator
COPY --from=build-simulator /app /app
ENTRYPOINT ["simulate"]
CMD ["--help"]

FROM base AS collector
COPY --from=build /app /app
EXPOSE 8080
# As is set, over HTTP or HTTPS; the loopback is no name in a certificate.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, ssl, urllib.request as web; tls = 's' if os.getenv('COLLECTOR_SSL_CERTIFICATE') else ''; port = os.getenv('COLLECTOR_PORT') or 8080; web.urlopen(f'http{tls}://127.0.0.1:{port}/health/ready', timeout=4, context=ssl._create_unverified_context())"]
ENTRYPOINT ["collector"]
CMD ["serve", "--host", "0.0.0.0"]
