"""The one type of a callback that reports progress."""

from typing import Protocol


class Progress(Protocol):
    """Called with the number of units done, the number of all units, and a short note.

    A function that takes a Progress says what the unit is and how often the call comes. It leaves
    the note out if there is nothing to say; then a callback of two numbers is enough.
    """

    def __call__(self, done: int, total: int, note: str = "", /) -> None: ...
