"""One call to Microsoft Graph: method, path and body come in, its complete Answer or a TransportError goes out.

On azure-core's pipeline with nothing in it but the token: no retries (Microsoft's own client repeats `sendMail` after a
504 that had delivered), no redirects, no logging of requests. A national cloud is told by the endpoint's host.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlsplit

from gateway.address import folded
from gateway.clock import wall_clock
from gateway.errors import Outcome, Reason, TransportError
from gateway.message import DEADLINES
from gateway.transports.answers import code, origin, retry_after, value_of

if TYPE_CHECKING:
    from azure.core.pipeline import AsyncPipeline

    from gateway.transports.identity import Identity
    from gateway.transports.wire import Wire

SLOTS = 4
"""Requests that one application may have under way in one mailbox (throttling-outlook.md)."""

WAIT = 5.0
"""Seconds to wait for one of them to end: being deferred would cost two at least, and lose the place in the row."""

_LATER = {
    "ErrorNonExistentMailBox": Reason.PROVIDER_ERROR,
    "ErrorQuotaExceeded": Reason.REFUSED,
    "ErrorExceededMessageLimit": Reason.THROTTLED,
}
"""Refusals that pass: a mailbox that cannot be found for a while, one that is full, a day's recipients used up."""

_NOT_NOW = frozenset({409, 412, 423, 425})


class Cloud(NamedTuple):
    """What one of Microsoft's clouds has: `headers` of one's own, upload `sessions` (CSDL of each cloud)."""

    name: str = "global"
    headers: bool = True
    sessions: bool = True


CLOUDS = {
    "graph.microsoft.us": Cloud("US Government", sessions=False),
    "dod-graph.microsoft.us": Cloud("US Department of Defense", sessions=False),
    "microsoftgraph.chinacloudapi.cn": Cloud("China", headers=False),
}
"""The clouds with gaps, by their endpoint's host."""


class Answer(NamedTuple):
    """What Graph said: `wait` are the seconds it asks for."""

    status: int
    body: Any
    wait: float | None

    def text(self, name: str) -> str:
        """A string of the body, "" when it is not there."""
        value = self.body.get(name) if isinstance(self.body, dict) else None
        return value if isinstance(value, str) else ""

    def items(self, name: str) -> list[Any]:
        """A list of the body; an answer without it cannot be read."""
        value = self.body.get(name) if isinstance(self.body, dict) else None
        if not isinstance(value, list):
            raise maybe(Reason.PROVIDER_ERROR, "the provider's answer could not be read", self)
        return value


class _Held(NamedTuple):
    pipeline: AsyncPipeline[Any, Any]
    wire: Wire
    identity: Identity
    slots: dict[str, asyncio.Semaphore]


class Account:
    """One application at one Graph endpoint; senders share it, with its connections and each mailbox's four slots."""

    def __init__(
        self,
        endpoint: str,
        identity: Callable[[], Identity],
        *,
        clock: Callable[[], datetime] = wall_clock,
        cloud: Cloud | None = None,
    ) -> None:
        """`identity` is made at its first use; ValueError when the endpoint cannot be one."""
        self.endpoint = root(endpoint)
        self.clock = clock
        self.cloud = cloud or CLOUDS.get(urlsplit(self.endpoint).hostname or "", Cloud())
        self._identity = identity
        self._held: dict[asyncio.AbstractEventLoop, _Held] = {}

    async def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """One call as ourselves below `/v1.0`; `body` is JSON, or a string that goes as text/plain."""
        kind = "text/plain" if isinstance(body, str) else "application/json"
        content = body if body is None or isinstance(body, str) else json.dumps(body)
        # Graph refuses a `send` that does not say how long it is (message-send.md).
        sized = {"Content-Type": kind} if content is not None else {"Content-Length": "0"} if method == "POST" else {}
        return await self._call(method, f"{self.endpoint}/v1.0{path}", content, sized | (headers or {}), signed=True)

    async def pre_authenticated(self, method: str, url: str, content: bytes | None, headers: dict[str, str]) -> Answer:
        """One call to an address that Graph handed out; a token would be refused there (and is nobody's business)."""
        if not url.startswith(("https://", f"{self.endpoint}/")):
            raise maybe(Reason.PROVIDER_ERROR, "the provider handed out an address without TLS")
        return await self._call(method, url, content, headers, signed=False)

    @asynccontextmanager
    async def slot(self, mailbox: str) -> AsyncIterator[None]:
        """One of the mailbox's four; a certain no when none becomes free soon."""
        slots = self._now().slots.setdefault(folded(mailbox), asyncio.Semaphore(SLOTS))
        try:
            async with asyncio.timeout(WAIT):
                await slots.acquire()
        except TimeoutError as error:
            detail = f"the mailbox has {SLOTS} requests of ours under way"
            raise TransportError(Outcome.NO, Reason.THROTTLED, retry_after=1.0, detail=detail) from error
        try:
            yield
        finally:
            slots.release()

    async def close(self) -> None:
        """Let go of this event loop's connections."""
        held = self._held.pop(asyncio.get_running_loop(), None)
        if held is not None:
            await held.wire.close()
            await held.identity.close()

    async def _call(
        self, method: str, url: str, content: str | bytes | None, headers: dict[str, str], *, signed: bool
    ) -> Answer:
        try:
            from azure.core.rest import HttpRequest

            held = self._now()
            request = HttpRequest(
                method,
                url,
                content=content,
                headers={"Accept": "application/json", "User-Agent": "notification-gateway", **headers},
            )
            if signed:
                run = await held.pipeline.run(request, enforce_https=self.endpoint.startswith("https:"))
                response = run.http_response
            else:
                response = await held.wire.send(request)
            read, status = response.content, response.status_code
        except (TransportError, TimeoutError):
            raise
        except Exception as error:
            raise maybe(Reason.BUG, f"an error of ours ({type(error).__name__})") from error
        return Answer(status, value_of(read), retry_after(response.headers, self.clock()) if status >= 400 else None)

    def _now(self) -> _Held:
        """This event loop's connections, made at its first call."""
        loop = asyncio.get_running_loop()
        if loop not in self._held:
            self._held[loop] = _connect(self.endpoint, self._identity())
        return self._held[loop]


def _connect(endpoint: str, identity: Identity) -> _Held:
    from azure.core.pipeline import AsyncPipeline
    from azure.core.pipeline.policies import AsyncBearerTokenCredentialPolicy

    from gateway.transports.wire import Wire

    wire = Wire(endpoint, DEADLINES["graph"])
    # It sends once more after a 401 that asks for other claims: such a request was not looked at.
    signing = AsyncBearerTokenCredentialPolicy(identity, f"{endpoint}/.default")
    return _Held(AsyncPipeline(wire, [signing]), wire, identity, {})


def root(endpoint: str) -> str:
    """Scheme and host; https unless it is a fake on this machine."""
    parts = urlsplit(endpoint if "://" in endpoint else f"https://{endpoint}")
    if not parts.hostname or parts.scheme not in ("http", "https"):
        raise ValueError("must be Microsoft Graph's root, such as https://graph.microsoft.com")
    return origin(parts)


def box(mailbox: str) -> str:
    """A mailbox's path."""
    return f"/users/{quote(mailbox, safe='@')}"


# ---------------------------------------------------------------------------------------------- what an answer means


def refusal(answer: Answer) -> TransportError:
    """What an answer that is no yes says about the request it answers."""
    status, word = answer.status, code(answer.body)
    if status == 401:
        return _no(Reason.UNAUTHORIZED, answer, "the provider refused our credentials")
    if status == 429:
        return _no(Reason.THROTTLED, answer, "the provider's limits are used up")
    if status == 408 or not 400 <= status < 500:
        return maybe(Reason.PROVIDER_ERROR, f"the provider answered {status}", answer)
    if word in _LATER:
        return _no(_LATER[word], answer, f"the mailbox cannot send now ({status})")
    if status in _NOT_NOW:
        return _no(Reason.PROVIDER_ERROR, answer, f"the provider answered {status}")
    return _no(Reason.REFUSED, answer, f"the provider refused the message ({status})", permanent=True)


def limit(detail: str) -> TransportError:
    """What Graph would certainly refuse, found before the call."""
    return TransportError(Outcome.NO, Reason.REFUSED, permanent=True, detail=detail)


def maybe(reason: Reason, detail: str, answer: Answer | None = None) -> TransportError:
    """It may have been accepted."""
    if answer is None:
        return TransportError(Outcome.MAYBE, reason, detail=detail)
    return TransportError(
        Outcome.MAYBE, reason, retry_after=answer.wait, answered=True, code=code(answer.body), detail=detail
    )


def recast(error: TransportError, outcome: Outcome) -> TransportError:
    """The same trouble, where it means something else; nothing is for good any more."""
    return TransportError(
        outcome,
        error.reason,
        retry_after=error.retry_after,
        answered=error.answered,
        code=error.code,
        detail=error.detail,
    )


def _no(reason: Reason, answer: Answer, detail: str, *, permanent: bool = False) -> TransportError:
    return TransportError(
        Outcome.NO,
        reason,
        permanent=permanent,
        retry_after=answer.wait,
        answered=True,
        code=code(answer.body),
        detail=detail,
    )
