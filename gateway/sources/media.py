"""Media types: a file's name or what a sender calls its type comes in, a type fit for a mail goes out."""

from __future__ import annotations

import re

DEFAULT = "application/octet-stream"

_MEDIA = re.compile(
    r"[\w!#$&^.+-]{1,127}/[\w!#$&^.+-]{1,127}(?: *; *[\w-]+=(?:[\w./+:'-]+|\"[^\"\\\x00-\x1f\x7f]*\"))*", re.ASCII
)
_OFFICE = "application/vnd.openxmlformats-officedocument"
# Written down instead of asking `mimetypes`, which answers from the machine it runs on.
_BY_ENDING = {
    "csv": "text/csv",
    "doc": "application/msword",
    "docx": f"{_OFFICE}.wordprocessingml.document",
    "gif": "image/gif",
    "gz": "application/gzip",
    "htm": "text/html",
    "html": "text/html",
    "ics": "text/calendar",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "json": "application/json",
    "log": "text/plain",
    "md": "text/markdown",
    "pdf": "application/pdf",
    "png": "image/png",
    "ppt": "application/vnd.ms-powerpoint",
    "pptx": f"{_OFFICE}.presentationml.presentation",
    "rtf": "application/rtf",
    "svg": "image/svg+xml",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "txt": "text/plain",
    "webp": "image/webp",
    "xls": "application/vnd.ms-excel",
    "xlsx": f"{_OFFICE}.spreadsheetml.sheet",
    "xml": "application/xml",
    "zip": "application/zip",
}


def is_media(text: str) -> bool:
    """Whether `text` is a media type, possibly with parameters."""
    return len(text) <= 255 and _MEDIA.fullmatch(text) is not None


def by_name(name: str) -> str:
    """The type a file's ending stands for."""
    return _BY_ENDING.get(name.rpartition(".")[2].lower(), DEFAULT)
