"""The old home of `TaskEnv`: Minari data sets that were exported before name this module."""

from agentic.simulation.gym.environment import TaskEnv

__all__ = ["TaskEnv"]
