"""The example's server answers whatever is asked with a status."""

import http.client
import importlib.util
import json
import socket
import threading
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

_PATH = Path(__file__).parents[2] / "examples/serving/rest.py"
_SPEC = importlib.util.spec_from_file_location("rest", _PATH)
rest = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(rest)

ASK = "/v1/models/m:predict"


class Models:
    """One that gives its maps back."""

    by_name = {"m": None}  # noqa: RUF012

    def predict(self, name, signature, inputs):
        if name not in self.by_name:
            raise LookupError(f"no model {name!r}")
        if inputs["maps"].ndim != 4:
            raise ValueError("maps must be [B, V, H, W]")
        if inputs["maps"].size == 13:
            raise RuntimeError("a fault")
        return {"score": inputs["maps"]}


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(rest.Rest, "patience_s", 1.0)
    server = rest.serve(Models(), 0)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def ask(server):
    def status(body, path=ASK, headers=None):
        connection = http.client.HTTPConnection(*server.server_address[:2])
        connection.request("POST", path, body, headers or {})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content

    return status


def raw(server, content, wait=True):
    with socket.create_connection(server.server_address[:2], 30) as client:
        client.sendall(content)
        if not wait:
            return b""
        answer = b""
        while part := client.recv(1 << 16):
            answer += part
    return answer


def maps(size=4):
    return np.ones((1, 1, size, size)).tolist()


def test_it_answers(ask):
    status, content = ask(json.dumps({"inputs": {"maps": maps()}}))
    assert status == 200
    assert json.loads(content)["outputs"]["score"] == maps()
    rows = json.dumps({"instances": [{"maps": maps()[0]}] * 2})
    status, content = ask(rows)
    assert status == 200
    assert len(json.loads(content)["predictions"]) == 2


DEEP = 200_000


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("", 400),
        ("{", 400),
        ("[" * DEEP, 400),
        ('{"inputs": ' + '{"a":' * DEEP, 400),
        ("[]", 400),
        ("3", 400),
        ("{}", 400),
        ('{"instances": []}', 400),
        ('{"instances": {}}', 400),
        ('{"instances": [3]}', 400),
        ('{"instances": [{}]}', 400),
        ('{"instances": [{"maps": [1]}, {"other": [1]}]}', 400),
        ('{"inputs": []}', 400),
        ('{"inputs": {"maps": null}}', 400),
        ('{"inputs": {"maps": [[1], [1, 2]]}}', 400),
        ('{"inputs": {"maps": ["a"]}}', 400),
        ('{"inputs": {"maps": [1' + "0" * 400 + "]}}", 400),
        ('{"inputs": {"maps": [1' + "0" * 5000 + "]}}", 400),
        ('{"inputs": {"maps": [1]}, "signature_name": 3}', 400),
        ('{"inputs": {"maps": [[[[1,1,1,1,1,1,1,1,1,1,1,1,1]]]]}}', 500),
        (b"\xff\xfe", 400),
    ],
)
def test_a_body_that_is_wrong(ask, body, code):
    status, content = ask(body)
    assert status == code
    assert json.loads(content)["error"]


@pytest.mark.parametrize(
    ("path", "code"),
    [("/v1/models/other:predict", 404), ("/", 404), ("/v1/models/m", 404)],
)
def test_a_path_that_is_wrong(ask, path, code):
    assert ask(json.dumps({"inputs": {"maps": maps()}}), path)[0] == code


@pytest.mark.parametrize(
    ("lengths", "code"),
    [
        ((), 411),
        (("-1",), 400),
        (("-99999999999",), 400),
        (("x",), 400),
        (("",), 400),
        (("1.5",), 400),
        (("+3",), 400),
        (("²",), 400),
        (("3", "4"), 400),
        ((str(10**9),), 413),
        (("9" * 5000,), 413),
        (("100",), 408),
    ],
)
def test_a_length_that_is_wrong(server, lengths, code):
    told = "".join(f"Content-Length: {length}\r\n" for length in lengths)
    head = f"POST {ASK} HTTP/1.1\r\n{told}\r\n{{}}"
    answer = raw(server, head.encode())
    assert answer.startswith(f"HTTP/1.0 {code} ".encode())


def test_a_body_in_chunks(server):
    head = f"POST {ASK} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert b" 411 " in raw(server, head.encode())


@pytest.mark.parametrize(
    "begun", [b"", b"PO", b"POST / HTTP/1.1\r\nContent-Le"]
)
def test_a_client_that_waits(server, begun):
    assert b" 408 " in raw(server, begun)


def test_a_client_that_trickles(server):
    """A byte now and then does not buy more time."""
    with socket.create_connection(server.server_address[:2], 30) as client:
        head = f"POST {ASK} HTTP/1.1\r\nContent-Length: 90\r\n\r\n"
        client.sendall(head.encode())
        answer = b""
        client.settimeout(0.2)
        for _ in range(100):
            try:
                client.sendall(b" ")
                answer = client.recv(100)
                break
            except TimeoutError:
                continue
    assert b" 408 " in answer


def test_clients_that_go(server, ask):
    for _ in range(50):
        raw(server, b"POST / HT", wait=False)
    deadline = time.monotonic() + 60
    while ask(json.dumps({"inputs": {"maps": maps()}}))[0] != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_more_clients_than_it_bears(server):
    held = [
        socket.create_connection(server.server_address[:2], 30)
        for _ in range(rest.MOST_CLIENTS)
    ]
    deadline = time.monotonic() + 30
    answers = set()
    while b"503" not in b"".join(answers):
        assert time.monotonic() < deadline
        answers.add(raw(server, b"GET / HTTP/1.0\r\n\r\n")[:20])
    for client in held:
        client.close()


def test_large_bodies_take_no_memory(server, ask):
    """One of 34 MB took it from 0.9 to 4.2 GB."""
    body = b'{"inputs": {"maps": [' + b"1.234," * 5_600_000 + b"1]}}"
    tracemalloc.start()
    codes = []
    threads = [
        threading.Thread(target=lambda: codes.append(refused(server, body)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert codes == [413] * 4
    assert peak < 50e6


def refused(server, body):
    head = f"POST {ASK} HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n"
    return int(raw(server, head.encode()).split()[1])


def test_many_values_are_not_computed_with(ask):
    body = json.dumps({"inputs": {"maps": [0] * (rest.MOST_VALUES + 1)}})
    assert len(body) < rest.MOST_BODY_BYTES
    assert ask(body)[0] == 413
