"""What a stranger's file is: its name and bytes come in, one media type goes out, or why name and bytes disagree.

Open it to let the gateway tell a further type. The bytes speak first, then the ending, never what the sender calls it.
A table of our own, since the well-kept libraries answer another question ("what may this be?"): they take any file
that begins with BM for a picture, and know neither HTML, SVG nor scripts, which are what matters here.

Types that a program would run or unpack are only allowed by their own name, never by a star (`STARRED`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

PDF = "application/pdf"
UNKNOWN = "application/octet-stream"
PLAIN = "text/plain"
HTML, SVG, XML = "text/html", "image/svg+xml", "application/xml"
ZIP, OLE, EXE = "application/zip", "application/x-ole-storage", "application/x-msdownload"
_OFFICE = "application/vnd.openxmlformats-officedocument"
_MACROS = ".macroenabled.12"
_ODF = "application/vnd.oasis.opendocument"

_HARMLESS = {
    "image/jpeg": "jpg jpeg jpe jfif",
    "image/png": "png apng",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/avif": "avif",
    "image/heic": "heic heif hif",
    "image/bmp": "bmp dib",
    "image/tiff": "tif tiff",
    "image/jp2": "jp2",
    "image/vnd.microsoft.icon": "ico",
    "image/vnd.adobe.photoshop": "psd",
    PDF: "pdf",
    "audio/mpeg": "mp3",
    "audio/mp4": "m4a",
    "audio/aac": "aac",
    "audio/amr": "amr",
    "audio/ogg": "ogg oga opus",
    "audio/wav": "wav",
    "audio/flac": "flac",
    "video/mp4": "mp4 m4v",
    "video/quicktime": "mov qt",
    "video/3gpp": "3gp 3g2",
    "video/webm": "webm",
    "video/x-matroska": "mkv",
    "video/x-msvideo": "avi",
    "video/mpeg": "mpg mpeg",
    "video/ogg": "ogv",
    "text/plain": "txt text log",
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
    "text/markdown": "md markdown",
    "text/calendar": "ics",
    "text/vcard": "vcf",
    "application/json": "json",
    "application/yaml": "yaml yml",
}
_NAMED = {
    SVG: "svg",
    HTML: "html htm",
    "application/xhtml+xml": "xhtml xht",
    XML: "xml",
    "application/gpx+xml": "gpx",
    "text/css": "css",
    "text/javascript": "js mjs",
    "application/x-sh": "sh",
    "application/rtf": "rtf",
    "application/postscript": "ps eps",
    "message/rfc822": "eml",
    ZIP: "zip",
    "application/epub+zip": "epub",
    f"{_OFFICE}.wordprocessingml.document": "docx",
    f"{_OFFICE}.spreadsheetml.sheet": "xlsx",
    f"{_OFFICE}.presentationml.presentation": "pptx",
    f"application/vnd.ms-word.document{_MACROS}": "docm",
    f"application/vnd.ms-excel.sheet{_MACROS}": "xlsm",
    f"application/vnd.ms-powerpoint.presentation{_MACROS}": "pptm",
    f"{_ODF}.text": "odt",
    f"{_ODF}.spreadsheet": "ods",
    f"{_ODF}.presentation": "odp",
    f"{_ODF}.graphics": "odg",
    OLE: "",
    "application/msword": "doc",
    "application/vnd.ms-excel": "xls",
    "application/vnd.ms-powerpoint": "ppt",
    "application/vnd.ms-outlook": "msg",
    "application/gzip": "gz tgz",
    "application/x-tar": "tar",
    "application/x-7z-compressed": "7z",
    "application/vnd.rar": "rar",
    "application/x-bzip2": "bz2",
    "application/x-xz": "xz",
    "application/zstd": "zst",
    "application/vnd.ms-cab-compressed": "cab",
    "application/onenote": "one",
    EXE: "exe dll scr com",
    "application/x-executable": "elf",
    "application/x-mach-binary": "",
    "application/x-ms-shortcut": "lnk",
    UNKNOWN: "",
}
STARRED = frozenset(_HARMLESS)
"""Types that `image/*` and the like stand for."""

TYPES = frozenset(_HARMLESS) | frozenset(_NAMED)
"""Every type that can be told."""

ALIASES = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/heif": "image/heic",
    "image/x-icon": "image/vnd.microsoft.icon",
    "image/x-ms-bmp": "image/bmp",
    "application/x-pdf": "application/pdf",
    "application/x-zip-compressed": ZIP,
    "application/x-gzip": "application/gzip",
    "application/x-rar-compressed": "application/vnd.rar",
    "application/csv": "text/csv",
    "application/javascript": "text/javascript",
    "audio/mp3": "audio/mpeg",
    "audio/x-m4a": "audio/mp4",
    "audio/x-wav": "audio/wav",
    "text/rtf": "application/rtf",
    "text/x-markdown": "text/markdown",
    "text/xml": XML,
    "text/yaml": "application/yaml",
}
"""Other names that people write for them."""

_BY_ENDING = {ending: kind for kind, endings in (_HARMLESS | _NAMED).items() for ending in endings.split()}
ENDINGS = frozenset(_BY_ENDING)
"""Every ending that stands for one of them."""

_TEXTS = (
    *(kind for kind in _HARMLESS if kind.startswith("text/")),
    *("application/json", "application/yaml", "text/css", "text/javascript", "message/rfc822", "application/gpx+xml"),
    *(SVG, HTML, "application/xhtml+xml", XML, "application/x-sh"),
)
_MP4 = ("video/mp4", "video/quicktime", "audio/mp4", "video/3gpp")
_PAGES = (HTML, "application/xhtml+xml")
_HEIF = ("image/heic", "image/avif")
_OLES = (OLE, "application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint")

# Offset, bytes, and the types that begin so; an ending chooses between several. Of the providers' own documents, as
# collected in the WHATWG's "MIME Sniffing" and in IANA's registry of media types.
_SURE: tuple[tuple[int, bytes, tuple[str, ...]], ...] = (
    (0, b"\xff\xd8\xff", ("image/jpeg",)),
    (0, b"\x89PNG\r\n\x1a\n", ("image/png",)),
    (0, b"GIF87a", ("image/gif",)),
    (0, b"GIF89a", ("image/gif",)),
    (0, b"\x00\x00\x00\x0cjP  \r\n\x87\n", ("image/jp2",)),
    (0, b"8BPS\x00\x01", ("image/vnd.adobe.photoshop",)),
    (0, b"\x1f\x8b\x08", ("application/gzip",)),
    (0, b"7z\xbc\xaf\x27\x1c", ("application/x-7z-compressed",)),
    (0, b"Rar!\x1a\x07", ("application/vnd.rar",)),
    (0, b"\xfd7zXZ\x00", ("application/x-xz",)),
    (0, b"\x28\xb5\x2f\xfd", ("application/zstd",)),
    (0, b"MSCF\x00\x00\x00\x00", ("application/vnd.ms-cab-compressed",)),
    (0, b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d", ("application/onenote",)),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", (*_OLES, "application/vnd.ms-outlook")),
    (0, b"\x7fELF", ("application/x-executable",)),
    (0, b"\xcf\xfa\xed\xfe", ("application/x-mach-binary",)),
    (0, b"\xca\xfe\xba\xbe", ("application/x-mach-binary",)),
    (0, b"L\x00\x00\x00\x01\x14\x02\x00", ("application/x-ms-shortcut",)),
    (0, b"OggS\x00", ("audio/ogg", "video/ogg")),
    (0, b"fLaC\x00", ("audio/flac",)),
    (0, b"#!AMR", ("audio/amr",)),
    (0, b"\x1a\x45\xdf\xa3", ("video/webm", "video/x-matroska")),
    (0, b"\x00\x00\x01\xba", ("video/mpeg",)),
    (0, b"\x00\x00\x01\xb3", ("video/mpeg",)),
    (0, b"{\\rtf", ("application/rtf",)),
    (0, b"%!PS", ("application/postscript",)),
    (257, b"ustar", ("application/x-tar",)),
)
_RIFF = {b"WEBP": ("image/webp",), b"AVI ": ("video/x-msvideo",), b"WAVE": ("audio/wav",)}
# Too short to be believed of a text that happens to begin so ("BMW", "MZ-80").
_IF_NO_TEXT: tuple[tuple[int, bytes, tuple[str, ...]], ...] = (
    (0, b"MZ", (EXE,)),
    (0, b"BM", ("image/bmp",)),
    (0, b"BZh", ("application/x-bzip2",)),
    (0, b"ID3", ("audio/mpeg",)),
    (0, b"\xff\xfb", ("audio/mpeg",)),
    (0, b"\xff\xfa", ("audio/mpeg",)),
    (0, b"\xff\xf3", ("audio/mpeg",)),
    (0, b"\xff\xf2", ("audio/mpeg",)),
    (0, b"\xff\xf1", ("audio/aac",)),
    (0, b"\xff\xf9", ("audio/aac",)),
    (0, b"II*\x00", ("image/tiff",)),
    (0, b"MM\x00*", ("image/tiff",)),
    (0, b"\x00\x00\x01\x00", ("image/vnd.microsoft.icon",)),
)
_TEXTUAL = bytes([*range(7, 14), 27, *range(32, 127), *range(128, 256)])
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_HEAD = 64 * 1024
_ZIP_TAIL = 128 * 1024
"""An end of a ZIP's directory has at most 65,557 bytes; some readers look further for one."""
_PROLOG = re.compile(
    r"(?:\s++|<\?.*?\?>|<!--.*?-->|<!DOCTYPE(?!\s+html)[^<>\[]*+(?:\[.*?\]\s*+)?>)*+", re.IGNORECASE | re.DOTALL
)
_TAG = re.compile(rb"<[a-z!?/]", re.IGNORECASE)
_ROOT = re.compile(r"<(!DOCTYPE\s+html|[a-z][\w.-]*+(?::[a-z][\w.-]*+)?)", re.IGNORECASE)
# What a browser takes for HTML by its first tag ("MIME Sniffing", 7.1), and the other tags a page can do without them.
_PAGE = frozenset(
    "html head script iframe h1 div font table a style title b body br p img link meta base form object embed"
    " frameset video audio input button span center math".split()
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a file is. `sound` is False where its bytes and its ending speak of two types."""

    kind: str
    ending: str
    sound: bool = True


def judge(name: str, content: bytes) -> Verdict:
    """The one type that both its bytes and its ending agree on; a name without an ending says nothing."""
    ending = ending_of(name)
    kinds = _told_by(content)
    named = _BY_ENDING.get(ending, "")
    if not ending:
        return Verdict(kinds[0] if kinds else UNKNOWN, "", sound=not _doubled(kinds, content))
    if named in kinds:
        return Verdict(named, ending, sound=not _doubled(kinds, content))
    if not kinds or kinds[0] == PLAIN:
        # Bytes without a signature are only sound under an ending that stands for none of the types with one.
        return Verdict(kinds[0] if named and kinds else named or UNKNOWN, ending, sound=not named)
    return Verdict(kinds[0], ending, sound=False)


def ending_of(name: str) -> str:
    """`pdf` of `Offer.PDF`; Windows drops dots and blanks at the end of a name, so they count for nothing."""
    return name.rstrip(". ").rpartition(".")[2].lower() if "." in name.rstrip(". ") else ""


def _told_by(content: bytes) -> tuple[str, ...]:
    """The types that the bytes may be, the likeliest first; none where they say nothing."""
    if content[:32].lstrip(b"\xef\xbb\xbf \t\r\n")[:5] == b"%PDF-":
        return (PDF,)
    for offset, signature, kinds in _SURE:
        if content.startswith(signature, offset):
            return kinds
    if kinds := _contained(content):
        return kinds
    text = _text(content)
    if text is not None:
        return _marked(text, content)
    return next((kinds for offset, signature, kinds in _IF_NO_TEXT if content.startswith(signature, offset)), ())


def _contained(content: bytes) -> tuple[str, ...]:
    """The same of files that are made like an archive: their first entry, chunk or box says more."""
    if content.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        return (_zipped(content),)
    if content[:1] == b"\x00" and content[4:8] == b"ftyp":
        return _boxed(content[8:12])
    return _RIFF.get(content[8:12], ()) if content.startswith(b"RIFF") else ()


def _doubled(kinds: tuple[str, ...], content: bytes) -> bool:
    """Whether another program would open it as something else.

    Readers look for %PDF- in the first 1,024 bytes, and those of ZIP for a directory at the end. A picture, a sound or
    a film all of whose bytes are text with tags is a page.
    """
    if not kinds or kinds[0] in {PLAIN, PDF} or kinds[0] in _NAMED:
        return bool(kinds) and kinds[0] == PDF and _ends_as_zip(content)
    is_page = content[:1].isascii() and _textual(content) and _TAG.search(content)
    return bool(b"%PDF-" in content[:1024] or _ends_as_zip(content) or is_page)


def _ends_as_zip(content: bytes) -> bool:
    """Its end of central directory (APPNOTE 4.3.16) among the last bytes, where ZIP readers look for one.

    What stands behind it is the comment whose length it says, or anything, which most readers overlook: then the
    directory must be there, right before its end.
    """
    least = max(0, len(content) - _ZIP_TAIL)
    at = content.find(b"PK\x05\x06", least)
    while at >= 0:
        size = int.from_bytes(content[at + 12 : at + 16], "little")
        comment = int.from_bytes(content[at + 20 : at + 22], "little")
        if at + 22 + comment == len(content) or (size <= at and content.startswith(b"PK\x01\x02", at - size)):
            return True
        at = content.find(b"PK\x05\x06", at + 4)
    return False


def _boxed(brand: bytes) -> tuple[str, ...]:
    """ISO/IEC 14496-12: the major brand of a file of boxes."""
    if brand[:3] in {b"hei", b"hev"} or brand in {b"mif1", b"msf1"}:
        return _HEIF
    return tuple(reversed(_HEIF)) if brand[:3] == b"avi" else _MP4


def _zipped(content: bytes) -> str:
    """What is inside: OpenDocument and EPUB say so in their first entry, Office Open XML by its folders' names."""
    if content[30:38] == b"mimetype":
        said = content[38:120].split(b"PK", 1)[0].decode("ascii", "replace")
        return said if said in TYPES else ZIP
    if b"[Content_Types].xml" not in content:
        return ZIP
    macros = b"vbaProject.bin" in content
    for folder, plain, program in (
        (b"word/document", "wordprocessingml.document", "word.document"),
        (b"xl/workbook", "spreadsheetml.sheet", "excel.sheet"),
        (b"ppt/presentation", "presentationml.presentation", "powerpoint.presentation"),
    ):
        if folder in content:
            return f"application/vnd.ms-{program}{_MACROS}" if macros else f"{_OFFICE}.{plain}"
    return ZIP


def _text(content: bytes) -> str | None:
    """The beginning as text; None where there are bytes that no text has."""
    for mark, encoding in _BOMS:
        if content.startswith(mark):
            head = content[len(mark) : _HEAD].decode(encoding, "replace")
            return None if "\x00" in head or (encoding == "utf-8" and not _textual(content)) else head
    return content[:_HEAD].decode("utf-8", "replace") if _textual(content) else None


def _textual(content: bytes) -> bool:
    """By pieces, so that a large file needs no room for a second one."""
    return not any(content[at : at + _HEAD].translate(None, _TEXTUAL) for at in range(0, len(content), _HEAD))


def _marked(text: str, content: bytes) -> tuple[str, ...]:
    """Markup and scripts by how they begin; any other text is what its ending says."""
    start = text.lstrip()
    if start.startswith("#!"):
        return ("application/x-sh",)
    if not start.startswith("<"):
        return _TEXTS
    prolog = _PROLOG.match(start)
    root = _ROOT.match(start, prolog.end() if prolog else 0)
    tag = root.group(1).lower().rpartition(":")[2] if root else ""
    if tag == "svg" or b"http://www.w3.org/2000/svg" in content:
        return (SVG,)
    if tag in _PAGE or tag.startswith("!doctype") or b"http://www.w3.org/1999/xhtml" in content:
        return _PAGES
    if start[:5].lower() == "<?xml":
        return (XML, "application/gpx+xml")
    return _PAGES if start.startswith(("<!", "<?")) else _TEXTS
