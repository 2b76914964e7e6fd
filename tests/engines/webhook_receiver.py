"""A receiver of webhooks: stores correctly signed events in files, one per line. Arguments: port, folder.

Run as a separate program. It verifies signatures with the library of Standard Webhooks and shares no code with Quartet.
"""

import base64
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from standardwebhooks import Webhook, WebhookVerificationError

SECRET = "whsec_" + base64.b64encode(b"of a receiver in tests").decode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    lock = threading.Lock()
    folder: Path

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            Webhook(SECRET).verify(body, dict(self.headers), json_parse=False)
        except WebhookVerificationError:
            self._answer(401)
            return
        line = json.dumps([self.headers["webhook-id"], self.headers["content-type"], base64.b64encode(body).decode()])
        with self.lock, (self.folder / self.path.strip("/")).open("a") as file:
            file.write(line + "\n")
        self._answer(204)

    def do_GET(self) -> None:
        self._answer(204)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


if __name__ == "__main__":
    Handler.folder = Path(sys.argv[2])
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
