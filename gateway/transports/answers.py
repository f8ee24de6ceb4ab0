"""What every provider's answer and address have: headers, body and URL come in, what they mean goes out."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import SplitResult

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """The Retry-After header in seconds, whether it says seconds or a date (RFC 9110 section 10.2.3)."""
    text = next((value for name, value in headers.items() if name.lower() == "retry-after"), "").strip()
    try:
        seconds = float(text)
    except ValueError:
        seconds = _until(text, now)
    return seconds if seconds >= 0 and math.isfinite(seconds) else None


def _until(text: str, now: datetime) -> float:
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # the second for an offset or a second of twenty digits
        return -1.0
    return (at - now).total_seconds() if at.tzinfo else -1.0


def code(body: Any) -> str:
    """The provider's own word, `error.code`; anything that is no plain word may quote the message and is left out."""
    error = body.get("error") if isinstance(body, dict) else None
    word = error.get("code") if isinstance(error, dict) else None
    return word if isinstance(word, str) and _CODE.fullmatch(word) else ""


def value_of(content: bytes) -> Any:
    """The body's JSON; None when it is none."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def origin(parts: SplitResult) -> str:
    """An endpoint's scheme and host; https unless it is a fake on this machine."""
    plain = parts.scheme == "http" and parts.hostname in _LOOPBACK
    return f"{'http' if plain else 'https'}://{parts.netloc}"
