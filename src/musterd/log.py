"""What the process tells about its work: structured events, one a line.

``structlog.get_logger()`` and the standard ``logging`` of libraries end in the same place.
"""

import json
import logging
import re
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor

from musterd.errors import MusterdError
from musterd.settings.model import Log

_HANDLER = "musterd"
_BARE = re.compile(r"[\w./:@*+-]+")
_form: Literal["text", "json"] = "text"
_HIDDEN = ("secret", "token", "password")
_QUIET = ("asyncio", "watchfiles", "uvicorn")
"""Libraries whose lesser events tell nothing of our work."""


def setup(log: Log) -> None:
    """Send every event where ``[log]`` says; call it again after a reload, or to reopen the file.

    Raises MusterdError where the file can't be opened; then nothing has changed.
    """
    global _form  # noqa: PLW0603 - as the handlers of ``logging`` are
    handler = _open(log)
    _form = log.format
    handler.name = _HANDLER
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_shared(),
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_render(log)],
        )
    )
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
    """Tell events of level info: name, and fields that may be shown.

    They look as others do but go round what takes ten times as long, processors and bound values,
    and are written together: for those that come by the thousand a second.
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


def _open(log: Log) -> logging.Handler:
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
    # Plain tracebacks: the richer ones show local variables, and with them secrets.
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
    """Hide values whose key says that they are secret."""
    for name in event:
        if any(word in name.lower() for word in _HIDDEN):
            event[name] = "[hidden]"
    return event
