"""The Transformer; its configuration is importable without jax."""

from agentic.network.config import INPUTS, NetworkConfig, Normalization

__all__ = ["INPUTS", "NetworkConfig", "Normalization"]
