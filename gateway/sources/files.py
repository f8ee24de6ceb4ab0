"""Which files a form takes: what a visitor sent and the source's `files` come in, attachments go out, or a refusal.

The refusal names the form's field, what is wrong with its file, and what is taken instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from gateway.config import Files, as_size
from gateway.errors import Rejected
from gateway.filetypes import STARRED, UNKNOWN, Verdict, judge
from gateway.message import Attachment
from gateway.sources.explain import shown

_NO_MARKUP = str.maketrans("<>", "()")

Upload = tuple[str, Attachment]
"""A form's field, and the file in it under the type that its sender claims."""


def taken(uploads: Sequence[Upload], files: Files) -> tuple[Attachment, ...]:
    """The files under the type that they are; Rejected names every one that is too much, too large or not wanted."""
    if fields := _by_field(_too_many(uploads, files)) or _by_field(_too_large(uploads, files)):
        raise Rejected(413, "too_large", _sentence(fields), fields=fields)
    verdicts = [judge(file.name, file.content) for _, file in uploads]
    if fields := _by_field(_not_wanted(uploads, verdicts, files)):
        raise Rejected(422, "file_refused", _sentence(fields), fields=fields)
    pairs = zip(uploads, verdicts, strict=True)
    return tuple(file.model_copy(update={"content_type": verdict.kind}) for (_, file), verdict in pairs)


def _too_many(uploads: Sequence[Upload], files: Files) -> Iterator[tuple[str, str]]:
    if len(uploads) > files.most:
        what = f"at most {files.most} files are taken, these are {len(uploads)}" if files.most else "no files are taken"
        yield from ((field, what) for field, _ in uploads)


def _too_large(uploads: Sequence[Upload], files: Files) -> Iterator[tuple[str, str]]:
    for field, file in uploads:
        if len(file.content) > files.bytes:
            yield field, f"{_named(file)} is larger than {as_size(files.bytes)} ({files.bytes} bytes)"


def _not_wanted(uploads: Sequence[Upload], verdicts: Sequence[Verdict], files: Files) -> Iterator[tuple[str, str]]:
    for (field, file), verdict in zip(uploads, verdicts, strict=True):
        if what := _why_not(verdict, files):
            yield field, f"{_named(file)} {what}; taken are {', '.join(files.types)}"


def _why_not(verdict: Verdict, files: Files) -> str:
    if not verdict.sound and not verdict.ending:
        return f"is two types of file in one (it looks like {verdict.kind})"
    if not verdict.sound:
        return f"is not what its name says (it looks like {verdict.kind})"
    if any(_covers(pattern, verdict.kind) for pattern in files.types):
        return ""
    return "is of no type that can be told" if verdict.kind == UNKNOWN else f"is {verdict.kind}"


def _covers(pattern: str, kind: str) -> bool:
    """Whether an entry of `types` means this type: by its name, or by a star if that includes it."""
    group, _, rest = pattern.partition("/")
    return pattern == kind or (rest == "*" and kind in STARRED and group in {"*", kind.partition("/")[0]})


def _named(file: Attachment) -> str:
    return f"the file {shown(file.name).translate(_NO_MARKUP)}"


def _by_field(wrong: Iterable[tuple[str, str]]) -> dict[str, str]:
    """One sentence for each field, which may hold several files."""
    found: dict[str, list[str]] = {}
    for field, what in wrong:
        sentences = found.setdefault(shown(field).translate(_NO_MARKUP), [])
        if what not in sentences:
            sentences.append(what)
    return {field: ". ".join(sentences) for field, sentences in found.items()}


def _sentence(fields: dict[str, str]) -> str:
    """Enough for who sees nothing else."""
    name, what = next(iter(fields.items()))
    more = f" (and {len(fields) - 1} more, see fields)" if len(fields) > 1 else ""
    return f"{name}: {what}.{more}"
