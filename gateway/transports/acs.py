"""Azure Communication Services Email: a Message comes in, ACS's 202 or a TransportError goes out.

Microsoft's own client (azure-communication-email) makes and signs every call, with three changes. Its retries are off:
they hide attempts from us, and sleep an uncapped Retry-After. Its poller is off: it asks for the status at once, and
that has a quota of 60 a minute. And the call goes through the client's `send_request` on our Wire: less than half the
CPU time of `begin_send` (`python -m bench sending`), which counts when a storm is delivered.

What an answer means (Operation-Id is ours and stored before the first try; nobody has published what ACS answers to a
repeated one, so a refusal counts only when ACS does not know the operation):

    answer                      first try                      later tries
    202                         accepted                       accepted
    401                         no                             no
    429                         no, wait                       no, wait
    409, 412                    ask                            ask
    other 4xx                   no, for good                   ask: known → accepted, unknown → no, for good
    408, 5xx, anything else     maybe                          maybe
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid5

from gateway.clock import wall_clock
from gateway.errors import Outcome, Reason, TransportError
from gateway.jsonparts import joined, pieces
from gateway.message import DEADLINES, Fence, Message, NotFound, Receipt, Status
from gateway.transports.acs_payload import payload
from gateway.transports.answers import code, origin, retry_after, value_of

if TYPE_CHECKING:
    from azure.communication.email.aio import EmailClient

    from gateway.transports.identity import Identity

API_VERSION = "2025-09-01"
LARGEST = 10 * 1024 * 1024
"""Bytes in one request, attachments as base64 included (service-limits.md)."""

RECIPIENTS = 50
"""To, cc and bcc together (service-limits.md)."""

_NOT_SENT = frozenset({"failed", "canceled"})


class _Answer(NamedTuple):
    status: int
    body: Any
    wait: float | None


class _Held(NamedTuple):
    client: EmailClient
    identity: Identity | None


class Acs:
    """One ACS resource; keeps `gateway.message.Transport`."""

    deadline = DEADLINES["acs"]

    def __init__(
        self,
        endpoint: str,
        *,
        key: str = "",
        identity: Callable[[], Identity] | None = None,
        clock: Callable[[], datetime] = wall_clock,
    ) -> None:
        """By access key, or by an identity, which is made at its first use; ValueError when neither can work."""
        self.endpoint = _endpoint(endpoint)
        self._key = _checked_key(key) if identity is None else ""
        self._identity = identity
        self._clock = clock
        self._held: dict[asyncio.AbstractEventLoop, _Held] = {}

    @classmethod
    def from_connection_string(cls, text: str, *, clock: Callable[[], datetime] = wall_clock) -> Acs:
        """From the portal's `endpoint=https://…/;accesskey=…`."""
        pairs = (part.partition("=") for part in text.split(";"))
        values = {name.strip().lower(): value.strip() for name, _, value in pairs}
        if not values.get("endpoint") or not values.get("accesskey"):
            raise ValueError("must be endpoint=https://NAME.communication.azure.com/;accesskey=KEY")
        return cls(values["endpoint"], key=values["accesskey"], clock=clock)

    async def send(self, message: Message, attempt: int, fence: Fence) -> Receipt:
        """Submit once under the stored operation id."""
        del fence
        body = _body(message)
        headers = {
            "Operation-Id": message.operation_id,
            "Content-Type": "application/json",
            # Tracing only. Derived, so that Microsoft's support can be given it later.
            "x-ms-client-request-id": str(uuid5(NAMESPACE_URL, f"{message.operation_id}/{attempt}")),
        }
        try:
            async with asyncio.timeout(self.deadline):
                answer = await self._call("POST", "/emails:send", headers, body)
                return await self._verdict(answer, message, attempt)
        except TimeoutError as error:
            raise _maybe(Reason.CONNECTION_LOST, "no answer before the deadline") from error

    async def reconcile(self, message: Message, fence: Fence) -> Receipt | NotFound:
        """Ask what became of the operation."""
        del fence
        try:
            async with asyncio.timeout(self.deadline):
                return await self._ask(message)
        except TimeoutError as error:
            raise _maybe(Reason.CONNECTION_LOST, "no answer before the deadline") from error

    async def close(self) -> None:
        """Let go of this event loop's connections."""
        held = self._held.pop(asyncio.get_running_loop(), None)
        if held is not None:
            await held.client.close()
            if held.identity is not None:
                await held.identity.close()

    # --------------------------------------------------------------------------------------- what an answer means

    async def _verdict(self, answer: _Answer, message: Message, attempt: int) -> Receipt:
        status = answer.status
        if status == 202:
            return _receipt(answer, message)
        if status == 401:
            raise _no(Reason.UNAUTHORIZED, answer, "the provider refused our credentials")
        if status == 429:
            raise _no(Reason.THROTTLED, answer, "the provider's quota is used up")
        if status == 408 or not 400 <= status < 500:
            raise _maybe(Reason.PROVIDER_ERROR, f"the provider answered {status}", answer)
        if attempt == 1 and status not in (409, 412):
            raise _refused(answer)
        return await self._resolve(answer, message)

    async def _resolve(self, refusal: _Answer, message: Message) -> Receipt:
        """A refusal of an id that may exist already counts only when ACS does not know the operation."""
        known = await self._ask(message)
        if isinstance(known, Receipt):
            return known
        if refusal.status in (409, 412):
            raise _maybe(Reason.PROVIDER_ERROR, f"the provider answered {refusal.status} to an unknown id", refusal)
        raise _refused(refusal)

    async def _ask(self, message: Message) -> Receipt | NotFound:
        try:
            answer = await self._call("GET", f"/emails/operations/{message.operation_id}", {}, None)
        except TransportError as error:
            raise _maybe(error.reason, f"the status could not be asked for: {error.detail}") from error
        if answer.status == 200:
            return _receipt(answer, message)
        if answer.status == 404:
            return NotFound()
        reason = {401: Reason.UNAUTHORIZED, 429: Reason.THROTTLED}.get(answer.status, Reason.PROVIDER_ERROR)
        raise _maybe(reason, f"the provider answered {answer.status} to the question for the status", answer)

    # ----------------------------------------------------------------------------------------------------- calling

    async def _call(self, method: str, path: str, headers: dict[str, str], body: str | bytes | None) -> _Answer:
        """One call through Microsoft's client; every way it can fail is a TransportError."""
        try:
            from azure.core.rest import HttpRequest

            request = HttpRequest(
                method,
                f"{path}?api-version={API_VERSION}",
                content=body,
                headers={"Accept": "application/json", "User-Agent": "notification-gateway", **headers},
            )
            response = await self._client().send_request(request, enforce_https=self.endpoint.startswith("https:"))
            content, status = response.content, response.status_code
        except (TransportError, TimeoutError):
            raise
        except Exception as error:
            raise _maybe(Reason.BUG, f"an error of ours ({type(error).__name__})") from error
        wait = retry_after(response.headers, self._clock()) if status >= 400 else None
        return _Answer(status, value_of(content), wait)

    def _client(self) -> EmailClient:
        """This event loop's client, made at its first call."""
        loop = asyncio.get_running_loop()
        if loop not in self._held:
            identity = self._identity() if self._identity is not None else None
            self._held[loop] = _Held(_connect(self.endpoint, self._key, identity, self.deadline), identity)
        return self._held[loop].client


def _connect(endpoint: str, key: str, identity: Identity | None, deadline: float) -> EmailClient:
    """Microsoft's client with nothing in it but the signing: no retries, redirects, request logging or tracing."""
    from azure.communication.email._shared.auth_policy_utils import get_authentication_policy
    from azure.communication.email.aio import EmailClient
    from azure.core.credentials import AzureKeyCredential

    from gateway.transports.wire import Wire

    credential = identity or AzureKeyCredential(key)
    signing = get_authentication_policy(endpoint, credential, decode_url=True, is_async=True)
    return EmailClient(endpoint, credential, transport=Wire(endpoint, deadline), policies=[signing])


def _endpoint(text: str) -> str:
    """The endpoint without a path; https unless it is a fake on this machine."""
    parts = urlsplit(text if "://" in text else f"https://{text}")
    if not parts.hostname:
        raise ValueError("the endpoint must be https://NAME.communication.azure.com")
    return origin(parts)


def _checked_key(key: str) -> str:
    try:
        if base64.b64decode(key, validate=True):
            return key
    except (binascii.Error, ValueError):
        pass
    raise ValueError("the access key must be base64, as the portal shows it")


def _body(message: Message) -> str | bytes:
    """The request; what ACS would certainly refuse is refused here, before the call."""
    if len(message.recipients) > RECIPIENTS:
        raise _limit(f"ACS takes at most {RECIPIENTS} recipients in one message")
    try:
        body = _by_parts(message) if message.large else json.dumps(payload(message))
    except Exception as error:
        detail = f"an error of ours ({type(error).__name__})"
        raise TransportError(Outcome.NO, Reason.BUG, permanent=True, detail=detail) from error
    if len(body) > LARGEST:
        raise _limit("ACS takes at most 10 MB in one request, attachments in base64 included")
    return body


class _Encoded(bytes):
    """A body that is bytes already: the client's signing policy encodes whatever it is given, text or not."""

    def encode(self, *_: str) -> bytes:
        return self

    def __deepcopy__(self, _: object) -> bytes:
        return self  # the client copies the whole request before it sends it


def _by_parts(message: Message) -> bytes:
    return _Encoded(joined(pieces(payload(message, bytes), ascii_only=True)))


def _receipt(answer: _Answer, message: Message) -> Receipt:
    """Accepted, unless the body says that it was dropped; an answer that cannot be read is no yes."""
    status = answer.body.get("status") if isinstance(answer.body, dict) else None
    if not isinstance(status, str):
        raise _maybe(Reason.PROVIDER_ERROR, "the provider's answer could not be read", answer)
    if status.lower() in _NOT_SENT:
        raise TransportError(
            Outcome.NO,
            Reason.DROPPED,
            permanent=True,
            answered=True,
            code=code(answer.body),
            detail=f"the provider accepted the message and then said {status.lower()}",
        )
    given = answer.body.get("id")
    return Receipt(status=Status.SENT, provider_id=given if isinstance(given, str) and given else message.operation_id)


def _no(reason: Reason, answer: _Answer, detail: str) -> TransportError:
    return TransportError(
        Outcome.NO, reason, retry_after=answer.wait, answered=True, code=code(answer.body), detail=detail
    )


def _refused(answer: _Answer) -> TransportError:
    detail = f"the provider refused the message ({answer.status})"
    return TransportError(
        Outcome.NO, Reason.REFUSED, permanent=True, answered=True, code=code(answer.body), detail=detail
    )


def _limit(detail: str) -> TransportError:
    return TransportError(Outcome.NO, Reason.REFUSED, permanent=True, detail=detail)


def _maybe(reason: Reason, detail: str, answer: _Answer | None = None) -> TransportError:
    if answer is None:
        return TransportError(Outcome.MAYBE, reason, detail=detail)
    return TransportError(
        Outcome.MAYBE, reason, retry_after=answer.wait, answered=True, code=code(answer.body), detail=detail
    )
