"""One thread with one SQLite connection: operations come in from the event loop, results go back as futures.

Everything the loop asks within one turn crosses to the thread in one hand-over, and everything that waits when the
thread is free makes one batch: under load many callers share one transaction and one fsync.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from gateway.errors import StoreUnavailable

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], T]


class Job:
    """One operation, the future its caller waits for, and what came of it."""

    __slots__ = ("error", "future", "operation", "result")

    def __init__(self, operation: Operation[Any], future: asyncio.Future[Any]) -> None:
        """Nothing has come of it yet."""
        self.operation = operation
        self.future = future
        self.result: Any = None
        self.error: Exception | None = None

    def run(self, connection: sqlite3.Connection) -> None:
        """Keep the operation's result."""
        self.result = self.operation(connection)
        self.error = None

    def resolve(self) -> None:
        """Tell the caller, unless it has gone away."""
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


Run = Callable[[sqlite3.Connection, list[Job]], None]


def read_all(connection: sqlite3.Connection, jobs: list[Job]) -> None:
    """Run each operation for itself; one SELECT sees one snapshot."""
    for job in jobs:
        try:
            job.run(connection)
        except Exception as error:
            job.error = unavailable(error)


def commit_together(connection: sqlite3.Connection, jobs: list[Job]) -> None:
    """Run all operations in one transaction; when one fails, each again in its own, so that it fails alone.

    A savepoint around each would say the same and cost two more statements on every write that succeeds.
    """
    begun = False
    try:
        connection.execute("BEGIN IMMEDIATE")
        begun = True
        for job in jobs:
            job.run(connection)
        connection.execute("COMMIT")
    except Exception as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if begun and len(jobs) > 1:
            for job in jobs:
                commit_together(connection, [job])
        else:
            for job in jobs:
                job.error = unavailable(error)


def unavailable(error: Exception) -> Exception:
    """SQLite's own errors (disk full, read-only, locked too long, not a database) mean that nothing was stored."""
    if not isinstance(error, sqlite3.Error | OSError):
        return error
    refusal = StoreUnavailable(f"the store cannot be used: {error}")
    refusal.__cause__ = error
    return refusal


class Lane:
    """A thread, its connection and its queue."""

    def __init__(self, name: str, connect: Callable[[], sqlite3.Connection], run: Run) -> None:
        """`connect` opens the connection inside the thread, `run` works a batch off."""
        self._loop = asyncio.get_running_loop()
        self._connect = connect
        self._run = run
        self._asked: list[Job] = []
        self._queue: SimpleQueue[list[Job]] = SimpleQueue()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._thread = Thread(target=self._work, name=name, daemon=True)
        self._closed = False

    async def open(self) -> Lane:
        """Start the thread; raises what opening the connection raised."""
        self._thread.start()
        try:
            await self._opened
        except asyncio.CancelledError:
            self._queue.put([])
            raise
        return self

    def do(self, operation: Operation[T]) -> asyncio.Future[T]:
        """Have the thread run `operation`; await the future for its result."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        if not self._asked:
            self._loop.call_soon(self._hand_over)
        future: asyncio.Future[T] = self._loop.create_future()
        self._asked.append(Job(operation, future))
        return future

    async def close(self) -> None:
        """Finish what was asked, then end the thread."""
        if self._closed:
            return
        self._closed = True
        self._hand_over()
        self._queue.put([])
        await self._ended
        self._thread.join()

    def _hand_over(self) -> None:
        if self._asked:
            self._queue.put(self._asked)
            self._asked = []

    def _work(self) -> None:
        try:
            connection = self._connect()
        except Exception as error:
            self._tell(_fail, self._opened, unavailable(error))
            return
        self._tell(_finish, self._opened)
        try:
            while self._work_off(connection):
                pass  # nothing of a batch is held while the next one is waited for: it may hold a large mail
        finally:
            connection.close()
            self._tell(_finish, self._ended)

    def _work_off(self, connection: sqlite3.Connection) -> bool:
        jobs = self._take()
        if jobs:
            self._answer(connection, jobs)
        return bool(jobs)

    def _answer(self, connection: sqlite3.Connection, jobs: list[Job]) -> None:
        try:
            self._run(connection, jobs)
        except Exception as error:  # even a rollback can fail; the callers must not wait for ever
            for job in jobs:
                job.error = unavailable(error)
        self._tell(_resolve, jobs)

    def _take(self) -> list[Job]:
        """Everything that waits; nothing means the end, which is always the last thing in the queue."""
        jobs = self._queue.get()
        while jobs and not self._queue.empty():
            more = self._queue.get()
            if not more:
                self._queue.put(more)
                break
            jobs += more
        return jobs

    def _tell(self, what: Callable[..., object], *values: object) -> None:
        try:
            self._loop.call_soon_threadsafe(what, *values)
        except RuntimeError:
            return  # the loop is closed: nobody waits any more


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _fail(future: asyncio.Future[None], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _resolve(jobs: list[Job]) -> None:
    for job in jobs:
        job.resolve()
