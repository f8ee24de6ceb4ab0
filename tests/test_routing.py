"""Which notification goes to whom: routes in order, what callers may name, nobody twice."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from gateway import sources
from gateway.address import Address, Addresses
from gateway.config import Config
from gateway.errors import Rejected
from gateway.message import Priority, Target
from gateway.notification import Envelope, Item, Notification, Severity, State
from gateway.routing import Router

SENDERS = {
    "noreply": {"transport": "capture", "address": "noreply@example.com"},
    "helpdesk": {"transport": "capture", "address": "helpdesk@example.com"},
}
ADDRESSES = TypeAdapter[tuple[Address, ...]](Addresses)
RECIPIENTS = {"ops": ["ops@contoso.com", "On Call <oncall@contoso.com>"]}


def router(**source: Any) -> Router:
    values = {"kind": "alertmanager", "sender": "noreply", **source}
    return Router(Config.model_validate({"senders": SENDERS, "recipients": RECIPIENTS, "sources": {"it": values}}))


def alert(**values: Any) -> Notification:
    return Notification.model_validate({"source": "it", "kind": "alertmanager", "title": "HighLatency", **values})


def native(**envelope: Any) -> Notification:
    parsed = {
        key: ADDRESSES.validate_python(value) if key in {"to", "cc", "bcc"} else value
        for key, value in envelope.items()
    }
    return Notification(source="it", kind="native", title="Hello", envelope=Envelope.model_validate(parsed))


def emails(addresses: tuple[Address, ...]) -> list[str]:
    return [address.email for address in addresses]


def routes_taken(match: dict[str, Any], notification: Notification) -> list[int]:
    routes = [{"match": match, "to": ["a@contoso.com"]}, {"to": ["b@contoso.com"]}]
    return [target.route for target in router(routes=routes).targets("it", notification)]


def refusal(router: Router, notification: Notification) -> Rejected:
    with pytest.raises(Rejected) as caught:
        router.targets("it", notification)
    return caught.value


# ------------------------------------------------------------------------------------------------------- routes


def test_a_source_without_routes_is_one_route() -> None:
    """Everything comes from the source itself."""
    source = {"to": ["ops", "boss@contoso.com"], "cc": ["copy@contoso.com"], "template": "alert", "language": "de"}

    [target] = router(**source).targets("it", alert())

    assert target == Target(
        route=0,
        sender="noreply",
        to=(
            Address(email="ops@contoso.com"),
            Address(email="oncall@contoso.com", name="On Call"),
            Address(email="boss@contoso.com"),
        ),
        cc=(Address(email="copy@contoso.com"),),
        look="alert",
        language="de",
    )


def test_a_route_says_what_differs_from_its_source() -> None:
    """Sender, recipients, look, language and priority of the route win."""
    route = {
        "to": "ops",
        "cc": ["lead@contoso.com"],
        "sender": "helpdesk",
        "template": "short",
        "language": "de",
        "priority": "high",
    }

    [target] = router(to=["boss@contoso.com"], template="alert", routes=[route]).targets("it", alert())

    assert (target.sender, target.look, target.language) == ("helpdesk", "short", "de")
    assert target.priority == Priority.HIGH
    assert emails(target.to + target.cc) == ["ops@contoso.com", "oncall@contoso.com", "lead@contoso.com"]


def test_the_first_matching_route_wins() -> None:
    """Later routes are not asked."""
    routes = [
        {"match": {"severity": "warning"}, "to": ["a@contoso.com"]},
        {"match": {"severity": "critical"}, "to": ["b@contoso.com"]},
        {"to": ["c@contoso.com"]},
    ]

    targets = router(routes=routes).targets("it", alert(severity=Severity.CRITICAL))

    assert [(target.route, emails(target.to)) for target in targets] == [(1, ["b@contoso.com"])]


def test_continue_goes_on_to_the_next_route() -> None:
    """Each route that matched is a mail of its own."""
    routes = [
        {"match": {"severity": "critical"}, "to": ["a@contoso.com"], "continue": True},
        {"match": {"severity": "warning"}, "to": ["b@contoso.com"], "continue": True},
        {"to": ["c@contoso.com"]},
    ]

    targets = router(routes=routes).targets("it", alert(severity=Severity.CRITICAL))

    assert [(target.route, emails(target.to)) for target in targets] == [(0, ["a@contoso.com"]), (2, ["c@contoso.com"])]


def test_nothing_falls_through_all_routes() -> None:
    """Should every route of a configuration have a match, the source itself stands behind them."""
    routes = [{"match": {"severity": "critical"}, "to": ["a@contoso.com"]}]

    [target] = router(to=["rest@contoso.com"], routes=routes).targets("it", alert())

    assert (target.route, emails(target.to)) == (1, ["rest@contoso.com"])


# -------------------------------------------------------------------------------------------------------- match


@pytest.mark.parametrize(
    ("match", "notification", "expected"),
    [
        ({"severity": "critical"}, {"severity": "critical"}, True),
        ({"severity": "CRITICAL"}, {"severity": "critical"}, True),
        ({"severity": "critical"}, {"severity": "error"}, False),
        ({"severity": "disaster"}, {"severity": "critical", "severity_word": "Disaster"}, True),
        ({"severity": ["error", "critical"]}, {"severity": "critical"}, True),
        ({"severity": ["error", "warning"]}, {"severity": "critical"}, False),
        ({"state": "resolved"}, {"state": "resolved"}, True),
        ({"kind": "alertmanager"}, {}, True),
        ({"kind": "zabbix"}, {}, False),
        ({"title": "highlatency"}, {}, True),
        ({"title": "high"}, {}, False),
        ({"title": "/high/"}, {}, True),
        ({"title": "/^lat/"}, {}, False),
        ({"title": ["/^x/", "/LATENCY$/"]}, {}, True),
        ({"title": "/"}, {"title": "/"}, True),
        ({"title": "größe"}, {"title": "GRÖSSE"}, True),
        ({"label.team": "Web"}, {"labels": {"team": "web"}}, True),
        ({"label.team": "web"}, {"labels": {"Team": "web"}}, False),
        (
            {"label.team": "web"},
            {"labels": {"team": "db"}, "items": [{"title": "x", "labels": {"team": "web"}}]},
            False,
        ),
        ({"label.team": "web"}, {"items": [{"title": "x"}, {"title": "y", "labels": {"team": "web"}}]}, True),
        ({"label.team": "web"}, {"items": [{"title": "x", "labels": {"team": "db"}}]}, False),
        ({"label.team": ""}, {}, True),
        ({"label.port": 443}, {"labels": {"port": "443"}}, True),
        ({"severity": "critical", "label.team": "web"}, {"severity": "critical", "labels": {"team": "web"}}, True),
        ({"severity": "critical", "label.team": "web"}, {"severity": "critical"}, False),
    ],
)
def test_match_compares_without_case(match: dict[str, Any], notification: dict[str, Any], *, expected: bool) -> None:
    """A string, a list of which any may match, or a /regular expression/; all keys must match."""
    assert routes_taken(match, alert(**notification)) == ([0] if expected else [1])


def test_every_match_key_of_the_configuration_can_be_read() -> None:
    """A key the configuration allows never fails when a notification comes."""
    match = {"severity": "x", "state": "x", "kind": "x", "title": "x", "label.x": "x"}

    assert routes_taken(match, alert(state=State.FIRING, items=(Item(title="x"),))) == [1]


# -------------------------------------------------------------------------------------------- what callers name


def test_a_caller_names_its_recipients() -> None:
    """To, cc and bcc of the envelope are used; the route's are not."""
    crm = router(kind="native", allow=["*@contoso.com"], to=["fallback@contoso.com"])

    [target] = crm.targets("it", native(to="a@contoso.com", cc=["b@contoso.com"], bcc=["c@contoso.com"]))

    assert (emails(target.to), emails(target.cc), emails(target.bcc)) == (
        ["a@contoso.com"],
        ["b@contoso.com"],
        ["c@contoso.com"],
    )


def test_a_caller_who_names_nobody_reaches_the_sources_recipients() -> None:
    """What is left out comes from the source, and needs no `allow`."""
    [target] = router(kind="native", allow=["*@contoso.com"], to=["box@fabrikam.com"]).targets("it", native())

    assert emails(target.to) == ["box@fabrikam.com"]


def test_a_copy_that_the_configuration_wants_is_always_made() -> None:
    """A caller adds to the configured cc, it cannot take it away."""
    crm = router(kind="native", allow=["*"], cc=["archive@contoso.com"])

    [target] = crm.targets("it", native(to="a@x.com", cc="b@x.com"))

    assert emails(target.cc) == ["b@x.com", "archive@contoso.com"]


def test_a_callers_template_and_priority_win() -> None:
    """What a caller says of look and urgency goes before the route's."""
    crm = router(kind="native", allow=["*"], template="default")

    [target] = crm.targets("it", native(to="a@x.com", template="welcome", priority="high"))

    assert (target.look, target.priority) == ("welcome", Priority.HIGH)


@pytest.mark.parametrize(
    ("route", "state", "severity", "expected"),
    [
        ({}, "firing", "critical", Priority.HIGH),
        ({}, "firing", "error", Priority.HIGH),
        ({}, "firing", "warning", Priority.NORMAL),
        ({}, "firing", "info", Priority.NORMAL),
        ({}, "acknowledged", "critical", Priority.NORMAL),
        ({}, "info", "critical", Priority.NORMAL),
        ({}, "resolved", "critical", Priority.NORMAL),
        ({"priority": "normal"}, "firing", "critical", Priority.NORMAL),
        ({"priority": "high"}, "firing", "info", Priority.HIGH),
        ({"priority": "high"}, "info", "info", Priority.HIGH),
        ({"priority": "high"}, "resolved", "critical", Priority.NORMAL),
        ({"priority": "high", "match": {"severity": "critical"}}, "resolved", "critical", Priority.NORMAL),
        ({"priority": "high", "match": {"state": "resolved"}}, "resolved", "info", Priority.HIGH),
        ({"priority": "high", "match": {"state": ["firing", "resolved"]}}, "resolved", "critical", Priority.HIGH),
        ({"priority": "high", "match": {"state": "/./"}}, "resolved", "warning", Priority.HIGH),
        ({"match": {"state": "resolved"}}, "resolved", "critical", Priority.NORMAL),
    ],
)
def test_a_firing_alert_that_is_grave_is_urgent_and_what_is_over_only_where_a_route_for_it_says_so(
    route: dict[str, Any], state: str, severity: str, expected: Priority
) -> None:
    """The route's word goes before severity and state, except for `resolved`, which it must name."""
    notification = alert(state=state, severity=severity)

    targets = router(to=["a@contoso.com"], routes=[route, {}]).targets("it", notification)

    assert [target.priority for target in targets] == [expected]


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("priority", list(Priority))
def test_a_callers_own_priority_counts_whatever_the_state(state: State, priority: Priority) -> None:
    """Neither route nor severity changes it."""
    notification = native(to="a@x.com", priority=priority).model_copy(
        update={"state": state, "severity": Severity.CRITICAL}
    )

    [target] = router(kind="native", allow=["*"], routes=[{"priority": "high"}]).targets("it", notification)

    assert target.priority == priority


def test_an_alert_that_nobody_understood_is_not_urgent() -> None:
    """Whatever words stand in it: nobody knows that it is firing."""
    [notification] = sources.read("alertmanager", b'{"severity": "critical", "state": "firing"}', {}, "it")

    [target] = router(to=["a@contoso.com"]).targets("it", notification)

    assert (notification.unmapped, target.priority) == (True, Priority.NORMAL)


def test_a_callers_recipients_get_one_mail_however_many_routes_match() -> None:
    """`continue` adds the configuration's recipients, it does not send the caller's mail again."""
    routes = [{"to": ["x@contoso.com"], "continue": True}, {"to": ["audit@contoso.com"]}]

    targets = router(kind="native", allow=["*"], routes=routes).targets("it", native(to="a@x.com", bcc="b@x.com"))

    assert [emails(target.to + target.bcc) for target in targets] == [["a@x.com", "b@x.com"], ["audit@contoso.com"]]


@pytest.mark.parametrize(
    ("allow", "address", "allowed"),
    [
        (["*"], "anyone@anywhere.example", True),
        (["*@contoso.com"], "ops@contoso.com", True),
        (["*@contoso.com"], "OPS@CONTOSO.COM", True),
        (["*@Contoso.com"], "ops@contoso.com", True),
        (["*@contoso.com"], "ops@fabrikam.com", False),
        (["*@contoso.com"], "ops@evil-contoso.com", False),
        (["*@contoso.com"], "ops@contoso.com.evil.com", False),
        (["*@contoso.com"], "ops@sub.contoso.com", False),
        (["*@contoso.com"], "ops@contosoxcom", False),
        (["*@*.contoso.com"], "ops@sub.contoso.com", True),
        (["*@*.contoso.com"], "ops@contoso.com", False),
        (["ops@contoso.com"], "ops@contoso.com", True),
        (["ops@contoso.com"], "dev@contoso.com", False),
        (["ops+*@contoso.com"], "ops+web@contoso.com", True),
        (["ops+*@contoso.com"], "opsss@contoso.com", False),
        (["a@x.com", "*@contoso.com"], "ops@contoso.com", True),
        (["contoso.com"], "ops@contoso.com", False),
        (["*contoso.com"], "ops@contoso.com", False),
        (["*@bücher.example"], "x@bücher.example", True),
        (["*@BÜCHER.example"], "x@xn--bcher-kva.example", True),
        (["*@xn--bcher-kva.example"], "x@bücher.example", True),
        (["*@*.bücher.example"], "x@shop.bücher.example", True),
        (["*@bucher.example"], "x@bücher.example", False),
        (["*@" + "ü" * 80 + ".example"], "x@example.com", False),
        ([], "x@example.com", False),
    ],
)
def test_allow_decides_whom_a_caller_may_name(allow: list[str], address: str, *, allowed: bool) -> None:
    """Patterns are compared in lower case and in the IDNA form; a star never crosses an @."""
    crm = router(kind="native", allow=allow)

    if allowed:
        assert len(crm.targets("it", native(to=address))) == 1
    else:
        assert refusal(crm, native(to=address)).code == "recipient_not_allowed"


def test_every_recipient_outside_allow_is_named_with_the_remedy() -> None:
    """To, cc and bcc are all checked, and the answer says which and where to mend it, without repeating addresses."""
    crm = router(kind="native", allow=["*@contoso.com"])
    notification = native(to=["a@contoso.com", "b@evil.com"], cc="c@evil.com", bcc="d@contoso.com, Ops <e@contoso.com>")

    refused = refusal(crm, notification)

    assert refused.status == 422
    assert refused.fields == {
        "to[1]": "may not be named by this caller; sources.it.allow lists who may",
        "cc[0]": "may not be named by this caller; sources.it.allow lists who may",
    }


def test_a_form_cannot_name_recipients_at_all() -> None:
    """Whatever a source module lets into the envelope, a source without `allow` lets nobody through."""
    assert refusal(router(kind="form", to=["a@x.com"]), native(cc="b@x.com")).fields.keys() == {"cc[0]"}


@pytest.mark.parametrize("envelope", [{}, {"cc": "a@x.com"}, {"bcc": "a@x.com"}])
def test_nobody_to_write_to_is_the_callers_error(envelope: dict[str, str]) -> None:
    """ACS wants at least one `to`: cc or bcc alone is refused."""
    refused = refusal(router(kind="native", allow=["*"]), native(**envelope))

    assert (refused.status, refused.code, list(refused.fields)) == (422, "no_recipient", ["to"])


def test_nobody_gets_the_same_mail_twice() -> None:
    """The first mention wins, whatever its case; to goes before cc, cc before bcc."""
    crm = router(kind="native", allow=["*"], cc=["B@x.com"])

    [target] = crm.targets("it", native(to="a@x.com, A@X.com", cc="a@x.com, b@x.com", bcc="b@X.com, c@x.com"))

    assert (emails(target.to), emails(target.cc), emails(target.bcc)) == (["a@x.com"], ["b@x.com"], ["c@x.com"])


LOCAL = st.from_regex(r"[a-z0-9+'!#$%&*/=?^_`{|}~-]{1,10}", fullmatch=True)
DOMAIN = st.sampled_from(["contoso.com", "evil.com", "contoso.com.evil.com", "evilcontoso.com", "sub.contoso.com"])
MAILBOXES = st.lists(st.builds("{}@{}".format, LOCAL, DOMAIN), max_size=4)


@settings(deadline=None)
@given(to=MAILBOXES, cc=MAILBOXES, bcc=MAILBOXES)
def test_no_foreign_recipient_ever_passes(to: list[str], cc: list[str], bcc: list[str]) -> None:
    """On the final list stands nobody outside `allow`, whatever a caller names."""
    crm = router(kind="native", allow=["*@contoso.com"])
    try:
        targets = crm.targets("it", native(to=to, cc=cc, bcc=bcc))
    except Rejected:
        return

    final = [address for target in targets for address in target.to + target.cc + target.bcc]
    assert {address.domain for address in final} == {"contoso.com"}
    assert len({address.email.lower() for address in final}) == len(final)
