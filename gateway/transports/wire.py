"""One HTTP call to a provider: an azure-core request comes in, its complete answer or a TransportError goes out.

Azure's clients take this in place of their own transport. It decides from aiohttp's error what may have happened,
because azure-core's does not tell: a connection lost after the whole request was received is a ServiceRequestError
there, "not sent". It also saves CPU time: theirs reads ~/.netrc and the proxy variables for every request, in a thread.
"""

from __future__ import annotations

from io import BytesIO
from types import TracebackType
from typing import Any, Self
from urllib.request import getproxies, proxy_bypass

import aiohttp
from azure.core.exceptions import AzureError
from azure.core.pipeline.transport import AsyncHttpTransport
from azure.core.rest import AsyncHttpResponse, HttpRequest
from azure.core.rest._aiohttp import RestAioHttpTransportResponse
from yarl import URL

from gateway.errors import Outcome, Reason, TransportError

CONNECT = 10.0
"""Seconds until a connection must stand, with its TLS."""

_LARGE = 2**20
"""aiohttp writes bigger bodies in pieces only when they come as a file, and warns otherwise."""

_NEVER_LEFT = (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError, aiohttp.ConnectionTimeoutError)
"""No name, no connection, no way through the proxy, no TLS: aiohttp raises these before it writes a request."""


class Wire(AsyncHttpTransport[HttpRequest, AsyncHttpResponse]):
    """One aiohttp session; redirects are not followed, since a POST would be submitted again."""

    def __init__(self, endpoint: str, read: float) -> None:
        """Every call goes to `endpoint`; it may be silent for `read` seconds. Needs a running loop."""
        self._timeout = aiohttp.ClientTimeout(connect=CONNECT, sock_read=read)
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), proxy=_proxy(URL(endpoint)))

    async def send(self, request: HttpRequest, **_: Any) -> AsyncHttpResponse:
        """Make the call and read its answer to the end."""
        try:
            answer = await self._session.request(
                request.method,
                request.url,
                headers=request.headers,
                data=_data(request),
                timeout=self._timeout,
                allow_redirects=False,
            )
            response = RestAioHttpTransportResponse(
                request=request, internal_response=answer, block_size=_LARGE, decompress=False
            )
            await response.read()
        except _NEVER_LEFT as error:
            raise TransportError(
                Outcome.NO, Reason.UNREACHABLE, detail=f"no connection to the provider ({type(error).__name__})"
            ) from error
        except (aiohttp.ClientError, AzureError, TimeoutError, OSError) as error:
            raise lost(f"the connection to the provider was lost ({type(error).__name__})") from error
        return response

    async def open(self) -> None:
        """The session opens connections as it needs them."""

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.close()


def lost(detail: str) -> TransportError:
    """The error for a call that may have reached the provider."""
    return TransportError(Outcome.MAYBE, Reason.CONNECTION_LOST, detail=detail)


def _data(request: HttpRequest) -> Any:
    content = request.content
    if not isinstance(content, str | bytes) or len(content) <= _LARGE:
        return content
    return BytesIO(content.encode() if isinstance(content, str) else content)


def _proxy(endpoint: URL) -> str | None:
    """What HTTPS_PROXY and NO_PROXY say about this endpoint; a fake on loopback is reached directly."""
    host = endpoint.host or ""
    return None if endpoint.scheme == "http" or proxy_bypass(host) else getproxies().get("https")
