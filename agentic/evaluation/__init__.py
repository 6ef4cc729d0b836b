"""Policies measured: contexts of several episodes under stated conditions, and their protocols."""

from agentic.evaluation.condition import Condition

__all__ = ["Condition"]
