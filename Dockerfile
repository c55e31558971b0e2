# The relay as an image: a wheel is built in the first stage, the second one only runs it.
#
#   docker build -t relay .                                     Python 3.13
#   docker build -t relay --build-arg PYTHON_VERSION=3.12 .     3.11 and 3.12 work, too
#   docker run --env-file .env -p 8080:8080 -v relay:/data --stop-timeout 300 relay
#
# Debian's name is part of the base's, so that libsoxr and OpenSSL are of one version in both stages
# and `make image-check` can walk through these steps without a Docker engine.

ARG PYTHON_VERSION=3.13

FROM python:${PYTHON_VERSION}-slim-trixie AS build

# hadolint ignore=DL3008 # Debian stable keeps one version; a pinned one is gone at its next fix
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev libsoxr-dev libssl-dev pkg-config \
    && rm -rf /var/lib/apt/lists/*

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

# No pip in the relay's environment: nothing is ever installed into a running image. Another one
# builds the wheel.
RUN python -m venv --without-pip /opt/relay && python -m venv /opt/build

WORKDIR /src

# What the relay needs, before the relay: this layer is built again only when the lists change.
# Every file is the one whose hash was locked, or the build fails.
COPY requirements.lock requirements-build.lock ./
RUN /opt/build/bin/pip install --only-binary :all: --require-hashes -r requirements-build.lock \
    && /opt/build/bin/pip --python /opt/relay/bin/python install --only-binary :all: --require-hashes -r requirements.lock

COPY pyproject.toml setup.py MANIFEST.in README.md ./
COPY native native
COPY relay relay
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && /opt/build/bin/pip --python /opt/relay/bin/python install --no-deps dist/relay-*.whl


FROM python:${PYTHON_VERSION}-slim-trixie

# /data belongs to the user before it becomes a volume: a new volume takes its owner from here.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libsoxr0 libssl3t64 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 relay \
    && useradd --uid 10001 --gid relay --home-dir /data --no-create-home --shell /usr/sbin/nologin relay \
    && install -d -o relay -g relay -m 0750 /data

COPY --from=build /opt/relay /opt/relay
COPY prompts /srv/relay/prompts

ENV PATH=/opt/relay/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PROMPTS_DIR=/srv/relay/prompts \
    DATABASE_URL=sqlite:////data/relay.db \
    SPOOL_DIR=/data/spool

# SQLite, the spool, and flight recordings if there are any, live here; the rest of the disk is not written.
WORKDIR /data
VOLUME /data

# A number, since some platforms refuse to believe that a name is not root.
USER 10001

EXPOSE 8080

# http.client and not urllib, which would ask a proxy that the environment names.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["/opt/relay/bin/python", "-c", "import http.client, os, sys; page = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('PORT') or 8080), timeout=4); page.request('GET', '/healthz'); sys.exit(page.getresponse().status != 200)"]

# The relay itself is the first process and obeys SIGTERM: it drains for up to DRAIN_S seconds. It
# starts no processes, so there is none to reap and no init to want.
STOPSIGNAL SIGTERM
CMD ["relay", "serve"]
