"""What serves a call, and why; whatever is chosen gives what dense attention gives."""

from types import SimpleNamespace

import jax.numpy as jnp
import pytest
from support import attention_cases as cases

from agentic.attention import attend, choose
from agentic.attention.dispatch import serves_flash
from agentic.errors import AgenticError


@pytest.mark.parametrize(
    ("arguments", "options", "kernel", "why"),
    [
        ((4096, 4096, 64), {}, "blockwise", "blocks of 512 by 512"),
        ((1, 4096, 64), {}, "dense", "1 queries have few scores"),
        ((4096, 4096, 64, "bfloat16"), {"backend": "gpu"}, "cudnn", "heads of 64 on a GPU"),
        ((4096, 4096, 64, "bfloat16"), {"backend": "gpu", "positions": True}, "blockwise",
         "positions are given"),
        ((4096, 4096, 64, "float32"), {"backend": "gpu"}, "blockwise", "cudnn cannot: float32"),
        ((4096, 4096, 60, "bfloat16"), {"backend": "gpu"}, "blockwise", "heads of 60"),
        ((24, 4096, 64, "bfloat16"), {"backend": "gpu"}, "blockwise", "24 queries of 4096 keys"),
        ((4096, 4096, 64), {"backend": "gpu"}, "blockwise", "blocks of 1024 by 1024"),
        ((16384, 16384, 64), {"backend": "gpu"}, "blockwise", "blocks of 2048 by 2048"),
        ((1024, 1024, 64), {"devices": 4}, "gathered", "4096 keys fit on every device"),
        ((16384, 16384, 64), {"devices": 4}, "ring", "65536 keys over 4 devices"),
    ],
)  # fmt: skip
def test_the_kernel_and_the_reason(arguments, options, kernel, why):
    choice = choose(*arguments, **{"backend": "cpu"} | options)
    assert choice.kernel == kernel and why in str(choice)


@pytest.mark.parametrize(
    ("version", "capability", "serves"),
    [
        ("PJRT C API\ncuda 13000", "9.0", True),
        ("cuda 12090", "7.5", False),
        ("rocm 7", "9.0", False),
    ],
)
def test_cudnn_is_chosen_where_it_runs(version, capability, serves):
    client = SimpleNamespace(platform_version=version)
    device = SimpleNamespace(platform="gpu", compute_capability=capability, client=client)
    assert serves_flash(device) == serves


@pytest.mark.parametrize("queries", [3, 24])
def test_what_is_chosen_is_dense_attention(queries):
    arrays = cases.operands(queries, 24)
    results = cases.value_and_gradients(attend, *arrays)
    cases.agree(results, arrays, *cases.positions(queries, 24))


def test_a_kernel_that_does_not_exist_or_apply_is_one_sentence():
    q, k, v, _ = cases.operands(4, 4)
    with pytest.raises(AgenticError, match="'blockwize'"):
        attend(q, k, v, kernel="blockwize")
    with pytest.raises(AgenticError, match="'ring' works on a sequence split over an axis"):
        attend(q, k, v, kernel="ring")
    places = jnp.zeros((2, 4), jnp.int32)
    with pytest.raises(AgenticError, match="'cudnn' takes lengths but no positions"):
        attend(q, k, v, q_positions=places, kv_positions=places, kernel="cudnn")
    with pytest.raises(AgenticError, match="as many queries as keys, not 3 and 4"):
        attend(q[:, :3], k, v, kernel="cudnn")
    with pytest.raises(AgenticError, match=r"scale is -1\.0: it must be positive"):
        attend(q, k, v, scale=-1.0)
