"""Mailboxes of the fake Graph: what was asked comes in, items move from Drafts to Sent, the sent log grows.

Sending is as Microsoft describes it: a 202 first, and at some later time the draft goes and a sent copy comes, which
can be found some time after that. Time is the fake's clock, so a test can make minutes pass.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from tests.servers.acs_contract import Refused
from tests.servers.graph_contract import SESSION, File, Mail

Second = Literal["404", "202-noop", "202-sends-again"]

_BY_TAG = re.compile(r"singleValueExtendedProperties/Any\(ep: ep/id eq '(.+?)' and ep/value eq '(.+?)'\)")
_BY_ID = re.compile(r"internetMessageId eq '(.+)'")


class Sent(NamedTuple):
    """One mail that went out."""

    mailbox: str
    mail: Mail
    saved: bool = True


@dataclass
class Item:
    """One message of a mailbox, draft or sent copy; `told`: somebody called `send`."""

    id: str
    mail: Mail
    created: datetime
    visible: datetime
    draft: bool = True
    told: bool = False

    def shown(self) -> dict[str, Any]:
        """As Graph shows it."""
        return {
            "id": self.id,
            "isDraft": self.draft,
            "parentFolderId": "drafts" if self.draft else "sentitems",
            "createdDateTime": self.created.isoformat(),
            "internetMessageId": self.mail.message_id,
            "subject": self.mail.subject,
        }


@dataclass
class Session:
    """An upload that is under way."""

    item: Item
    file: File
    size: int


@dataclass
class Behaviour:
    """What nobody has published about Graph, as switches, and how long things take."""

    second: Second = "404"
    id_changes: bool = True
    send_delay: float = 0.0
    visible_delay: float = 0.0
    keeps_tag: bool = True
    keeps_message_id: bool = True
    largest: int = 35 * 1024 * 1024


@dataclass
class Mailboxes:
    """Everything the fake remembers."""

    clock: Callable[[], datetime]
    ways: Behaviour = field(default_factory=Behaviour)
    log: list[Sent] = field(default_factory=list)
    items: dict[str, list[Item]] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    waiting: list[tuple[datetime, Callable[[], Any]]] = field(default_factory=list)
    made: int = 0
    then: datetime | None = None

    def now(self) -> datetime:
        """The clock, or the time at which what is being caught up with should have happened."""
        return self.then or self.clock()

    def later(self, seconds: float, action: Callable[[], Any]) -> None:
        """Do it when the clock has come that far."""
        self.waiting.append((self.now() + timedelta(seconds=seconds), action))

    def catch_up(self) -> None:
        """Do everything whose time has come, in its order and as if it were that time."""
        while due := sorted((one for one in self.waiting if one[0] <= self.clock()), key=lambda one: one[0]):
            self.waiting.remove(due[0])
            self.then = due[0][0]
            due[0][1]()
            self.then = None

    # ---------------------------------------------------------------------------------------------------- drafts

    def create(self, mailbox: str, mail: Mail) -> Item:
        """A new draft."""
        item = Item(self._new_id(), mail, self.now(), self.now())
        self.items.setdefault(mailbox, []).append(item)
        return item

    def find(self, mailbox: str, identity: str) -> Item:
        """By id; 404 when there is none that shows."""
        for item in self.items.get(mailbox, []):
            if item.id == identity and item.visible <= self.now():
                return item
        raise Refused(404, "ErrorItemNotFound", "The specified object was not found in the store.")

    def delete(self, mailbox: str, identity: str) -> None:
        """Away with it."""
        self.items[mailbox].remove(self.find(mailbox, identity))

    def search(self, mailbox: str, condition: str) -> list[Item]:
        """By our two filters; any other is 400."""
        everything = [item for item in self.items.get(mailbox, []) if item.visible <= self.now()]
        if match := _BY_TAG.fullmatch(condition):
            name, value = match.groups()
            return [item for item in everything if item.mail.tags.get(name, "").lower() == value.lower()]
        if match := _BY_ID.fullmatch(condition):
            return [item for item in everything if item.mail.message_id == match.group(1)]
        raise Refused(400, "ErrorInvalidUrlQueryFilter", "The query filter contains one or more invalid nodes.")

    def send(self, mailbox: str, identity: str) -> None:
        """The draft goes out now and moves later; what a second time does is a switch."""
        item = self.find(mailbox, identity)
        if item.told and self.ways.second == "404":
            raise Refused(404, "ErrorItemNotFound", "The specified object was not found in the store.")
        if item.told and self.ways.second == "202-noop":
            return
        self.direct(mailbox, item.mail, saved=True, copy=False)
        if not item.told:
            item.told = True
            self.later(self.ways.send_delay, lambda: self._move(mailbox, item))

    def direct(self, mailbox: str, mail: Mail, *, saved: bool, copy: bool = True) -> None:
        """It goes out; `saved`: and is kept in Sent Items."""
        if mail.size > self.ways.largest:
            raise Refused(413, "ErrorMessageSizeExceeded", "The message exceeds the maximum supported size.")
        if not mail.to and not mail.cc and not mail.bcc:
            raise Refused(400, "ErrorInvalidRecipients", "At least one recipient is needed.")
        self.log.append(Sent(mailbox, replace(mail), saved))
        if saved and copy:
            self.items.setdefault(mailbox, []).append(self._copy(mail, self._new_id()))

    def _move(self, mailbox: str, item: Item) -> None:
        box = self.items.setdefault(mailbox, [])
        if item in box:
            box.remove(item)
        box.append(self._copy(item.mail, self._new_id() if self.ways.id_changes else item.id))

    def _copy(self, mail: Mail, identity: str) -> Item:
        kept = replace(
            mail,
            tags=mail.tags if self.ways.keeps_tag else {},
            message_id=mail.message_id if self.ways.keeps_message_id else f"<{identity}@outlook.example>",
        )
        visible = self.now() + timedelta(seconds=self.ways.visible_delay)
        return Item(identity, kept, self.now(), visible, draft=False, told=True)

    def _new_id(self) -> str:
        """Like Graph's: base64url with padding, so that it must be quoted in a path."""
        self.made += 1
        return f"AAMkAD_item-{self.made}/x="

    # --------------------------------------------------------------------------------------------------- uploads

    def begin(self, item: Item, file: File, size: int) -> str:
        """A new upload session's name."""
        if not 0 < size <= SESSION:
            raise Refused(400, "ErrorInvalidRequest", "An upload session takes up to 150 MB.")
        name = f"session-{len(self.sessions) + 1}"
        self.sessions[name] = Session(item, file, size)
        return name

    def take(self, name: str, span: str, content: bytes) -> Session:
        """One range; they must follow each other."""
        session = self.session(name)
        match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", span)
        if not match or [int(match[2]) - int(match[1]) + 1, int(match[3])] != [len(content), session.size]:
            raise Refused(400, "invalidRange", "The Content-Range does not fit.")
        if int(match[1]) != len(session.file.content):
            raise Refused(416, "invalidRange", "Uploaded fragment overlaps with existing data.")
        session.file.content += content
        if len(session.file.content) == session.size:
            session.item.mail.files.append(session.file)
            del self.sessions[name]
        return session

    def session(self, name: str) -> Session:
        """One that is still open."""
        if name not in self.sessions:
            raise Refused(404, "itemNotFound", "The upload session was not found.")
        return self.sessions[name]
