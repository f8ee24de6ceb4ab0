"""How mails look: golden mails, subjects, reply-to, a caller's own words, and that nothing breaks it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.address import Address
from gateway.config import Config
from gateway.errors import Rejected
from gateway.looks import COLOURS, SHOWN
from gateway.message import Target
from gateway.notification import Notification, Severity, State
from gateway.rendering import Rendered, Renderer
from gateway.words import WORDS, span

CASES = Path(__file__).parent / "rendering"
SOURCE = {"kind": "native", "sender": "noreply", "allow": ["*"]}
FILES = ("subject.txt", "mail.txt", "mail.html")


def config(**source: Any) -> Config:
    sender = {"transport": "capture", "address": "noreply@example.com"}
    return Config.model_validate({"senders": {"noreply": sender}, "sources": {"it": {**SOURCE, **source}}})


RENDERER = Renderer(config())


def target(look: str | None = None, language: str = "en") -> Target:
    return Target(route=0, sender="noreply", to=(Address(email="ops@example.com"),), look=look, language=language)


def rendered(notification: Notification, look: str | None = None, language: str = "en", **source: Any) -> Rendered:
    made = config(**source)
    renderer = Renderer(made) if source else RENDERER
    assert renderer.problems() == []
    return renderer.render(notification, target(look, language), made.sources["it"])


def alert(**values: Any) -> Notification:
    return Notification.model_validate({"source": "it", "kind": "alertmanager", "title": "HighLatency", **values})


def native(text: str = "", subject: str = "Hello", **envelope: Any) -> Notification:
    values = {"source": "it", "kind": "native", "title": subject, "subject": subject, "text": text}
    return Notification.model_validate({**values, "envelope": envelope})


def items(count: int, **values: Any) -> list[dict[str, Any]]:
    return [{"title": f"node-{number} is down", **values} for number in range(1, count + 1)]


# ------------------------------------------------------------------------------------------------- golden mails


@pytest.mark.parametrize("case", sorted(path.parent.name for path in CASES.glob("*/case.json")))
def test_golden_mail(case: str) -> None:
    """Each case looks as it did when somebody looked at it."""
    folder = CASES / case
    given_ = json.loads((folder / "case.json").read_text("utf-8"))
    notification = Notification.model_validate(given_["notification"])
    source = {key: given_[key] for key in ("subject", "reply_to") if key in given_}

    mail = rendered(notification, given_.get("look"), given_.get("language", "en"), **source)

    made = dict(zip(FILES, (mail.subject + "\n", mail.text, mail.html), strict=True))
    missing = [name for name in FILES if not (folder / name).exists()]
    for name in missing:
        (folder / name).write_text(made[name], "utf-8")
    assert missing == [], "written now; look at it before you commit it"
    assert {name: (folder / name).read_text("utf-8") for name in FILES} == made


# ----------------------------------------------------------------------------------------------------- subjects


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"state": "firing", "severity": "critical"}, "[CRITICAL] HighLatency"),
        ({"state": "firing", "severity": "error"}, "[ERROR] HighLatency"),
        ({"state": "firing", "severity": "warning", "items": items(1)}, "[WARNING] HighLatency"),
        ({"state": "firing", "severity": "critical", "items": items(3)}, "[CRITICAL] HighLatency (+2)"),
        ({"state": "firing", "severity": "critical", "items": items(3), "more": 7}, "[CRITICAL] HighLatency (+9)"),
        ({"state": "firing", "severity": "info"}, "[INFO] HighLatency"),
        ({"state": "resolved", "severity": "critical"}, "[RESOLVED] HighLatency"),
        ({"state": "acknowledged", "severity": "critical"}, "[ACK] HighLatency"),
        ({"severity": "warning", "unmapped": True}, "[WARNING] HighLatency"),
        ({}, "HighLatency"),
        ({"title": "a\r\nBcc: b\u2028c\x00 "}, "a Bcc: b c"),
        ({"title": " "}, "Notification from it"),
        ({"state": "firing", "subject": "As I want\r\nit"}, "As I want it"),
    ],
)
def test_a_subject_says_status_severity_and_what(values: dict[str, Any], expected: str) -> None:
    """What is no alert is its title, and a caller's own subject is used as it is."""
    assert rendered(alert(**values)).subject == expected


def test_a_subject_speaks_the_routes_language() -> None:
    """German where the route says so."""
    assert rendered(alert(state=State.RESOLVED), language="de").subject == "[BEHOBEN] HighLatency"


def test_a_long_title_is_cut_and_the_rest_of_the_subject_stays() -> None:
    """Exchange cuts at 255 characters; the count of the others must survive."""
    subject = rendered(alert(title="x" * 5000, state=State.FIRING, items=items(2))).subject

    assert (len(subject) <= 200, subject[-6:]) == (True, "… (+1)")


def test_a_source_may_write_its_subjects_itself() -> None:
    """Its template sees fields, labels and what the notification says; an empty line is none."""
    notification = alert(state="firing", labels={"team": "web"}, fields=[{"name": "n", "value": "1\r\n2"}])

    assert (
        rendered(notification, subject="{{ labels.team }}: {{ title }} {{ fields.n }}").subject
        == "web: HighLatency 1 2"
    )
    assert rendered(notification, subject="{{ labels.nobody.knows }}").subject == "[INFO] HighLatency"


def test_a_subject_template_that_fails_costs_the_subject_alone() -> None:
    """The mail looks as always."""
    mail = rendered(alert(state="firing", severity="error"), subject="{{ 1 / 0 }}")

    assert (mail.subject, "HighLatency" in mail.html) == ("[ERROR] HighLatency", True)


# ----------------------------------------------------------------------------------------------------- reply-to


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("jane@example.com", ("jane@example.com",)),
        ("Jane <jane@example.com>", ("jane@example.com",)),
        ("jane@bücher.example", ("jane@xn--bcher-kva.example",)),
        ("", ()),
        ("nobody", ()),
        ("a@x.com, b@x.com", ()),
        ("a@x.com\r\nBcc: b@x.com", ()),
        ("{{ 7*7 }}@x.com", ()),
        ("victim%evil.test@example.com", ()),
    ],
)
def test_reply_to_is_an_address_or_nothing(value: str, expected: tuple[str, ...]) -> None:
    """A form's visitor writes it; whatever is no single mailbox is left out."""
    notification = alert(kind="form", fields=[{"name": "email", "value": value}])

    reply_to = rendered(notification, reply_to="{{ fields.email }}").reply_to

    assert tuple(address.email for address in reply_to) == expected


def test_a_callers_reply_to_goes_before_the_sources() -> None:
    """The template is only for those who named none."""
    notification = alert(reply_to=[{"email": "me@example.com"}])

    assert rendered(notification, reply_to="you@example.com").reply_to == (Address(email="me@example.com"),)


# -------------------------------------------------------------------------------------------- a caller's own words


def test_html_goes_out_as_it_came() -> None:
    """Its text is made from it, unless the caller wrote one."""
    html = "<p>Hi <b>you</b></p><img src=https://example.com/logo.png>"

    assert rendered(native(html=html)) == Rendered("Hello", "Hi you", html)
    assert rendered(native("Mine", html=html)) == Rendered("Hello", "Mine", html)


def test_text_goes_out_as_it_came_and_gets_an_html_part() -> None:
    """The text part is the caller's to the last blank; the HTML part shows the same lines without anything of ours."""
    mail = rendered(native("Dear all,\n\n  1 < 2\n"))

    assert mail.text == "Dear all,\n\n  1 < 2\n"
    assert "Dear all,<br>\n<br>\n&nbsp;&nbsp;1 &lt; 2" in mail.html
    assert "gateway" not in mail.html


def test_a_subject_alone_is_a_mail() -> None:
    """Some scripts say everything in the subject."""
    mail = rendered(native("", "Backup finished"))

    assert (mail.subject, "Backup finished" in mail.text) == ("Backup finished", True)
    assert "Backup finished</div>" in mail.html


def test_a_giant_text_has_no_html_part() -> None:
    """Escaped it could outgrow what the provider takes."""
    text = "<>&" * 500_000

    assert rendered(native(text)) == Rendered("Hello", text, "")


def test_data_is_shown_by_a_look_that_has_no_place_for_it() -> None:
    """A caller's values do not vanish, whichever look it names."""
    mail = rendered(native(template="form", data={"order": 1042, "who": {"name": "Jane"}}), look="form")

    assert 'order:  1042\nwho:    {"name": "Jane"}' in mail.text


def test_an_unknown_template_is_refused_before_anything_is_accepted() -> None:
    """The answer lists what there is."""
    RENDERER.check(native(template="alert"))
    RENDERER.check(alert())

    with pytest.raises(Rejected) as caught:
        RENDERER.check(native(template="../alert"))

    what = "there is no such template; there are alert, default, form"
    assert (caught.value.status, caught.value.code) == (422, "unknown_template")
    assert caught.value.fields == {"template": what}
    assert RENDERER.looks == ["alert", "default", "form"]


# ------------------------------------------------------------------------------------------------ what alerts show


def test_a_big_group_shows_the_first_and_counts_the_rest() -> None:
    """300 alerts stay below the 102 KB at which Gmail clips a mail."""
    labels = {"job": "node", "dc": "fra1", "rack": "r17", "os": "linux", "team": "infra"}
    text = "The node has been down for more than 5 minutes and nobody has looked at it."
    many = [{**item, "text": text, "labels": {**labels, "instance": item["title"]}} for item in items(300)]

    mail = rendered(alert(state="firing", items=many, more=5))

    assert f"… and {305 - SHOWN} more that are not shown here" in mail.text
    assert (f"{SHOWN}. node-{SHOWN} is down" in mail.text, f"node-{SHOWN + 1} " in mail.text) == (True, False)
    assert len(mail.html.encode()) < 102_000


def test_labels_that_all_items_share_stand_once() -> None:
    """Each item shows only what makes it different."""
    group = [{"title": f"down {n}", "labels": {"job": "node", "instance": f"n{n}"}} for n in (1, 2)]

    text = rendered(alert(state="firing", items=group)).text

    assert (text.count("job:"), text.count("instance:")) == (1, 2)


@pytest.mark.parametrize("look", ["alert", "default", "form"])
def test_what_was_not_recognised_is_marked(look: str) -> None:
    """Promise 3: delivered as it came, and the word unmapped says so in every look and language."""
    for language in WORDS:
        mail = rendered(alert(unmapped=True), look, language)

        assert ("unmapped" in mail.text.lower(), "unmapped" in mail.html.lower()) == (True, True)


def test_only_links_to_the_web_are_links() -> None:
    """Nothing that runs, and nothing that could end the attribute early."""
    urls = [
        "https://ok.example/",
        "HTTP://ok.example/",
        "javascript:alert(1)",
        "data:text/html,x",
        'https://a" onclick=x',
    ]

    mail = rendered(alert(state="firing", links=[{"label": "l", "url": url} for url in urls]))

    assert re.findall(r'href="([^"]*)"', mail.html) == ["https://ok.example/", "HTTP://ok.example/"]


def test_a_huge_notification_still_fits_a_mail() -> None:
    """What a tool sends may be 10 MB and five times as much when escaped; ACS takes 10 MB in base64."""
    values = {f"key{n}": '"<' * 50_000 for n in range(100)}

    mail = rendered(alert(state="firing", text="'" * 3_000_000, labels=values, items=items(60, labels=values)))

    assert mail.subject == "[INFO] HighLatency (+59)"
    assert len(mail.html.encode()) + len(mail.text.encode()) < 2_000_000


@pytest.mark.parametrize("severity", Severity)
@pytest.mark.parametrize("state", State)
def test_every_state_and_severity_has_a_look(state: State, severity: Severity) -> None:
    """In every language, with its colour on the band."""
    for language in WORDS:
        mail = rendered(alert(state=state, severity=severity, items=items(2, state=state)), language=language)

        assert 'class="pad band" bgcolor="#' in mail.html


@pytest.mark.parametrize("word", COLOURS)
def test_letters_are_legible_on_every_colour(word: str) -> None:
    """WCAG AA: a contrast of at least 4.5 to 1."""
    first, second = sorted(map(luminance, COLOURS[word]))

    assert (second + 0.05) / (first + 0.05) >= 4.5


def luminance(colour: str) -> float:
    """WCAG 2.2's relative luminance."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-5, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3600, "1 h"),
        (11520, "3 h 12 min"),
        (86400 + 60, "1 d"),
        (200_000, "2 d 7 h"),
    ],
)
def test_spans_are_said_in_two_units(seconds: int, expected: str) -> None:
    """As people would."""
    start = datetime(2026, 11, 23, tzinfo=UTC)

    assert span(start, start + timedelta(seconds=seconds), WORDS["en"]) == expected


def test_every_language_has_every_word() -> None:
    """With the same number of places to fill."""
    shapes = {name: {key: word.count("{}") for key, word in words.items()} for name, words in WORDS.items()}

    assert all(shape == shapes["en"] for shape in shapes.values())


# ---------------------------------------------------------------------------------------------------- hostile input

ANY_TEXT = st.text(max_size=40) | st.sampled_from(
    [
        "<script>alert(1)</script>",
        "<img src=http://evil.example/x>",
        '"><img src=http://evil.example/x onerror=alert(1)>',
        "'><a href=javascript:alert(1)>x</a>",
        "{{ 7*7 }}",
        "{% for x in range(9) %}{{ ''.__class__.__mro__ }}{% endfor %}",
        "a\r\nBcc: evil@example.com",
        "\u2028\u2029\x85\x00\x1b[31m",
        'http://evil.example/"onmouseover=alert(1)//',
        "https://[::1",
        "\u202eevil",
    ]
)
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))])
PAIRS = st.lists(st.fixed_dictionaries({"name": ANY_TEXT, "value": ANY_TEXT}), max_size=4)
SHARED = {
    "title": ANY_TEXT,
    "text": ANY_TEXT,
    "state": st.sampled_from(State),
    "severity": st.sampled_from(Severity),
    "severity_word": ANY_TEXT,
    "starts": st.none() | st.datetimes(timezones=ZONES),
    "ends": st.none() | st.datetimes(timezones=ZONES),
    "labels": st.dictionaries(ANY_TEXT, ANY_TEXT, max_size=4),
    "fields": PAIRS,
    "links": st.lists(st.fixed_dictionaries({"label": ANY_TEXT, "url": ANY_TEXT}), max_size=3),
}
NOTIFICATIONS = st.fixed_dictionaries(
    {
        **SHARED,
        "source": st.just("it"),
        "kind": st.sampled_from(["alertmanager", "form", "native"]),
        "subject": ANY_TEXT,
        "unmapped": st.booleans(),
        "more": st.integers(0, 9),
        "items": st.lists(st.fixed_dictionaries(SHARED), max_size=3),
        "envelope": st.none() | st.fixed_dictionaries({"data": st.dictionaries(ANY_TEXT, st.integers() | ANY_TEXT)}),
    }
).map(Notification.model_validate)
HOSTILE = config(subject="{{ fields.x }}{{ title }}", reply_to="{{ title }}")
HOSTILE_RENDERER = Renderer(HOSTILE)


class Markup(HTMLParser):
    """What a browser would make of a mail: its elements, and its attributes with their values."""

    def __init__(self, html: str) -> None:
        """Read all of it."""
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember one element."""
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in {"href", "src"}]


ELEMENTS = {"html", "head", "meta", "title", "style", "body", "table", "tr", "td", "div", "span", "a", "b", "br"}
ATTRIBUTES = {"lang", "xmlns:o", "charset", "name", "content", "class", "style", "role", "align", "valign", "bgcolor"}
ATTRIBUTES |= {"width", "cellpadding", "cellspacing", "border", "href"}


@settings(max_examples=200, deadline=None)
@given(NOTIFICATIONS, st.sampled_from([None, "alert", "default", "form", "gone"]), st.sampled_from(["en", "de", "fr"]))
def test_nothing_in_a_notification_breaks_its_mail(notification: Notification, look: str | None, language: str) -> None:
    """Never an error, a second header line, live markup, or a character that no mail can carry."""
    mail = HOSTILE_RENDERER._rendered(notification, target(look, language), HOSTILE.sources["it"])

    markup = Markup(mail.html)
    assert mail.subject == " ".join(mail.subject.split())
    assert not re.search(r"[\x00-\x1f\x7f\x85\u2028\u2029]", mail.subject)
    assert (markup.elements - ELEMENTS, markup.attributes - ATTRIBUTES) == (set(), set())
    assert all(link.lower().startswith(("http://", "https://")) for link in markup.links)
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", mail.html + mail.text)


def test_template_syntax_in_any_field_stays_what_it_is() -> None:
    """User data is never compiled: the mail says 7*7, not 49."""
    code = "{{ 7*7 }}{% raw %}{# gone #}"
    item = {"title": code, "text": code, "labels": {code: code}, "fields": [{"name": code, "value": code}]}
    notification = alert(**item, state="firing", severity_word=code, items=[item, item])

    for look in RENDERER.looks:
        mail = rendered(notification, look, subject="{{ title }}")

        assert mail.subject == code
        assert (code in mail.text, code in mail.html, "49" in mail.text, "49" in mail.html.replace("&#34;", "")) == (
            True,
            True,
            False,
            False,
        )
