"""Graph's answers: what each means at each step, what is looked for afterwards, and what is left in the mailbox."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest

from gateway.errors import ClaimLost, Outcome, Reason, TransportError
from gateway.message import NotFound, Receipt, Status
from gateway.transports.graph import Graph
from gateway.transports.graph_client import Account
from gateway.transports.graph_payload import Options
from gateway.transports.identity import Identity
from tests.factories import NOW, make_attachment, make_message
from tests.servers.graph import FakeGraph
from tests.servers.graph_mailbox import Item
from tests.servers.serve import serve
from tests.transports.conftest import failure
from tests.transports.graph_way import GraphWay
from tests.transports.ways import Clock, MemoryFence, Token

NO, MAYBE = Outcome.NO, Outcome.MAYBE
Meaning = tuple[Outcome, Reason, bool]


class LostFence(MemoryFence):
    """A fence whose claim is lost when one of these facts is to be recorded."""

    def __init__(self, *lost: str) -> None:
        """`lost`: names of facts."""
        super().__init__()
        self.lost = set(lost)

    async def record(self, **facts: str) -> None:
        """Remember, or say that the claim is another worker's."""
        if self.lost & facts.keys():
            raise ClaimLost("x")
        await super().record(**facts)


def drafts(way: GraphWay) -> list[Item]:
    """What lies in Drafts."""
    return [item for item in way.fake.boxes.items.get("noreply@example.com", []) if item.draft]


# ------------------------------------------------------------------------------------------------ what an answer means

ANSWERS: dict[str, tuple[Meaning, Meaning, Meaning]] = {
    # fault: when the draft is made, when it is sent, directly
    "400": ((NO, Reason.REFUSED, True), (NO, Reason.REFUSED, True), (NO, Reason.REFUSED, True)),
    "401": ((NO, Reason.UNAUTHORIZED, False),) * 3,
    "403": ((NO, Reason.REFUSED, True),) * 3,
    "404": ((NO, Reason.REFUSED, True), (MAYBE, Reason.REFUSED, False), (NO, Reason.REFUSED, True)),
    "408": ((NO, Reason.PROVIDER_ERROR, False), *((MAYBE, Reason.PROVIDER_ERROR, False),) * 2),
    "409": ((NO, Reason.PROVIDER_ERROR, False),) * 3,
    "413": ((NO, Reason.REFUSED, True),) * 3,
    "429": ((NO, Reason.THROTTLED, False),) * 3,
    "200": ((NO, Reason.PROVIDER_ERROR, False), *((MAYBE, Reason.PROVIDER_ERROR, False),) * 2),
    "307": ((NO, Reason.PROVIDER_ERROR, False), *((MAYBE, Reason.PROVIDER_ERROR, False),) * 2),
    "500": ((NO, Reason.PROVIDER_ERROR, False), *((MAYBE, Reason.PROVIDER_ERROR, False),) * 2),
    "503": ((NO, Reason.PROVIDER_ERROR, False), *((MAYBE, Reason.PROVIDER_ERROR, False),) * 2),
    "504": ((NO, Reason.PROVIDER_ERROR, False), *((MAYBE, Reason.PROVIDER_ERROR, False),) * 2),
    "drop": ((NO, Reason.CONNECTION_LOST, False), *((MAYBE, Reason.CONNECTION_LOST, False),) * 2),
}


def meaning(error: TransportError) -> Meaning:
    return error.outcome, error.reason, error.permanent


@pytest.mark.parametrize("fault", ANSWERS)
async def test_an_answer_means_by_draft(draft: GraphWay, fault: str) -> None:
    """Before the draft is told to go everything is a no; afterwards only what Graph clearly refuses."""
    draft.fake.faults["create"].append(fault)
    making = await failure(draft.graph)
    draft.fake.faults["send"].append(fault)
    sending = await failure(draft.graph)
    assert (meaning(making), meaning(sending)) == ANSWERS[fault][:2]


@pytest.mark.parametrize("fault", ANSWERS)
async def test_an_answer_means_directly(direct: GraphWay, fault: str) -> None:
    """One POST, and the meaning of its status."""
    direct.fake.faults["send-mail"].append(fault)
    error = await failure(direct.graph)
    assert (meaning(error), len(direct.fake.requests)) == (ANSWERS[fault][2], 1)


async def test_the_wish_to_wait_and_graphs_own_word_are_passed_on(draft: GraphWay, direct: GraphWay) -> None:
    """From each step."""
    draft.fake.faults["create"].append("429:30")
    draft.fake.faults["send"].append("429:60")
    direct.fake.faults["send-mail"].append("503:7")
    errors = [await failure(draft.graph), await failure(draft.graph), await failure(direct.graph)]
    assert [(one.retry_after, one.code, one.answered) for one in errors] == [
        (30.0, "Example", True),
        (60.0, "Example", True),
        (7.0, "Example", True),
    ]


PASSING = {
    "ErrorNonExistentMailBox": Reason.PROVIDER_ERROR,
    "ErrorQuotaExceeded": Reason.REFUSED,
    "ErrorExceededMessageLimit": Reason.THROTTLED,
    "ErrorAccessDenied": None,
}


@pytest.mark.parametrize("word", PASSING)
async def test_some_refusals_pass(direct: GraphWay, monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    """A mailbox that is not found for a while, or full, or has used up its day: it is tried again."""
    from tests.servers.acs_contract import Refused

    def refuse(*_: object) -> None:
        raise Refused(403, word, "No.")

    monkeypatch.setattr(direct.fake, "_send_mail", refuse)
    error = await failure(direct.graph)
    expected = PASSING[word]
    assert meaning(error) == ((NO, expected, False) if expected else (NO, Reason.REFUSED, True))


async def test_without_a_permission_it_is_refused_for_good(draft: GraphWay, direct: GraphWay) -> None:
    """A draft needs to write in the mailbox; sending directly does not."""
    draft.fake.permissions = direct.fake.permissions = frozenset({"Mail.Send"})
    error = await failure(draft.graph)
    await direct.graph.send(make_message(), 1, MemoryFence())
    assert (meaning(error), error.code, len(direct.fake.sent)) == ((NO, Reason.REFUSED, True), "ErrorAccessDenied", 1)


async def test_without_a_token_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A credential that fails, and one that hangs; a question stays open."""
    monkeypatch.setattr("gateway.transports.identity.PATIENCE", 0.05)
    fake = FakeGraph()
    async with serve(fake, lifespan="off") as url:
        for token in (Token(), Token("x", silent=True)):
            graph = Graph(Account(url, partial(Identity, token), clock=Clock()))
            error = await failure(graph)
            told = MemoryFence(draft="x", send_issued="true", issued_at=NOW.isoformat())
            with pytest.raises(TransportError) as asked:
                await graph.reconcile(make_message(), told)
            await graph.close()
            assert (meaning(error), meaning(asked.value)) == (
                (NO, Reason.NO_CREDENTIAL, False),
                (MAYBE, Reason.NO_CREDENTIAL, False),
            )
    assert fake.requests == []


# ------------------------------------------------------------------------------------------------------------ the fence


async def test_the_draft_is_recorded_before_it_is_sent(draft: GraphWay) -> None:
    """Its id, that it is about to go, and when: under the claim, in one write where there is nothing to attach."""
    fence = MemoryFence()
    draft.fake.faults["send"].append("503")
    await failure(draft.graph, fence=fence)
    (item,) = drafts(draft)
    expected = {"draft": item.id, "upload": "", "send_issued": "true", "issued_at": NOW.isoformat()}
    assert fence.facts == expected


async def test_who_lost_the_claim_sends_nothing_and_leaves_nothing(draft: GraphWay) -> None:
    """Its own draft would lie in Drafts for ever."""
    with pytest.raises(ClaimLost):
        await draft.graph.send(make_message(), 1, LostFence("draft"))
    assert (draft.fake.calls("send"), drafts(draft), len(draft.fake.calls("create"))) == ([], [], 1)


async def test_who_lost_the_claim_later_leaves_the_recorded_draft_alone(draft: GraphWay) -> None:
    """It is the other worker's now."""
    message = make_message(attachments=(make_attachment(content=b"x" * 3_100_000),))
    with pytest.raises(ClaimLost):
        await draft.graph.send(message, 1, LostFence("send_issued"))
    assert (draft.fake.calls("send"), len(drafts(draft))) == ([], 1)


async def test_directly_the_claim_is_looked_at_right_before_the_call(direct: GraphWay) -> None:
    """Once it is lost, nothing leaves."""
    with pytest.raises(ClaimLost):
        await direct.graph.send(make_message(), 1, LostFence("submitted_at"))
    assert direct.fake.requests == []


async def test_only_the_recorded_draft_is_ever_sent(draft: GraphWay) -> None:
    """Not another one with the same tag, which a worker left that had lost its claim."""
    message, fence = make_message(), MemoryFence()
    draft.fake.faults["create"].extend(["ok", "accept-then-drop"])
    draft.fake.faults["send"].append("429")
    await failure(draft.graph, message, fence=fence)
    recorded = fence.facts["draft"]
    await failure(draft.graph, message, fence=MemoryFence())
    await draft.graph.send(message, 2, fence)
    sent = {request.facts["item"] for request in draft.fake.calls("send")}
    assert (sent, len(draft.fake.sent)) == ({recorded}, 1)


async def test_a_draft_whose_answer_was_lost_is_found_and_used(draft: GraphWay) -> None:
    """The oldest of them; the others are deleted."""
    message, fence = make_message(), MemoryFence()
    draft.fake.faults["create"].extend(["accept-then-drop", "accept-then-503"])
    for _ in range(2):
        # As a first try does, which does not look.
        await failure(draft.graph, message, fence=fence)
        draft.clock.pass_by(1)
    oldest = drafts(draft)[0].id
    receipt = await draft.graph.send(message, 2, fence)
    assert (receipt.status, fence.facts["draft"], drafts(draft)) == (Status.SENT, oldest, [])
    assert (len(draft.fake.sent), len(draft.fake.calls("create"))) == (1, 2)


async def test_a_draft_that_somebody_deleted_before_it_was_sent_is_made_again(draft: GraphWay) -> None:
    """Nothing had been told to go."""
    message, fence = make_message(attachments=(make_attachment(content=b"x" * 3_100_000),)), MemoryFence()
    draft.fake.faults["put"].append("503")
    await failure(draft.graph, message, fence=fence)
    draft.fake.boxes.items.clear()
    await draft.graph.send(message, 2, fence)
    assert [len(one.mail.files[0].content) for one in draft.fake.sent] == [3_100_000]


async def test_a_refused_draft_does_not_stay_behind(draft: GraphWay) -> None:
    """Refused when it was first told to go: it will never go."""
    draft.fake.faults["send"].append("400")
    error = await failure(draft.graph)
    assert (error.permanent, drafts(draft)) == (True, [])


# ------------------------------------------------------------------------------------------------------- the question


async def test_what_was_never_told_to_go_was_not_sent(draft: GraphWay) -> None:
    """The fence knows; nobody is asked."""
    assert await draft.graph.reconcile(make_message(), MemoryFence(draft="x")) == NotFound()
    assert draft.fake.requests == []


async def test_a_draft_that_is_still_there_is_waited_for_and_then_sent_again(draft: GraphWay) -> None:
    """Five minutes, since the draft only goes some time after the 202; and it is the same draft."""
    message, fence = make_message(), MemoryFence()
    draft.fake.faults["send"].append("503")
    await failure(draft.graph, message, fence=fence)
    waits = []
    for _ in range(2):
        with pytest.raises(TransportError) as caught:
            await draft.graph.reconcile(message, fence)
        waits.append((meaning(caught.value), caught.value.retry_after, caught.value.answered))
        draft.clock.pass_by(270)
    assert waits == [((MAYBE, Reason.PENDING, False), 60.0, True), ((MAYBE, Reason.PENDING, False), 30.0, True)]
    assert await draft.graph.reconcile(message, fence) == NotFound()
    await draft.graph.send(message, 2, fence)
    assert (len({one.facts["item"] for one in draft.fake.calls("send")}), len(draft.fake.sent)) == (1, 1)
    assert fence.facts["issued_at"] == (NOW + timedelta(seconds=540)).isoformat()


async def test_a_copy_that_is_nowhere_is_waited_for_and_then_unknown(draft: GraphWay) -> None:
    """Ten minutes; then somebody moved or deleted it, or a rule did."""
    message, fence = make_message(), MemoryFence()
    await draft.graph.send(message, 1, fence)
    draft.fake.boxes.items.clear()
    draft.clock.pass_by(599)
    with pytest.raises(TransportError) as early:
        await draft.graph.reconcile(message, fence)
    draft.clock.pass_by(1)
    with pytest.raises(TransportError) as late:
        await draft.graph.reconcile(message, fence)
    assert (meaning(early.value), early.value.retry_after) == ((MAYBE, Reason.PENDING, False), 1.0)
    assert meaning(late.value) == (MAYBE, Reason.UNKNOWN_OUTCOME, True)


async def test_before_a_draft_is_sent_again_its_copy_is_looked_for(draft: GraphWay) -> None:
    """A 429 that counted all the same, as somebody has reported, is no second mail."""
    message, fence = make_message(), MemoryFence()
    draft.fake.ways.second = "202-sends-again"
    draft.fake.faults["send"].append("accept-then-429")
    await failure(draft.graph, message, fence=fence)
    receipt = await draft.graph.send(message, 2, fence)
    expected = Receipt(status=Status.SENT, provider_id=message.operation_id)
    assert (receipt, len(draft.fake.sent), len(draft.fake.calls("send"))) == (expected, 1, 1)


@pytest.mark.parametrize("fault", ["400", "403", "413"])
async def test_a_refusal_of_a_draft_that_was_told_before_is_no_answer(draft: GraphWay, fault: str) -> None:
    """The first time may have counted; so it is asked again."""
    message, fence = make_message(), MemoryFence()
    draft.fake.faults["send"].extend(["503", fault])
    await failure(draft.graph, message, fence=fence)
    draft.clock.pass_by(301)
    error = await failure(draft.graph, message, 2, fence)
    assert (meaning(error), len(drafts(draft))) == ((MAYBE, Reason.REFUSED, False), 1)


async def test_a_search_that_fails_before_sending_again_is_a_maybe(draft: GraphWay) -> None:
    """The earlier `send` is still not accounted for."""
    message, fence = make_message(), MemoryFence()
    draft.fake.faults["send"].append("503")
    await failure(draft.graph, message, fence=fence)
    draft.fake.faults["search"].append("403")
    error = await failure(draft.graph, message, 2, fence)
    assert (meaning(error), len(draft.fake.calls("send"))) == ((MAYBE, Reason.REFUSED, False), 1)


async def test_a_message_goes_on_in_the_mode_it_began_in(draft: GraphWay, direct: GraphWay) -> None:
    """Somebody changed the sender's mode while it was in doubt."""
    message, by_draft, by_itself = make_message(), MemoryFence(), MemoryFence()
    draft.fake.faults["send"].append("accept-then-503")
    await failure(draft.graph, message, fence=by_draft)
    changed = Graph(draft.account(), direct.graph.options)
    found = await changed.reconcile(message, by_draft)
    direct.fake.faults["send-mail"].append("accept-then-503")
    await failure(direct.graph, message, fence=by_itself)
    with pytest.raises(TransportError) as parked:
        await Graph(direct.account(), draft.graph.options).reconcile(message, by_itself)
    await changed.close()
    assert (isinstance(found, Receipt), parked.value.permanent) == (True, True)


@pytest.mark.parametrize("fault", ["400", "403"])
async def test_a_refusal_of_what_was_sent_again_is_no_failure(direct: GraphWay, fault: str) -> None:
    """`on_unknown: resend`: the first one may be in somebody's inbox, so it must not be told to have failed."""
    graph = Graph(direct.graph.account, Options(mode="direct", on_unknown="resend"))
    message, fence = make_message(), MemoryFence()
    direct.fake.faults["send-mail"].extend(["accept-then-503", fault])
    await failure(graph, message, fence=fence)
    assert await graph.reconcile(message, fence) == NotFound()
    error = await failure(graph, message, 2, fence)
    assert meaning(error) == (MAYBE, Reason.UNKNOWN_OUTCOME, True)
