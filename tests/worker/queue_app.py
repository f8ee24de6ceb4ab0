"""A function app of queues and timers for the tests of the host: it remembers what it saw, and tells it over HTTP.

A message `fail…` raises, `wait…` waits until somebody lets one pass. It is copied into a folder as function_app.py.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

SEEN: list[dict[str, Any]] = []
PASSES = asyncio.Semaphore(0)
WAITING: set[str] = set()


def _time(value: Any) -> str | None:
    return value.isoformat() if value else None


async def _work(name: str, msg: func.QueueMessage, context: func.Context) -> None:
    body = msg.get_body().decode()
    seen = {"function": name, "body": body, "id": msg.id, "count": msg.dequeue_count, "receipt": msg.pop_receipt}
    seen |= {"inserted": _time(msg.insertion_time), "expires": _time(msg.expiration_time)}
    seen |= {"visible": _time(msg.time_next_visible), "trace": context.trace_context.trace_parent}
    SEEN.append(seen)
    if body.startswith("fail"):
        raise ValueError(body)
    if body.startswith("wait"):
        WAITING.add(body)
        seen["waiting"] = len(WAITING)
        await PASSES.acquire()
        WAITING.discard(body)


@app.function_name("work")
@app.queue_trigger("msg", "work", "AzureWebJobsStorage")
async def work(msg: func.QueueMessage, context: func.Context) -> None:
    """An ordinary queue."""
    await _work("work", msg, context)


@app.function_name("poison")
@app.queue_trigger("msg", "work-poison", "AzureWebJobsStorage")
async def poison(msg: func.QueueMessage, context: func.Context) -> None:
    """Its poison queue."""
    await _work("poison", msg, context)


@app.function_name("batch")
@app.queue_trigger("msg", "batch", "AzureWebJobsStorage")
async def batch(msg: func.QueueMessage, context: func.Context) -> None:
    """Another ordinary queue."""
    await _work("batch", msg, context)


@app.function_name("named")
@app.queue_trigger("msg", "%QUEUE%", "Storage", data_type=func.DataType.BINARY)
async def named(msg: func.QueueMessage, context: func.Context) -> None:
    """A queue and a connection by settings: `Storage` is found as AzureWebJobsStorage. It takes bytes."""
    await _work("named", msg, context)


@app.function_name("unnamed")
@app.queue_trigger("msg", "%NOWHERE%", "AzureWebJobsStorage")
async def unnamed(msg: func.QueueMessage) -> None:
    """A setting that is not there."""


@app.function_name("unconnected")
@app.queue_trigger("msg", "work", "NoStorage")
async def unconnected(msg: func.QueueMessage) -> None:
    """A connection that is not there."""


@app.function_name("misnamed")
@app.queue_trigger("msg", "No_Queue", "AzureWebJobsStorage")
async def misnamed(msg: func.QueueMessage) -> None:
    """A name that no queue can have."""


@app.function_name("mistimed")
@app.timer_trigger("timer", "* * * * *")
async def mistimed(timer: func.TimerRequest) -> None:
    """A crontab of five fields."""


def _tick(name: str, timer: func.TimerRequest, context: func.Context) -> None:
    SEEN.append({"function": name, "late": timer.past_due, "trace": context.trace_context.trace_parent})


@app.function_name("tick")
@app.timer_trigger("timer", "%SECONDS% * * * * *")
async def tick(timer: func.TimerRequest, context: func.Context) -> None:
    """Each second."""
    _tick("tick", timer, context)


@app.function_name("yearly")
@app.timer_trigger("timer", "0 0 0 1 1 *", run_on_startup=True)
async def yearly(timer: func.TimerRequest, context: func.Context) -> None:
    """When it starts."""
    _tick("yearly", timer, context)


@app.function_name("missed")
@app.timer_trigger("timer", "0 0 0 1 1 *")
async def missed(timer: func.TimerRequest, context: func.Context) -> None:
    """When a run was missed."""
    _tick("missed", timer, context)


@app.function_name("seen")
@app.route("seen")
async def seen(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """All of it."""
    answer = {"seen": SEEN, "trace": context.trace_context.trace_parent, "pid": os.getpid()}
    return func.HttpResponse(json.dumps(answer))


@app.function_name("pass")
@app.route("pass/{count}")
async def let_pass(req: func.HttpRequest) -> func.HttpResponse:
    """Let so many waiting messages pass."""
    for _ in range(int(req.route_params["count"])):
        PASSES.release()
    return func.HttpResponse("")
