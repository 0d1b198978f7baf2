# nextbasket in two images: the worker (the core: worker, replay of .csv and .xlsx tables, show, export, redrive, models;
# and api)
# and the trainer, which has every command.
#
#   docker build --target worker --tag nextbasket-worker:0.1.0 .
#   docker build --target trainer --tag nextbasket-trainer:0.1.0 .
#   docker run --rm nextbasket-worker:0.1.0 --help
#
# Behind a proxy or a mirror, hand your pip configuration in; it does not stay in the image:
#   docker build --secret id=pip,src=$HOME/.config/pip/pip.conf --target worker --tag nextbasket-worker:0.1.0 .
#
# A registry in an object store needs its driver, in an image of your own:
#   FROM nextbasket-worker:0.1.0
#   USER root
#   RUN pip --python /opt/nextbasket/bin/python install s3fs
#   USER 10001:10001

FROM python:3.12.11-slim-bookworm AS base

# The base image's pip installs into an environment without pip, which is all that the images take over.
FROM base AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_PYTHON=/opt/nextbasket/bin/python
RUN python -m venv --without-pip /opt/nextbasket
WORKDIR /source

# The package, built with the setuptools that is locked.
FROM build AS wheel
COPY requirements.lock ./
RUN --mount=type=secret,id=pip,target=/etc/pip.conf,required=false \
    awk '/^[a-z]/ { wanted = /^setuptools==/ } wanted' requirements.lock > setuptools.lock \
    && pip install --require-hashes --no-deps -r setuptools.lock
COPY pyproject.toml README.md LICENSE ./
COPY state ./state
COPY training ./training
COPY stream ./stream
RUN pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /wheel .

# What is locked changes seldom, the code often: two layers.
FROM build AS worker-build
COPY requirements-worker.lock ./
RUN --mount=type=secret,id=pip,target=/etc/pip.conf,required=false \
    --mount=type=cache,target=/root/.cache/pip \
    pip install --require-hashes --no-deps -r requirements-worker.lock
COPY --from=wheel /wheel /wheel
RUN pip install --no-deps --no-index /wheel/*.whl

FROM build AS trainer-build
COPY requirements.lock ./
RUN --mount=type=secret,id=pip,target=/etc/pip.conf,required=false \
    --mount=type=cache,target=/root/.cache/pip \
    pip install --require-hashes --no-deps -r requirements.lock
COPY --from=wheel /wheel /wheel
RUN pip install --no-deps --no-index /wheel/*.whl

FROM base AS runtime
# Fixed numbers, so that volumes keep their owner from one image to the next.
RUN groupadd --gid 10001 nextbasket \
    && useradd --uid 10001 --gid nextbasket --home-dir /tmp --no-create-home --shell /usr/sbin/nologin nextbasket \
    && install -d -o nextbasket -g nextbasket /registry
ENV PATH=/opt/nextbasket/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NEXTBASKET_REGISTRY=/registry \
    NEXTBASKET_CACHE=/tmp/nextbasket
USER 10001:10001
WORKDIR /tmp
VOLUME /registry
STOPSIGNAL SIGTERM
# A worker answers on its metrics port, also while it waits for Kafka or Redis (/readyz says whether it does); a command without one is healthy as long as it runs.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=4 \
    CMD ["python", "-c", "import os, urllib.request as u; p = os.environ.get('NEXTBASKET_METRICS_PORT', '0'); p == '0' or u.urlopen(f'http://127.0.0.1:{p}/livez', timeout=4)"]
ENTRYPOINT ["nextbasket"]
CMD ["--help"]

FROM runtime AS trainer
COPY --from=trainer-build /opt/nextbasket /opt/nextbasket

FROM runtime AS worker
COPY --from=worker-build /opt/nextbasket /opt/nextbasket
