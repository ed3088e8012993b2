"""The small HTTP server behind `metrics.listen`: GET and HEAD on four paths. Nothing that asks can hold it:

- At most MAX_ASKING connections are answered at once, each in a thread; another one is told 503 and closed.
- A connection is closed LIFE_S after it came whatever it does meanwhile, or when it does nothing for QUIET_S.
- One request a connection; a request with a body is not read beyond its head.

Nothing here is encrypted and nobody is asked who they are: what is told are names of cameras and products, and counts.
Specification: RFC 9112 (chunked, so that a page cut short is known as such), Prometheus text format 0.0.4.
"""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, TypeAlias

from prometheus_client import Metric, generate_latest
from prometheus_client.registry import Collector

from edge.class_counts import ClassCounts
from edge.config import MetricsConfig
from edge.errors import PublishError
from edge.health import Health
from edge.metrics import classes
from edge.metrics.collector import HealthCollector
from edge.metrics.readiness import Fault, dead, unready
from edge.ports import FrameSource

__all__ = ["LIFE_S", "MAX_ASKING", "MetricsServer"]

MAX_ASKING = 8
LIFE_S = 60.0  # the longest page takes half of that
QUIET_S = 10.0
TICK_S = 0.25
PAUSE_S = 0.002  # between the pieces of a page: the frame loop goes first
PAGE = "text/plain; version=0.0.4; charset=utf-8"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

log = logging.getLogger("edge.metrics")

Answer: TypeAlias = tuple[HTTPStatus, str, bytes | Iterable[str]]  # status, content type, body or its pieces


class MetricsServer:
    """Serves on `config.listen` inside `with`; raises PublishError where the port is taken.

    `clock_ns` is the clock of the loop.
    """

    def __init__(
        self, config: MetricsConfig, health: Health, cameras: Sequence[FrameSource], clock_ns: Callable[[], int]
    ) -> None:
        self._config = config
        self._health = health
        self._cameras = cameras
        self._clock_ns = clock_ns
        self._collector = HealthCollector(health, cameras, clock_ns)

    def __enter__(self) -> MetricsServer:
        host, _, port = self._config.listen.rpartition(":")
        pages: dict[str, Callable[[], Answer]] = {
            "/metrics": lambda: (HTTPStatus.OK, PAGE, _families(self._collector)),
            "/metrics/classes": lambda: (HTTPStatus.OK, PAGE, self._classes()),
            "/healthz": lambda: _verdict(dead(self._health, self._clock_ns()), "live", self._health),
            "/readyz": lambda: _verdict(unready(self._health, self._cameras, self._clock_ns()), "ready", self._health),
        }
        try:
            self._server = _Server((host, int(port)), pages)
        except OSError as error:
            where = f"{self._config.listen}: {error.strerror or error}"
            raise PublishError(f"cannot serve metrics on {where}; free the port or change metrics.listen") from None
        self._thread = threading.Thread(target=self._server.serve_forever, args=(TICK_S,), name="metrics", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    def follow(self, config: MetricsConfig) -> None:
        """Show as many products as this says from the next page on; where it listens stays."""
        self._config = config

    @property
    def port(self) -> int:
        """Return the port that is listened on, also where `listen` asks for any (0)."""
        return int(self._server.server_address[1])

    def _classes(self) -> Iterable[str]:
        health = self._health
        accuracy = health.feedback().accuracy if health.feedback is not None else ()
        return classes.pieces(health.classes or ClassCounts(()), accuracy, self._config.max_classes)


def _families(collector: Collector) -> Iterable[str]:
    """Return a page, a family a piece; all of it is read before the first piece is made."""
    return (generate_latest(_Family(metric)).decode() for metric in list(collector.collect()))


class _Family(Collector):
    """A page of one family."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        """Return it."""
        return [self._metric]


def _verdict(faults: Sequence[Fault], good: str, health: Health) -> Answer:
    """Return 200 where there is no fault, else 503; the reasons as JSON either way."""
    reasons = [{"code": fault.code, "detail": fault.detail} for fault in faults]
    told = {good: not faults, "reasons": reasons, "bundle": health.bundle_id, "degraded": health.degraded}
    status = HTTPStatus.SERVICE_UNAVAILABLE if faults else HTTPStatus.OK
    return status, "application/json", json.dumps(told).encode() + b"\n"


class _Server(ThreadingHTTPServer):
    """Accepts, bounds and closes; `_Asking` answers."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], pages: dict[str, Callable[[], Answer]]) -> None:
        self.pages = pages
        self._ends_s: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        super().__init__(address, _Asking)

    def server_bind(self) -> None:
        """Bind, and ask no name server for our own name, which the standard library would."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, or refuse where MAX_ASKING are being answered."""
        with self._lock:
            free = len(self._ends_s) < MAX_ASKING
            if free:
                self._ends_s[request] = time.monotonic() + LIFE_S
        if free:
            super().process_request(request, client_address)
            return
        with contextlib.suppress(OSError):
            request.setblocking(False)
            request.send(BUSY)
        self.shutdown_request(request)

    def service_actions(self) -> None:
        """Wake those whose time is over: their socket ends, and their thread with it."""
        now_s = time.monotonic()
        with self._lock:
            late = [request for request, end_s in self._ends_s.items() if now_s > end_s]
        for request in late:
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

    def close_request(self, request: Any) -> None:
        """Close a connection and make its place free."""
        with self._lock:
            self._ends_s.pop(request, None)
        super().close_request(request)

    def server_close(self) -> None:
        """Stop listening, and end whoever is still asking."""
        super().server_close()
        with self._lock:
            for request in self._ends_s:
                with contextlib.suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002  # as the library calls it
        """Say nothing of who went away; a fault of ours stands in the log."""
        if not isinstance(sys.exc_info()[1], OSError):
            log.exception("a page could not be made; a bug")


class _Asking(BaseHTTPRequestHandler):
    """One request."""

    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "shelfedge"
    sys_version = ""
    timeout = QUIET_S

    def do_GET(self) -> None:
        """Answer with a page."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Answer with a page's head."""
        self._answer(with_body=False)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Log nothing: who asks is no event."""

    def _answer(self, with_body: bool) -> None:
        page = self.server.pages.get(self.path.split("?", 1)[0], self._nothing)
        status, kind, body = page()
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        if isinstance(body, bytes):
            self.send_header("Content-Length", str(len(body)))
        elif self.request_version != "HTTP/1.0":
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if not with_body:
            return
        if isinstance(body, bytes):
            self.wfile.write(body)
        else:
            self._write_pieces(body, chunked=self.request_version != "HTTP/1.0")

    def _nothing(self) -> Answer:
        there = "".join(f"{path}\n" for path in self.server.pages)
        return HTTPStatus.NOT_FOUND, "text/plain", f"there is\n{there}".encode()

    def _write_pieces(self, pieces: Iterable[str], chunked: bool) -> None:
        for piece in pieces:
            if not piece:
                continue  # an empty chunk would be the end
            payload = piece.encode()
            self.wfile.write(b"%x\r\n%b\r\n" % (len(payload), payload) if chunked else payload)
            time.sleep(PAUSE_S)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
