"""Work that is too long for the event loop: a function and the size of what it works on come in, its result goes out.

Everybody is served by one loop. A large body is read in a thread, so that others are answered meanwhile; a small one is
read at once, since handing it over would cost more than reading it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cache
from typing import ParamSpec, TypeVar

LARGE = 64 * 1024
"""Bytes that are read within a millisecond or two, whatever they are."""

THREADS = 2
"""Few, since each takes a share of the interpreter from the loop; whatever is large waits for one of them."""

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


async def aside(size: int, work: Callable[_Given, _Result], *given: _Given.args, **named: _Given.kwargs) -> _Result:
    """`work(*given)`, in a thread where `size` says that it may take long; its log lines keep their correlation."""
    if size <= LARGE:
        return work(*given, **named)
    context = copy_context()
    return await asyncio.get_running_loop().run_in_executor(_pool(), lambda: context.run(work, *given, **named))


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, "reader")
