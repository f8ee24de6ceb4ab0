"""Azure Communication Services, live: a Trial comes in, what it does with a repeated operation id goes out."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from datetime import timedelta
from uuid import uuid4

from gateway.clock import wall_clock
from gateway.doctor.finding import failed, passed, untold
from gateway.doctor.probe import API_VERSION, Answer, operation
from gateway.live.trial import GUARANTEES, Seen, Trial, field_of, listed, never, once, refused, told
from gateway.transports.answers import retry_after

LATER = {"10 min": timedelta(minutes=10), "25 h": timedelta(hours=25)}
"""Behind the five minutes that a page on repeatable requests names, and behind the day that Azure keeps a status."""

LOOKS = 9
LOOK_SECONDS = 10.0
MOST_QUESTIONS = 100
"""More than a minute's quota for a custom domain (60)."""

_FINAL = frozenset({"succeeded", "failed", "canceled"})
VALIDATE = "x-ms-acsemail-validate-message-id"


async def send(trial: Trial, id: str, what: str, *, to: str = "", headers: dict[str, str] | None = None) -> Answer:
    """One submission; the same arguments give the same bytes."""
    text = "A live check of the notification gateway sent this. Nothing needs to be done."
    mail = {
        "senderAddress": trial.sender,
        "content": {"subject": trial.subject(what), "plainText": text},
        "recipients": {"to": [{"address": to or trial.to}]},
        **({"headers": headers} if headers else {}),
    }
    sent = {"Operation_Id": id, "Content_Type": "application/json"}
    path = f"/emails:send?api-version={API_VERSION}"
    answer = await trial.probe.call("POST", path, json.dumps(mail).encode(), **sent)
    if answer.status == 202 and id not in trial.operations:
        trial.operations.append(id)
    return answer


async def ask(trial: Trial, id: str) -> Answer:
    """One question for an operation's status."""
    return await trial.probe.call("GET", operation(id))


async def ended(trial: Trial, id: str) -> str:
    """The operation's last word, or the one it still has after a minute and a half."""
    status = ""
    for _ in range(LOOKS):
        status = str(field_of(await ask(trial, id), "status") or status)
        if status.lower() in _FINAL:
            break
        await trial.pause(LOOK_SECONDS)
    return status or "no status"


async def repeat(trial: Trial) -> list[Seen]:
    """The same id and the same bytes: after a second, after its end, with --long after ten minutes and a day."""
    name, id = "acs.repeat", str(uuid4())
    answers = {"first": await send(trial, id, "repeat")}
    if answers["first"].status != 202:
        return [refused(name, answers["first"])]
    await trial.pause(1)
    answers["after 1 s"] = await send(trial, id, "repeat")
    state = await ended(trial, id)
    answers[f"after {state}"] = await send(trial, id, "repeat")
    for when, time in LATER.items() if trial.long else ():
        await trial.pause(time.total_seconds())
        answers[f"after {when}"] = await send(trial, id, "repeat")
    return [once(name, listed(answers), trial.subject("repeat"))]


async def other_body(trial: Trial) -> list[Seen]:
    """The same id for another mail: Azure's guidelines want 400."""
    name, id = "acs.other-body", str(uuid4())
    first = await send(trial, id, "body-1")
    if first.status != 202:
        return [refused(name, first)]
    second = await send(trial, id, "body-2")
    what = listed({"first": first, "another body": second})
    if 400 <= second.status < 500:
        return [told(passed(name, f"{what}: refused"))]
    return [never(name, what, trial.subject("body-2"))]


async def parallel(trial: Trial) -> list[Seen]:
    """The same submission many times at once."""
    name, id = "acs.parallel", str(uuid4())
    answers = await asyncio.gather(*(send(trial, id, "parallel") for _ in range(trial.at_once)))
    counts = Counter(str(answer) for answer in answers)
    what = f"{trial.at_once} at once: " + ", ".join(f"{count} of {answer}" for answer, count in sorted(counts.items()))
    if sum(answer.status == 202 for answer in answers) == 0:
        return [refused(name, answers[0])]
    return [once(name, what, trial.subject("parallel"))]


async def message_id(trial: Trial) -> list[Seen]:
    """Two operations with one Message-ID that is to be validated (email-headers.md): the second must be refused."""
    name = "acs.message-id"
    headers = {"Message-ID": f"<{uuid4()}@{trial.domain}>", VALIDATE: "true"}
    first = await send(trial, str(uuid4()), "message-id", headers=headers)
    if first.status != 202:
        remedy = "the header is not taken like this; the gateway does not use it"
        return [told(failed(name, f"with {VALIDATE}: {first}", remedy))]
    second = await send(trial, str(uuid4()), "message-id", headers=headers)
    what = listed({"first": first, "same Message-ID": second})
    if second.status == 400:
        return [told(passed(name, f"{what}: a duplicate is refused"))]
    return [once(name, what, trial.subject("message-id"))]


async def status(trial: Trial) -> list[Seen]:
    """What a question is answered: of an id nobody used, and of one that was accepted."""
    unknown = await ask(trial, str(uuid4()))
    what = f"a question for an unknown id: {unknown}"
    remedy = f'the gateway takes 404 for "never accepted"; {GUARANTEES}'
    first = passed("acs.unknown-id", what) if unknown.status == 404 else failed("acs.unknown-id", what, remedy)
    return [told(first), await _lives(trial)]


async def _lives(trial: Trial) -> Seen:
    name = "acs.status-lives"
    if not trial.operations:
        return told(untold(name, "no operation was accepted before this", "run it together with acs.repeat"))
    answer = await ask(trial, trial.operations[0])
    what = f"an accepted operation: {answer} {field_of(answer, 'status') or ''}".strip()
    if answer.status != 200:
        return told(failed(name, what, f"its status must be there for a day; {GUARANTEES}"))
    if not trial.long:
        return told(untold(name, f"{what}; how long it stays was not waited for", "run it with --long"))
    return told(passed(name, f"{what}, 25 hours later"))


async def after_failed(trial: Trial) -> list[Seen]:
    """An operation that ended Failed, and the same submission again."""
    name, id = "acs.after-failed", str(uuid4())
    if not trial.failing:
        remedy = "name an address whose domain takes no mail (--failing); it counts against your reputation as sender"
        return [told(untold(name, "nothing was sent that fails", remedy))]
    first = await send(trial, id, "after-failed", to=trial.failing)
    if first.status != 202:
        return [refused(name, first)]
    state = await ended(trial, id)
    if state.lower() != "failed":
        return [told(untold(name, f"the operation ended {state}", "try another address"))]
    again = await send(trial, id, "after-failed", to=trial.failing)
    return [told(passed(name, f"repeated after Failed: {again}; the gateway never does that"))]


async def throttling(trial: Trial) -> list[Seen]:
    """Questions until they are too many; no mail is sent, but the hour's quota for questions is used."""
    name = "acs.throttling"
    for number in range(1, MOST_QUESTIONS + 1):
        answer = await ask(trial, str(uuid4()))
        if answer.status == 429:
            wait = retry_after(answer.headers, wall_clock())
            what = f"question {number}: {answer}, Retry-After {wait if wait is not None else 'missing'}"
            return [told(passed(name, what) if wait else failed(name, what, "the gateway then waits as it sees fit"))]
    return [told(untold(name, f"{MOST_QUESTIONS} questions and no 429", "the quota of this subscription was raised"))]
