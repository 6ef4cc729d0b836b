"""Options that nest in parts, and stand flat on the command line and among keywords.

Options are a frozen dataclass; a field whose default is a dataclass is a part, with options of its
own. A name stands once in all parts, so that it needs no prefix.
"""

import inspect
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any


def option_names(kind: type) -> list[str]:
    """Return the flat names of all that can be given to a dataclass of options and its parts."""
    names = []
    for name in inspect.signature(kind).parameters:
        part = _part(kind, name)
        names += [name] if part is None else option_names(type(part))
    return names


def make_options(kind: type, given: Mapping[str, Any], like: Any = None) -> Any:
    """Return options of a kind, with what is given by flat names.

    The others are those of `like`, by default the kind's own defaults. Names that no part has are
    left out.
    """
    values = {}
    for name in inspect.signature(kind).parameters:
        part = _part(kind, name) if like is None else getattr(like, name)
        if is_dataclass(part):
            values[name] = make_options(type(part), given, part)
        elif name in given:
            values[name] = given[name]
        elif like is not None:
            values[name] = part
    return kind(**values)


def flat_options(options: Any) -> dict[str, Any]:
    """Return every option's value by its flat name."""
    values = {}
    for field in fields(options):
        value = getattr(options, field.name)
        values |= flat_options(value) if is_dataclass(value) else {field.name: value}
    return values


def options_from_json(kind: type, document: Mapping[str, Any]) -> Any:
    """Return options from what `dataclasses.asdict` made of them; what is missing is the default.

    What a document says of no option of today's is left out.
    """
    return make_options(kind, _leaves(document))


def same_result_names(kind: type) -> set[str]:
    """Return the flat names of options that change how steps are computed, not what is learned."""
    names = set()
    for field in fields(kind):
        part = _default(field)
        if is_dataclass(part):
            names |= same_result_names(type(part))
        elif field.metadata.get("same_result"):
            names.add(field.name)
    return names


def _leaves(document: Mapping[str, Any]) -> dict[str, Any]:
    leaves = {}
    for name, value in document.items():
        leaves |= _leaves(value) if isinstance(value, Mapping) else {name: value}
    return leaves


def _part(kind: type, name: str) -> Any:
    """Return the default of a field that is a part; None for a plain option."""
    by_name = {field.name: field for field in fields(kind)}
    default = _default(by_name[name]) if name in by_name else None
    return default if is_dataclass(default) else None


def _default(field: Field) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()
