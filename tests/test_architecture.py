"""The package is a stack: imports point down, third parties have one door, importing does nothing.

Every import statement counts, also one inside a function: it waits, but it points somewhere too.
"""

import ast
import json
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import agentic

ROOT = Path(agentic.__file__).parent
# Bottom first. Modules in one row do not know each other.
LEVELS = [
    {"errors"},
    {"files", "provenance", "interruption", "progress", "trajectory"},
    {"hindsight", "attention", "simulation"},
    {"network", "download"},
    {"dataset"},
    {"training", "acting"},
    {"methods"},
    {"collect", "evaluation"},
    {"report"},
    {"experiment"},
    {"bench"},
    # The package itself: the names that users import.
    {""},
    {"cli"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}
DOORS = {
    "dm_control": {"simulation"},
    "mujoco": {"simulation"},
    "gymnasium": {"simulation"},
    "requests": {"download"},
    "filelock": {"files"},
    "h5py": {"dataset"},
    "minari": {"dataset"},
    "orbax": {"training"},
    "flax": {"network", "methods", "collect"},
    "optax": {"training", "methods", "collect"},
    "matplotlib": {"report"},
    "jinja2": {"report"},
    "scipy": {"evaluation"},
    "submitit": {"experiment"},
    "tyro": {"cli"},
    "rich": {"cli"},
    "jax": {
        "attention", "network", "training", "acting", "methods", "collect", "evaluation", "bench",
        "cli",
    },
}  # fmt: skip
HEAVY = (
    "jax", "mujoco", "dm_control", "gymnasium", "h5py", "minari", "matplotlib", "requests",
)  # fmt: skip
LIGHT = ("agentic", "agentic.cli", "agentic.simulation.tasks", "agentic.dataset", "agentic.methods",
         "agentic.collect")  # fmt: skip


def name_of(path: Path) -> str:
    """Return the dotted name inside the package: "" for the package itself, "policy.config"."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): ast.parse(path.read_text()) for path in sorted(ROOT.rglob("*.py"))}


def imported(tree: ast.AST) -> set[str]:
    """Return the absolute dotted names of all that a module imports, wherever in it."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write the absolute name"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def own_imports(tree: ast.AST) -> set[str]:
    """Return the modules of this package that a module imports, as `name_of` calls them."""
    found = set()
    for name in imported(tree):
        head, _, rest = name.partition(".")
        if head != "agentic":
            continue
        while rest not in MODULES:  # a name within a module
            rest = rest.rpartition(".")[0]
        found.add(rest)
    return found


def test_every_module_has_a_level():
    unknown = {name.split(".")[0] for name in MODULES} - LEVEL.keys()
    assert not unknown, f"give {sorted(unknown)} a place in LEVELS"


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module):
    mine = module.split(".")[0]
    for name in own_imports(MODULES[module]):
        theirs = name.split(".")[0]
        assert theirs == mine or LEVEL[theirs] < LEVEL[mine], (
            f"agentic.{module} imports agentic.{name}, which does not lie below it"
        )


def test_no_module_imports_itself_by_a_detour():
    # A package's __init__ names what is inside it; inside, no one asks the __init__.
    graph = {name: own_imports(tree) - {name} for name, tree in MODULES.items()}
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("library", DOORS)
def test_a_third_party_has_one_door(library):
    users = {
        module.split(".")[0]
        for module, tree in MODULES.items()
        if any(name.split(".")[0] == library for name in imported(tree))
    }
    assert users <= DOORS[library], f"{library} is for {sorted(DOORS[library])} alone"
    assert users, f"no one imports {library}: take its door away"


def test_files_are_named_after_what_they_hold():
    empty = {"utils", "util", "common", "misc", "helpers", "helper"}
    assert not {part for name in MODULES for part in name.split(".")} & empty


def after(statements: str) -> list | dict:
    """Return what a new interpreter prints as JSON after `statements`."""
    command = [sys.executable, "-c", f"import json, sys\n{statements}"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(result.stdout)


@pytest.mark.parametrize("module", LIGHT)
def test_the_first_import_loads_nothing_heavy(module):
    loaded = after(f"import {module}\nprint(json.dumps([m for m in {HEAVY} if m in sys.modules]))")
    assert loaded == []


def test_importing_every_module_changes_no_environment_variable_and_opens_no_opengl():
    names = [f"agentic.{name}".rstrip(".") for name in MODULES if name != "__main__"]
    changed, opened = after(
        f"""
import importlib, os
import gymnasium  # sets one itself, to silence pygame
before = dict(os.environ)
for name in {names}:
    importlib.import_module(name)
changed = sorted(set(before.items()) ^ set(os.environ.items()))
opened = sorted(set(sys.modules) & {{"OpenGL", "dm_control.suite", "dm_control._render"}})
print(json.dumps([changed, opened]))
"""
    )
    assert changed == [] and opened == []
