"""Every request body that the Graph transport makes, as it was on the wire, fits our schemas and Microsoft's CSDL."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gateway.address import Address
from gateway.message import Message, Priority
from gateway.transports.graph_client import Cloud
from gateway.transports.graph_payload import Options, submission
from tests.contracts.csdl import schema_of, schema_of_action
from tests.factories import make_attachment, make_message
from tests.servers.wire import Request
from tests.transports.graph_way import graph_way
from tests.transports.ways import MemoryFence

HERE = Path(__file__).parent
CONTRACTS = HERE.parents[1] / ".." / "shared" / "contracts" / "graph"
at_hand = pytest.mark.skipif(not CONTRACTS.exists(), reason="../shared/contracts is not beside the repository")

PEOPLE: dict[str, Any] = {
    "to": (Address(email="ops@example.com", name="Größe, Ops"), Address(email="b@example.com")),
    "cc": (Address(email="c@example.com"),),
    "bcc": (Address(email="d@example.com", name="日本"),),
    "reply_to": (Address(email="jo@example.org", name="Jo"),),
}

MAILS: dict[str, Callable[[], Message]] = {
    "plain": lambda: make_message(html=""),
    "html": lambda: make_message(text=""),
    "both": make_message,
    "nothing at all": lambda: make_message(text="", html="", subject=""),
    "odd": lambda: make_message(subject="a\r\nBcc: b@example.com\u2028", html="", text="\u202e\x00\r\n" * 9),
    "everything": lambda: make_message(
        **PEOPLE,
        priority=Priority.HIGH,
        headers={f"X-Ticket-{number}": "4711 ü\r\nBcc: e@example.com" for number in range(5)},
        attachments=(
            make_attachment(name="Prüfung 日本.pdf"),
            make_attachment(name="", content_type=""),
            make_attachment(name="logo.png", content_type="image/png", content_id="logo"),
        ),
    ),
    "large": lambda: make_message(
        attachments=(
            make_attachment(name="small.bin", content=b"x" * 2_900_000),
            make_attachment(name="next.bin", content=b"x" * 2_900_000, content_id="next"),
            make_attachment(name="large.bin", content=b"x" * 3_000_001, content_id="inline", content_type=""),
        )
    ),
}


async def wire(message: Message, **options: Any) -> list[Request]:
    """What the transport really said for this mail."""
    async with graph_way(**options) as way:
        await way.graph.send(message, 1, MemoryFence())
    return [request for request in way.fake.requests if request.body and request.facts["operation"] != "put"]


OPTIONS: dict[str, dict[str, Any]] = {
    "draft": {"mode": "draft"},
    "direct": {"mode": "direct"},
    "unsaved": {"mode": "direct", "save_to_sent": False},
}
MIME = {("both", "direct"), ("everything", "direct")}
EVERY = [(name, how) for name in MAILS for how in OPTIONS if (name != "large" or how == "draft")]
EVERY = [one for one in EVERY if one not in MIME]


def model() -> Any:
    """Microsoft's."""
    return json.loads((CONTRACTS / "msgraph-v1.0-mail-subset.json").read_text("utf-8"))


def ours(name: str) -> Any:
    """Our own."""
    return json.loads((HERE / name).read_text("utf-8"))


def fits(schema: Any, value: Any) -> None:
    jsonschema.Draft202012Validator(schema).validate(value)


@pytest.mark.parametrize(("name", "how"), EVERY)
async def test_every_body_fits_our_own_schemas(name: str, how: str) -> None:
    """They are written from the documents, and say what we use of them."""
    bodies = await wire(MAILS[name](), **OPTIONS[how])
    message, file = ours("graph-message.schema.json"), ours("graph-message.schema.json")["$defs"]["file"]
    schemas = {
        "create": message,
        "attach": file,
        "session": ours("graph-upload.schema.json"),
        "send-mail": {
            "type": "object",
            "properties": {"message": {"$ref": "#/$defs/message"}, "saveToSentItems": {"const": False}},
            "required": ["message"],
            "additionalProperties": False,
            "$defs": {"message": message, **message["$defs"]},
        },
    }
    for request in bodies:
        if request.headers["content-type"] == "application/json":
            fits(schemas[request.facts["operation"]], json.loads(request.body))


@at_hand
@pytest.mark.parametrize(("name", "how"), EVERY)
async def test_every_body_fits_microsofts_model(name: str, how: str) -> None:
    """The part of the CSDL that is about mail, with unknown fields forbidden."""
    schemas = {
        "create": schema_of(model(), "message"),
        "attach": schema_of(model(), "fileAttachment"),
        "session": schema_of_action(model(), "createUploadSession", "Collection(graph.attachment)"),
        "send-mail": schema_of_action(model(), "sendMail", "graph.user"),
    }
    for request in await wire(MAILS[name](), **OPTIONS[how]):
        if request.headers["content-type"] == "application/json":
            fits(schemas[request.facts["operation"]], json.loads(request.body))


@at_hand
@pytest.mark.parametrize("change", [{"subjct": "x"}, {"importance": "urgent"}, {"toRecipients": "ops@example.com"}])
def test_microsofts_model_finds_mistakes(change: dict[str, Any]) -> None:
    """A misspelt field, a word that is none, a wrong type."""
    with pytest.raises(jsonschema.ValidationError):
        fits(schema_of(model(), "message"), {"subject": "x", **change})


@at_hand
def test_microsofts_own_examples_fit_the_model_as_we_read_it() -> None:
    """But for their capitals in enumerations, and a boolean that is a string."""
    examples = json.loads((CONTRACTS / "doc-sendmail.json").read_text("utf-8"))["examples"]
    for example in examples:
        body = example.get("request", {}).get("body")
        if isinstance(body, dict):
            text = json.dumps(body).replace('"HTML"', '"html"').replace('"Text"', '"text"').replace('"false"', "false")
            fits(schema_of_action(model(), "sendMail", "graph.user"), json.loads(text))
    session = json.loads((CONTRACTS / "doc-upload-session.json").read_text("utf-8"))["create"]["request"]
    fits(schema_of_action(model(), "createUploadSession", "Collection(graph.attachment)"), session)


def test_the_mime_says_what_the_json_says() -> None:
    """The same people, words and files in both forms."""
    message = MAILS["everything"]()
    raw = submission(message, Options(mode="direct"), Cloud())
    assert isinstance(raw, str)
    read = BytesParser(_class=EmailMessage, policy=default).parsebytes(base64.b64decode(raw))
    assert [str(read[name]) for name in ("to", "cc", "bcc", "importance")] == [
        '"Größe, Ops" <ops@example.com>, b@example.com',
        "c@example.com",
        "日本 <d@example.com>",
        "high",
    ]
    assert [part.get_content_type() for part in read.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "application/pdf",
        "application/octet-stream",
    ]
