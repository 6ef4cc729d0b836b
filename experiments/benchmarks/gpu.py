"""Long chains on a GPU: `python -m experiments.benchmarks.gpu --out DIR`.

The command needs the repository, its dependencies and JAX for the GPU; all parts together need
about 80 GB of GPU memory. It writes DIR/gpu.json again after every part, so that a crash loses
nothing. A part that fails is noted there, and the next one starts. A second call keeps the parts
that are done on the same device with the same versions, and runs the others.

    products     rate of a large matrix product in bfloat16
    error        of cuDNN and ours against dense attention in float32: |x - y| / |y| of the output
                 and of dq, dk, dv
    attention    forward, and forward and backward, causal, bfloat16: cuDNN, ours, ours by blocks
    training     the 350m preset in bfloat16 on one chain of 32 or 128 trajectories x 1000 steps x
                 4 tokens (128,000 or 512,000 tokens). The backward pass recomputes everything, or
                 everything but attention's output. Reported: seconds, tokens per second, share of
                 the peak, memory. 350m-d128 has 8 heads of 128 channels instead of 16 of 64, with
                 as many weights and operations

JAX takes three quarters of a GPU's memory. Chains of 512,000 tokens in 80 GB need more:
XLA_PYTHON_CLIENT_MEM_FRACTION=.95. Dropout is off.

Operations are those of the model: backward is twice forward, and recomputing counts nothing. For
attention alone, backward is 2.5 times forward, as is usual there. Steps of half a minute or more
run once. On another device, or with --toy, the same parts run at toy size.
"""

import argparse
import dataclasses
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import jax
import jax.numpy as jnp
import numpy as np

from agentic import provenance
from agentic.attention import BlockSpec, blockwise_attention, dense_attention, flash_attention
from agentic.bench.memory import Variant, network, training_step
from agentic.bench.problem import chain
from agentic.bench.train import flops
from agentic.network.config import PRESETS
from agentic.network.stack import Remat
from agentic.training.loop import TrainingConfig, initial_state
from agentic.training.mesh import MeshShape, make_mesh
from agentic.training.run import write_json

# Dense bfloat16 TFLOP/s by the vendor's data sheets, by a part of the device's name.
PEAKS = {"H100": 989, "H200": 989, "A100": 312}
LONG = 30.0


Parts = list[tuple[str, Callable[[float], dict]]]


def main(
    arguments: list[str] | None = None, parts_of: Callable[[bool, bool, int], Parts] | None = None
) -> None:
    """Parse and run; `parts_of` takes the place of `parts`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of gpu.json")
    parser.add_argument("--toy", action="store_true", help="toy sizes, as without a GPU")
    parser.add_argument("--only", nargs="+", default=[""], help="parts whose names start like this")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each part; their median")
    parser.add_argument("--commit", help="of this code, outside of a checkout")
    options = parser.parse_args(arguments)
    gpu = jax.default_backend() == "gpu"
    options.out.mkdir(parents=True, exist_ok=True)
    device, commit = jax.devices()[0], options.commit or provenance.commit()
    document = {
        "command": "python -m experiments.benchmarks.gpu",
        "device": device.device_kind,
        "toy": options.toy or not gpu,
        "date": provenance.day(),
        "versions": provenance.versions(("jax", "jaxlib", "flax", "optax")),
        "parts": {},
    }
    document["parts"] = done(options.out / "gpu.json", document)
    peak = next((float(x) for name, x in PEAKS.items() if name in device.device_kind), None)
    for name, work in (parts_of or parts)(document["toy"], gpu, options.repeats):
        if name in document["parts"] or not name.startswith(tuple(options.only)):
            continue
        most = peak or document["parts"].get("products", {}).get("TFLOP/s", 1.0)
        started = time.perf_counter()
        try:
            found = work(most)
        except Exception as error:  # the other parts must still run
            first = (str(error).splitlines() or [""])[0]
            found = {"failed": f"{type(error).__name__}: {first[:300]}"}
        took = {"part s": time.perf_counter() - started, "commit": commit}
        document["parts"][name] = found | took
        write_json(options.out / "gpu.json", document)
        print(name, json.dumps(document["parts"][name]), flush=True)


def done(path: Path, document: dict) -> dict:
    """Return the finished parts, if they come from the same device and versions."""
    if not path.exists():
        return {}
    before = json.loads(path.read_text())
    if any(before[key] != document[key] for key in ("device", "toy", "versions")):
        return {}
    return {name: part for name, part in before["parts"].items() if "failed" not in part}


def parts(toy: bool, gpu: bool, repeats: int) -> Parts:
    """Return the parts by name, as functions of the peak in TFLOP/s."""
    heads, size = (2, 16) if toy else (16, 64)
    few, some, many, most = (128, 128, 256, 256) if toy else (1024, 4096, 16384, 131072)
    found = [("products", partial(products, 256 if toy else 8192, repeats))]
    forms = {"ours": blockwise_attention}
    if gpu:
        forms = {"cudnn": flash_attention} | forms
    for name, form in forms.items():
        found.append((f"error {name}", partial(errors, form, (1, few, heads, size))))
    for name, form in forms.items():
        for tokens in sorted({some, many} | ({4 * many, most} if name == "cudnn" else set())):
            work = partial(attention, form, (1, tokens, heads, size), repeats)
            found.append((f"attention {name}, {tokens} tokens", work))
    if gpu:
        with_lengths = partial(attention, _whole, (1, many, heads, size), repeats)
        found.append((f"attention cudnn with lengths, {many} tokens", with_lengths))
        for tokens in (many, most):
            shape = (1, tokens, heads // 2, 2 * size)
            work = partial(attention, flash_attention, shape, repeats)
            found.append((f"attention cudnn by heads of {2 * size}, {tokens} tokens", work))
    for block in (32, 64) if toy else (512, 1024, 2048, 4096):
        form = partial(blockwise_attention, blocks=BlockSpec(block, block))
        work = partial(attention, form, (1, many, heads, size), repeats)
        found.append((f"attention ours by blocks of {block}, {many} tokens", work))
    steps = 16 if toy else 1000
    model = "3x128" if toy else "350m"
    for n, remat in ((1, "attention"), (2, "layer")) if toy else (
        (32, "attention"), (32, "layer"), (128, "attention"), (128, "layer")
    ):  # fmt: skip
        work = partial(training, model, n, steps, remat, repeats)
        found.append((f"training {model}, {n} trajectories, {remat}", work))
    if not toy:
        work = partial(training, "350m-d128", 32, steps, "attention", repeats)
        found.append(("training 350m-d128, 32 trajectories, attention", work))
    return found


def products(size: int, repeats: int, _) -> dict:
    """Return the rate of a square product in bfloat16, of random numbers."""
    x = jax.random.normal(jax.random.key(0), (size, size), jnp.bfloat16)
    seconds = timed(jax.jit(lambda x: x @ x), (x,), repeats)
    return {"size": size, "seconds": seconds, "TFLOP/s": 2 * size**3 / seconds / 1e12}


def operands(shape: tuple[int, ...]) -> tuple[jax.Array, ...]:
    """Return q, k, v and the gradient of the output, [B, T, H, D] each, in bfloat16."""
    return tuple(jax.random.normal(jax.random.key(0), (4, *shape), jnp.bfloat16))


def both(attend: Callable) -> Callable:
    """Return (q, k, v, gradient of the output) -> output and gradients."""

    def run(q, k, v, d_out):
        out, pullback = jax.vjp(partial(attend, causal=True), q, k, v)
        return out, *pullback(d_out)

    return run


def errors(attend: Callable, shape: tuple[int, ...], _) -> dict:
    """Return the relative error of the output and gradients."""
    arrays = operands(shape)
    with jax.default_matmul_precision("float32"):
        exact = jax.jit(both(dense_attention))(*(x.astype(jnp.float32) for x in arrays))
    found = jax.jit(both(attend))(*arrays)

    def error(x, y) -> float:
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        return float(np.linalg.norm(x - y) / np.linalg.norm(y))

    return dict(zip(("out", "dq", "dk", "dv"), map(error, found, exact), strict=True))


def _whole(q, k, v, *, causal):
    """Attend by cuDNN with the rows' lengths, as the network does; here every row is full."""
    lengths = jnp.full(q.shape[0], q.shape[1], jnp.int32)
    return flash_attention(q, k, v, causal=causal, lengths=lengths)


def attention(attend: Callable, shape: tuple[int, ...], repeats: int, peak: float) -> dict:
    """Return seconds and share of the peak: q, k, v [B, T, H, D] in bfloat16."""
    batch, tokens, heads, size = shape
    arrays = operands(shape)
    once = 4 * batch * heads * size * tokens * (tokens + 1) / 2
    found = {}
    for name, function, work in (
        ("forward", lambda q, k, v, _: attend(q, k, v, causal=True), once),
        ("forward and backward", both(attend), 3.5 * once),
    ):
        seconds = timed(jax.jit(function), arrays, repeats)
        found[name] = {"seconds": seconds, "of peak": work / seconds / 1e12 / peak}
    return found


def training(model: str, n: int, steps: int, remat: Remat, repeats: int, peak: float) -> dict:
    """Return the time, share of the peak and memory of steps on one chain of n trajectories."""
    name, _, _ = model.partition("-d128")
    variant = Variant(None, False, remat)
    config = network(name, variant, n, steps, "bfloat16")
    if model != name:
        width = PRESETS[name].width
        config = dataclasses.replace(config, heads=width // 128)
    state = initial_state(config, TrainingConfig(loss="all"), make_mesh(MeshShape()))
    batch = jax.tree.map(jnp.asarray, chain(config, 1))
    started = time.perf_counter()
    with jax.numpy_dtype_promotion("standard"):
        step = training_step(config, variant).lower(state, batch).compile()
    compiled = time.perf_counter() - started
    memory = step.memory_analysis()
    seconds, losses = [], []
    while len(seconds) <= repeats and max(seconds, default=0.0) < LONG:
        started = time.perf_counter()
        state, loss = jax.block_until_ready(step(state, batch))
        seconds.append(time.perf_counter() - started)
        losses.append(float(loss))
    later = seconds[1:] or seconds
    tokens, work = n * config.tokens_per_trajectory, flops(config, 1)
    return {
        "tokens": tokens,
        "losses": losses,
        "compile s": compiled,
        "s a step": median(later),
        "steps timed": len(later),
        "tokens/s": tokens / median(later),
        "TFLOP a step": work / 1e12,
        "of peak": work / median(later) / 1e12 / peak,
        "GB of arguments": memory.argument_size_in_bytes / 1e9,
        "GB temporary": memory.temp_size_in_bytes / 1e9,
        "peak GB of the process so far": device_stats().get("peak_bytes_in_use", 0) / 1e9,
    }


def device_stats() -> dict:
    """Return the statistics of the first device's allocator, where it keeps any."""
    return jax.devices()[0].memory_stats() or {}


def timed(function: Callable, operands: tuple, repeats: int) -> float:
    """Return the median seconds of several runs, after one that compiles."""
    jax.block_until_ready(function(*operands))
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        jax.block_until_ready(function(*operands))
        seconds.append(time.perf_counter() - started)
    return median(seconds)


if __name__ == "__main__":
    main()
