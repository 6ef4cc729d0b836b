"""What works on this machine, and what to do about the rest.

Every check imports what it needs when it runs, and an import that fails is a finding, so that a
broken installation can still be diagnosed. Version ranges are read from the installed metadata.
"""

import importlib.metadata as metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PACKAGES = (
    "jax",
    "flax",
    "optax",
    "orbax-checkpoint",
    "numpy",
    "dm-control",
    "gymnasium",
    "h5py",
)
# MuJoCo 4.0 is split into these; they stay behind when mujoco goes back to 3 and own its files.
MUJOCO_4_PARTS = ("mujoco-core", "mujoco-studio")
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


@dataclass(frozen=True)
class Check:
    """One finding: status is "ok", "warn" or "fail"; remedy says what to do, "" if nothing."""

    name: str
    status: str
    message: str
    remedy: str = ""


def diagnose() -> list[Check]:
    """Return all findings in reading order; nothing is printed, changed or downloaded."""
    checks = [_guarded("python", check_python)]
    checks += [_guarded(name, lambda name=name: check_package(name)) for name in PACKAGES]
    checks.append(_guarded("jaxlib", lambda: check_package("jaxlib", required_by="jax")))
    mujoco = _guarded("mujoco", check_mujoco)
    checks.append(mujoco)
    if mujoco.status == "fail":
        checks.append(Check("simulation", "fail", "not tried", "mend mujoco first (see above)"))
    else:
        checks.append(_guarded("simulation", check_simulation))
    rest = {
        "devices": check_devices,
        "rendering": check_rendering,
        "sample data": check_sample,
        "disk": check_disk,
        "memory": check_memory,
        "tensorboard": check_tensorboard,
    }
    return checks + [_guarded(name, check) for name, check in rest.items()]


def check_python() -> Check:
    """Compare the interpreter with the range that the package's metadata states."""
    from packaging.specifiers import SpecifierSet

    version = platform.python_version()
    needed = metadata.metadata("agentic")["Requires-Python"]
    message = f"{version} at {sys.executable}"
    if SpecifierSet(needed).contains(version, prereleases=True):
        return Check("python", "ok", message)
    return Check(
        "python",
        "fail",
        f"{message}; {needed} is needed",
        f"make a virtual environment with a Python {needed} and install agentic there",
    )


def check_package(name: str, required_by: str = "agentic") -> Check:
    """Compare an installed version with the range in the metadata of `required_by`."""
    needed = _range(name, required_by)
    remedy = f'pip install "{name}{needed}"'
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Check(name, "fail", f"not installed; {required_by} needs {name}{needed}", remedy)
    if needed.contains(version, prereleases=True):
        return Check(name, "ok", version)
    return Check(name, "fail", f"{version}; {required_by} needs {name}{needed}", remedy)


def check_mujoco() -> Check:
    """Compare mujoco's version, and find the parts that a MuJoCo 4 installation leaves behind."""
    check = check_package("mujoco")
    left = [name for name in MUJOCO_4_PARTS if _installed(name)]
    if check.status == "ok" and not left:
        return check
    remedy = (
        f"pip uninstall --yes mujoco {' '.join(MUJOCO_4_PARTS)} && pip install --force-reinstall "
        f'--no-deps "mujoco{_range("mujoco", "agentic")}"'
    )
    message = check.message
    if left:
        message += (
            f"; {' and '.join(left)} of MuJoCo 4 also installed: they own the same files, so "
            "that the two versions overwrite each other"
        )
    return Check("mujoco", "fail", message, remedy)


def check_simulation() -> Check:
    """Simulate three steps of a task."""
    import numpy as np

    from agentic.simulation import make_simulation

    task, steps = "cartpole_swingup", 3
    simulation = make_simulation(task, num=1)
    simulation.reset([0], [(0,)])
    for _ in range(steps):
        simulation.step(np.zeros((1, 1), np.float32))
    return Check("simulation", "ok", f"{steps} steps of {task}")


def check_devices() -> Check:
    """List JAX's devices, and notice a GPU that JAX does not use."""
    import jax

    devices = jax.devices()
    kinds = sorted({device.device_kind for device in devices})
    message = f"{len(devices)} x {', '.join(kinds)} ({jax.default_backend()})"
    gpus = _nvidia_gpus()
    if jax.default_backend() == "cpu" and gpus:
        return Check(
            "devices",
            "warn",
            f"{message}; nvidia-smi sees {', '.join(gpus)}, which JAX does not use",
            'pip install "agentic[gpu]" (and unset JAX_PLATFORMS if it says cpu)',
        )
    return Check("devices", "ok", message)


def check_rendering() -> Check:
    """Draw one frame without a display, in a process of its own: OpenGL can end its process."""
    failures = []
    for backend in ("egl", "osmesa"):
        try:
            result = subprocess.run(
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
            return Check("rendering", "ok", f"one frame with MUJOCO_GL={backend}")
        last = (result.stderr.strip().splitlines() or [f"exit status {result.returncode}"])[-1]
        failures.append(f"{backend}: {last[:120]}")
    return Check(
        "rendering",
        "warn",
        f"no video can be written ({'; '.join(failures)}); training and evaluation need none",
        "on Debian or Ubuntu: apt-get install libegl1 libosmesa6",
    )


def check_sample() -> Check:
    """Find the sample data, in the wheel or in the checkout."""
    package = Path(__file__).resolve().parents[1]
    places = (package / "sample", package.parent / "data" / "sample")
    for place in places:
        count = sum(1 for _ in place.rglob("*.npz"))
        if count:
            return Check("sample data", "ok", f"{count} episodes in {place}")
    return Check(
        "sample data",
        "fail",
        f"no episodes in {places[0]} or {places[1]}",
        "reinstall agentic, or in a checkout restore the folder: git checkout -- data/sample",
    )


def check_disk() -> Check:
    """Measure the room where run folders are written: below the current folder."""
    free = shutil.disk_usage(".").free
    message = f"{free / GIBIBYTE:.1f} GiB free in {Path.cwd()}"
    if free >= GIBIBYTE:
        return Check("disk", "ok", message)
    status = "warn" if free >= GIBIBYTE / 10 else "fail"
    return Check("disk", status, message, "make room, or give --out a folder on another disk")


def check_memory() -> Check:
    """Measure the memory that a new process can have."""
    available = _available_memory()
    message = f"{available / GIBIBYTE:.1f} GiB available"
    if available >= 2 * GIBIBYTE:
        return Check("memory", "ok", message)
    return Check("memory", "warn", message, "close other programs, or train with --batch-size 8")


def check_tensorboard() -> Check:
    """Say whether metrics also go to TensorBoard, which is optional."""
    if _installed("tensorboardX"):
        return Check("tensorboard", "ok", f"tensorboardX {metadata.version('tensorboardX')}")
    return Check(
        "tensorboard",
        "ok",
        "tensorboardX is not installed (optional); metrics.jsonl is written without it",
        'pip install "agentic[tensorboard]"',
    )


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    """Run a check; whatever it raises is its finding, since the rest must still be diagnosed."""
    try:
        return check()
    except metadata.PackageNotFoundError as error:
        return Check(
            name,
            "fail",
            f"the package {error.name} is not installed in {sys.prefix}",
            "in a checkout: make install; elsewhere: pip install agentic",
        )
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        return Check(
            name,
            "fail",
            f"{type(error).__name__}: {lines[0]}",
            "pip install --force-reinstall agentic, and report this line if it stays",
        )


def _range(name: str, required_by: str):
    """Return the versions of `name` that the metadata of `required_by` allows here."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    for line in metadata.requires(required_by) or ():
        requirement = Requirement(line)
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if applies and canonicalize_name(requirement.name) == canonicalize_name(name):
            return requirement.specifier
    raise LookupError(f"the metadata of {required_by} does not name {name}")


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _nvidia_gpus() -> list[str]:
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    query = [command, "--query-gpu=name", "--format=csv,noheader"]
    try:
        result = subprocess.run(query, capture_output=True, text=True, timeout=10)
    except subprocess.TimeoutExpired:
        return []
    return result.stdout.split("\n")[:-1] if result.returncode == 0 else []


def _available_memory() -> int:
    """Return the bytes that Linux says are available, elsewhere all physical memory."""
    report = Path("/proc/meminfo")
    if report.is_file():
        for line in report.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
