"""Jinja2, fenced in: a folder of templates comes in, an environment that can do nothing but write text goes out.

Imported only where templates are compiled: jinja2 alone costs a cold start some 30 ms.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jinja2 import ChainableUndefined, FileSystemLoader, Template
from jinja2.runtime import Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment

from gateway.htmltext import lines, linked
from gateway.plaintext import aligned, underlined, wrap

STEPS = 10_000
"""How far all of a template's range() may count together; a slip in one must not hold up every other mail."""

PARTS = "parts.html.jinja"
"""Macros that every look may use as filters; a direct call costs a third of one through an import."""


class OutputTooLong(ValueError):
    """A template wrote more than a mail may hold."""


def environment(own: Path | None, built_in: Path) -> ImmutableSandboxedEnvironment:
    """Templates from the owner's folder, else from ours; what a template asks for and nobody gave is empty."""
    parts = _environment(built_in).get_template(PARTS).module
    made = _environment(own, built_in) if own else _environment(built_in)
    made.filters |= {name: macro for name, macro in vars(parts).items() if isinstance(macro, Macro)}
    return made


def _environment(*folders: Path) -> ImmutableSandboxedEnvironment:
    made = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(list(map(str, folders))),
        autoescape=_is_html,
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        cache_size=-1,
    )
    made.globals["range"] = _Range()
    del made.globals["lipsum"]
    made.filters |= {"lines": lines, "linked": linked, "wrap": wrap, "aligned": aligned, "underlined": underlined}
    return made


def run(template: Template, context: dict[str, Any], limit: int) -> str:
    """What the template writes; OutputTooLong as soon as that is more than `limit` characters."""
    template.globals["range"].left = STEPS
    written: list[str] = []
    count = 0
    for piece in _pieces(template, context):
        written.append(piece)
        count += len(piece)
        if count > limit:
            raise OutputTooLong
    return "".join(written)


def _pieces(template: Template, context: dict[str, Any]) -> Iterable[str]:
    return template.root_render_func(template.new_context(context))


def _is_html(name: str | None) -> bool:
    """Everything is HTML but what says that it is text: subjects, text parts, and a source's one-liners."""
    return name is not None and not name.endswith(("text.jinja", "subject.jinja"))


class _Range:
    """range() with a budget, so that loops in loops end too."""

    def __init__(self) -> None:
        self.left = STEPS

    def __call__(self, *bounds: int) -> range:
        counted = range(*bounds)
        self.left -= len(counted)
        if self.left < 0:
            raise OverflowError(f"range() may count to {STEPS} in one template")
        return counted
