"""One HTTP server of the test Hub, whose connections can be cut."""

import logging
import socket
import struct
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

from tests.hub.loopback.answers import Answer
from tests.hub.loopback.faults import Fault, Faults
from tests.hub.loopback.records import Request, without_secrets
from tests.hub.loopback.state import Call

logger = logging.getLogger(__name__)


class Origin(ThreadingHTTPServer):
    """A server at `http://127.0.0.1:PORT`; the system chooses the port.

    The storage says `localhost` instead: the client of the Hub before 2.0 tells a storage from the Hub by the name of the
    host alone, follows an address of the Hub, and misses there what the redirect says.

    Args:
        answer: Answers a request.
        faults: The planned faults.
        record: Called with every request.
        storage: Whether this is the storage of large files.
    """

    daemon_threads = False  # closing waits for the requests under way

    def __init__(
        self,
        answer: Callable[[Call], Answer],
        faults: Faults,
        record: Callable[[Request], None],
        *,
        storage: bool = False,
    ):
        self.answer, self.faults, self.record, self.storage = answer, faults, record, storage
        self._connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://{'localhost' if storage else '127.0.0.1'}:{self.server_port}"
        # Closing waits for the next poll.
        self._thread = Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self):
        """Stop listening, close open connections, and wait for requests in progress."""
        self.shutdown()
        self._thread.join()
        for connection in tuple(self._connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                logger.debug("the client had closed its connection")
        self.server_close()

    def get_request(self):
        connection, address = super().get_request()
        self._connections.add(connection)
        return connection, address

    def close_request(self, request):
        self._connections.discard(request)
        super().close_request(request)

    def handle_error(self, request, client_address):
        logger.debug("a connection ended early", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept, as the client expects
    disable_nagle_algorithm = True  # headers and body are two writes: together they would wait 40 ms for each other
    server: Origin

    def respond(self):
        address = urlsplit(self.path)
        fault = self.server.faults.take(self.command, address.path)
        drop_after = None if fault is None else fault.drop_after
        body, whole = self._read(drop_after)
        if not whole or drop_after is not None:
            self.server.record(Request(self.command, self.path, None, body, self.server.storage))
            self._reset()
            return
        answer = self._answer(address, body, fault)
        kept = without_secrets(address.path, body)
        self.server.record(Request(self.command, self.path, answer.status, kept, self.server.storage))
        self._send(answer, None if fault is None else fault.drop_response_after)

    do_GET = do_HEAD = do_PATCH = do_POST = do_PUT = do_DELETE = respond

    def _answer(self, address, body: bytes, fault: Fault | None) -> Answer:
        if fault is not None and fault.drop_response_after is None:
            return fault.answer()
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = parse_qs(address.query, keep_blank_values=True)
        return self.server.answer(Call(self.command, address.path, query, headers, body))

    def _read(self, most: int | None) -> tuple[bytes, bool]:
        """Return the body, or its first `most` bytes, and whether it is complete."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return self._read_chunks(most)
        length = int(self.headers.get("Content-Length", 0))
        wanted = length if most is None else min(most, length)
        body = self.rfile.read(wanted)
        return body, len(body) == wanted

    def _read_chunks(self, most: int | None) -> tuple[bytes, bool]:
        body = bytearray()
        while most is None or len(body) < most:
            line = self.rfile.readline()  # size of the chunk, hexadecimal
            if not line:
                return bytes(body), False
            size = int(line.split(b";")[0], 16)
            body += self.rfile.read(size + len(b"\r\n"))[:size]
            if size == 0:
                break
        return bytes(body[:most]), True

    def _send(self, answer: Answer, drop_after: int | None):
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body[:drop_after])
        if drop_after is not None:
            self.close_connection = True  # without a reset, which would take back what was sent

    def _reset(self):
        """Break the connection at once, as a lost network does, while the client may still be sending."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def log_message(self, format, *args):
        logger.debug(format, *args)
