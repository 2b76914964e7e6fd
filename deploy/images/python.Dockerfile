# python:3.13-slim, built from Debian's packages: Python 3.13, and a pip that can be uninstalled.
ARG DEBIAN=debian:trixie-slim
FROM $DEBIAN
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates python3 python3-pip \
 && rm /usr/lib/python3.13/EXTERNALLY-MANAGED \
 && python3 -m pip install --no-cache-dir --ignore-installed pip \
 && apt-get purge -y --auto-remove python3-pip \
 && rm -rf /var/lib/apt/lists/* \
 && ln -s /usr/bin/python3 /usr/local/bin/python
CMD ["python"]
