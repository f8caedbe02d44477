"""Commands over the socket: so many at a time, asked for again with the same ids when an answer was lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from ccxt.base.errors import NetworkError, PermissionDenied

from driver.errors import refusal_of
from driver.socket_commands import SocketCommands


class Client:
    """Commands, and what they want to be told later."""

    def __init__(self) -> None:
        self.later: list[Callable[[], None]] = []
        self.commands = SocketCommands(lambda _, action: self.later.append(action), lambda: None)

    async def execute(self, body: Any) -> asyncio.Task[Any]:
        task = asyncio.create_task(self.commands.execute(body))
        await asyncio.sleep(0)
        return task

    def answer(self, name: str, **data: Any) -> None:
        assert self.commands.receive({"type": "command_result", "id": name, "data": data})


async def test_a_command_is_sent_and_answered() -> None:
    client = Client()
    task = await client.execute({"request_id": "a"})
    assert client.commands.requests() == []
    client.commands.opened()
    assert client.commands.requests() == [{"action": "command", "id": "c1", "payload": {"request_id": "a"}}]
    client.answer("c1", results=[1])
    assert await task == {"results": [1]}
    client.answer("c1", results=[2])


async def test_so_many_run_at_a_time() -> None:
    client = Client()
    client.commands.running_max = 2
    client.commands.opened()
    tasks = [await client.execute({"request_id": str(number)}) for number in range(4)]
    assert [each["id"] for each in client.commands.requests()] == ["c1", "c2"]
    client.answer("c2")
    await tasks[1]
    assert [each["id"] for each in client.commands.requests()] == ["c3"]
    tasks[0].cancel()
    await asyncio.wait([tasks[0]])
    assert [each["id"] for each in client.commands.requests()] == ["c4"]
    for task in tasks:
        task.cancel()


async def test_what_a_connection_took_with_it_is_asked_for_again_in_order() -> None:
    client = Client()
    client.commands.opened()
    tasks = [await client.execute({"request_id": str(number)}) for number in range(2)]
    first = client.commands.requests()
    client.commands.closed()
    tasks.append(await client.execute({"request_id": "2"}))
    assert client.commands.requests() == []
    client.commands.opened()
    again = client.commands.requests()
    assert again[:2] == first
    assert [each["payload"]["request_id"] for each in again] == ["0", "1", "2"]
    for name in ("c1", "c2", "c3"):
        client.answer(name, results=[name])
    assert [(await task)["results"] for task in tasks] == [["c1"], ["c2"], ["c3"]]


async def test_too_many_at_once_is_tried_again() -> None:
    client = Client()
    client.commands.opened()
    task = await client.execute({"request_id": "a"})
    client.commands.requests()
    busy = {"type": "error", "id": "c1", "code": "rate_limited", "message": "32 run", "retry_after_ms": 5}
    assert client.commands.receive(busy)
    assert client.commands.requests() == []
    for action in client.later:
        action()
    assert [each["id"] for each in client.commands.requests()] == ["c1"]
    client.answer("c1")
    await task


async def test_a_refusal_raises_its_exception() -> None:
    client = Client()
    client.commands.opened()
    task = await client.execute({})
    client.commands.requests()
    assert client.commands.receive({"type": "error", "id": "c1", "code": "permission_denied", "message": "no"})
    with pytest.raises(PermissionDenied):
        await task


async def test_without_a_connection_to_come_everybody_is_told() -> None:
    client = Client()
    task = await client.execute({})
    client.commands.fail(NetworkError("gone"))
    with pytest.raises(NetworkError):
        await task


async def test_what_is_about_something_else_is_left_to_others() -> None:
    client = Client()
    for message in ({"type": "error", "code": "x"}, {"type": "error", "id": "s1"}, {"type": "pong", "id": "c1"}):
        assert not client.commands.receive(message)


async def test_what_was_sent_is_in_doubt_when_there_is_no_connection_any_more() -> None:
    client = Client()
    client.commands.opened()
    sent = await client.execute({"request_id": "a"})
    client.commands.requests()
    client.commands.closed()
    waits = await client.execute({"request_id": "b"})
    client.commands.fail(PermissionDenied("403"))
    with pytest.raises(NetworkError, match="was lost: 403") as lost:
        await sent
    assert refusal_of(lost.value) is None
    with pytest.raises(PermissionDenied):
        await waits


async def test_a_refusal_of_the_second_try_is_none_of_the_first() -> None:
    client = Client()
    client.commands.opened()
    task = await client.execute({"request_id": "a"})
    client.commands.requests()
    client.commands.closed()
    client.commands.opened()
    client.commands.requests()
    client.commands.receive({"type": "error", "id": "c1", "code": "permission_denied", "message": "no"})
    with pytest.raises(NetworkError, match="permission_denied"):
        await task
