"""The policy Transformer; configuration is importable without jax."""

from agentic.network.config import INPUTS, Normalization, PolicyConfig

__all__ = ["INPUTS", "Normalization", "PolicyConfig"]
