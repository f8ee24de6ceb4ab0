"""What a mail says in its reader's language: a language and a moment come in, words, dates and spans go out.

Adding a language: a table below with the same keys (a test compares them), and its letters in config.py's `language`.
"""

from __future__ import annotations

from datetime import UTC, datetime

ENGLISH = {
    "language": "en",
    # what stands in a subject's brackets, on the band and before an item
    "tag_critical": "CRITICAL",
    "tag_error": "ERROR",
    "tag_warning": "WARNING",
    "tag_info": "INFO",
    "tag_resolved": "RESOLVED",
    "tag_acknowledged": "ACK",
    # the same in a sentence
    "critical": "Critical",
    "error": "Error",
    "warning": "Warning",
    "info": "Info",
    "resolved": "Resolved",
    "acknowledged": "Acknowledged",
    # how many of a group are what
    "count_firing": "firing",
    "count_resolved": "resolved",
    "count_acknowledged": "acknowledged",
    "count_info": "for information",
    "since": "Since {}",
    "from_to": "{} to {} ({})",
    "severity": "Severity",
    "common_labels": "Common labels",
    "more": "… and {} more that are not shown here",
    "files": "Files",
    "reply": "Reply to this mail to answer {}.",
    "cut": "… (cut here, {} more characters)",
    "unmapped": "Unmapped: the gateway did not recognise this {} payload; it is shown as it came.",
    "from_source": "Sent by {} through the notification gateway",
    "days": "d",
    "hours": "h",
    "minutes": "min",
    "seconds": "s",
}

GERMAN = {
    "language": "de",
    "tag_critical": "KRITISCH",
    "tag_error": "FEHLER",
    "tag_warning": "WARNUNG",
    "tag_info": "INFO",
    "tag_resolved": "BEHOBEN",
    "tag_acknowledged": "BESTÄTIGT",
    "critical": "Kritisch",
    "error": "Fehler",
    "warning": "Warnung",
    "info": "Info",
    "resolved": "Behoben",
    "acknowledged": "Bestätigt",
    "count_firing": "aktiv",
    "count_resolved": "behoben",
    "count_acknowledged": "bestätigt",
    "count_info": "zur Information",
    "since": "Seit {}",
    "from_to": "{} bis {} ({})",
    "severity": "Schweregrad",
    "common_labels": "Gemeinsame Labels",
    "more": "… und {} weitere, die hier nicht stehen",
    "files": "Dateien",
    "reply": "Eine Antwort auf diese Mail geht an {}.",
    "cut": "… (hier gekürzt, {} weitere Zeichen)",
    "unmapped": "Unmapped: Das Gateway hat diese Nachricht ({}) nicht erkannt; sie steht hier, wie sie kam.",
    "from_source": "Gesendet von {} über das Notification Gateway",
    "days": "Tg.",
    "hours": "Std.",
    "minutes": "Min.",
    "seconds": "Sek.",
}

WORDS = {"en": ENGLISH, "de": GERMAN}
"""Every language there is."""


def words_for(language: str) -> dict[str, str]:
    """The language's table; English where there is none."""
    return WORDS.get(language, ENGLISH)


def moment(at: datetime) -> str:
    """`2026-11-23 14:45 UTC`."""
    try:
        return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    except OverflowError:  # the first or last hours of the calendar, which tools write for "never"
        return at.isoformat()


def span(starts: datetime, ends: datetime, words: dict[str, str]) -> str:
    """The time between two moments in its two largest units: `3 h 12 min`."""
    seconds = max(int((ends - starts).total_seconds()), 0)
    if seconds < 60:
        return f"{seconds} {words['seconds']}"
    minutes, hours, days = seconds // 60 % 60, seconds // 3600 % 24, seconds // 86400
    parts = [(days, words["days"]), (hours, words["hours"]), (minutes, words["minutes"])]
    first = next(index for index, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count)


def when(starts: datetime | None, ends: datetime | None, words: dict[str, str], *, open_: bool) -> str:
    """Since when, or from when to when and how long; empty when nobody knows. What is still open has no end yet."""
    if starts is None:
        return moment(ends) if ends and not open_ else ""
    if open_:
        return words["since"].format(moment(starts))
    if ends is None:
        return moment(starts)
    first, last = moment(starts), moment(ends)
    if first[:10] == last[:10]:
        first, last = first.removesuffix(" UTC"), last[11:]
    return words["from_to"].format(first, last, span(starts, ends, words))
