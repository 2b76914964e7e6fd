#!/usr/bin/env bash
# Expected: If a streamed answer breaks off because its generator raises, the client can notice: the chunked body has no
# last chunk (HTTP/1.1), the stream is reset (HTTP/2). That is what gunicorn does.
# Observed: granian logs the error and ends the body as if it were complete, with the last chunk and with END_STREAM. A
# client, or a proxy with its cache, takes half an export for a complete one, with status 200. Only a Content-Length
# makes the break visible.
source "$(dirname "$0")/start.sh"
install granian==2.8.7 gunicorn==23.0.0 flask==3.1.3 "httpx[http2]==0.28.1"
cat >"$folder/app.py" <<'PYTHON'
from flask import Flask, Response

app = Flask(__name__)


@app.get("/")
def export():
    def rows():
        yield "1\n"
        yield "2\n"
        raise OSError("the store went away before the third row")

    return Response(rows(), mimetype="text/plain")
PYTHON
cat >"$folder/ask.py" <<'PYTHON'
import os, sys
import httpx

with httpx.Client(http1=sys.argv[1] == "1", http2=sys.argv[1] == "2", timeout=10) as client:
    try:
        found = client.get(f"http://127.0.0.1:{os.environ['PORT']}/")
        print(f"{found.http_version} {found.status_code} {found.text!r}")
    except httpx.TransportError as error:
        print(type(error).__name__)
PYTHON
cd "$folder"
take_port; start TERM 30 "$folder/venv/bin/granian" --interface wsgi --port "$port" app:app
first=$(python ask.py 1); second=$(python ask.py 2)
take_port; start TERM 30 "$folder/venv/bin/gunicorn" --bind "127.0.0.1:$port" app:app
expected=$(python ask.py 1)
python -m pip list 2>/dev/null | grep -iE '^(granian|gunicorn|flask) '
echo "two rows of three, then an error. granian:  $first"
echo "                                  granian:  $second"
echo "                                  gunicorn: $expected"
[ "$first / $second / $expected" = "HTTP/1.1 200 '1\\n2\\n' / HTTP/2 200 '1\\n2\\n' / RemoteProtocolError" ] ||
  { echo "the behaviour has changed" >&2; exit 1; }
