"""TensorFlow Serving's REST interface, for `local_server.py`.

Every request gets an answer with a status, whatever it holds: bodies are
limited before they are read, values before they are computed with, clients in
time and in number. So the memory is bounded.
"""

import contextlib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

import numpy as np

MOST_BODY_BYTES = 16 << 20
MOST_VALUES = 1 << 20
"""Of all inputs of a request, such as 16 maps of 256 x 256 px."""
PATIENCE_S = 10.0
"""For a request to arrive whole."""
MOST_CLIENTS = 16
"""At once; one is computed for at a time."""
_PATH = "/v1/models/"


class Models(Protocol):
    """What answers."""

    by_name: dict[str, Any]

    def predict(
        self, name: str, signature: str, inputs: dict[str, Any]
    ) -> dict[str, np.ndarray]:
        """Answer one request.

        Raises:
            LookupError: for an unknown model or signature.
            ValueError: for inputs that the model refuses.
        """
        ...


class Refusal(Exception):  # noqa: N818
    """A request that is answered with a status and a line."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Rest(BaseHTTPRequestHandler):
    """REST: model status and prediction."""

    models: Models
    patience_s = PATIENCE_S
    _busy = threading.Lock()

    def setup(self) -> None:
        """Give the client its time."""
        self._late = self._answered = False
        self._clock = threading.Timer(self.patience_s, self._out_of_time)
        self._clock.daemon = True
        self._clock.start()
        super().setup()

    def _out_of_time(self) -> None:
        self._late = True
        try:
            self.connection.shutdown(socket.SHUT_RD)  # the reading ends
        except OSError:  # it has gone
            self.close_connection = True

    def finish(self) -> None:
        """Also tell a client that was too slow to finish its first line."""
        self._clock.cancel()
        try:
            if self._late and not self._answered:
                self.wfile.write(
                    b"HTTP/1.0 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"
                )
            super().finish()
        except OSError:  # it has gone
            pass

    def handle(self) -> None:
        """A client that goes away is no fault."""
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True

    def do_GET(self) -> None:
        """Status of a model."""
        self._clock.cancel()
        name = self.path.removeprefix(_PATH)
        if name not in self.models.by_name:
            self._answer(404, {"error": f"no model {name[:80]!r}"})
            return
        version = {"version": "1", "state": "AVAILABLE"}
        self._answer(200, {"model_version_status": [version]})

    def do_POST(self) -> None:
        """A prediction."""
        try:
            code, content = 200, self._predicted()
        except Refusal as refusal:
            code, content = refusal.code, {"error": str(refusal)}
        except MemoryError:
            code, content = 413, {"error": "too large for this machine"}
        except Exception as error:  # a fault of ours is an answer too
            code, content = 500, {"error": type(error).__name__}
        self._answer(code, content)

    def _predicted(self) -> dict[str, Any]:
        if self._late:
            raise Refusal(408, f"not here within {self.patience_s:g} s")
        name, _, verb = self.path.removeprefix(_PATH).partition(":")
        if verb != "predict" or not self.path.startswith(_PATH):
            raise Refusal(404, f"no such path: {self.path[:80]}")
        request = _parsed(self._body())
        rows = request.get("instances")
        inputs = request.get("inputs") if rows is None else _columns(rows)
        arrays = _arrays(inputs)
        signature = request.get("signature_name", "")
        if not isinstance(signature, str):
            raise Refusal(400, "signature_name is no text")
        try:
            with self._busy:
                outputs = self.models.predict(name, signature, arrays)
        except LookupError as error:
            raise Refusal(404, str(error)) from error
        except (ValueError, TypeError) as error:
            raise Refusal(400, str(error)[:500]) from error
        named = {k: v.tolist() for k, v in outputs.items()}
        if rows is None:
            return {"outputs": named}
        return {"predictions": _rows(named)}

    def _body(self) -> bytes:
        """The whole body, within limits of size and time."""
        lengths = self.headers.get_all("Content-Length") or []
        if "Transfer-Encoding" in self.headers or not lengths:
            raise Refusal(411, "Content-Length is needed")
        text = lengths[0].strip()
        if len(lengths) > 1 or not (text.isascii() and text.isdigit()):
            raise Refusal(400, f"Content-Length is {text[:40]!r}")
        if len(text) > 12 or int(text) > MOST_BODY_BYTES:
            raise Refusal(413, f"a body has {MOST_BODY_BYTES} bytes at most")
        length = int(text)
        body = self.rfile.read(length)
        self._clock.cancel()
        if len(body) < length:
            if self._late:
                raise Refusal(408, f"not here within {self.patience_s:g} s")
            raise Refusal(400, f"{len(body)} of {length} bytes came")
        return body

    def log_message(self, *args: Any) -> None:
        """Be quiet."""

    def send_error(self, code: int, *args: Any, **named: Any) -> None:
        """Of the protocol itself; half a request is late and not wrong."""
        if self._late:
            self.close_connection = True
            return
        self._answered = True
        super().send_error(code, *args, **named)

    def _answer(self, code: int, content: dict[str, Any]) -> None:
        self._answered = True
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        request = json.loads(body)
    except RecursionError as error:
        raise Refusal(400, "the JSON is nested too deeply") from error
    except ValueError as error:
        raise Refusal(400, f"no JSON: {error}"[:200]) from error
    if not isinstance(request, dict):
        raise Refusal(400, "the JSON is no object")
    return request


def _columns(rows: Any) -> dict[str, list[Any]]:
    if (
        not isinstance(rows, list)
        or not rows
        or not all(isinstance(row, dict) for row in rows)
        or any(row.keys() != rows[0].keys() for row in rows)
    ):
        raise Refusal(400, "instances must be objects with the same names")
    return {key: [row[key] for row in rows] for key in rows[0]}


def _arrays(inputs: Any) -> dict[str, np.ndarray]:
    """Inputs as float32, and not too many."""
    if not isinstance(inputs, dict) or not inputs:
        raise Refusal(400, "neither inputs nor instances, by name")
    try:
        arrays = {k: np.array(v, np.float32) for k, v in inputs.items()}
    except (ValueError, TypeError, OverflowError) as error:
        raise Refusal(400, f"no array of numbers: {error}"[:200]) from error
    if sum(array.size for array in arrays.values()) > MOST_VALUES:
        raise Refusal(413, f"{MOST_VALUES} values are computed at most")
    return arrays


def _rows(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    count = len(next(iter(columns.values())))
    return [{k: v[i] for k, v in columns.items()} for i in range(count)]


class Server(ThreadingHTTPServer):
    """A server that answers 503 where too many ask at once."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._free = threading.Semaphore(MOST_CLIENTS)

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread of its own, where there is one left."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
            return
        with contextlib.suppress(OSError):
            request.sendall(
                b"HTTP/1.0 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
            )
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Make room for another one afterwards."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: the client has gone."""


def serve(models: Models, port: int) -> Server:
    """Start to answer in a thread.

    Args:
        models: what answers.
        port: of this machine; 0 for any.
    """
    handler = type("Handler", (Rest,), {"models": models})
    server = Server(("localhost", port), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
