"""Logging that suits journald: one line a record on stderr, context, no secrets.

Shell. The call is ``log.info("segment_sealed", extra={"number": 7, "size_bytes": 4711})``: the
message is a constant event, what varies stands in ``extra``. Without a terminal a line reads
``<6>segment_sealed camera=gate-exit number=7``, and journald takes the priority from ``<6>``.
"""

from __future__ import annotations

import contextlib
import contextvars
import html
import json
import logging
import re
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import TextIO
from urllib.parse import quote

from config.secrets import Secret

LINE_CHARS_MAX = 8000
REDACTED = "[redacted]"
#: A shorter secret would turn ordinary words into holes, and says nothing by its place.
_SECRET_CHARS_MIN = 4

_PRIORITIES = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
)
_DEBUG_PRIORITY = 7
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
#: user:password before the last @ of an authority, and password=… as some cameras want it in paths
_URL_CREDENTIALS = re.compile(r"(?i)\b([a-z][a-z0-9+.-]{1,20}://)[^\s/?#\"'<>]*@")
_URL_PASSWORD = re.compile(r"(?i)\b(pass(?:word|wd)?|pwd)=[^\s&;,\"'<>]*")
_BARE = re.compile(r"[^\s\"=\\\x00-\x1f\x7f]+")

_context: contextvars.ContextVar[dict[str, object]] = contextvars.ContextVar("log_context")
_secrets: set[str] = set()
_secrets_lock = threading.Lock()


@contextlib.contextmanager
def context(**values: object) -> Iterator[None]:
    """Adds ``values`` (``camera="gate-exit"``) to each record of this task inside the block."""
    token = _context.set({**_context.get({}), **values})
    try:
        yield
    finally:
        _context.reset(token)


def hide(secret: Secret) -> None:
    """Keeps ``secret`` out of every later line of this process."""
    value = secret.reveal()
    if len(value) < _SECRET_CHARS_MIN:
        return
    # As it stands, and as repr, JSON, XML and URLs write it.
    forms = {
        value,
        repr(value)[1:-1],
        json.dumps(value)[1:-1],
        html.escape(value),
        quote(value, ""),
    }
    with _secrets_lock:
        _secrets.update(forms)


def redact(text: str) -> str:
    """``text`` without registered secrets and without credentials in URLs."""
    with _secrets_lock:
        hidden = sorted(_secrets, key=len, reverse=True)
    for value in hidden:
        text = text.replace(value, REDACTED)
    text = _URL_CREDENTIALS.sub(rf"\1{REDACTED}@", text)
    return _URL_PASSWORD.sub(rf"\1={REDACTED}", text)


def set_up(*, level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Makes the root logger write to ``stream`` (stderr unless given), and nowhere else."""
    target = sys.stderr if stream is None else stream
    handler = logging.StreamHandler(target)
    handler.setFormatter(HumanFormatter() if target.isatty() else JournalFormatter())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    # Third parties log urls, SOAP bodies and job details below warning.
    for name in (
        "zeep",
        "urllib3",
        "requests",
        "onvif",
        "apscheduler",
        "libav",
        "asyncio",
        "uvicorn",
    ):
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    logging.getLogger("apscheduler.executors.default").addFilter(_was_not_broken_off)


def _was_not_broken_off(record: logging.LogRecord) -> bool:
    """A job that its service's end broke off is told as an error by the scheduler: it is none."""
    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or kind.__name__ != "CancelledError"  # not every service loads asyncio


class JournalFormatter(logging.Formatter):
    """``<prio>event key=value …``, always one line."""

    def format(self, record: logging.LogRecord) -> str:
        return _one_line(f"<{_priority(record.levelno)}>", record)


class HumanFormatter(logging.Formatter):
    """Local time, level and the line; tracebacks below it."""

    def format(self, record: logging.LogRecord) -> str:
        head = f"{self.formatTime(record, '%H:%M:%S')} {record.levelname.lower():8}"
        line = _one_line(head, record, with_trace=False)
        if record.exc_info:
            line += "\n" + redact(self.formatException(record.exc_info))
        return line


def _priority(level: int) -> int:
    for threshold, priority in _PRIORITIES:
        if level >= threshold:
            return priority
    return _DEBUG_PRIORITY


def _one_line(head: str, record: logging.LogRecord, *, with_trace: bool = True) -> str:
    fields: dict[str, object] = {**_context.get({})}
    fields |= {k: v for k, v in vars(record).items() if k not in _STANDARD}
    if record.exc_info and record.exc_info[0] is not None and with_trace:
        fields["trace"] = "".join(traceback.format_exception(*record.exc_info)).strip()
    # Redact before quoting: escapes must not hide a secret.
    event = _flat(redact(record.getMessage()))
    text = head + event + "".join(f" {k}={_value(redact(str(v)))}" for k, v in fields.items())
    return text if len(text) <= LINE_CHARS_MAX else text[: LINE_CHARS_MAX - 1] + "…"


def _flat(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def _value(text: str) -> str:
    if _BARE.fullmatch(text) and text.isprintable():
        return text
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_flat(quoted)}"'


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode()
