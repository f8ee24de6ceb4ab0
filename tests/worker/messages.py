"""The messages between host and worker: keyword arguments come in, objects that read like protobuf's go out.

Only what azure-functions-runtime touches (FunctionRpc.proto names the fields). An unset field reads as None.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from enum import IntEnum
from types import SimpleNamespace
from typing import Any


class Message:
    """Any message: fields are attributes."""

    def __init__(self, **fields: Any) -> None:
        """Set the given fields, as protobuf's constructors do."""
        self.__dict__.update(fields)

    def __getattr__(self, name: str) -> Any:
        """Unset; but no message has a private name, nor another message's, which the worker probes for."""
        if name == "WhichOneof":
            return self._which_one_of
        if name.startswith("_") or name[0].isupper():
            raise AttributeError(name)
        return None

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({fields})"

    def _which_one_of(self, _: str) -> str | None:
        """The messages that are asked have one group only, so the one field that is set is the answer."""
        return next((name for name in vars(self) if name != "name"), None)


class TypedData(Message):
    """One value: exactly one of string, json, bytes, http, int, double is set."""


class ParameterBinding(Message):
    """A value with its parameter's name."""


class InvocationRequest(Message):
    """Call a function."""


def _message(name: str, **constants: Any) -> type[Message]:
    return type(name, (Message,), constants)


class Direction(IntEnum):
    """A binding's direction; Python's own words, the worker reads them from BindingInfo."""

    IN = 0
    OUT = 1
    INOUT = 2


class Status(IntEnum):
    """How a request ended."""

    FAILURE = 0
    SUCCESS = 1


_DATA_TYPES = {"undefined": 0, "string": 1, "binary": 2, "stream": 3}
_DIRECTIONS = {direction.name.lower(): direction for direction in Direction}
_SAME_SITE = SimpleNamespace(**{"None": 0, "Lax": 1, "Strict": 2, "ExplicitNone": 3})

PROTOS = SimpleNamespace(
    BindingInfo=_message("BindingInfo", **_DIRECTIONS, **_DATA_TYPES),
    FunctionEnvironmentReloadResponse=_message("FunctionEnvironmentReloadResponse"),
    FunctionLoadResponse=_message("FunctionLoadResponse"),
    FunctionMetadataResponse=_message("FunctionMetadataResponse"),
    InvocationResponse=_message("InvocationResponse"),
    NullableBool=_message("NullableBool"),
    NullableDouble=_message("NullableDouble"),
    NullableString=_message("NullableString"),
    NullableTimestamp=_message("NullableTimestamp"),
    ParameterBinding=ParameterBinding,
    RpcException=_message("RpcException"),
    RpcFunctionMetadata=_message("RpcFunctionMetadata"),
    RpcHttp=_message("RpcHttp"),
    RpcHttpCookie=_message("RpcHttpCookie", SameSite=_SAME_SITE),
    RpcRetryOptions=_message("RpcRetryOptions"),
    StatusResult=_message("StatusResult", Failure=Status.FAILURE, Success=Status.SUCCESS),
    Timestamp=_message("Timestamp"),
    TypedData=TypedData,
    WorkerInitResponse=_message("WorkerInitResponse"),
    WorkerMetadata=_message("WorkerMetadata"),
)
"""What the worker takes for its generated protobuf module."""


def http(
    method: str,
    url: str,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    *,
    query: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
) -> TypedData:
    """An HTTP request; a body is always bytes for Python, and unset when there is none."""
    return TypedData(
        http=PROTOS.RpcHttp(
            method=method,
            url=url,
            headers=dict(headers or {}),
            body=TypedData(bytes=body) if body else TypedData(),
            query=dict(query or {}),
            params=dict(params or {}),
        )
    )


def typed(value: Any) -> TypedData:
    """Any other value as the host types it: text, bytes and floats as they are, all else JSON, times and counts too."""
    if isinstance(value, TypedData):
        return value
    if isinstance(value, str):
        return TypedData(string=value)
    if isinstance(value, bytes):
        return TypedData(bytes=value)
    if isinstance(value, float):
        return TypedData(double=value)
    return TypedData(json=json.dumps(value.isoformat() if isinstance(value, datetime) else value))
