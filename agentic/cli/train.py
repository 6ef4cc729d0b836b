"""`agentic train`."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from agentic.attention import choose
from agentic.cli.methods import Where, configuration, parse
from agentic.cli.terminal import progress, say
from agentic.dataset import Dataset
from agentic.methods.options import BaselineConfig
from agentic.methods.transformer import ExperimentConfig, load_data, run
from agentic.training.processes import Processes, ending_at_once, leads, wait


def train(arguments: Sequence[str]) -> None:
    """Parse and run."""
    command = parse(arguments)
    config = configuration(command)
    if not isinstance(command, Processes):
        train_together(config, command)
        return
    own = {field.name: getattr(command, field.name) for field in fields(Processes)}
    Processes(**own).start()
    with ending_at_once():
        train_together(config, command)


def train_together(config: ExperimentConfig | BaselineConfig, command: Where) -> None:
    """Train, of several processes the first with words and bars and the others without."""
    if command.relabel:
        if leads():
            label_if_needed(config)
        wait("labelled")
    if not leads():
        run(config, command.out, command.resume)
        return
    data = load(config)
    if attends_slowly(config):
        say("hint: --dtype bfloat16 lets cuDNN attend, faster on long chains", style="dim")
    train_with_progress(config, command.out, command.resume, data)
    say(f"trained: {command.out}\nnext: agentic evaluate {command.out}")


def label_if_needed(config: ExperimentConfig | BaselineConfig) -> None:
    """Label the configuration's store for its task where it is not; episodes always are."""
    store = Path(config.data)
    if store.suffix != ".h5":
        return
    from agentic.cli.labels import label_store
    from agentic.dataset.store.reading import is_labelled

    if not is_labelled(store, config.task, config.control):
        label_store(store, [config.task], config.control)


def load(config: ExperimentConfig | BaselineConfig) -> Dataset:
    """Load the configuration's data set behind a progress bar."""
    with progress("loading", "episodes") as advance:
        data = load_data(config, advance)
        advance(len(data), len(data))
    returns = data.returns
    say(
        f"{len(data)} episodes of {config.task}, returns {returns.min():.0f} to "
        f"{returns.max():.0f}, mean {returns.mean():.0f}"
    )
    if returns.max() == returns.min():
        say(
            "warning: all returns are equal, so there is nothing to rank or to aim at; collect or "
            "take more data",
            style="yellow",
        )
    if not str(config.data).endswith(".h5"):
        say(
            f"hint: `agentic data convert {config.data} OUT.h5 --task {config.task}` makes "
            "loading fast",
            style="dim",
        )
    return data


def train_with_progress(
    config: ExperimentConfig | BaselineConfig, out: Path, resume: bool, data: Dataset
) -> None:
    """Train behind a progress bar."""
    with progress(f"training {config.method}", "steps") as advance:
        advance(0, config.steps, "compiling")
        run(config, out, resume, data, advance)


def attends_slowly(config: ExperimentConfig | BaselineConfig) -> bool:
    """Say whether a GPU would attend by cuDNN with activations of 16 bits, and does not."""
    if not isinstance(config, ExperimentConfig) or config.dtype != "float32":
        return False
    if "sequence" in (config.mesh or ""):
        return False
    # Of the tokens, that there are more than a few is all that counts.
    head_size = config.size.width // config.size.heads
    return choose(1024, 1024, head_size, "bfloat16").kernel == "cudnn"
