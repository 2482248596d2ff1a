# One image for every role: `docker run arco serve --role api`, `... --role compactor`, and so on.
#
# The process gets signals itself (exec form, no shell) and ends in order on SIGTERM. It runs as a user without rights, needs
# no writable file system beyond /data (local storage) and /tmp, and is configured by ARCO_* variables alone: see config/.

FROM python:3.12-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python -m venv /opt/arco
# Dependencies change less often than arco: they get a layer of their own, from the project file alone.
COPY pyproject.toml README.md LICENSE ./
RUN mkdir -p src/arco && touch src/arco/__init__.py && /opt/arco/bin/pip install .
COPY src ./src
RUN /opt/arco/bin/pip install --no-deps --force-reinstall . && /opt/arco/bin/python -m compileall -q /opt/arco

FROM python:3.12-slim
LABEL org.opencontainers.image.title="arco" \
      org.opencontainers.image.description="Serverless lakehouse catalog on object storage, with no database" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin arco \
 && install -d -o 10001 -g 10001 /data
COPY --from=build /opt/arco /opt/arco
ENV PATH=/opt/arco/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /data
EXPOSE 8080 8081 8082 8083 8084
ENTRYPOINT ["arco"]
CMD ["serve"]
