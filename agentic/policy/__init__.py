"""The policy Transformer; configuration is importable without jax."""

from agentic.policy.config import INPUTS, Normalization, PolicyConfig

__all__ = ["INPUTS", "Normalization", "PolicyConfig"]
