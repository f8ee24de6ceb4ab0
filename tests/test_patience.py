"""The embedded host and callers who take their time, or all the room there is: it serves the others meanwhile."""

from __future__ import annotations

import contextlib
import json
import random
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.gateway_process import SAMPLE, GatewayProcess, running_gateway

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="/proc tells what a process takes")

MB = 1_000_000
POST = b"POST /v1/forms/contact HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """The embedded host that waits a second where it would wait ten."""
    folder = tmp_path_factory.mktemp("patience")
    config = folder / "gateway.yaml"
    config.write_text(SAMPLE.read_text("utf-8").replace("kind: form\n", "kind: form\n    limit: off\n"), "utf-8")
    with running_gateway(store=folder / "gateway.db", config=config, program=("-m", "tests.impatient")) as process:
        yield process


@contextlib.contextmanager
def connected(gateway: GatewayProcess) -> Iterator[socket.socket]:
    """A connection to it."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as connection:
        yield connection


def taken(gateway: GatewayProcess) -> int:
    """Bytes of memory the process has, or once had, at most."""
    status = Path(f"/proc/{gateway.process.pid}/status").read_text("utf-8")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024


def served(gateway: GatewayProcess) -> bool:
    """Whether somebody else is answered, within two seconds."""
    with urlopen(f"{gateway.url}/health/ready", timeout=2) as answer:
        return bool(answer.status == 200)


def everything(connection: socket.socket) -> bytes:
    """What comes until the gateway ends the connection; a reset is no end."""
    received = []
    while chunk := connection.recv(65536):
        received.append(chunk)
    return b"".join(received)


def answered(connection: socket.socket) -> tuple[int, str]:
    """The next answer's status and problem code."""
    with HTTPResponse(connection) as answer:
        answer.begin()
        return answer.status, json.loads(answer.read()).get("code", "")


def pour(connection: socket.socket, piece: bytes, most: int) -> int:
    """Send the same again and again, until that is `most` bytes or the gateway takes no more; how many it were."""
    sent = 0
    with contextlib.suppress(ConnectionError):
        while sent < most:
            connection.sendall(piece)
            sent += len(piece)
    return sent


def test_two_thousand_silent_connections_keep_nobody_out_and_end(gateway: GatewayProcess) -> None:
    """Each sends a line and stops. There is room for 2,048: the oldest of them goes, not whoever comes to be served."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard), hard))
    with contextlib.ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        silent = [stack.enter_context(connected(gateway)) for _ in range(2100)]
        for number, connection in enumerate(silent):
            with contextlib.suppress(ConnectionError):  # the oldest have ended already
                connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n" if number % 2 else b"")
            if not number % 300:
                assert served(gateway)
        assert served(gateway)
        began = time.monotonic()
        for connection in silent:
            with contextlib.suppress(ConnectionError):
                everything(connection)
        assert time.monotonic() - began < 10
    assert served(gateway)


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-Long: ", b"a" * 100_000),
        (b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-", b"a" * 100_000),
        (b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n", b"a:b\r\n" * 20_000),
        (b"GET /health/live?", b"a=b&" * 20_000),
        (b"", b"\r\n" * 50_000),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"a" * 100_000),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n1;", b"a" * 100_000),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\na=b\r\n0\r\n", b"a:b\r\n" * 20_000),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\na=b\r\n0\r\nX: ", b"a" * 100_000),
    ],
    ids=["value", "name", "lines", "target", "blank", "chunk size", "extension", "trailers", "trailer"],
)
def test_a_request_that_never_ends_is_refused_early_and_costs_no_memory(
    gateway: GatewayProcess, begin: bytes, piece: bytes
) -> None:
    """It is cut off; what it still sends is thrown away, and not for long."""
    before = taken(gateway)
    with connected(gateway) as connection:
        connection.sendall(begin)
        sent = pour(connection, piece, 200 * MB)

    assert sent < 150 * MB
    assert taken(gateway) - before < 8 * MB
    assert served(gateway)


@pytest.mark.parametrize("lines", [b"X-Long: " + b"a" * 40_000 + b"\r\n", b"a: b\r\n" * 7000], ids=["one", "many"])
def test_a_head_of_more_than_32_kib_is_answered_with_431(gateway: GatewayProcess, lines: bytes) -> None:
    """The caller sees it, although it had written more than was read."""
    with connected(gateway) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n" + lines + b"\r\n")

        assert answered(connection) == (431, "head_too_large")


def test_a_head_of_30_kib_is_taken(gateway: GatewayProcess) -> None:
    """In one piece or in many, and the second on its connection as well."""
    head = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 30_000 + b"\r\n\r\n"
    with connected(gateway) as connection:
        for size in (len(head), 1000):
            for start in range(0, len(head), size):
                connection.sendall(head[start : start + size])
            assert answered(connection)[0] == 200


def drip(connection: socket.socket, piece: bytes) -> None:
    """A little every fifth of a second, for five seconds or until an answer is there."""
    connection.settimeout(0.2)
    for _ in range(25):
        with contextlib.suppress(TimeoutError):
            connection.recv(1, socket.MSG_PEEK)
            break
        connection.sendall(piece)
    connection.settimeout(20)


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n", b"a: b\r\n"),
        (POST + b"Content-Length: 100000\r\n\r\n", b"a"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
        (POST + b"Content-Length: 100000\r\n\r\n" + b"a" * 90_000, b""),
    ],
    ids=["head", "body", "chunks", "stalled"],
)
def test_a_request_that_comes_too_slowly_is_answered_with_408(
    gateway: GatewayProcess, begin: bytes, piece: bytes
) -> None:
    """However much of it was there before."""
    with connected(gateway) as connection:
        connection.sendall(begin)
        drip(connection, piece)

        assert answered(connection) == (408, "too_slow")
    assert served(gateway)


def test_a_body_at_the_least_rate_is_taken(gateway: GatewayProcess) -> None:
    """A line from far away: 2 KiB a second, for longer than anything may take without going on."""
    body = b"message=" + b"a" * 7000
    with connected(gateway) as connection:
        connection.sendall(POST + b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 7008\r\n\r\n")
        for start in range(0, len(body), 700):
            connection.sendall(body[start : start + 700])
            time.sleep(0.3)

        assert answered(connection)[0] == 200


def test_who_does_not_read_its_answers_is_cut_off(gateway: GatewayProcess) -> None:
    """It asks and asks; at some point nothing is read from it any more, and then it ends."""
    before = taken(gateway)
    with connected(gateway) as connection:
        connection.settimeout(2)
        with contextlib.suppress(TimeoutError, ConnectionError):
            for _ in range(2000):
                connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
        time.sleep(4)
        assert pour(connection, b"x" * 100_000, 20 * MB) < 20 * MB

    assert taken(gateway) - before < 20 * MB
    assert served(gateway)


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        ("/v1/forms/contact", b"", (413, "too_large")),
        ("/v1/notifications", b"", (401, "unauthorized")),
        ("/v1/notifications", b"Authorization: Bearer example-key-app\r\n", (413, "too_large")),
        ("/v1/forms/nobody", b"", (404, "unknown_source")),
        ("/nowhere", b"", (404, "not_found")),
        ("/v1/forms/contact", b"Origin: https://evil.example\r\n", (403, "foreign_origin")),
    ],
)
@pytest.mark.parametrize("keep", [b"", b"Connection: close\r\n"], ids=["kept", "closed"])
def test_a_refusal_is_seen_by_who_writes_its_whole_body_first(
    gateway: GatewayProcess, path: str, headers: bytes, expected: tuple[int, str], keep: bytes
) -> None:
    """30 MB are read and thrown away, so that the client is never reset before it looks for the answer."""
    with connected(gateway) as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 30000000\r\n".encode())
        connection.sendall(headers + keep + b"\r\n" + b"a" * 30 * MB)
        connection.settimeout(5)

        assert answered(connection) == expected


def test_what_comes_after_a_refusal_is_not_read_for_ever(gateway: GatewayProcess) -> None:
    """64 MB, or ten seconds (here one)."""
    before = taken(gateway)
    with connected(gateway) as connection:
        connection.sendall(b"POST /v1/notifications HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n")

        assert pour(connection, b"a" * MB, 300 * MB) < 100 * MB
    with connected(gateway) as connection:
        connection.sendall(b"POST /v1/notifications HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n")
        time.sleep(2.5)

        assert pour(connection, b"a" * 1000, 10 * MB) < 10 * MB
    assert taken(gateway) - before < 8 * MB


def test_a_connection_goes_on_after_a_refusal_whose_body_came(gateway: GatewayProcess) -> None:
    """Two refusals and an answer on one connection, the bodies after the answers."""
    with connected(gateway) as connection:
        for _ in range(2):
            connection.sendall(b"POST /v1/notifications HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n")
            assert answered(connection) == (401, "unauthorized")
            connection.sendall(b"a" * 100_000)
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")

        assert answered(connection)[0] == 200


def test_requests_behind_each_other_are_answered_in_turn(gateway: GatewayProcess) -> None:
    """Ten in one write, bodies among them; the last one closes."""
    body = b"message=hello"
    form = POST + b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 13\r\n\r\n" + body
    with connected(gateway) as connection:
        requests = [form, b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"] * 5
        connection.sendall(
            b"".join(requests) + b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        answers = everything(connection).split(b"HTTP/1.1 ")[1:]

    assert [answer[:3] for answer in answers] == [b"200"] * 10 + [b"404"]


def test_a_caller_that_waits_for_100_continue_gets_it(gateway: GatewayProcess) -> None:
    """And is not taken for a slow one while it does."""
    with connected(gateway) as connection:
        connection.sendall(POST + b"Expect: 100-continue\r\nContent-Length: 13\r\n\r\n")
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"message=hello")

        assert answered(connection)[0] == 200


@pytest.mark.parametrize("cut", [0, 1, 13])
def test_a_request_that_asks_for_another_protocol_is_answered_in_http(gateway: GatewayProcess, cut: int) -> None:
    """Java's client offers HTTP/2 with its first request, a body included; what follows is never another request."""
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n"
    with connected(gateway) as connection:
        connection.sendall(
            b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"
            + upgrade
            + b"\r\nGET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )
        assert answered(connection)[0] == 200
        connection.shutdown(socket.SHUT_WR)
        assert everything(connection) == b""
    with connected(gateway) as connection:
        connection.sendall(POST + upgrade + b"Content-Length: 13\r\n\r\n" + b"message=hello"[:cut])
        time.sleep(0.1)
        connection.sendall(b"message=hello"[cut:])

        assert answered(connection)[0] == 200


HOST = b"Host: localhost\r\n"
REQUESTS = (
    b"GET /health/live HTTP/1.1\r\n" + HOST + b"\r\n",
    POST + b"Content-Length: 13\r\n\r\nmessage=hello",
    POST + b"Transfer-Encoding: chunked\r\n\r\nd\r\nmessage=hello\r\n0\r\n\r\n",
    POST + b"Expect: 100-continue\r\nContent-Length: 13\r\n\r\nmessage=hello",
    POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 13\r\n\r\nmessage=hello",
    b"POST /v1/notifications HTTP/1.1\r\n" + HOST + b"Content-Length: 200000\r\n\r\n" + b"a" * 200_000,
    b"GET /health/live HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    b"HEAD /health/live HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n",
    b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00",
    b"GET / HTTP/1.0\r\n\r\n",
)


def scattered(gateway: GatewayProcess, chance: random.Random) -> None:
    """Some requests behind each other, perhaps spoiled, in pieces; the caller may leave at any time."""
    data = bytearray().join(chance.choices(REQUESTS, k=chance.randint(1, 6)))
    for _ in range(chance.choice((0, 0, 1, 5))):
        data[chance.randrange(len(data))] = chance.randrange(256)
    with contextlib.suppress(OSError), connected(gateway) as connection:
        connection.settimeout(0.2)
        while data and chance.random() > 0.03:
            size = chance.choice((1, 3, 50, 5000, 100_000))
            connection.sendall(data[:size])
            del data[:size]
        if chance.random() < 0.5:
            everything(connection)


def test_no_bytes_in_any_order_make_an_error_of_ours(gateway: GatewayProcess) -> None:
    """Nothing but lines about refusals is logged, and the others are served."""

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(40):
            scattered(gateway, chance)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))

    assert served(gateway)
    assert gateway.other == []
    assert [line for line in gateway.lines if line["level"] == "error"] == []


def test_the_limit_of_open_files_is_raised_or_heeded() -> None:
    """In a process of its own: 2,048 connections need more than many machines allow at first."""
    script = (
        "import resource, sys; from gateway.connections import possible; "
        "resource.setrlimit(resource.RLIMIT_NOFILE, (100, int(sys.argv[1]))); "
        "print(possible(2048), resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )

    def limited(hard: int) -> list[int]:
        run = subprocess.run([sys.executable, "-c", script, str(hard)], capture_output=True, check=True, timeout=60)
        return [int(number) for number in run.stdout.split()]

    assert limited(4000) == [2048, 2304]
    assert limited(1000) == [744, 1000]
    assert limited(300) == [150, 300]
