"""Web forms: what a browser or a page's script posts comes in, one Notification with the fields in order goes out.

Reserved names are instructions, never shown: `_subject` (the title), `_replyto`, `_next` (where the browser goes
afterwards), `_gotcha` (a field people do not see: only a bot fills it) and the tokens of captchas. Every other name
that begins with an underscore belongs to some other service (`_cc`, `_format`); it is neither shown nor obeyed, since a
visitor may not choose who gets the mail.

A captcha's token is in `Form.reserved` under its own name: what verifies it, and what limits the rate, belongs between
`read_form` and `parse`, where the HTTP door stands.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any
from urllib.parse import quote, urlsplit

from gateway.address import Address, one_line, unrouted
from gateway.config import Files
from gateway.domains import is_listed, origin_of
from gateway.errors import Rejected
from gateway.message import Attachment
from gateway.notification import Notification, Pair, unbracketed, untitled
from gateway.sources.explain import shown
from gateway.sources.files import taken
from gateway.sources.jsontext import leaves, scalar, written
from gateway.sources.media import DEFAULT, is_media
from gateway.sources.multipart import Part, is_multipart
from gateway.sources.payload import MOST_PAIRS, Payload, Shape, plain, sniff

MOST_FIELDS = 200
MOST_FILES = 20
LONGEST_TEXT = 256 * 1024
"""Bytes of everything that is no file, names and values: a long letter has 20,000."""

LONGEST_TITLE = 200
LONGEST_URL = 2000
LONGEST_NAME = 100

CAPTCHAS = frozenset({"cf-turnstile-response", "g-recaptcha-response", "h-captcha-response"})
RESERVED = frozenset({"_subject", "_replyto", "_next", "_gotcha", "_charset_"}) | CAPTCHAS

_PLAIN_NAME = re.compile(r"^([\w.\[\]-][\w.\[\] -]{0,99})=", re.MULTILINE)
# RFC 3986's reserved characters and %, which a URL that is one already uses rightly.
_URL_SAFE = "%:/?#[]@!$&'()*+,;="


@dataclass(frozen=True, slots=True)
class Form:
    """What was filled in: `fields` to show, `files`, `reserved` instructions, and the `site` it stands on, if known.

    A file has its field's name, and the type that its sender claims.
    """

    fields: tuple[Pair, ...]
    files: tuple[tuple[str, Attachment], ...]
    reserved: Mapping[str, str]
    site: str = ""

    @property
    def caught(self) -> bool:
        """Whether a bot walked into the honeypot."""
        return bool(self.reserved.get("_gotcha", "").strip())


def parse(body: bytes, headers: Mapping[str, str], source: str) -> list[Notification]:
    """One Notification; none for a bot, which must not notice. Rejected says why a form cannot be taken."""
    return notification_of(read_form(body, headers), source)


def notification_of(form: Form, source: str, files: Files | None = None) -> list[Notification]:
    """The same of a form that was read; `files` says which are taken, without it all are, as what they claim to be."""
    if form.caught:
        return []
    if not form.files and not any(pair.value.strip() for pair in form.fields):
        raise Rejected(422, "invalid", "The form has no field that is filled in and no file.")
    reply_to, fields = _reply_to(form)
    title = one_line(form.reserved.get("_subject", "")[:1000])[:LONGEST_TITLE]
    notification = Notification(
        source=source,
        kind="form",
        title=unbracketed(title) or untitled(source),
        fields=fields,
        attachments=tuple(file for _, file in form.files) if files is None else taken(form.files, files),
        reply_to=reply_to,
    )
    return [notification]


def read_form(body: bytes, headers: Mapping[str, str]) -> Form:
    """The form in `body`; Rejected when it is empty, broken, too big or no form."""
    payload = sniff(body, headers, LONGEST_TEXT).simple()
    given = list(islice(_pairs(payload, headers), MOST_PAIRS + 1))
    pairs = list(_joined((_name(name), plain(value)) for name, value in given))
    if payload.left_out or len(given) > MOST_PAIRS or len(pairs) > MOST_FIELDS:
        raise Rejected(422, "invalid", f"The form has more than {MOST_FIELDS} fields.")
    files = [part for part in payload.files if part.content]
    if len(files) > MOST_FILES:
        raise Rejected(413, "too_large", f"The form has more than {MOST_FILES} files.")
    return Form(
        fields=tuple(Pair(name=name, value=value) for name, value in pairs if not _is_hidden(name)),
        files=tuple((_name(part.name), _attachment(part)) for part in files),
        reserved={name: value for name, value in pairs if name in RESERVED},
        site=_site(headers),
    )


def content_hash(form: Form) -> str:
    """What a form says as one hash: a second try of a page has the same, though its boundary and its captcha differ."""
    found = hashlib.sha256()
    told = ((name, value) for name, value in sorted(form.reserved.items()) if name not in CAPTCHAS)
    for text in chain.from_iterable(chain(told, ((pair.name, pair.value) for pair in form.fields))):
        found.update(f"{len(text)}:{text}".encode("utf-8", "surrogatepass"))
    for field, file in form.files:
        told_of = f"/{len(field)}:{field}{len(file.name)}:{file.name}{file.content_type} {len(file.content)}:"
        found.update(told_of.encode("utf-8", "surrogatepass"))
        found.update(file.content)
    return found.hexdigest()


def next_url(form: Form, origins: Iterable[str]) -> str | None:
    """Where the browser may go: `_next`, if it lies on one of the source's own sites.

    A path is taken to be on the site the form stands on. `*` among the origins lets everyone post, but opens no
    redirect: otherwise our address would lend its good name to any other.
    """
    wanted = form.reserved.get("_next", "").strip(" ")
    if not wanted.isprintable() or not 0 < len(wanted) <= LONGEST_URL or "\\" in wanted or " " in wanted:
        return None
    if wanted.startswith("/") and not wanted.startswith("//"):
        wanted = form.site + wanted
    if not is_listed(wanted, origins):
        return None
    authority = urlsplit(wanted).netloc
    if not authority.isascii():
        wanted = origin_of(wanted) + wanted.partition(authority)[2]
    return quote(wanted, safe=_URL_SAFE)


def _pairs(payload: Payload, headers: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    if payload.shape is Shape.EMPTY:
        raise Rejected(400, "empty_body", "The form is empty.")
    if payload.pairs or payload.shape is Shape.FORM:  # also where one of the fields happens to hold JSON
        return payload.pairs
    if payload.shape is Shape.JSON:
        return _json_pairs(payload.value)
    return _text_pairs(payload, headers.get("content-type", ""))


def _json_pairs(value: Any) -> Iterator[tuple[str, str]]:
    """An object's fields; a list of words is a field given several times, what is nested gets its path as name."""
    if not isinstance(value, dict):
        raise Rejected(422, "invalid", 'The body must be one JSON object, such as {"name": "…", "message": "…"}.')
    for name, item in value.items():
        if (
            isinstance(item, list)
            and len(item) <= MOST_FIELDS
            and not any(isinstance(part, dict | list) for part in item)
        ):
            yield name, ", ".join(scalar(part) for part in item)
        else:
            yield from ((written(path, LONGEST_NAME), text) for path, text in leaves(item, ((), name)))


def _text_pairs(payload: Payload, content_type: str) -> Iterator[tuple[str, str]]:
    """HTML's third way to send a form, enctype text/plain: `name=value` lines without any escaping."""
    if payload.flaw and (is_multipart(b"", content_type) or payload.text.lstrip()[:1] in '{["'):
        what = "form" if is_multipart(b"", content_type) else "JSON"
        raise Rejected(400, "malformed", f"The {what} cannot be read: {payload.flaw}.")
    text = payload.text.replace("\r\n", "\n").replace("\r", "\n").strip("\n")
    if not content_type.lower().startswith("text/plain") or not _PLAIN_NAME.match(text):
        raise Rejected(
            415,
            "unsupported_media_type",
            "This is no form. Send application/x-www-form-urlencoded, multipart/form-data or a JSON object.",
        )
    name, start = "", 0
    for match in _PLAIN_NAME.finditer(text):
        if name:
            yield name, text[start : match.start() - 1]
        name, start = match[1], match.end()
    yield name, text[start:]


def _joined(pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Each name once, where it stood first: checkboxes and several files share one."""
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    for name, values in found.items():
        yield name, ("\n" if any("\n" in value for value in values) else ", ").join(values)


def _name(name: str) -> str:
    return shown(name) if name else "(no name)"


def _is_hidden(name: str) -> bool:
    """Instructions, and the button that was pressed."""
    return name.startswith("_") or name in CAPTCHAS or name.lower() == "submit"


def _reply_to(form: Form) -> tuple[tuple[Address, ...], tuple[Pair, ...]]:
    """The visitor's address; one with a typo costs the answer's comfort but must be seen, never the message.

    Without a name: a visitor writes any ("Payroll"), and a mail program shows it beside the owner's own sender.
    """
    given = form.reserved.get("_replyto", "").strip()
    if not given:
        return (), form.fields
    try:
        return (Address(email=unrouted(Address.parse(given[:400])).email),), form.fields
    except ValueError:
        return (), (*form.fields, Pair(name="reply to", value=given[:400]))


def _attachment(part: Part) -> Attachment:
    # For Windows a file `a.exe:.pdf` is a part of `a.exe`; many mail programs decode an encoded word in a name.
    name = one_line((part.filename or "")[-255:]).replace(":", "_").replace("=?", "=_").rstrip(". ") or "file"
    return Attachment(
        name=name, content_type=part.content_type if is_media(part.content_type) else DEFAULT, content=part.content
    )


def _site(headers: Mapping[str, str]) -> str:
    """The origin of the page that posted; a browser says `Origin: null` where it hides it."""
    return origin_of(headers.get("origin", "")) or origin_of(headers.get("referer", ""))
