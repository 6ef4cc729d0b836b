"""The one exception that users see, and the sentence that names the nearest valid choice."""

import difflib
from collections.abc import Iterable


class AgenticError(Exception):
    """A mistake in what the user gave: one sentence with the value, the rule and a way out."""


def closest(name: str, choices: Iterable[str]) -> str:
    """Return a clause that names the valid choice nearest to `name`, then all of them."""
    choices = sorted(choices)
    # A part of a name is nearer to it than another name of like letters.
    match = name and [choice for choice in choices if name in choice]
    match = match or difflib.get_close_matches(name, choices, n=1, cutoff=0.4)
    hint = f"did you mean {match[0]!r}? " if match else ""
    return f"{hint}valid: {', '.join(choices)}"
