"""How a notification looks: a Notification and its Target come in, subject, text, HTML and reply-to go out.

A look is a folder of up to three templates, `html.jinja`, `text.jinja` and `subject.jinja`; what is missing is made
from the rest. The owner's folder goes before the built-in one. Templates belong to the configuration: what a caller or
a tool sends is only ever a value in one. Whatever fails, a plain mail goes out instead.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.address import Address, one_line, unrouted
from gateway.config import Config, Source
from gateway.errors import Problem, Rejected
from gateway.htmltext import longest, text_of
from gateway.looks import SUBJECT_LIMIT, cut_plainly, look_for, subject, variables, view
from gateway.message import Target
from gateway.notification import Notification, unbracketed
from gateway.telemetry import WARNING, log

if TYPE_CHECKING:
    from jinja2 import Environment, Template

BUILT_IN = Path(__file__).parent / "templates"
DEFAULT = "default"
PARTS = ("html.jinja", "text.jinja", "subject.jinja")

OUTPUT_LIMIT = 1_000_000
"""Characters one template may write, and a text may have to get an HTML part; ACS takes 10 MB for everything."""

PLAIN_LIMIT = 200_000
"""Characters of the mail that goes out when a look failed."""

CALLERS_SUBJECT_LIMIT = 900
"""Characters of a subject somebody wrote himself; a header line ends at 998 (RFC 5322 section 2.1.1)."""

_ONLY_TEXT: dict[str, Any] = {"heading": "", "note": "", "rows": [], "shared": [], "alerts": [], "links": []}
_NO_CHARACTERS = bytes(code for code in range(32) if code not in b"\t\n\r")


@dataclass(frozen=True, slots=True)
class Rendered:
    """What the recipient sees; `reply_to` is empty when answers go to the sender."""

    subject: str
    text: str
    html: str
    reply_to: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True)
class _Look:
    """One folder's templates, compiled; `own` ones are the owner's."""

    own: bool
    html: Template | None
    text: Template | None
    subject: Template | None


class Renderer:
    """Every template there is, compiled once; what is wrong with the owner's is in `problems`."""

    def __init__(self, config: Config) -> None:
        """Compiles the owner's templates, so that their mistakes show; ours wait until they are needed, or `warm`."""
        self._own = config.template_folder
        owned = _looks_in(self._own) if self._own else []
        self._names = sorted({*_looks_in(BUILT_IN), *owned})
        self._looks: dict[str, _Look] = {}
        self._problems: list[Problem] = []
        for name in owned:
            self._look(name)
        self._lines = {text: self._line(text, where) for where, text in _lines(config)}
        self._problems += _missing(config, self._names)

    @cached_property
    def _environment(self) -> Environment:
        from gateway.sandbox import environment

        return environment(self._own, BUILT_IN)

    @property
    def looks(self) -> list[str]:
        """The looks a route or a caller may name."""
        return list(self._names)

    def problems(self) -> list[Problem]:
        """What is wrong with templates and with the looks that the configuration names; empty when all is well."""
        return list(self._problems)

    def warm(self) -> None:
        """Compile everything now, so that no caller waits for it; a worker that only delivers need not."""
        for name in self._names:
            self._look(name)

    def check(self, notification: Notification) -> None:
        """Rejected when a caller names a look that does not exist."""
        named = notification.envelope.template if notification.envelope else None
        if named is not None and named not in self._names:
            what = f"there is no such template; there are {', '.join(self._names)}"
            raise Rejected(422, "unknown_template", f"template: {what}.", fields={"template": what})

    def render(self, notification: Notification, target: Target, source: Source) -> Rendered:
        """The mail; a plain one when the look fails. Never raises."""
        try:
            return self._rendered(notification, target, source)
        except Exception as error:  # whatever a template did, the notification goes out
            log("render_failed", WARNING, source=notification.source, kind=notification.kind, error=error)
            return plain(notification, target.language)

    def _rendered(self, notification: Notification, target: Target, source: Source) -> Rendered:
        look = self._look(target.look or look_for(notification))
        reply_to = notification.reply_to or self._reply_to(notification, target, source)
        context = view(notification, target.language, str(reply_to[0]) if reply_to else "")
        envelope = notification.envelope
        if look.own and envelope:
            context |= envelope.data
        if envelope and not envelope.template and envelope.html:
            html, text = envelope.html, notification.text or text_of(envelope.html)
        elif envelope and not envelope.template and notification.text and not look.own:
            html, text = self._wrapped(look, context), notification.text
        else:
            html, text = self._from(look, context)
        templates = (self._lines.get(source.subject), look.subject)
        return Rendered(self._subject(notification, target, templates, context), _sound(text), _sound(html), reply_to)

    def _wrapped(self, look: _Look, context: dict[str, Any]) -> str:
        """A caller's own text in a look of ours; a giant stays text alone."""
        return look.html.render(context) if look.html and longest(context["text"]) <= 2 * OUTPUT_LIMIT else ""

    def _from(self, look: _Look, context: dict[str, Any]) -> tuple[str, str]:
        """Both parts; one that has no template is made from the other."""
        from gateway.sandbox import run

        html = run(look.html, context, OUTPUT_LIMIT) if look.html else ""
        text = run(look.text, context, OUTPUT_LIMIT).strip("\n") + "\n" if look.text else text_of(html)
        if not look.html:
            html = self._wrapped(self._look(DEFAULT), {**context, **_ONLY_TEXT, "text": text})
        return html, text

    def _subject(
        self,
        notification: Notification,
        target: Target,
        templates: tuple[Template | None, ...],
        context: dict[str, Any],
    ) -> str:
        """The caller's own, else the first template that says something, else what state and title make."""
        if own := one_line(notification.subject):
            return cut_plainly(own, CALLERS_SUBJECT_LIMIT)
        if notification.kind == "form":
            context = context | {"fields": {name: unbracketed(value) for name, value in context["fields"].items()}}
        for template in templates:
            if template and (line := self._written(template, notification, context)):
                return cut_plainly(line, SUBJECT_LIMIT)
        return subject(notification, target.language)

    def _reply_to(self, notification: Notification, target: Target, source: Source) -> tuple[Address, ...]:
        """Where the source's template says; without a name where a visitor may have written it."""
        template = self._lines.get(source.reply_to)
        if not template:
            return ()
        try:
            written = self._written(template, notification, variables(notification, target.language))
            found = unrouted(Address.parse(written))
        except ValueError:
            return ()
        return (Address(email=found.email) if notification.kind == "form" and "{" in source.reply_to else found,)

    def _written(self, template: Template, notification: Notification, context: dict[str, Any]) -> str:
        """One line from a template; nothing when it fails, since a mail without it is better than a plain one."""
        from gateway.sandbox import run

        try:
            return one_line(run(template, context, OUTPUT_LIMIT))
        except Exception as error:  # as in render
            log("render_failed", WARNING, source=notification.source, kind=notification.kind, error=error)
            return ""

    def _look(self, name: str) -> _Look:
        """A look by its name, compiled when it is first asked for; the default one when there is no such name."""
        if name not in self._names:
            return self._look(DEFAULT)
        if name not in self._looks:
            html, text, subject = (self._compiled(f"{name}/{part}") for part in PARTS)
            own = self._own is not None and (self._own / name).is_dir()
            self._looks[name] = _Look(own=own, html=html, text=text, subject=subject)
        return self._looks[name]

    def _compiled(self, path: str) -> Template | None:
        """One file's template; None when it is not there, or wrong, which is a problem."""
        from jinja2 import TemplateNotFound, TemplateSyntaxError

        try:
            return self._environment.get_template(path)
        except TemplateNotFound:
            return None
        except TemplateSyntaxError as error:
            self._problems.append(Problem(error.filename or path, error.lineno, path, error.message or "is wrong"))
        except (OSError, UnicodeDecodeError) as error:
            self._problems.append(Problem(path, 0, path, f"cannot be read ({type(error).__name__}); save it as UTF-8"))
        return None

    def _line(self, text: str, where: str) -> Template | None:
        """A template from gateway.yaml; None when it is wrong, which is a problem."""
        from jinja2 import TemplateSyntaxError

        try:
            return self._environment.from_string(text)
        except TemplateSyntaxError as error:
            self._problems.append(Problem("gateway.yaml", 0, where, f"is not a template: {error.message}"))
            return None


def plain(notification: Notification, language: str) -> Rendered:
    """The mail when nothing else worked: everything there is, one line each."""
    lines = [notification.title, *(["(unmapped)"] if notification.unmapped else []), "", notification.text, ""]
    lines += [f"{pair.name}: {pair.value}" for pair in notification.fields]
    lines += [f"{name}: {value}" for name, value in notification.labels.items()]
    lines += [f"{link.label}: {link.url}" for link in notification.links]
    for item in notification.items:
        lines += ["", f"* {item.title}", item.text, *(f"  {name}: {value}" for name, value in item.labels.items())]
    text = _sound("\n".join(lines)[:PLAIN_LIMIT])
    line = cut_plainly(one_line(notification.subject), CALLERS_SUBJECT_LIMIT) or subject(notification, language)
    html = f'<!DOCTYPE html><html><body><pre style="white-space:pre-wrap">{escape(text)}</pre></body></html>'
    return Rendered(line, text, html, notification.reply_to)


def _sound(text: str) -> str:
    """Without control characters and half characters, which no mail can carry."""
    return text.encode("utf-8", "replace").translate(None, _NO_CHARACTERS).decode()


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # what is too long, or otherwise no name; the error would quote it
        return False


def _looks_in(folder: Path) -> list[str]:
    """The folders with at least one of the two parts that make a mail."""
    if not _is_folder(folder):
        return []
    return [child.name for child in folder.iterdir() if any((child / part).is_file() for part in PARTS[:2])]


def _lines(config: Config) -> Iterator[tuple[str, str]]:
    """The one-line templates of gateway.yaml, with their place."""
    for name, source in config.sources.items():
        if source.subject:
            yield f"sources.{name}.subject", source.subject
        if source.reply_to:
            yield f"sources.{name}.reply_to", source.reply_to


def _missing(config: Config, looks: Collection[str]) -> Iterator[Problem]:
    """Looks that the configuration names and nobody wrote."""
    folder = config.template_folder
    if folder and not _is_folder(folder):
        yield Problem("gateway.yaml", 0, "templates", f"there is no folder {folder}")
    for name, source in config.sources.items():
        named = [(f"sources.{name}.template", source.template)]
        named += [
            (f"sources.{name}.routes[{index}].template", route.template) for index, route in enumerate(source.routes)
        ]
        for where, look in named:
            if look is not None and look not in looks:
                yield Problem("gateway.yaml", 0, where, f"there is no look {look}; there are {', '.join(looks)}")
