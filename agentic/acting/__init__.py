"""Policies that act: with a context, without memory, side by side in rollouts."""
