"""What recomputation may spare: a form's output and log-sum-exp, linear to keep, quadratic to make.

A function under `jax.checkpoint(policy=keeps_attention)` computes all else again.
"""

from typing import Any

import jax
from jax.ad_checkpoint import checkpoint_name

NAME = "attention"
# Gives cuDNN's output and log-sum-exp, under two names as JAX traces and as it lowers.
FLASH = "dot_product_attention_fwd"


def named(*arrays: jax.Array) -> tuple[jax.Array, ...]:
    """Return the arrays, marked as what `keeps_attention` keeps."""
    return tuple(checkpoint_name(x, NAME) for x in arrays)


def keeps_attention(primitive: Any, *_, **parameters) -> bool:
    """Say whether an operation's results are kept: a policy of `jax.checkpoint`."""
    if primitive.name == "name":
        return parameters["name"] == NAME
    return primitive.name.startswith(FLASH)
