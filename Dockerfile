FROM python:3.13-slim AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
# `traces` also installs the packages that QUARTET_TRACES_URL needs.
ARG REQUIREMENTS=run
COPY requirements requirements
RUN pip install --require-hashes -r requirements/build.txt \
 && python -m venv --without-pip /opt/quartet \
 && pip --python /opt/quartet/bin/python install --only-binary :all: --require-hashes -r "requirements/$REQUIREMENTS.txt"
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY config config
COPY repositories repositories
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && pip --python /opt/quartet/bin/python install --no-deps --no-index /wheels/*.whl

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /srv/quartet --create-home quartet \
 && python -m pip uninstall --quiet --yes --root-user-action=ignore pip
COPY --from=build /opt/quartet /opt/quartet
# PYTHONSAFEPATH: the server may write to the working directory, so nothing is imported from it.
ENV PATH=/opt/quartet/bin:$PATH PYTHONSAFEPATH=1 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    QUARTET_HOST=0.0.0.0 QUARTET_PORT=8000
USER 10001
WORKDIR /srv/quartet
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=10s --start-period=20s --retries=3 CMD ["python", "-c", \
    "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['QUARTET_PORT'] + '/health/live', timeout=5)"]
CMD ["quartet", "serve"]
