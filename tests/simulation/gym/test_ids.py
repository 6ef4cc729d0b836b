"""Laws: every task has one identifier, in whatever order the two packages are imported."""

import subprocess
import sys

import gymnasium
import pytest

import agentic
from agentic.simulation.tasks import FAMILY_BASES, task_names

# What a program sees after its imports; registering must load no simulator.
CHECK = """
import sys
assert "agentic/jaco_reach_top_left-v0" in gymnasium.registry
loaded = {"mujoco", "dm_control", "OpenGL", "glfw", "jax"} & set(sys.modules)
assert not loaded, loaded
assert type(gymnasium.__spec__.loader).__name__ == "SourceFileLoader"
assert not [each for each in sys.meta_path if type(each).__module__.startswith("agentic")]
"""
IMPORTS = {
    "agentic first": "import agentic, gymnasium",
    "gymnasium first": "import gymnasium, agentic",
    "a part of gymnasium": "import agentic\nfrom gymnasium.envs import registration\n"
    "import gymnasium",
    "twice": "import agentic, importlib\nimportlib.reload(agentic)\nimport gymnasium",
    "by hand, too": "import agentic, gymnasium\nagentic.register()\nagentic.register()",
}


def run(program):
    return subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


@pytest.mark.parametrize("order", IMPORTS)
def test_identifiers_are_there_in_either_order(order):
    run(IMPORTS[order] + CHECK)


def test_importing_the_package_alone_loads_no_gymnasium():
    run(
        "import agentic, sys\n"
        "loaded = {'gymnasium', 'numpy', 'agentic.simulation.tasks'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )


def test_an_import_that_finds_nothing_is_not_hidden_and_the_next_one_registers():
    run(
        "import agentic, sys\n"
        "path, sys.path[:] = list(sys.path), []\n"
        "try:\n"
        "    import gymnasium\n"
        "except ModuleNotFoundError as error:\n"
        "    assert error.name == 'gymnasium'\n"
        "else:\n"
        "    raise AssertionError\n"
        "sys.path[:] = path\n"
        "import gymnasium\n" + CHECK
    )


def test_every_task_and_family_is_registered_once():
    agentic.register()
    assert {f"agentic/{name}-v0" for name in (*task_names(), *FAMILY_BASES)} == {
        name for name in gymnasium.registry if name.startswith("agentic/")
    }


def test_the_name_of_the_package_may_stand_before_the_identifier():
    env = gymnasium.make("agentic:agentic/point_mass_maze_reach_top_left-v0")
    assert env.unwrapped.observation_space.shape == (4,)
