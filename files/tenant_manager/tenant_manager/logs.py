"""Logging as JSON, a line each. Secrets are never given to a logger: no request headers, no bodies, no addresses with passwords."""

from __future__ import annotations

import json
import logging
import time
from typing import Any, TextIO

_STANDARD = {*logging.makeLogRecord({}).__dict__, "message", "asctime", "color_message"}


class JsonFormatter(logging.Formatter):
    """Time (UTC), level, logger, message, and what was given as ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        seen: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        seen |= {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
        if record.exc_info:
            seen["exception"] = self.formatException(record.exc_info)
        return json.dumps(seen, ensure_ascii=False, default=str)


def set_up(level: str, stream: TextIO) -> None:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for noisy in ("httpx", "httpcore", "uvicorn.access", "psycopg.pool", "alembic", "procrastinate"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
