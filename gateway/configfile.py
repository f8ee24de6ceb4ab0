"""gateway.yaml itself: a file comes in, a Config goes out, or every mistake at once with file, line, field, remedy."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gateway import keys, parts
from gateway.address import Address
from gateway.config import NAME, Config, Route, Sender, Source, allowed_pattern
from gateway.domains import listed_origin
from gateway.errors import ConfigurationError, Problem
from gateway.yamlfile import Document
from gateway.yamlfile import Path as FieldPath

FORM = "form"
NATIVE = "native"
RESERVED = "queue"

_SECTIONS: dict[str, type[Sender | Source]] = {"senders": Sender, "sources": Source}
_PLACEHOLDERS = {
    "senders": {"x": Sender(transport="capture", address=Address(email="x@example.com"))},
    "sources": {"x": Source(kind=FORM, sender="x")},
}


def load(
    path: Path, environ: Mapping[str, str], kinds: Collection[str], context: str = "", *, samples: bool = True
) -> Config:
    """Read a file; `kinds` are the source kinds there are. ConfigurationError holds every mistake found.

    `context` may be config.UNCHECKED. Unless `samples`, a key that everybody knows is a mistake.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        what = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror or "cannot be read"
        named = "name it with --config, or with GATEWAY_CONFIG where there is no command line, as on Azure"
        raise ConfigurationError([Problem(str(path), 0, "(file)", f"{what}; {named}")]) from error
    return parse(text, str(path), environ, kinds, path.parent.absolute(), context, samples=samples)


_QUOTE = "\0"
"""Before and behind a value of the file that a relation's message quotes; no value has one itself."""


def told(problems: Iterable[Problem], path: Path, environ: Mapping[str, str]) -> Iterator[Problem]:
    """Problems that others found in what the file says, with `${env:NAME}` for what came from the environment."""
    document = Document(path.read_text("utf-8"), str(path), environ)
    for problem in problems:
        where = document.path(problem.field)
        file = document.told(document.path(""), problem.file)
        message = document.told(where, problem.message)
        # What a template's compiler says behind the colon may be any piece of it.
        yield replace(problem, file=file, message=message.partition(": ")[0] if document.references(where) else message)


def parse(
    text: str,
    file: str,
    environ: Mapping[str, str],
    kinds: Collection[str],
    folder: Path = Path(),
    context: str = "",
    *,
    samples: bool = True,
) -> Config:
    """As `load`, from a string."""
    document = Document(text, file, environ)
    if not isinstance(document.value, dict):
        if not document.problems:
            document.problem((), "must be a mapping with senders and sources")
        raise ConfigurationError(document.problems)
    draft = _Draft(document, context)
    draft.read()
    for path, message in draft.relations(kinds):
        said = message.split(_QUOTE)
        said[1::2] = [document.told(path, quoted) for quoted in said[1::2]]
        document.problem(path, "".join(said))
    for path, message in () if samples else _sample_keys(draft.config):
        document.problem(path, message)
    if document.problems:
        raise ConfigurationError(sorted(document.problems, key=lambda problem: (problem.line, problem.field)))
    return draft.config.model_copy(update={"folder": folder})


@dataclass
class _Draft:
    """What could be read: `config` holds the sound entries, `names` every entry written, sound or not."""

    document: Document
    context: str = ""
    names: dict[str, set[str]] = field(default_factory=dict)
    config: Config = field(init=False)

    def read(self) -> None:
        """Check every entry on its own, so that one mistake hides no other."""
        rest: dict[str, Any] = {}
        for section, value in self.document.value.items():
            if section in Config.model_fields and section != "folder":
                rest[section] = value
            else:
                known = ", ".join(name for name in Config.model_fields if name != "folder")
                self.document.problem((section,), f"is unknown; known are {known}")
        entries = {section: self._section(section, rest.pop(section, None)) for section in _SECTIONS}
        try:
            config = Config.model_validate({**rest, **_PLACEHOLDERS})
        except ValidationError as error:
            self._note((), error, rest, lambda other: Config.model_validate({**other, **_PLACEHOLDERS}))
            config = Config.model_validate(_PLACEHOLDERS)
            self.names["recipients"] = set(rest["recipients"]) if isinstance(rest.get("recipients"), dict) else set()
        self.names.setdefault("recipients", set(config.recipients))
        self.config = config.model_copy(update=entries)

    def _section(self, section: str, raw: Any) -> dict[str, Any]:
        if not isinstance(raw, dict) or not raw:
            self.document.problem((section,), "is missing; at least one is needed" if not raw else "must be a mapping")
            raw = {}
        self.names[section] = set(raw)
        entries = {name: self._entry((section, name), value) for name, value in raw.items()}
        return {name: entry for name, entry in entries.items() if entry is not None}

    def _entry(self, path: FieldPath, raw: Any) -> Sender | Source | None:
        if not NAME.fullmatch(str(path[-1])):
            self.document.problem(
                path, "is not a usable name; use a-z, 0-9, - and _, beginning and ending with a-z or 0-9"
            )
        model = _SECTIONS[str(path[0])]
        try:
            return model.model_validate(raw, context=self.context)
        except ValidationError as error:
            self._note(path, error, raw, lambda other: model.model_validate(other, context=self.context))
            return None

    def _note(self, path: FieldPath, error: ValidationError, raw: Any, validate: Callable[[Any], object]) -> None:
        """What is wrong with `raw`, the value at `path`.

        A message may quote a piece of what the environment said: the word that ends a template, say. One that is also
        said of other nonsense in its place quotes nothing; any other one is not repeated.
        """
        said: set[str] | None = None
        for where, message in _mistakes(path, error):
            names = self.document.references(where)
            if names and said is None:
                said = self._harmless(path, raw, validate)
            if names and message not in (said or ()):
                self.document.problem(where, f"cannot be used with what {names} holds")
            else:
                self.document.problem(where, message if names else self.document.told(where, message))

    def _harmless(self, path: FieldPath, raw: Any, validate: Callable[[Any], object]) -> set[str]:
        """What is said of nonsense in place of everything that came from the environment."""
        found: set[str] = set()
        for nonsense in _NONSENSE:
            try:
                validate(self.document.instead(raw, path, nonsense))
            except ValidationError as error:
                found |= {message for _, message in _mistakes(path, error)}
        return found

    def relations(self, kinds: Collection[str]) -> Iterator[tuple[FieldPath, str]]:
        """What must hold between entries."""
        for name, sender in self.config.senders.items():
            yield from ((("senders", name, what), message) for what, message in self._sender(name, sender))
        if RESERVED in self.names["sources"]:
            yield ("sources", RESERVED), "is the source of dead letters; choose another name"
        for name, source in self.config.sources.items():
            for path, message in self._source(source, kinds):
                yield ("sources", name, *path), message
        yield from self._shared_keys()

    def _sender(self, name: str, sender: Sender) -> Iterator[tuple[str, str]]:
        """What must hold between senders: one quota for an account, and one step to another account's sender."""
        for other, rival in self.config.senders.items():
            if other == name:
                break
            if (
                _account(rival) == _account(sender)
                and None not in (rival.rate, sender.rate)
                and rival.rate != sender.rate
            ):
                yield "rate", f"is another one than {other}'s, which sends through the same account; write one of them"
        if sender.fallback is None:
            return
        fallback = self.config.senders.get(sender.fallback)
        if sender.fallback not in self.names["senders"]:
            yield "fallback", self._no_such("sender", "senders", sender.fallback)
        elif sender.fallback == name:
            yield "fallback", "must be another sender"
        elif fallback and _account(fallback) == _account(sender):
            what = "sends through the same account, so that it would fail with it"
            yield "fallback", f"{_quoted(sender.fallback)} {what}"
        elif fallback and fallback.fallback:
            yield "fallback", f"{_quoted(sender.fallback)} has a fallback of its own; there is only one step"

    def _source(self, source: Source, kinds: Collection[str]) -> Iterator[tuple[FieldPath, str]]:
        if source.kind not in kinds:
            yield ("kind",), f"is unknown; known are {', '.join(sorted(kinds))}"
        if source.sender not in self.names["senders"]:
            yield ("sender",), self._no_such("sender", "senders", source.sender)
        if source.kind == NATIVE and not source.allow:
            yield ("allow",), 'is missing; list the recipients this caller may name, ["*"] for anyone'
        if source.kind != FORM and not source.keys:
            yield ("keys",), "is missing; make one with `python -m gateway keys new NAME`"
        if source.kind == FORM and not source.origins and not source.keys:
            yield ("origins",), "is missing; list the web sites that may post, such as https://www.example.com"
        if source.require_origin and (source.kind != FORM or not source.origins):
            yield ("require_origin",), "only means something for a form with `origins`"
        yield from _each(("origins",), source.origins, listed_origin)
        yield from _each(("allow",), source.allow, allowed_pattern)
        if "files" in source.model_fields_set and source.kind != FORM:
            yield ("files",), "only means something for a form"
        yield from self._recipients(("to",), source.to)
        yield from self._recipients(("cc",), source.cc)
        yield from self._routes(source)

    def _routes(self, source: Source) -> Iterator[tuple[FieldPath, str]]:
        if source.routes and source.routes[-1].match:
            yield (
                ("routes", len(source.routes) - 1, "match"),
                ("the last route must have no match, or what falls through all of them would be lost"),
            )
        for index, route in enumerate(source.routes):
            here = ("routes", index)
            yield from ((here + path, message) for path, message in self._route(source, route))
        if not source.routes and not source.to and source.kind != NATIVE:
            yield ("to",), "is missing; who gets the mail?"
        if (most := self._mails(source)) > parts.MESSAGES:
            where = ("routes",) if source.routes else ("to",)
            yield where, f"would make {most} mails of one notification; there may be {parts.MESSAGES}"

    def _mails(self, source: Source) -> int:
        """How many mails one notification may become, as far as the file says: a route that goes on adds its own."""
        most = going_on = 0
        for route in source.routes or (Route(),):
            sender, senders = route.sender or source.sender, self.config.senders
            names = (*(route.to or source.to), *(route.cc or source.cc))
            recipients = sum(len(self.config.recipients.get(name, (name,))) for name in names)
            own = parts.count(recipients, parts.most(parts.ways_out(senders, sender))) if sender in senders else 0
            most = max(most, going_on + own)
            going_on += own if route.continue_ else 0
        return most

    def _route(self, source: Source, route: Route) -> Iterator[tuple[FieldPath, str]]:
        if route.sender is not None and route.sender not in self.names["senders"]:
            yield ("sender",), self._no_such("sender", "senders", route.sender)
        if not route.to and not source.to and source.kind != NATIVE:
            yield ("to",), "is missing, and the source has none either"
        yield from self._recipients(("to",), route.to)
        yield from self._recipients(("cc",), route.cc)

    def _recipients(self, path: FieldPath, names: tuple[str, ...]) -> Iterator[tuple[FieldPath, str]]:
        for index, name in enumerate(names):
            if name in self.names["recipients"]:
                continue
            if "@" not in name:
                yield (*path, index), self._no_such("recipients entry", "recipients", name)
                continue
            try:
                Address.parse(name)
            except ValueError as error:
                yield (*path, index), str(error)

    def _no_such(self, what: str, section: str, name: str) -> str:
        return f"there is no {what} {_quoted(name)}; there are {', '.join(sorted(self.names[section])) or 'none'}"

    def _shared_keys(self) -> Iterator[tuple[FieldPath, str]]:
        owners: dict[str, str] = {}
        for name, source in self.config.sources.items():
            for index, key in enumerate(source.keys if source.kind == NATIVE else ()):
                if owners.setdefault(key, name) != name:
                    yield (
                        ("sources", name, "keys", index),
                        (f"also opens {owners[key]}; a key may serve only one native source"),
                    )


def _sample_keys(config: Config) -> Iterator[tuple[FieldPath, str]]:
    """Where a key is one that everybody knows."""
    known = keys.samples(config.sources)
    holders = [(("sources", name), source.keys) for name, source in config.sources.items()]
    for where, hashes in [*holders, (("admin",), config.admin.keys if config.admin else ())]:
        for index, key in enumerate(hashes):
            if key in known:
                what = f"is that of {known[key]}, which everybody knows; it may open nothing but a gateway on your own"
                yield (*where, "keys", index), f"{what} machine. Make a key with `python -m gateway keys new NAME`"


def _quoted(value: str) -> str:
    """A value of the file inside a message, which may be a secret."""
    return f"{_QUOTE}{value.replace(_QUOTE, '')}{_QUOTE}"


_NONSENSE = ("", "?", "\n", "x" * 1001, "/(/", "{{", "{% x %}", "https://[")


def _mistakes(path: FieldPath, error: ValidationError) -> Iterator[tuple[FieldPath, str]]:
    """Each mistake's place and what it is."""
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        where = (*path, *(part for part in item["loc"] if not _is_branch(part)))
        known = {
            "extra_forbidden": "is unknown; gateway.schema.json lists what may stand here",
            "missing": "is missing",
        }
        yield where, known.get(item["type"], item["msg"].removeprefix("Value error, "))


def _each(path: FieldPath, values: tuple[str, ...], read: Callable[[str], object]) -> Iterator[tuple[FieldPath, str]]:
    """What `read` says against the entries of a list."""
    for index, value in enumerate(values):
        try:
            read(value)
        except ValueError as error:
            yield (*path, index), str(error)


def _is_branch(part: str | int) -> bool:
    """Whether pydantic added this part itself, to say which member of a union it tried."""
    return isinstance(part, str) and part.startswith(("literal[", "function-", "Rate", "tuple["))


def _account(sender: Sender) -> tuple[str, str]:
    """What its provider counts together."""
    return sender.transport, sender.resource


def warnings(config: Config) -> Iterator[str]:
    """What may mean something else than its author thinks; said at every start, so that nobody relies on it."""
    for name, source in config.sources.items():
        if source.keys and source.origins:
            where = f"sources.{name}.keys"
            yield f"{where}: pages of its `origins` need no key; remove `origins` to close the form to them"
        for index, route in enumerate(source.routes):
            if route.group:
                where = f"sources.{name}.routes[{index}].group"
                yield f"{where}: grouping is not done yet; every notification is its own mail"
