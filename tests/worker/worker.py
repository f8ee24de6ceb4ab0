"""Microsoft's real worker code in this process: a folder with a function_app.py comes in, its functions can be called.

azure-functions-runtime is what Azure runs from Python 3.13 on, in the version requirements.txt pins. It keeps its
functions in module globals, so one process has one app.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from tests.worker import messages, trace
from tests.worker.messages import PROTOS, InvocationRequest, Message, ParameterBinding

NEEDS = "Azure's worker code (azure-functions-runtime) needs Python 3.13"
AVAILABLE = sys.version_info >= (3, 13)


class Function(NamedTuple):
    """One indexed function; `bindings` are the host's view of its decorators."""

    id: str
    name: str
    bindings: list[dict[str, Any]]

    @property
    def trigger(self) -> dict[str, Any]:
        """The one binding that starts it."""
        return next(binding for binding in self.bindings if binding["type"].lower().endswith("trigger"))


class InvocationFailed(Exception):
    """The function raised; `stack` is the worker's traceback."""

    def __init__(self, message: str, stack: str) -> None:
        """The worker's own words."""
        super().__init__(message)
        self.stack = stack


class Worker:
    """The worker as its host drives it."""

    def __init__(self, folder: Path) -> None:
        """`folder` has the function_app.py."""
        self.folder = folder
        self.functions: dict[str, Function] = {}
        self._runtime: Any = None

    async def start(self) -> Worker:
        """Index the app; raises InvocationFailed when function_app.py cannot be imported, as the host then logs."""
        self._runtime = importlib.import_module("azure_functions_runtime")
        sys.path.insert(0, str(self.folder))
        self._runtime.start_threadpool_executor()
        init = Message(worker_init_request=Message(function_app_directory=str(self.folder), capabilities={}))
        _check(await self._runtime.worker_init_request(_request(init)))
        metadata = await self._runtime.functions_metadata_request(_request(Message()))
        for found in metadata.function_metadata_results or ():
            bindings = [json.loads(binding) for binding in found.raw_bindings]
            self.functions[found.name] = Function(found.function_id, found.name, bindings)
            load = Message(function_load_request=Message(function_id=found.function_id))
            _check(await self._runtime.function_load_request(_request(load)))
        return self

    def stop(self) -> None:
        """Let go of the threads for functions that are not async."""
        self._runtime.stop_threadpool_executor()

    async def invoke(
        self, name: str, data: Any, metadata: Mapping[str, Any] | None = None, *, traceparent: str = ""
    ) -> Message:
        """Call a function with its trigger's value; each call is a task of its own, as in Azure's dispatcher.

        Without a `traceparent` it begins a trace.
        """
        function = self.functions[name]
        invocation = InvocationRequest(
            invocation_id=str(uuid.uuid4()),
            function_id=function.id,
            input_data=[ParameterBinding(name=function.trigger["name"], data=messages.typed(data))],
            trigger_metadata={key: messages.typed(value) for key, value in (metadata or {}).items()},
            trace_context=Message(trace_parent=traceparent or trace.begin(), trace_state="", attributes={}),
            retry_context=Message(retry_count=0, max_retry_count=0),
        )
        request = _request(Message(invocation_request=invocation))
        response: Message = await asyncio.create_task(self._runtime.invocation_request(request))
        _check(response)
        return response


def _request(message: Message) -> SimpleNamespace:
    return SimpleNamespace(request=message, properties={"protos": PROTOS, "host": "127.0.0.1"})


def _check(response: Message) -> None:
    if response.result.status != PROTOS.StatusResult.Success:
        raise InvocationFailed(response.result.exception.message, response.result.exception.stack_trace)
