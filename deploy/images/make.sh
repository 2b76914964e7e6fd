#!/usr/bin/env bash
# Build the images that the Dockerfile and the compose file name, without an image registry: from Debian's packages,
# PyPI, npm and Maven Central. Needs Docker, and debootstrap as root for the base image.
#
# DEBIAN_MIRROR=URL: replaces debootstrap's default mirror.
# CA_BUNDLE=/path: certificate authorities to trust while building, if a proxy intercepts TLS.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
debian=debian:trixie-slim python=python:3.13-slim

if ! docker image inspect "$debian" >/dev/null 2>&1; then
  root=$(mktemp -d)
  trap 'rm -rf "$root"' EXIT
  debootstrap --variant=minbase --include=ca-certificates trixie "$root" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >&2
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
  changes=()
  if [ -n "${CA_BUNDLE:-}" ]; then
    bundle=/etc/ssl/certs/ca-certificates.crt
    cp "$CA_BUNDLE" "$root$bundle"
    for name in SSL_CERT_FILE REQUESTS_CA_BUNDLE NODE_EXTRA_CA_CERTS NPM_CONFIG_CAFILE PIP_CERT; do
      changes+=(--change "ENV $name=$bundle")
    done
  fi
  tar -C "$root" -c . | docker import "${changes[@]}" - "$debian"
fi
build() {
  docker build --tag "$2" --build-arg DEBIAN="$debian" --build-arg PYTHON="$python" --file "$1.Dockerfile" .
}
build python "$python"
build redis redis:8
build postgres postgres:18
build mongo mongo:8.0
build cassandra cassandra:5.0
