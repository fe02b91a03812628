"""Small web servers on loopback: what a test's endpoint, judge or registry answers."""

import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class JsonHandler(BaseHTTPRequestHandler):
    """Reads and answers JSON, and keeps no log. What it answers are the methods `get` and `post` of a kind of it."""

    def do_GET(self):
        self.get()

    def do_POST(self):
        self.post()

    def get(self):
        self.send_error(501)

    def post(self):
        self.send_error(501)

    def asked(self):
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def say(self, value, status=200, **headers):
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, each in headers.items():
            self.send_header(name.replace("_", "-"), each)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_):
        """Who asked has left."""


@contextmanager
def served(handler):
    """The URL of a server that is there until the end of the block."""
    server = _Server(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
