"""The doctor sees each illness it knows, says what to do, and survives a broken installation."""

import importlib.metadata
import subprocess
import sys
from collections import namedtuple

import pytest

from agentic.cli import doctor_checks as doctor

TRUE_VERSION = importlib.metadata.version


@pytest.fixture
def install(monkeypatch):
    """Return a function that makes distributions appear with a version, or disappear with None."""
    changed = {}

    def version(name):
        found = changed[name] if name in changed else TRUE_VERSION(name)
        if found is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(importlib.metadata, "version", version)
    for name in doctor.MUJOCO_4_PARTS:
        changed[name] = None
    return changed.update


@pytest.fixture
def gpus(monkeypatch):
    """Return a function that sets which GPUs nvidia-smi sees."""

    def see(*names):
        monkeypatch.setattr(doctor, "_nvidia_gpus", lambda: list(names))

    see()
    return see


def test_this_installation_is_healthy(install, gpus, monkeypatch):
    # Whether this machine can draw is no matter of the installation.
    drawn = subprocess.CompletedProcess([], 0, "", "")
    monkeypatch.setattr(doctor.subprocess, "run", lambda *_, **__: drawn)
    checks = doctor.diagnose()
    assert len({check.name for check in checks}) == len(checks) == 18
    assert [check for check in checks if check.status == "fail"] == []


def test_versions_are_compared_with_the_packages_own_metadata(install):
    needed = {"optax>=77": "fail", "optax<77": "ok"}
    for requirement, status in needed.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(importlib.metadata, "requires", lambda _, line=requirement: [line])
            check = doctor.check_package("optax")
        assert check.status == status
    install({"jax": "0.3.0"})
    check = doctor.check_package("jax")
    assert check.status == "fail" and check.message.startswith("0.3.0; agentic needs jax")
    assert check.remedy.startswith('pip install "jax')


def test_requirements_of_extras_do_not_count(monkeypatch):
    lines = ['jax[cuda12]>=99; extra == "gpu"', "jax>=0.1"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: lines)
    assert doctor.check_package("jax").status == "ok"


def test_a_missing_package_is_a_failure_with_its_command(install):
    install({"h5py": None})
    check = doctor.check_package("h5py")
    assert check.status == "fail" and "not installed" in check.message
    assert check.remedy.startswith('pip install "h5py>=')


def test_jaxlib_must_be_the_one_that_jax_asks_for(install):
    install({"jaxlib": "0.1.0"})
    assert doctor.check_package("jaxlib", required_by="jax").status == "fail"


def test_a_mujoco_that_is_too_new_is_found(install):
    install({"mujoco": "4.0.0", "mujoco-core": "4.0.0", "mujoco-studio": "4.0.0"})
    check = doctor.check_mujoco()
    assert check.status == "fail" and check.message.startswith("4.0.0; agentic needs mujoco")
    assert "pip uninstall --yes mujoco mujoco-core mujoco-studio" in check.remedy
    assert "--force-reinstall" in check.remedy and '"mujoco<4' in check.remedy


@pytest.mark.parametrize("left", doctor.MUJOCO_4_PARTS)
def test_a_mixed_mujoco_is_found(install, left):
    install({"mujoco": "3.17.0", left: "4.0.0"})
    check = doctor.check_mujoco()
    assert check.status == "fail" and left in check.message and "same files" in check.message
    assert "pip uninstall --yes" in check.remedy


def test_a_sick_mujoco_is_not_run(install, gpus, monkeypatch):
    install({"mujoco-core": "4.0.0"})
    monkeypatch.setattr(doctor, "check_simulation", lambda: pytest.fail("it was run"))
    monkeypatch.setattr(doctor, "check_rendering", lambda: doctor.Check("rendering", "ok", ""))
    found = {check.name: check for check in doctor.diagnose()}
    assert found["simulation"].status == "fail" and "mujoco first" in found["simulation"].remedy


def test_an_unused_gpu_is_a_warning(gpus):
    assert doctor.check_devices().status == "ok"
    gpus("NVIDIA H200")
    check = doctor.check_devices()
    assert check.status == "warn" and "NVIDIA H200" in check.message
    assert "agentic[gpu]" in check.remedy


def test_missing_rendering_names_the_packages(monkeypatch):
    tried = []

    def run(command, env, timeout, **_):
        tried.append(env["MUJOCO_GL"])
        if len(tried) == 1:
            raise subprocess.TimeoutExpired(command, timeout)
        return subprocess.CompletedProcess(command, 1, "", "Traceback\nImportError: no OSMesa")

    monkeypatch.setattr(doctor.subprocess, "run", run)
    check = doctor.check_rendering()
    assert tried == ["egl", "osmesa"] and check.status == "warn"
    assert "ImportError: no OSMesa" in check.message and "evaluation need none" in check.message
    assert "libegl1 libosmesa6" in check.remedy


def test_a_missing_sample_is_a_failure(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "__file__", str(tmp_path / "agentic" / "cli" / "doctor.py"))
    assert doctor.check_sample().status == "fail"
    (tmp_path / "agentic" / "sample" / "buffer").mkdir(parents=True)
    (tmp_path / "agentic" / "sample" / "buffer" / "episode.npz").touch()
    assert doctor.check_sample().status == "ok"


@pytest.mark.parametrize(("free", "status"), [(5, "ok"), (0.5, "warn"), (0.01, "fail")])
def test_little_room_on_the_disk_is_told(monkeypatch, free, status):
    usage = namedtuple("usage", "free")(free * doctor.GIBIBYTE)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage)
    check = doctor.check_disk()
    assert check.status == status and bool(check.remedy) == (status != "ok")


@pytest.mark.parametrize(("available", "status"), [(8, "ok"), (1, "warn")])
def test_little_memory_is_told(monkeypatch, available, status):
    monkeypatch.setattr(doctor, "_available_memory", lambda: available * doctor.GIBIBYTE)
    assert doctor.check_memory().status == status


def test_tensorboard_is_optional(install):
    install({"tensorboardX": None})
    check = doctor.check_tensorboard()
    assert check.status == "ok" and "agentic[tensorboard]" in check.remedy


def test_an_installation_without_metadata_is_a_finding(monkeypatch, gpus):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", missing)
    monkeypatch.setattr(doctor, "check_simulation", lambda: 1 / 0)
    monkeypatch.setattr(doctor, "check_rendering", lambda: doctor.Check("rendering", "ok", ""))
    failed = {check.name: check for check in doctor.diagnose() if check.status == "fail"}
    assert {*doctor.PACKAGES, "jaxlib", "mujoco"} <= failed.keys()
    assert all(check.remedy for check in failed.values())
    assert "agentic is not installed" in failed["numpy"].message


def test_an_unexpected_error_is_a_finding_too():
    check = doctor._guarded("odd", lambda: 1 / 0)
    assert (check.status, check.message) == ("fail", "ZeroDivisionError: division by zero")


def test_importing_the_doctor_loads_nothing_heavy():
    heavy = "{'jax', 'mujoco', 'dm_control', 'h5py', 'matplotlib', 'numpy'}"
    code = f"import sys, agentic.cli.doctor_checks; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
