"""A webhook server with a certificate of its own, on a thread: it answers by path and remembers what it was asked."""

from __future__ import annotations

import json
import ssl
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Obj = dict[str, Any]
Handler = Callable[[Obj], Obj]
"""An AdmissionReview's request in, its response out (the uid is added)."""


def allow(request: Obj) -> Obj:
    del request
    return {"allowed": True}


def deny(message: str = "", **status: Any) -> Handler:
    return lambda _: {"allowed": False, "status": {**({"message": message} if message else {}), **status}}


def patch(*operations: Obj, **more: Any) -> Handler:
    encoded = b64encode(json.dumps(operations).encode()).decode()
    return lambda _: {"allowed": True, "patchType": "JSONPatch", "patch": encoded, **more}


def add(path: str, value: Any) -> Obj:
    return {"op": "add", "path": path, "value": value}


class WebhookServer:
    """`on` says what a path answers; `asked` has (path, request) in the order of arrival.

    The next `drops` requests end without an answer.
    """

    def __init__(self, folder: Path) -> None:
        self._handlers: dict[str, Handler] = {}
        self.asked: list[tuple[str, Obj]] = []
        self.drops = 0
        crt, key = certificate(folder)
        self.ca_bundle = b64encode(crt.read_bytes()).decode()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(crt, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def on(self, path: str, handler: Handler) -> None:
        self._handlers[path] = handler

    def requests(self, path: str) -> list[Obj]:
        return [request for asked, request in self.asked if asked == path]

    def client_config(self, path: str) -> Obj:
        return {"url": f"https://127.0.0.1:{self.port}{path}", "caBundle": self.ca_bundle}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handling(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                code, body = owner._answer(self.path.partition("?")[0], review)
                if not code:
                    self.close_connection = True
                    return
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                return

        return Handling

    def _answer(self, path: str, review: Obj) -> tuple[int, bytes]:
        handler = self._handlers.get(path)
        if handler is None:
            return 404, b"{}"
        if self.drops:
            self.drops -= 1
            return 0, b""
        self.asked.append((path, review["request"]))
        response = {"uid": review["request"]["uid"], **handler(review["request"])}
        answer = {"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": response}
        return 200, json.dumps(answer).encode()


@contextmanager
def webhook_server(folder: Path) -> Iterator[WebhookServer]:
    server = WebhookServer(folder)
    try:
        yield server
    finally:
        server.stop()


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and for the Service hooks.default.svc."""
    from datetime import UTC, datetime, timedelta
    from ipaddress import IPv4Address

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hooks")])
    now = datetime.now(UTC)
    names = [x509.IPAddress(IPv4Address("127.0.0.1")), x509.DNSName("hooks.default.svc"), x509.DNSName("localhost")]
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    cert_file, key_file = folder / "webhook.crt", folder / "webhook.key"
    cert_file.write_bytes(signed.public_bytes(Encoding.PEM))
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return cert_file, key_file
