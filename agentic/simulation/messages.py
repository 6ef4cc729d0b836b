"""Log messages of dm_control that no user can act upon."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

_USELESS = (
    "settotalmass",  # the suite's quadruped has an attribute that MuJoCo calls deprecated
    "Failed to converge",  # jaco's first pose was out of reach, so that another one is drawn
)


@contextmanager
def without_messages() -> Iterator[None]:
    """Silence the useless messages inside, and nothing else."""
    logger = logging.getLogger("absl")

    def keep(record: logging.LogRecord) -> bool:
        return not any(useless in record.getMessage() for useless in _USELESS)

    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)
