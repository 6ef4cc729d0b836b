"""The one shape of a callback that is told how far work is."""

from typing import Protocol


class Progress(Protocol):
    """Called with the units of work that are done, all of them, and a few words about the work.

    What the unit is, and how often the call comes, is said where a function takes a Progress. The
    note is left out where there is nothing to say; a function of two numbers will do there.
    """

    def __call__(self, done: int, total: int, note: str = "", /) -> None: ...
