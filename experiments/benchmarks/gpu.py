"""What a GPU makes of long chains: `python -m experiments.benchmarks.gpu --out DIR`.

One command for a machine with a GPU (about 80 GB for the whole of it), needing the repository, its
dependencies and JAX for that GPU. In DIR, gpu.json is written anew after every part, so that a
crash loses nothing; a part that fails says so there, and the next one starts.

    products     rate of a large matrix product in bfloat16
    attention    forward, and forward and backward, ours and cuDNN's, causal, bfloat16
    training     the 350m preset in bfloat16 with recomputed layers, one chain of 32 and of 128
                 trajectories x 1000 steps x 4 tokens: 128,000 and 512,000 tokens, with both
                 attentions: seconds, tokens a second, share of the peak (model FLOPs, counting
                 nothing twice), peak memory

Elsewhere, or with --toy, the same parts run at toy size.
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp

from agentic import provenance
from agentic.attention import blockwise_attention
from agentic.bench.memory import Variant, policy, training_step
from agentic.bench.train import chain, flops
from agentic.run_folder import write_json
from agentic.training import TrainingConfig, initial_state

# Dense bfloat16 TFLOP/s by the vendor's data sheets, by a part of the device's name.
PEAKS = {"H100": 989, "H200": 989, "A100": 312}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of gpu.json")
    parser.add_argument("--toy", action="store_true", help="toy sizes, as without a GPU")
    parser.add_argument("--model", default=None, help="preset, 350m by default")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each part; fastest counts")
    options = parser.parse_args(arguments)
    gpu = jax.default_backend() == "gpu"
    toy = options.toy or not gpu
    options.out.mkdir(parents=True, exist_ok=True)
    device = jax.devices()[0]
    document = {
        "command": "python -m experiments.benchmarks.gpu",
        "device": device.device_kind,
        "toy": toy,
        "date": provenance.day(),
        "commit": provenance.commit(),
        "versions": provenance.versions(("agentic", "jax", "jaxlib", "flax", "optax")),
        "parts": {},
    }

    def part(name: str, work: Callable[[], dict]) -> dict:
        try:
            found = work()
        except Exception as error:  # a part that fails must not take the others along
            found = {"failed": f"{type(error).__name__}: {str(error).splitlines()[0][:300]}"}
        document["parts"][name] = found
        write_json(options.out / "gpu.json", document)
        print(name, json.dumps(found), flush=True)
        return found

    repeats = options.repeats
    rate = part("products", partial(products, 256 if toy else 8192, repeats)).get("TFLOP/s", 0.0)
    known = [peak for name, peak in PEAKS.items() if name in device.device_kind]
    peak = float(known[0]) if known else rate
    kernels = {"ours": blockwise_attention} | ({"cudnn": cudnn_attention} if gpu else {})
    for tokens in (256,) if toy else (4096, 16384, 65536, 131072):
        for name, attend in kernels.items():
            shape = (1, tokens, 2, 16) if toy else (1, tokens, 16, 64)
            part(f"attention {name} {tokens}", partial(attention, attend, shape, repeats, peak))
    model = options.model or ("3x128" if toy else "350m")
    for n in (1, 2) if toy else (32, 128):
        for name, attend in kernels.items():
            work = partial(training, model, n, 16 if toy else 1000, attend, repeats, peak)
            part(f"training {model} {name} {n} trajectories", work)


def cudnn_attention(q, k, v, *, causal: bool, q_positions, kv_positions) -> jax.Array:
    """Attend by cuDNN; right for whole trajectories in their own order, which these chains are."""
    return jax.nn.dot_product_attention(q, k, v, is_causal=causal, implementation="cudnn")


def products(size: int, repeats: int) -> dict:
    """Return the rate of a square product in bfloat16."""
    x = jnp.ones((size, size), jnp.bfloat16)
    seconds = fastest(jax.jit(lambda x: x @ x), (x,), repeats)
    return {"size": size, "seconds": seconds, "TFLOP/s": 2 * size**3 / seconds / 1e12}


def attention(attend: Callable, shape: tuple[int, ...], repeats: int, peak: float) -> dict:
    """Return seconds and share of the peak: q, k, v [B, T, H, D] in bfloat16."""
    batch, tokens, heads, size = shape
    q, k, v = jax.random.normal(jax.random.key(0), (3, *shape), jnp.bfloat16)
    places = jnp.arange(tokens, dtype=jnp.int32)[None]

    def forward(q, k, v):
        return attend(q, k, v, causal=True, q_positions=places, kv_positions=places)

    def total(q, k, v):
        return forward(q, k, v).astype(jnp.float32).sum()

    once = 4 * batch * heads * size * tokens * (tokens + 1) / 2
    found = {}
    for name, function, work in (
        ("forward", forward, once),
        ("forward and backward", jax.grad(total, argnums=(0, 1, 2)), 3.5 * once),
    ):
        seconds = fastest(jax.jit(function), (q, k, v), repeats)
        found[name] = {"seconds": seconds, "of peak": work / seconds / 1e12 / peak}
    return found


def training(model: str, n: int, steps: int, attend: Callable, repeats: int, peak: float) -> dict:
    """Return what steps on one chain of n trajectories cost: time, share of the peak, memory."""
    variant = Variant(attend, False, "layer")
    config = policy(model, variant, n, steps, "bfloat16")
    step = training_step(config, variant)
    state = initial_state(config, TrainingConfig(loss="all"))
    batch = jax.tree.map(jnp.asarray, chain(config, 1))
    seconds = []
    with jax.numpy_dtype_promotion("standard"):
        for _ in range(repeats + 1):
            started = time.perf_counter()
            state, loss = jax.block_until_ready(step(state, batch))
            seconds.append(time.perf_counter() - started)
    first, *rest = seconds
    tokens = n * config.tokens_per_trajectory
    memory = jax.devices()[0].memory_stats() or {}
    return {
        "tokens": tokens,
        "loss": float(loss),
        "first step s": first,
        "s a step": min(rest),
        "tokens/s": tokens / min(rest),
        "of peak": flops(config, 1) / min(rest) / 1e12 / peak,
        "peak GB of the process so far": memory.get("peak_bytes_in_use", 0) / 1e9,
    }


def fastest(function: Callable, operands: tuple, repeats: int) -> float:
    """Return the seconds of the fastest of several runs, after one that compiles."""
    jax.block_until_ready(function(*operands))
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        jax.block_until_ready(function(*operands))
        seconds.append(time.perf_counter() - started)
    return min(seconds)


if __name__ == "__main__":
    main()
