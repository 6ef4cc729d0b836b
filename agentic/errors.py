"""The one exception that users see, and the clause that names the nearest valid choice."""

import difflib
from collections.abc import Iterable


class AgenticError(Exception):
    """A mistake in the user's input: one sentence with the value, the rule and a way out."""


def closest(name: str, choices: Iterable[str]) -> str:
    """Return a clause that names the valid choice nearest to `name`, then all of them."""
    choices = sorted(choices)
    # A name that contains `name` is nearer than a name of similar letters.
    match = name and [choice for choice in choices if name in choice]
    match = match or difflib.get_close_matches(name, choices, n=1, cutoff=0.4)
    hint = f"did you mean {match[0]!r}? " if match else ""
    return f"{hint}valid: {', '.join(choices)}"
