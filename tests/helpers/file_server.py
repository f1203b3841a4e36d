"""An HTTP server on this machine that gives out files, as badly as a test wants."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FileServer:
    """What the server gives out and how, and what it was asked for."""

    files: dict[str, bytes] = field(default_factory=dict)  # by path: "/a/b.pkl"
    ranges: bool = True  # whether parts of files are given out
    version: str = '"1"'  # the ETag
    cuts: list[int] = field(default_factory=list)  # bytes of each of the next bodies after which the line is cut
    claims: int = 0  # bytes that Content-Length says above the truth
    status: int = 0  # of every answer
    content_type: str = "application/octet-stream"
    asked: list[tuple[str, str]] = field(default_factory=list)  # path and Range of each request
    sent: int = 0  # bytes of bodies
    url: str = ""


@contextmanager
def serve(server: FileServer) -> Iterator[FileServer]:
    """Run the server on a free port; `server.url` is its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            server.asked.append((self.path, wanted))
            body = server.files.get(self.path)
            if server.status or body is None:
                self.send_error(server.status or 404)
                return
            start = 0
            match = re.fullmatch(r"bytes=(\d+)-", wanted)
            if match and server.ranges and self.headers.get("If-Range", server.version) == server.version:
                start = int(match[1])
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            else:
                self.send_response(200)
            part = body[start:]
            self.send_header("Content-Type", server.content_type)
            self.send_header("Content-Length", str(len(part) + server.claims))
            if server.version:
                self.send_header("ETag", server.version)
            self.end_headers()
            part = part[: server.cuts.pop(0)] if server.cuts else part
            server.sent += len(part)  # before: a client that has them all may look at once
            self.wfile.write(part)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    with running(Handler) as server.url:
        yield server


@contextmanager
def running(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Answer requests by `handler` on a free port of localhost; gives the server's address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()
