"""Silence for log messages of dm_control that no user can act on."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

_USELESS = (
    "settotalmass",  # the suite's quadruped uses an attribute that MuJoCo calls deprecated
    "Failed to converge",  # a pose that was drawn for jaco is out of reach; it draws another
)


@contextmanager
def without_messages() -> Iterator[None]:
    """Silence these messages, and no others, inside the block."""
    logger = logging.getLogger("absl")

    def keep(record: logging.LogRecord) -> bool:
        return not any(useless in record.getMessage() for useless in _USELESS)

    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)
