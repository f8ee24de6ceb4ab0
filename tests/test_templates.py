"""The owner's own templates: where they are found, what they see, what they cannot do, and what their mistakes cost."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.address import Address
from gateway.config import Config
from gateway.message import Target
from gateway.notification import Notification
from gateway.rendering import Rendered, Renderer

SENDERS = {"noreply": {"transport": "capture", "address": "noreply@example.com"}}


def config(folder: Path, files: dict[str, str], **source: Any) -> Config:
    for name, text in files.items():
        path = folder / "templates" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    values = {"kind": "native", "sender": "noreply", "allow": ["*"], **source}
    made = Config.model_validate({"senders": SENDERS, "sources": {"it": values}, "templates": "templates"})
    return made.model_copy(update={"folder": folder})


def mail(folder: Path, files: dict[str, str], data: dict[str, Any] | None = None, look: str = "mine") -> Rendered:
    made = config(folder, files)
    renderer = Renderer(made)
    assert renderer.problems() == []
    notification = Notification.model_validate(
        {
            "source": "it",
            "kind": "native",
            "title": "Your order",
            "envelope": {"template": look, "data": data or {}},
        }
    )
    target = Target(route=0, sender="noreply", to=(Address(email="a@example.com"),), look=look)
    return renderer.render(notification, target, made.sources["it"])


def problems(folder: Path, files: dict[str, str], **source: Any) -> list[str]:
    made = config(folder, files, **source)
    return [str(problem).replace(f"{folder}/", "") for problem in Renderer(made).problems()]


# ------------------------------------------------------------------------------------------------ what they can do


def test_a_look_of_the_owners_sees_the_callers_data(tmp_path: Path) -> None:
    """As variables, and escaped in HTML alone; what nobody gave is empty, however deep."""
    files = {
        "mine/html.jinja": "<p>Dear {{ name }}, {{ order.id }}{{ order.gone.deep }}{{ nobody }}</p>",
        "mine/text.jinja": "Dear {{ name }}, {{ data.order.id }}",
        "mine/subject.jinja": "Order {{ order.id }}\nfor {{ name }}",
    }

    assert mail(tmp_path, files, {"name": "Jane & <Co>", "order": {"id": 7}}) == Rendered(
        "Order 7 for Jane & <Co>", "Dear Jane & <Co>, 7\n", "<p>Dear Jane &amp; &lt;Co&gt;, 7</p>"
    )


def test_data_goes_before_what_we_call_the_same(tmp_path: Path) -> None:
    """An order has items, which are not ours."""
    files = {"mine/html.jinja": "{% for item in alerts %}{{ item }};{% endfor %}{{ title }}"}

    assert mail(tmp_path, files, {"alerts": ["bell", "lamp"]}).html == "bell;lamp;Your order"


def test_the_part_that_is_missing_is_made_from_the_other(tmp_path: Path) -> None:
    """HTML becomes text, and text stands in our default frame."""
    html = mail(tmp_path, {"one/html.jinja": "<p>Hi <a href='https://x.example'>there</a></p>"}, look="one")
    text = mail(tmp_path, {"two/text.jinja": "Hi {{ '<you>' }}"}, look="two")

    assert html.text == "Hi there (https://x.example)"
    assert (text.text, "Hi &lt;you&gt;" in text.html, html.subject) == ("Hi <you>\n", True, "Your order")


def test_ours_can_be_extended_and_replaced(tmp_path: Path) -> None:
    """The frame, the shared pieces and the built-in looks are there for the owner's."""
    files = {
        "mine/html.jinja": "{% extends 'base.html.jinja' %}{% block body %}{{ [('a', '<b>')]|table }}{% endblock %}",
        "alert/text.jinja": "Just {{ title }}",
    }

    assert ">&lt;b&gt;</td>" in mail(tmp_path, files).html
    assert mail(tmp_path, files, look="alert").text == "Just Your order\n"
    assert 'class="card"' in mail(tmp_path, files, look="alert").html


def test_a_routes_look_dresses_a_callers_text(tmp_path: Path) -> None:
    """Text of a native caller goes into the owner's look when the route names one."""
    made = config(tmp_path, {"mine/html.jinja": "<h1>Contoso</h1>{{ text|lines }}"}, template="mine")
    notification = Notification.model_validate(
        {"source": "it", "kind": "native", "title": "x", "subject": "x", "text": "a\nb", "envelope": {}}
    )

    rendered = Renderer(made).render(
        notification, Target(route=0, sender="noreply", to=(), look="mine"), made.sources["it"]
    )

    assert rendered == Rendered("x", "Contoso\n\na\nb", "<h1>Contoso</h1>a<br>\nb")


# ------------------------------------------------------------------------------------------- what they cannot do

ESCAPES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ title.__class__ }}{{ title.__class__.__base__() }}",
    "{{ ''['__cl' ~ 'ass__'].__mro__ }}{{ (''|attr('__class__')).mro() }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ self.__init__.__globals__.__builtins__ }}{{ self._TemplateReference__context.environment.loader() }}",
    "{{ '{0.__class__.__init__.__globals__}'.format(title) }}{{ 1 / 0 }}",
    "{{ data.update({'a': 1}) }}",
    "{{ labels.clear() }}",
    "{% for n in range(100000) %}x{% endfor %}",
    "{% for a in range(999) %}{% for b in range(999) %}{% for c in range(999) %}{% endfor %}{% endfor %}{% endfor %}",
    "{% for a in range(999) %}{{ 'x' * 9999 }}{% endfor %}",
    "{% include 'mine/html.jinja' %}",
    "{% include '../../../../../etc/passwd' %}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{{ 'x'.encode('utf-16', 'surrogatepass').decode('rot13') }}",
]


@pytest.mark.parametrize("code", ESCAPES)
def test_a_template_that_breaks_out_or_down_costs_its_looks_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, code: str
) -> None:
    """Neither Python nor files nor endless loops: the notification goes out plain, and the log says so."""
    plain = mail(tmp_path, {"mine/html.jinja": code}, {"order": 7})

    assert (plain.subject, plain.text.startswith("Your order"), "<pre" in plain.html) == ("Your order", True, True)
    [record] = caplog.records
    assert ("render_failed" in record.getMessage(), record.levelno) == (True, logging.WARNING)


@pytest.mark.parametrize(
    "code", ["{{ ''.__class__ }}", "{{ title.__init__.__globals__ }}", "{{ (''|attr('__class__')) }}"]
)
def test_what_python_keeps_behind_its_values_is_empty(tmp_path: Path, code: str) -> None:
    """An unsafe attribute is as if it were not there."""
    assert "class" not in mail(tmp_path, {"mine/text.jinja": f"x{code}"}).text


# ------------------------------------------------------------------------------------------ what is wrong at start


def test_every_broken_template_is_found_at_start(tmp_path: Path) -> None:
    """With file and line, all of them at once, and gateway.yaml's too."""
    files = {
        "mine/html.jinja": "fine\n{% if %}",
        "mine/text.jinja": "{{ 'x'|no_such_filter }}",
    }

    found = problems(
        tmp_path, files, subject="{{ title|no_such_filter }}", template="gone", routes=[{"template": "lost"}]
    )

    assert found == [
        "templates/mine/html.jinja:2: mine/html.jinja: Expected an expression, got 'end of statement block'",
        "templates/mine/text.jinja:1: mine/text.jinja: No filter named 'no_such_filter'.",
        "gateway.yaml:0: sources.it.subject: is not a template: No filter named 'no_such_filter'.",
        "gateway.yaml:0: sources.it.template: there is no look gone; there are alert, default, form, mine",
        "gateway.yaml:0: sources.it.routes[0].template: there is no look lost; there are alert, default, form, mine",
    ]


def test_a_template_that_is_not_utf_8_is_found_at_start(tmp_path: Path) -> None:
    """An editor of Windows may write another encoding."""
    made = config(tmp_path, {"mine/html.jinja": ""})
    (tmp_path / "templates/mine/html.jinja").write_bytes("Grüße".encode("cp1252"))

    [problem] = Renderer(made).problems()

    assert str(problem) == "mine/html.jinja:0: mine/html.jinja: cannot be read (UnicodeDecodeError); save it as UTF-8"


def test_a_templates_folder_that_is_not_there_is_found_at_start(tmp_path: Path) -> None:
    """A name mistyped is not an empty folder."""
    assert problems(tmp_path, {}) == ["gateway.yaml:0: templates: there is no folder templates"]


def test_a_broken_look_still_sends_a_mail(tmp_path: Path) -> None:
    """Should somebody start in spite of its problems."""
    made = config(tmp_path, {"mine/html.jinja": "{% if %}", "mine/text.jinja": "Text of {{ title }}"})
    notification = Notification(source="it", kind="native", title="this")

    rendered = Renderer(made).render(
        notification, Target(route=0, sender="noreply", to=(), look="mine"), made.sources["it"]
    )

    assert (rendered.text, "Text of this" in rendered.html) == ("Text of this\n", True)


def test_a_worker_that_only_delivers_does_not_import_jinja2() -> None:
    """Ours are compiled when they are needed, or all at once by `warm`: a cold start pays for what it uses."""
    code = """
import sys
from gateway.config import Config
from gateway.rendering import Renderer

senders = {"a": {"transport": "capture", "address": "a@example.com"}}
renderer = Renderer(Config.model_validate({"senders": senders, "sources": {"b": {"kind": "native", "sender": "a"}}}))
assert renderer.problems() == []
print("jinja2" in sys.modules)
renderer.warm()
print("jinja2" in sys.modules)
"""
    root = Path(__file__).parent.parent

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout.split() == ["False", "True"]
