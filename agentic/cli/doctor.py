"""`agentic doctor`: what works on this machine, and what to do about the rest.

Every check imports what it needs when it runs, and an import that fails is a finding, so that a
broken installation can still be diagnosed. Version ranges come from the installed metadata.
"""

import importlib.metadata as metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import tyro

from agentic.cli.terminal import say

# MuJoCo 4.0 is split into these. They stay behind when mujoco goes back to 3, and own its files.
MUJOCO_4_PARTS = ("mujoco-core", "mujoco-studio")
CUDA_PLUGINS = ("jax-cuda12-plugin", "jax-cuda13-plugin")
RENDER_SECONDS = 20
RENDER_ONE_FRAME = """
import mujoco
model = mujoco.MjModel.from_xml_string("<mujoco><worldbody><light/></worldbody></mujoco>")
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
with mujoco.Renderer(model, 16, 16) as renderer:
    renderer.update_scene(data)
    assert renderer.render().shape == (16, 16, 3)
"""
GIBIBYTE = 2**30
STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def available_memory(report: Path = Path("/proc/meminfo")) -> int:
    """Return the bytes that Linux calls available; elsewhere all physical memory."""
    if report.is_file():
        for line in report.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@dataclass(frozen=True)
class Machine:
    """The questions that checks ask of this machine; tests pass other answers.

    Attributes:
        version: distribution -> its version, or PackageNotFoundError.
        requires: distribution -> the lines of its requirements.
        program: name -> path of a program, or None.
        run: as `subprocess.run`.
        free_disk: folder -> bytes that are free there.
        memory: -> bytes that a new process can have.
        package: folder of the package `agentic`.
    """

    version: Callable[[str], str] = metadata.version
    requires: Callable[[str], list[str] | None] = metadata.requires
    program: Callable[[str], str | None] = shutil.which
    run: Callable[..., subprocess.CompletedProcess] = subprocess.run
    free_disk: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free
    memory: Callable[[], int] = available_memory
    package: Path = Path(__file__).resolve().parents[1]

    def installed(self, distribution: str) -> str | None:
        """Return the version of a distribution, or None where it is not installed."""
        try:
            return self.version(distribution)
        except metadata.PackageNotFoundError:
            return None

    def allowed(self, required_by: str) -> dict[str, Any]:
        """Return the versions of each package that the metadata of `required_by` allows here."""
        from packaging.requirements import Requirement
        from packaging.utils import canonicalize_name

        lines = map(Requirement, self.requires(required_by) or ())
        applies = [x for x in lines if x.marker is None or x.marker.evaluate({"extra": ""})]
        return {canonicalize_name(line.name): line.specifier for line in applies}

    def gpus(self) -> list[str]:
        """Return the names of the GPUs that nvidia-smi lists."""
        command = self.program("nvidia-smi")
        if command is None:
            return []
        query = [command, "--query-gpu=name", "--format=csv,noheader"]
        try:
            result = self.run(query, capture_output=True, text=True, timeout=10)
        except subprocess.TimeoutExpired:
            return []
        return result.stdout.split("\n")[:-1] if result.returncode == 0 else []


@dataclass(frozen=True)
class Finding:
    """The result of a check: status "ok", "warn" or "fail", and a remedy where there is one."""

    status: str
    message: str
    remedy: str = ""


def check_python(machine: Machine) -> Finding:
    """Compare the interpreter with the range that the package's metadata states."""
    from packaging.specifiers import SpecifierSet

    version = platform.python_version()
    needed = metadata.metadata("agentic")["Requires-Python"]
    message = f"{version} at {sys.executable}"
    if SpecifierSet(needed).contains(version, prereleases=True):
        return Finding("ok", message)
    return Finding(
        "fail",
        f"{message}; {needed} is needed",
        f"make a virtual environment with a Python {needed} and install agentic there",
    )


def check_package(machine: Machine, name: str, required_by: str = "agentic") -> Finding:
    """Compare an installed version with the range in the metadata of `required_by`."""
    needed, version = machine.allowed(required_by)[name], machine.installed(name)
    remedy = f'pip install "{name}{needed}"'
    if version is None:
        return Finding("fail", f"not installed; {required_by} needs {name}{needed}", remedy)
    if needed.contains(version, prereleases=True):
        return Finding("ok", version)
    return Finding("fail", f"{version}; {required_by} needs {name}{needed}", remedy)


def check_mujoco(machine: Machine) -> Finding:
    """Compare mujoco's version, and find the parts that a MuJoCo 4 installation leaves behind."""
    found = check_package(machine, "mujoco")
    left = [name for name in MUJOCO_4_PARTS if machine.installed(name)]
    if found.status == "ok" and not left:
        return found
    message = found.message
    if left:
        message += (
            f"; {' and '.join(left)} of MuJoCo 4 also installed: they own the same files, so "
            "the two versions overwrite each other"
        )
    return Finding(
        "fail",
        message,
        f"pip uninstall --yes mujoco {' '.join(MUJOCO_4_PARTS)} && pip install --force-reinstall "
        f'--no-deps "mujoco{machine.allowed("agentic")["mujoco"]}"',
    )


def check_simulation(machine: Machine) -> Finding:
    """Simulate three steps of a task, unless mujoco is broken."""
    if check_mujoco(machine).status == "fail":
        return Finding("fail", "not tried", "mend mujoco first (see above)")
    import numpy as np

    from agentic.simulation import make_simulation

    task, steps = "cartpole_swingup", 3
    simulation = make_simulation(task, num=1)
    simulation.reset([0], [(0,)])
    for _ in range(steps):
        simulation.step(np.zeros((1, 1), np.float32))
    return Finding("ok", f"{steps} steps of {task}")


def check_devices(machine: Machine) -> Finding:
    """List JAX's devices, and notice a GPU that JAX does not use."""
    import jax

    devices = jax.devices()
    kinds = sorted({device.device_kind for device in devices})
    message = f"{len(devices)} x {', '.join(kinds)} ({jax.default_backend()})"
    gpus = machine.gpus()
    if jax.default_backend() != "cpu" or not gpus:
        return Finding("ok", message)
    message += f"; nvidia-smi lists {', '.join(gpus)}, which JAX does not use"
    if any(machine.installed(plugin) for plugin in CUDA_PLUGINS):
        return Finding(
            "warn", message, "unset JAX_PLATFORMS if it says cpu; else update the driver"
        )
    message += ", because this JAX has no CUDA"
    return Finding("warn", message, 'pip install "agentic[gpu]"')


def check_rendering(machine: Machine) -> Finding:
    """Draw one frame without a display, in a process of its own, which OpenGL may crash."""
    failures = []
    for backend in ("egl", "osmesa"):
        try:
            result = machine.run(
                [sys.executable, "-c", RENDER_ONE_FRAME],
                env={**os.environ, "MUJOCO_GL": backend, "PYOPENGL_PLATFORM": backend},
                capture_output=True,
                text=True,
                timeout=RENDER_SECONDS,
            )
        except subprocess.TimeoutExpired:
            failures.append(f"{backend}: no frame within {RENDER_SECONDS} s")
            continue
        if result.returncode == 0:
            return Finding("ok", f"one frame with MUJOCO_GL={backend}")
        last = (result.stderr.strip().splitlines() or [f"exit status {result.returncode}"])[-1]
        failures.append(f"{backend}: {last[:120]}")
    return Finding(
        "warn",
        f"videos cannot be drawn ({'; '.join(failures)}); training and evaluation work without",
        "on Debian or Ubuntu: apt-get install libegl1 libosmesa6",
    )


def check_ffmpeg(machine: Machine) -> Finding:
    """Find the ffmpeg of imageio-ffmpeg, or the machine's own; only mp4 files need one."""
    version = machine.installed("imageio-ffmpeg")
    if version is not None:
        return Finding("ok", f"imageio-ffmpeg {version}")
    path = machine.program("ffmpeg")
    if path is not None:
        return Finding("ok", path)
    return Finding(
        "ok", "not installed (optional); videos cannot be mp4", 'pip install "agentic[video]"'
    )


def check_optional(machine: Machine, distribution: str, extra: str, without: str) -> Finding:
    """Say whether an optional package is installed, and what does not work without it."""
    version = machine.installed(distribution)
    if version is not None:
        return Finding("ok", f"{distribution} {version}")
    return Finding(
        "ok",
        f"{distribution} is not installed (optional); {without}",
        f'pip install "agentic[{extra}]"',
    )


def check_sample(machine: Machine) -> Finding:
    """Find the sample data, in the wheel or in the checkout."""
    places = (machine.package / "sample", machine.package.parent / "data" / "sample")
    for place in places:
        count = sum(1 for _ in place.rglob("*.npz"))
        if count:
            return Finding("ok", f"{count} episodes in {place}")
    return Finding(
        "fail",
        f"no episodes in {places[0]} or {places[1]}",
        "reinstall agentic, or in a checkout restore the folder: git checkout -- data/sample",
    )


def check_disk(machine: Machine) -> Finding:
    """Measure the free disk below the current folder, where run folders go."""
    free = machine.free_disk(Path.cwd())
    message = f"{free / GIBIBYTE:.1f} GiB free in {Path.cwd()}"
    if free >= GIBIBYTE:
        return Finding("ok", message)
    status = "warn" if free >= GIBIBYTE / 10 else "fail"
    return Finding(status, message, "free some space, or give --out a folder on another disk")


def check_memory(machine: Machine) -> Finding:
    """Measure the memory that a new process can have."""
    available = machine.memory()
    message = f"{available / GIBIBYTE:.1f} GiB available"
    if available >= 2 * GIBIBYTE:
        return Finding("ok", message)
    return Finding("warn", message, "close other programs, or train with --batch-size 8")


Check = Callable[[Machine], Finding]
# In reading order, behind those of the packages.
CHECKS: tuple[tuple[str, Check], ...] = (
    ("python", check_python),
    ("jaxlib", partial(check_package, name="jaxlib", required_by="jax")),
    ("mujoco", check_mujoco),
    ("simulation", check_simulation),
    ("devices", check_devices),
    ("rendering", check_rendering),
    ("ffmpeg", check_ffmpeg),
    ("sample data", check_sample),
    ("disk", check_disk),
    ("memory", check_memory),
    *(
        (name, partial(check_optional, distribution=distribution, extra=extra, without=without))
        for name, distribution, extra, without in (
            ("tensorboard", "tensorboardX", "tensorboard", "metrics go to metrics.jsonl alone"),
            ("minari", "minari", "minari", "Minari data sets cannot be read or written"),
            ("jupyter", "jupyterlab", "notebook", "the notebooks cannot be opened"),
            ("slurm", "submitit", "cluster", "experiments run on this machine alone"),
        )
    ),
)


def all_checks(machine: Machine) -> list[tuple[str, Check]]:
    """Return a check of each package that agentic declares, and the others."""
    names = set()
    # Where metadata or `packaging` is missing, the other checks say so.
    with suppress(metadata.PackageNotFoundError, ImportError):
        names = set(machine.allowed("agentic")) - {"mujoco"}
    return [*((name, partial(check_package, name=name)) for name in sorted(names)), *CHECKS]


def diagnose(
    machine: Machine, checks: Sequence[tuple[str, Check]]
) -> Iterator[tuple[str, Finding]]:
    """Yield (name, finding) of each check when it is known; change and download nothing."""
    for name, check in checks:
        yield name, _finding(machine, check)


def _finding(machine: Machine, check: Check) -> Finding:
    """Run a check; an exception becomes its finding, so that the other checks still run."""
    try:
        return check(machine)
    except metadata.PackageNotFoundError as error:
        return Finding(
            "fail",
            f"the package {error.name} is not installed in {sys.prefix}",
            "in a checkout: make install; elsewhere: pip install agentic",
        )
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        return Finding(
            "fail",
            f"{type(error).__name__}: {lines[0]}",
            "pip install --force-reinstall agentic; if this line comes back, report it",
        )


def doctor(
    arguments: Sequence[str],
    machine: Machine = Machine(),
    checks: Sequence[tuple[str, Check]] | None = None,
) -> None:
    """Parse and run `checks`, by default all; exits with 1 if one fails."""
    checks = all_checks(machine) if checks is None else checks

    def command() -> None:
        """Check versions, devices, rendering and data, and say how to mend what is wrong."""
        width = max(len(name) for name, _ in checks)
        failed = False
        for name, finding in diagnose(machine, checks):
            say(f"{finding.status:<4}  {name:<{width}}  {finding.message}", STYLES[finding.status])
            if finding.remedy:
                say(f"{'':<{width + 8}}{finding.remedy}")
            failed |= finding.status == "fail"
        if failed:
            sys.exit(1)

    tyro.cli(command, prog="agentic doctor", args=arguments)
