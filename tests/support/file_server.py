"""A web server on localhost that serves one file, as well or as badly as a test asks."""

import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass(frozen=True)
class Answer:
    """How one request is answered; by default well.

    Attributes:
        status: of an answer without the file, such as 404.
        headers: replace those of a good answer; None leaves one out.
        parts: whether ranges are served.
        checks: whether If-Range is respected.
        sent: bytes of the body after which the connection ends.
        reset: whether it ends with a reset.
        stalls: whether the connection stays open in the end, without another byte.
        chunked: whether the length is kept secret.
        body: another file.
    """

    status: int | None = None
    headers: dict[str, str | None] = field(default_factory=dict)
    parts: bool = True
    checks: bool = True
    sent: int | None = None
    reset: bool = False
    stalls: bool = False
    chunked: bool = False
    body: bytes | None = None


class FileServer(ThreadingHTTPServer):
    """Serves `content` under every address; `answers` are used up first, then `always`."""

    daemon_threads = True
    block_on_close = True

    def __init__(self, content: bytes, etag: str | None = None, certificate: Path | None = None):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.scheme = "http"
        if certificate is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
            self.scheme = "https"
        self.content, self.etag = content, etag
        self.answers: deque[Answer] = deque()
        self.always = Answer()
        self.requests: list[tuple[str, str | None]] = []  # path and Range
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        """The address to give as mirror."""
        return f"{self.scheme}://127.0.0.1:{self.server_port}/exorl"

    def handle_error(self, request, client_address):
        """Say nothing of clients that have left: many of ours are killed."""


@contextmanager
def serving(
    content: bytes, etag: str | None = None, certificate: Path | None = None
) -> Iterator[FileServer]:
    """Serve until the block ends; with a certificate (and its key) over https."""
    with FileServer(content, etag, certificate) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: FileServer
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        asked = self.headers.get("Range")
        self.server.requests.append((self.path, asked))
        answer = self.server.answers.popleft() if self.server.answers else self.server.always
        if answer.status is not None:
            self._head(answer.status, {"Content-Length": "0"} | answer.headers)
            self.close_connection = True
            return
        content = self.server.content if answer.body is None else answer.body
        first = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        condition = self.headers.get("If-Range")
        changed = answer.checks and condition not in (None, self.server.etag)
        if first and answer.parts and not changed:
            self._part(answer, content, first)
        else:
            self._body(200, answer, content, {})

    def _part(self, answer: Answer, content: bytes, first: int) -> None:
        size = len(content)
        if first >= size:
            self._head(416, {"Content-Range": f"bytes */{size}", "Content-Length": "0"})
        else:
            where = {"Content-Range": f"bytes {first}-{size - 1}/{size}"}
            self._body(206, answer, content[first:], where)

    def _body(self, status: int, answer: Answer, body: bytes, headers: dict) -> None:
        length = {"Transfer-Encoding": "chunked"} if answer.chunked else {}
        length = length or {"Content-Length": str(len(body))}
        kind = {"Content-Type": "application/zip", "ETag": self.server.etag}
        self._head(status, kind | length | headers | answer.headers)
        sent = body if answer.sent is None else body[: answer.sent]
        if answer.chunked:
            for start in range(0, len(sent), 10_000):
                piece = sent[start : start + 10_000]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            if len(sent) == len(body):
                self.wfile.write(b"0\r\n\r\n")
        else:
            self.wfile.write(sent)
        if answer.stalls:
            self.wfile.flush()
            self.server.closing.wait()
        if answer.reset:
            # Closing with a linger time of 0 resets the connection; what was sent gets a head start
            # from the flush alone, so a reset may swallow some of it, as it does in life.
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True

    def _head(self, status: int, headers: dict[str, str | None]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, *_):
        """Keep the output of the tests clean."""
