# nextbasket: worker, trainer and every other command in one image.
#
#   docker build -t nextbasket:0.1.0 .
#   docker run --rm nextbasket:0.1.0 --help
#
# Behind a proxy or a mirror, hand your pip configuration in; it does not stay in the image:
#   docker build --secret id=pip,src=$HOME/.config/pip/pip.conf -t nextbasket:0.1.0 .

FROM python:3.12.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/nextbasket
ENV PATH=/opt/nextbasket/bin:$PATH
WORKDIR /source
# What is locked changes seldom, the code often: two layers.
COPY requirements.lock ./
RUN --mount=type=secret,id=pip,target=/etc/pip.conf,required=false \
    --mount=type=cache,target=/root/.cache/pip \
    pip install --require-hashes --no-deps -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY state ./state
COPY training ./training
COPY stream ./stream
RUN pip install --no-deps --no-build-isolation --no-index .

FROM python:3.12.11-slim-bookworm
# Fixed numbers, so that volumes keep their owner from one image to the next.
RUN groupadd --gid 10001 nextbasket \
    && useradd --uid 10001 --gid nextbasket --home-dir /tmp --no-create-home --shell /usr/sbin/nologin nextbasket \
    && install -d -o nextbasket -g nextbasket /registry
COPY --from=build /opt/nextbasket /opt/nextbasket
ENV PATH=/opt/nextbasket/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NEXTBASKET_REGISTRY=/registry \
    NEXTBASKET_CACHE=/tmp/nextbasket
USER 10001:10001
WORKDIR /tmp
VOLUME /registry
STOPSIGNAL SIGTERM
# A worker answers on its metrics port; a command without one is healthy as long as it runs.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=4 \
    CMD ["python", "-c", "import os, urllib.request as u; p = os.environ.get('NEXTBASKET_METRICS_PORT', '0'); p == '0' or u.urlopen(f'http://127.0.0.1:{p}/metrics', timeout=4)"]
ENTRYPOINT ["nextbasket"]
CMD ["--help"]
