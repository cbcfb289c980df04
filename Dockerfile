# The bot, without torch: models are trained elsewhere. docs/server.md says how to use it.
FROM python:3.13-slim AS build
# EXTRAS=stats also installs matplotlib, for the picture of /stats; EXTRAS=postgres,metrics what
# docs/large-deployments.md needs.
ARG EXTRAS=
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY bot bot
COPY migrations migrations
COPY model model
COPY pipeline pipeline
# hadolint ignore=DL3013
RUN python -m venv --without-pip /opt/understudy \
    && pip --python /opt/understudy/bin/python install --no-cache-dir --compile \
        --disable-pip-version-check ".${EXTRAS:+[$EXTRAS]}"

FROM python:3.13-slim
RUN groupadd --system --gid 10001 understudy \
    && useradd --system --uid 10001 --gid 10001 --home-dir /data --no-create-home \
        --shell /usr/sbin/nologin understudy \
    && install --directory --owner 10001 --group 10001 --mode 700 /data /data/artifacts
COPY --from=build /opt/understudy /opt/understudy
# SQLite's large temporary files do not fit into the small /tmp.
ENV PATH=/opt/understudy/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SQLITE_TMPDIR=/data
USER 10001:10001
# The database is /data/understudy.db, and the models are in /data/artifacts.
WORKDIR /data
VOLUME ["/data", "/data/artifacts"]
HEALTHCHECK --interval=60s --timeout=20s --start-period=3m --retries=3 \
    CMD ["understudy-bot", "health"]
CMD ["understudy-bot", "run"]
