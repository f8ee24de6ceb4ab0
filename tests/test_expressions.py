"""What an owner's `/expression/` and `*` do with strangers' text: they match it, and never take long over it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from gateway import routing
from gateway.cli import main
from gateway.expressions import compiled
from tests.conftest import CONFIG, with_hashes
from tests.test_routing import alert, routes_taken


@pytest.mark.parametrize(
    ("expression", "title"),
    [
        (r"^(\w+\s?)*$", "a" * 26 + "!"),
        (r"(a|a)*b", "a" * 5000),
        (r"(a*)*c", "a" * 5000),
        (r"^(\d+)+x$", "1" * 999 + "!"),
        (r"(.*)(.*)(.*)(.*)(.*)[^a]y", "a" * 5000),
        (r"(x+x+)+y", "x" * 5000),
    ],
)
def test_an_owners_expression_takes_no_longer_than_its_text(expression: str, title: str) -> None:
    """What would take Python's own engine hours says no at once."""
    begun = time.process_time()
    taken = [routes_taken({"title": f"/{expression}/"}, alert(title=title)) for _ in range(20)]

    assert ([[1]] * 20, True) == (taken, time.process_time() - begun < 5)


@pytest.mark.parametrize(
    "expression",
    [
        "(?:[ab]{1,200}){1,200}x",
        "(?:a{1,100}){1,100}x",
        "((.{0,20}){20}){0,20}x",
        r"(\(?[)]?x{3}){1,999}",
        r"(?:a?){9000}x",
        "(?:a?b?c?){3000}",
        "(a|b){1,5000}",
        "x{99999999999999999999}",
    ],
)
def test_an_expression_that_repeats_repetitions_is_a_mistake(expression: str) -> None:
    """The engine's time grows with the expression written out, too: seconds for one title."""
    with pytest.raises(ValueError, match="too large, with more"):
        compiled(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "(?:[ab]{1,44}){1,44}x",
        "(?:.?){1900}x",
        "(?:a?b?){900}x",
        "(?i)(?P<n>x{900})[{]{900}",
        r"\x{2028}\u{2029}|\p{L}{9}",
        "[0-9a-f]{64}",
        r"^([a-z0-9-]{1,63}\.){1,10}com$",
    ],
)
def test_an_expression_may_repeat_within_reason(expression: str) -> None:
    """Each of these reads a thousand hostile characters in milliseconds."""
    test = compiled(expression)
    begun = time.process_time()
    for text in ("a" * 999 + "!", "ab" * 500, "a\u00e9" * 500):
        test(text)

    assert time.process_time() - begun < 2


def test_an_expression_looks_at_the_first_thousand_characters() -> None:
    """What stands behind them does not match."""
    found = [routes_taken({"label.a": "/needle/"}, alert(labels={"a": "x" * count + "needle"})) for count in (994, 995)]

    assert [[0], [1]] == found


def test_an_expression_reads_any_text() -> None:
    """Half a character among the others, case of any script."""
    cases = (("größe", "GRÖẞE"), ("^.disk$", "\ud800DISK"), ("a.c", "a\nc"), ("^$", ""), ("a/b", "A/B"))

    assert [True, True, False, True, True] == [compiled(expression)(text) for expression, text in cases]


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("a(?=b)", "look-around"),
        ("(?<!a)b", "look-around"),
        (r"(a)\\1", "backreferences"),
        ("(?>a)", "unrecognized flag"),
        (r"a\\Z", "unrecognized escape"),
        ("a(", "unclosed group"),
        ("(?:a{1000}){1000}", "too large"),
    ],
)
def test_an_expression_that_cannot_run_is_a_mistake_of_the_file(
    expression: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`check` names the field, the reason and what to leave out."""
    file = tmp_path / "gateway.yaml"
    file.write_text(with_hashes(CONFIG.replace("{severity: critical}", f'{{title: "/{expression}/"}}')), "utf-8")

    assert 1 == main(["check", str(file)])

    found = capsys.readouterr()
    told = found.out + found.err
    assert (True, True, True) == (
        "sources.alertmanager.routes[0].match.title[0]" in told,
        reason in told,
        "no look-around, no back reference" in told,
    )


@pytest.mark.parametrize(
    ("pattern", "address"),
    [
        ("*-*-*-*-*-*-*@contoso.com", "-" * 64 + "@contoso.org"),
        ("*a*a*a*a*a*a*a*b@contoso.com", "a" * 64 + "@contoso.com"),
    ],
)
def test_a_pattern_of_many_stars_takes_no_longer_than_the_address(pattern: str, address: str) -> None:
    """`allow` is compared with 2,000 recipients of one call."""
    begun = time.process_time()
    allow = routing._allow_pattern((pattern,))

    assert (0, True) == (sum(bool(allow.fullmatch(address)) for _ in range(2000)), time.process_time() - begun < 2)


@pytest.mark.parametrize(
    ("pattern", "address", "expected"),
    [
        ("*", "a", True),
        ("*@contoso.com", "ops@contoso.com", True),
        ("*@contoso.com", "ops@elsewhere.test@contoso.com", False),
        ("ops-*@*.contoso.com", "ops-1@a.b.contoso.com", True),
        ("ops-*@*.contoso.com", "ops-1@contoso.com", False),
        ("*a*b@contoso.com", "aab@contoso.com", True),
        ("*ab*ab@contoso.com", "abab@contoso.com", True),
        ("*ab*ab@contoso.com", "aab@contoso.com", False),
        ("a**b@contoso.com", "ab@contoso.com", True),
        ("*a@contoso.*", "aaa@contoso.de", True),
    ],
)
def test_a_star_stands_for_any_characters_but_an_at(pattern: str, address: str, *, expected: bool) -> None:
    """As many as are needed, also none, and on one side of the @."""
    assert expected == bool(routing._allow_pattern((pattern,)).fullmatch(address))
