"""Microsoft Graph, live: a Trial comes in, what it does with a draft that is sent twice goes out."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from gateway.doctor.finding import failed, passed, untold
from gateway.doctor.probe import Answer
from gateway.live.trial import GUARANTEES, Seen, Trial, field_of, listed, once, refused, told

TAG = "String {0f6b6c6e-6a57-4c0e-9b0d-3a4a3f6f2f11} Name VerifyLive"
"""Our own property; what it finds is not what the gateway looks for."""

LOOKS = 24
LOOK_SECONDS = 5.0
_IMMUTABLE = 'IdType="ImmutableId"'


def box(trial: Trial) -> str:
    """The path of the sender's mailbox."""
    return f"/v1.0/users/{quote(trial.sender, safe='@')}"


def mail(trial: Trial, what: str, tag: str) -> dict[str, Any]:
    """One small message, tagged, with a Message-ID of its own."""
    text = "A live check of the notification gateway sent this. Nothing needs to be done."
    return {
        "subject": trial.subject(what),
        "body": {"contentType": "text", "content": text},
        "toRecipients": [{"emailAddress": {"address": trial.to}}],
        "internetMessageId": f"<{tag}@{trial.domain}>",
        "singleValueExtendedProperties": [{"id": TAG, "value": tag}],
    }


async def post(trial: Trial, path: str, body: Any = None) -> Answer:
    """One POST; without a body its length is said, as `send` wants it."""
    content = b"" if body is None else json.dumps(body).encode()
    headers = {"Content_Length": "0"} if body is None else {"Content_Type": "application/json"}
    return await trial.probe.call("POST", box(trial) + path, content, Prefer=_IMMUTABLE, **headers)


async def copies(trial: Trial, tag: str) -> list[dict[str, Any]]:
    """Whatever in the mailbox has this tag and is no draft any more."""
    condition = f"singleValueExtendedProperties/Any(ep: ep/id eq '{TAG}' and ep/value eq '{tag}')"
    answer = await trial.probe.call("GET", f"{box(trial)}/messages?$filter={quote(condition, safe='')}")
    return [item for item in field_of(answer, "value") or () if item.get("isDraft") is False]


async def appeared(trial: Trial, tag: str) -> list[dict[str, Any]]:
    """The sent copies, as soon as there are some, within two minutes."""
    for _ in range(LOOKS):
        if found := await copies(trial, tag):
            return found
        await trial.pause(LOOK_SECONDS)
    return []


async def draft(trial: Trial) -> list[Seen]:
    """One draft sent twice at once after the other, and again when its copy is there; what became of its names."""
    name, tag = "graph.send-twice", str(uuid4())
    made = await post(trial, "/messages", mail(trial, "send-twice", tag))
    id = field_of(made, "id")
    if made.status != 201 or not isinstance(id, str):
        return [refused(name, made)]
    place = f"/messages/{quote(id, safe='')}"
    answers = {"first": await post(trial, f"{place}/send"), "at once": await post(trial, f"{place}/send")}
    found = await appeared(trial, tag)
    answers["later"] = await post(trial, f"{place}/send")
    what = f"{listed(answers)}; {len(await copies(trial, tag))} sent copies"
    read = await trial.probe.call("GET", box(trial) + place, Prefer=_IMMUTABLE)
    return [once(name, what, trial.subject("send-twice")), _immutable(read, found), _copy(found, tag, trial.domain)]


def _immutable(read: Answer, found: list[dict[str, Any]]) -> Seen:
    """The gateway works either way; it is good to know."""
    name, what = "graph.immutable-id", f"the draft's immutable id after the sending: {read}"
    if not found:
        return told(untold(name, what, "no sent copy was found, so it may not be sent yet"))
    if read.status == 200 and field_of(read, "isDraft") is False:
        return told(passed(name, f"{what}, the sent copy"))
    return told(failed(name, what, "the copy must be searched for, which is what the gateway does"))


def _copy(found: list[dict[str, Any]], tag: str, domain: str) -> Seen:
    name = "graph.sent-copy"
    if not found:
        remedy = f"the tag is not kept, or the copy takes longer than two minutes; {GUARANTEES}"
        return told(failed(name, "no sent copy is found by the tag", remedy))
    if found[0].get("internetMessageId") != f"<{tag}@{domain}>":
        what = "the sent copy is found by the tag, but has another Message-ID"
        return told(failed(name, what, "the tag alone must do, which it does"))
    return told(passed(name, "the sent copy is found by the tag and has our Message-ID"))


async def parallel(trial: Trial) -> list[Seen]:
    """One draft sent twice at the same moment."""
    name, tag = "graph.send-parallel", str(uuid4())
    made = await post(trial, "/messages", mail(trial, "send-parallel", tag))
    id = field_of(made, "id")
    if made.status != 201 or not isinstance(id, str):
        return [refused(name, made)]
    path = f"/messages/{quote(id, safe='')}/send"
    one, other = await asyncio.gather(post(trial, path), post(trial, path))
    await appeared(trial, tag)
    what = f"{listed({'one': one, 'other': other})}; {len(await copies(trial, tag))} sent copies"
    return [once(name, what, trial.subject("send-parallel"))]


async def not_saved(trial: Trial) -> list[Seen]:
    """`sendMail` that keeps no copy: there must be nothing to find."""
    name, tag = "graph.not-saved", str(uuid4())
    message = mail(trial, "not-saved", tag)
    del message["internetMessageId"]  # only a draft's may be set
    sent = await post(trial, "/sendMail", {"message": message, "saveToSentItems": False})
    if sent.status != 202:
        return [refused(name, sent)]
    await trial.pause(LOOK_SECONDS)
    found = await copies(trial, tag)
    if found:
        return [told(failed(name, f"{len(found)} copies are found", "such a mail could be asked about after all"))]
    return [told(passed(name, "no copy is found, so such a mail can never be asked about"))]
