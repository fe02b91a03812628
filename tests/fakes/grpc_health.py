"""A gRPC server with nothing but a health service, as a program: ``grpc_health.py ADDRESS PORT ANSWER``.

ANSWER is a health status, UNIMPLEMENTED for a server without that service, or CLOSE for one that hangs up.
"""

from __future__ import annotations

import socket
import struct
import sys

STATUSES = {"UNKNOWN": 0, "SERVING": 1, "NOT_SERVING": 2}
PREFACE = 24
HEADERS = b"\x88" + b"\x00\x0ccontent-type\x10application/grpc"
TRAILERS = b"\x00\x0bgrpc-status\x010"
UNIMPLEMENTED = HEADERS + b"\x00\x0bgrpc-status\x0212"


def frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    return struct.pack(">I", len(content))[1:] + struct.pack(">BBI", kind, flags, stream) + content


def answer(status: str) -> bytes:
    if status == "UNIMPLEMENTED":
        return frame(1, 0x5, 1, UNIMPLEMENTED)
    number = STATUSES[status]
    message = bytes([8, number]) if number else b""
    body = struct.pack(">BI", 0, len(message)) + message
    # A ping in between, which the client must not take for the answer, and padding, which it must take off.
    padded = bytes([3]) + body + bytes(3)
    return frame(1, 0x4, 1, HEADERS) + frame(6, 0, 0, bytes(8)) + frame(0, 0x8, 1, padded) + frame(1, 0x5, 1, TRAILERS)


def serve(address: str, port: int, status: str) -> None:
    with socket.create_server((address, port)) as server:
        while True:
            connection, _ = server.accept()
            with connection, connection.makefile("rb") as received:
                received.read(PREFACE)
                if status == "CLOSE":
                    continue
                connection.sendall(frame(4, 0, 0, b""))
                while (head := received.read(9)) and len(head) == 9:
                    received.read(struct.unpack(">I", b"\0" + head[:3])[0])
                    if head[3] == 0 and head[4] & 1:
                        connection.sendall(answer(status))


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), sys.argv[3])
