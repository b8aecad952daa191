"""The log: structured events, one per line.

``structlog.get_logger()`` and the standard ``logging`` of libraries write to the same place.
"""

import json
import logging
import re
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from logging import Handler
from typing import Literal

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


def open_handler(log: Log) -> Handler:
    """Open the destination of the log. Raises MusterdError if the file cannot be opened."""
    handler = _open(log)
    handler.name = _HANDLER
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
        text = "".join(_FORMS[_form](now, event, fields) for event, fields in events)
        for handler in root.handlers:
            if handler.name == _HANDLER and isinstance(handler, logging.StreamHandler):
                handler.stream.write(text)
                handler.flush()


def _json(now: str, event: str, fields: Mapping[str, str | int]) -> str:
    return json.dumps({**fields, "event": event, "level": "info", "time": now}) + "\n"


def _text(now: str, event: str, fields: Mapping[str, str | int]) -> str:
    rest = " ".join(f"{name}={_shown(value)}" for name, value in sorted(fields.items()))
    return f"{now} [info     ] {event:<30} {rest}\n"


def _shown(value: str | int) -> str:
    text = str(value)
    return text if _BARE.fullmatch(text) else repr(text)


_FORMS = {"json": _json, "text": _text}


def _open(log: Log) -> Handler:
    if log.file is None:
        return logging.StreamHandler(sys.stderr)
    try:
        return logging.FileHandler(log.file, encoding="utf-8")
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
