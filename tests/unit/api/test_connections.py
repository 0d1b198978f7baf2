"""Connections of clients that are slow on purpose, over sockets of this machine."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from stream.api.connections import BoundedProtocol

TIMEOUT_S = 0.3


async def slow_answer(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(2 * TIMEOUT_S)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def connected(
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    monkeypatch.setattr("stream.api.connections.HEAD_TIMEOUT_S", TIMEOUT_S)
    config = uvicorn.Config(slow_answer, lifespan="off", log_config=None)
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: BoundedProtocol(config, state, {}), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
    try:
        yield reader, writer
    finally:
        writer.close()
        server.close()


@pytest.mark.parametrize("begin", [b"", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "])
async def test_a_head_that_is_never_complete_ends_the_connection(begin: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    async with connected(monkeypatch) as (reader, writer):
        writer.write(begin)
        reading = asyncio.ensure_future(reader.read())
        for _ in range(100):
            if begin and not reading.done():
                writer.write(b"x")  # byte by byte
            await asyncio.wait([reading], timeout=0.05)
            if reading.done():
                break
        assert await asyncio.wait_for(reading, 1.0) == b""


async def test_an_answer_may_take_its_time_and_so_may_the_next_request(monkeypatch: pytest.MonkeyPatch) -> None:
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with connected(monkeypatch) as (reader, writer):
        for _ in range(2):
            writer.write(request)
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(2 * TIMEOUT_S)
