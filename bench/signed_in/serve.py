"""Runs Granian with the options of `quartet serve`: `python -m bench.signed_in.serve TARGET PORT`."""

import sys

from app.server.granian import server

WORKERS, THREADS = 2, 4

if __name__ == "__main__":
    server(sys.argv[1], host="127.0.0.1", port=int(sys.argv[2]), workers=WORKERS, threads=THREADS).serve()
