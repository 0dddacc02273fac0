# The exporter, its locked dependencies, and the Python of the base image. Nothing is installed at run time.
# The base needs python3 (3.11 or newer) with venv and pip: --build-arg BASE=...
ARG BASE=python:3.13-slim

# Wheels of the dependencies, checked by hash and built by locked build tools, and of the exporter.
FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements requirements
RUN python3 -m venv /build \
    && /build/bin/pip install --require-hashes --requirement requirements/build.txt \
    && /build/bin/pip wheel --require-hashes --no-build-isolation --wheel-dir /wheels --requirement requirements/kubernetes.txt
COPY . .
RUN /build/bin/pip wheel --no-deps --no-index --no-build-isolation --wheel-dir /wheels . \
    && python3 -m venv --without-pip /opt/ims-exporter \
    && /build/bin/pip --python /opt/ims-exporter/bin/python3 install --no-index --no-deps /wheels/*.whl \
    && mkdir /ledger

FROM ${BASE}
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="ims-exporter" \
      org.opencontainers.image.description="Prometheus exporter for jobs of Alibaba Cloud IMS" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/ims-exporter/ims-exporter" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/ims-exporter /opt/ims-exporter
COPY --from=build --chown=65532:65532 /ledger /var/lib/ims-exporter
ENV PATH=/opt/ims-exporter/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    IMS_EXPORTER_LEDGER_PATH=/var/lib/ims-exporter/ledger.db
VOLUME /var/lib/ims-exporter
WORKDIR /var/lib/ims-exporter
USER 65532:65532
EXPOSE 9912
# Asks /livez as the settings of the exporter say: its flags, its variables and its file.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["ims-exporter", "health", "--pid", "1"]
ENTRYPOINT ["ims-exporter"]
