"""The log: structured events, one per line.

``structlog.get_logger()`` and the standard ``logging`` of libraries write to the same place.
"""

import json
import logging
import os
import re
import stat
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from logging import Handler, LogRecord
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor

from musterd.errors import MusterdError
from musterd.settings.model import Log

_HANDLER = "musterd"
_BARE = re.compile(r"[\w./:@*+-]+")
_form: Literal["text", "json"] = "text"
_HIDDEN = ("secret", "token", "password")
_QUIET = ("asyncio", "uvicorn")
"""Libraries of which only warnings and errors are logged."""


def setup(log: Log) -> None:
    """Send all events where ``[log]`` says. Raises MusterdError if the file cannot be opened."""
    install(log, open_handler(log))


class LogHandler(Handler):
    """Writes events to a file or standard error; drops them while it can't be written.

    Once the file is deleted, events go to standard error, so that they are seen.
    Writes are not buffered, so nothing is left behind that would fail again.
    """

    def __init__(self, file: TextIO | int) -> None:
        """Create a handler for a stream, or for a descriptor that it owns."""
        super().__init__()
        self.name = _HANDLER
        self._file = file
        self._owned = file if isinstance(file, int) else None
        # Some file systems never count names.
        self._is_named = self._owned is not None and not _is_deleted(self._owned)
        self._lost = 0
        """Events dropped since the last that was written."""
        self._is_torn = False
        """True if the last line was written in part."""

    def emit(self, record: LogRecord) -> None:
        """Write an event."""
        try:
            text = self.format(record)
        except Exception:
            self.handleError(record)
        else:
            self.write(f"{text}\n", 1)

    def write(self, text: str, events: int) -> None:
        """Write the lines of some events."""
        notice = ""
        if self._lost:
            notice = self.format(_event("log events lost", events=self._lost)) + "\n"
        try:
            self._write(("\n" if self._is_torn else "") + notice + text)
        except (OSError, ValueError):
            self._lost += events
        else:
            self._lost = 0

    def _write(self, text: str) -> None:
        if self._is_named and isinstance(self._file, int) and _is_deleted(self._file):
            # Another thread may be writing to the file, so it is closed later.
            self._file, self._is_torn = sys.stderr, False
            deleted = _event("log file was deleted, using standard error until it is reopened")
            text = f"{self.format(deleted)}\n{text}"
        number = self._number()
        if number is None:
            if not isinstance(self._file, int):
                self._file.write(text)
                self._file.flush()
            return
        data = text.encode(errors="backslashreplace")
        while data:
            size = os.write(number, data)
            self._is_torn = not data[:size].endswith(b"\n")
            data = data[size:]

    def _number(self) -> int | None:
        """Return the descriptor, or None if the stream has none."""
        if isinstance(self._file, int):
            return self._file
        try:
            return self._file.fileno()
        except OSError:
            return None

    def close(self) -> None:
        """Close the file, but not standard error."""
        if self._owned is not None:
            os.close(self._owned)
            self._owned = None
        super().close()


def _event(text: str, **fields: int) -> LogRecord:
    """Return a warning about the log."""
    level = {"levelno": logging.WARNING, "levelname": "WARNING"}
    return logging.makeLogRecord({"msg": text, **level, **fields})


def _is_deleted(number: int) -> bool:
    """Return whether a descriptor is a file that has no name any more."""
    found = os.fstat(number)
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 0


def open_handler(log: Log) -> LogHandler:
    """Open the destination of the log. Raises MusterdError if the file cannot be opened."""
    handler = LogHandler(_open(log))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_shared(),
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_render(log)],
        )
    )
    return handler


def install(log: Log, handler: Handler) -> None:
    """Send all events to a handler from ``open_handler``, and close the previous one."""
    global _form  # noqa: PLW0603 - as global as the handlers of ``logging``
    _form = log.format
    root = logging.getLogger()
    for old in [h for h in root.handlers if h.name == _HANDLER]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(log.level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def lines(events: Iterable[tuple[str, Mapping[str, str | int]]]) -> None:
    """Log events of level info: their names, and fields that contain no secrets.

    For events that occur thousands of times a second. They look like all others, but skip the
    processors and bound values, which take ten times as long, and are written together.
    """
    root = logging.getLogger()
    if root.isEnabledFor(logging.INFO):
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        written = [_FORMS[_form](now, event, fields) for event, fields in events]
        for handler in root.handlers:
            if isinstance(handler, LogHandler):
                handler.write("".join(written), len(written))


def _json(now: str, event: str, fields: Mapping[str, str | int]) -> str:
    return json.dumps({**fields, "event": event, "level": "info", "time": now}) + "\n"


def _text(now: str, event: str, fields: Mapping[str, str | int]) -> str:
    rest = " ".join(f"{name}={_shown(value)}" for name, value in sorted(fields.items()))
    return f"{now} [info     ] {event:<30} {rest}\n"


def _shown(value: str | int) -> str:
    text = str(value)
    return text if _BARE.fullmatch(text) else repr(text)


_FORMS = {"json": _json, "text": _text}


def _open(log: Log) -> TextIO | int:
    if log.file is None:
        return sys.stderr
    try:
        return os.open(log.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        text = (
            f'{log.file}: can\'t be opened: {error.strerror}; set [log] file to another, or to ""'
        )
        raise MusterdError(text) from error


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _hide,
    ]


def _render(log: Log) -> list[Processor]:
    # Plain tracebacks: the rich ones show local variables, and secrets with them.
    if log.format == "json":
        return [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ]
    return [
        structlog.dev.ConsoleRenderer(
            colors=log.file is None and sys.stderr.isatty(),
            exception_formatter=structlog.dev.plain_traceback,
            timestamp_key="time",
        )
    ]


def _hide(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Hide the values of keys that suggest a secret."""
    for name in event:
        if any(word in name.lower() for word in _HIDDEN):
            event[name] = "[hidden]"
    return event
