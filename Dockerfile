# Greenroom in one image: API, workers, migrations and the command line. As it is, it runs all of it on SQLite:
#
#   docker build --tag greenroom .
#   docker run --env GREENROOM_ADMIN_KEY --publish 127.0.0.1:8000:8000 --volume greenroom:/var/lib/greenroom greenroom
#
# compose.yaml runs it on PostgreSQL, each part in a container of its own.

# Any Debian with Python 3.11 or newer and its venv module.
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS build
# pip's own settings, for a network with an index of its own. They stay in this stage.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_NO_INDEX
ARG PIP_CERT
RUN python3 -m venv /opt/greenroom
# What `make wheels` has put there, if anything: with PIP_NO_INDEX=1 nothing else is needed.
COPY requirements.txt build/wheel[s]/*.whl /src/wheels/
RUN /opt/greenroom/bin/pip install --quiet --no-cache-dir --disable-pip-version-check --no-compile \
        --require-hashes --find-links /src/wheels --requirement /src/wheels/requirements.txt
COPY pyproject.toml LICENSE /src/
COPY persistence /src/persistence
COPY middleware /src/middleware
COPY actors /src/actors
COPY api /src/api
# Bytecode is made here, once and for all libraries: where it runs, the file system is read-only. Its validity hangs on the
# sources' hashes and not on their times, so that the same sources make the same files.
RUN /opt/greenroom/bin/pip install --quiet --no-cache-dir --disable-pip-version-check --no-compile \
        --no-deps --no-build-isolation --no-index /src \
    && /opt/greenroom/bin/pip uninstall --quiet --yes pip \
    && /opt/greenroom/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/greenroom/lib

FROM ${PYTHON_IMAGE}
RUN groupadd --gid 10001 greenroom \
    && useradd --uid 10001 --gid greenroom --no-create-home --home-dir /var/lib/greenroom --shell /usr/sbin/nologin greenroom \
    && install --directory --owner greenroom --group greenroom --mode 700 /var/lib/greenroom
COPY --from=build /opt/greenroom /opt/greenroom
# Others can reach a container's address: the API refuses to start there without GREENROOM_ADMIN_KEY.
ENV PATH=/opt/greenroom/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    GREENROOM_HOST=0.0.0.0 \
    GREENROOM_DATA_DIR=/var/lib/greenroom
USER 10001:10001
WORKDIR /var/lib/greenroom
EXPOSE 8000
# For the API; a worker proves that it is alive to the database, and one that hangs ends itself.
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=6 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/ready', timeout=4)"]
# Without a shell between them, Greenroom gets SIGTERM itself, and has GREENROOM_SHUTDOWN_SECONDS for the work in hand.
ENTRYPOINT []
CMD ["greenroom", "up"]
