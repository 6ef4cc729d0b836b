"""The doctor sees each illness it knows, says what to do, and survives a broken installation."""

import importlib.metadata
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from agentic.cli import doctor
from agentic.cli.doctor import GIBIBYTE, MUJOCO_4_PARTS, Finding, Machine

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]


def machine(installed=(), requires=None, gpus=(), **answers) -> Machine:
    """Return this machine with other distributions (None: missing), requirements or GPUs."""
    changed = dict.fromkeys(MUJOCO_4_PARTS) | dict(installed)

    def version(name):
        found = changed[name] if name in changed else importlib.metadata.version(name)
        if found is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return found

    def run(command, **options):
        assert command[0] == "smi"
        return subprocess.CompletedProcess(command, 0, "".join(f"{name}\n" for name in gpus), "")

    asked = {"version": version, "program": {"nvidia-smi": "smi"}.get, "run": run}
    if requires is not None:
        asked["requires"] = lambda name: requires
    return Machine(**asked | answers)


def test_this_installation_is_healthy():
    # Whether this machine can draw does not depend on the installation.
    drawn = subprocess.CompletedProcess([], 0, "", "")
    healthy = machine(run=lambda *_, **__: drawn)
    found = dict(doctor.diagnose(healthy, doctor.all_checks(healthy)))
    assert {name: one for name, one in found.items() if one.status == "fail"} == {}


def test_all_declared_packages_are_checked():
    names = {Requirement(line).name for line in PROJECT["dependencies"]}
    checked = [name for name, _ in doctor.all_checks(machine(requires=PROJECT["dependencies"]))]
    assert names <= set(checked) and len(set(checked)) == len(checked)


@pytest.mark.parametrize(("line", "status"), [("optax>=77", "fail"), ("optax<77", "ok")])
def test_versions_are_compared_with_the_packages_own_metadata(line, status):
    assert doctor.check_package(machine(requires=[line]), "optax").status == status


def test_a_version_out_of_range_is_a_failure_with_its_command():
    found = doctor.check_package(machine({"jax": "0.3.0"}), "jax")
    assert found.status == "fail" and found.message.startswith("0.3.0; agentic needs jax")
    assert found.remedy.startswith('pip install "jax')


def test_requirements_of_extras_do_not_count():
    lines = ['jax[cuda12]>=99; extra == "gpu"', "jax>=0.1"]
    assert doctor.check_package(machine(requires=lines), "jax").status == "ok"


def test_a_missing_package_is_a_failure_with_its_command():
    found = doctor.check_package(machine({"h5py": None}), "h5py")
    assert found.status == "fail" and "not installed" in found.message
    assert found.remedy.startswith('pip install "h5py>=')


def test_jaxlib_must_be_the_one_that_jax_asks_for():
    sick = machine({"jaxlib": "0.1.0"})
    assert doctor.check_package(sick, "jaxlib", required_by="jax").status == "fail"


def test_a_mujoco_that_is_too_new_is_found():
    found = doctor.check_mujoco(machine(dict.fromkeys(("mujoco", *MUJOCO_4_PARTS), "4.0.0")))
    assert found.status == "fail" and found.message.startswith("4.0.0; agentic needs mujoco")
    assert "pip uninstall --yes mujoco mujoco-core mujoco-studio" in found.remedy
    assert "--force-reinstall" in found.remedy and '"mujoco<4' in found.remedy


@pytest.mark.parametrize("left", MUJOCO_4_PARTS)
def test_a_mixed_mujoco_is_found(left):
    found = doctor.check_mujoco(machine({"mujoco": "3.17.0", left: "4.0.0"}))
    assert found.status == "fail" and left in found.message and "same files" in found.message
    assert "pip uninstall --yes" in found.remedy


def test_a_sick_mujoco_is_not_run():
    found = doctor.check_simulation(machine({"mujoco-core": "4.0.0"}))
    assert found == Finding("fail", "not tried", "mend mujoco first (see above)")


def test_an_unused_gpu_is_a_warning_that_says_whether_jax_has_cuda():
    assert doctor.check_devices(machine()).status == "ok"
    plugins = dict.fromkeys(doctor.CUDA_PLUGINS)
    found = doctor.check_devices(machine(plugins, gpus=["NVIDIA H200"]))
    assert found.status == "warn" and "NVIDIA H200" in found.message
    assert "no CUDA" in found.message and "agentic[gpu]" in found.remedy
    with_cuda = machine(plugins | {"jax-cuda12-plugin": "0.10"}, gpus=["NVIDIA H200"])
    found = doctor.check_devices(with_cuda)
    assert found.status == "warn" and "no CUDA" not in found.message
    assert "JAX_PLATFORMS" in found.remedy


def test_missing_rendering_names_the_packages():
    tried = []

    def run(command, env, timeout, **_):
        tried.append(env["MUJOCO_GL"])
        if len(tried) == 1:
            raise subprocess.TimeoutExpired(command, timeout)
        return subprocess.CompletedProcess(command, 1, "", "Traceback\nImportError: no OSMesa")

    found = doctor.check_rendering(machine(run=run))
    assert tried == ["egl", "osmesa"] and found.status == "warn"
    assert "ImportError: no OSMesa" in found.message and "evaluation work without" in found.message
    assert "libegl1 libosmesa6" in found.remedy


def test_ffmpeg_is_the_packages_or_the_machines():
    brought = machine({"imageio-ffmpeg": "0.6"})
    assert doctor.check_ffmpeg(brought).message == "imageio-ffmpeg 0.6"
    none = {"imageio-ffmpeg": None}
    own = machine(none, program={"ffmpeg": "/usr/bin/ffmpeg"}.get)
    assert doctor.check_ffmpeg(own).message == "/usr/bin/ffmpeg"
    found = doctor.check_ffmpeg(machine(none, program={}.get))
    assert found.status == "ok" and "agentic[video]" in found.remedy


@pytest.mark.parametrize(
    ("name", "distribution", "extra"),
    [
        ("tensorboard", "tensorboardX", "tensorboard"),
        ("minari", "minari", "minari"),
        ("jupyter", "jupyterlab", "notebook"),
        ("slurm", "submitit", "cluster"),
    ],
)
def test_a_missing_optional_package_is_ok_and_names_its_extra(name, distribution, extra):
    check = dict(doctor.CHECKS)[name]
    found = check(machine({distribution: None}))
    assert found.status == "ok" and f"agentic[{extra}]" in found.remedy
    assert check(machine({distribution: "1.2"})) == Finding("ok", f"{distribution} 1.2")
    extra_lines = PROJECT["optional-dependencies"][extra]
    assert distribution in [Requirement(line).name for line in extra_lines]


def test_a_missing_sample_is_a_failure(tmp_path):
    package = tmp_path / "agentic"
    assert doctor.check_sample(machine(package=package)).status == "fail"
    (package / "sample" / "buffer").mkdir(parents=True)
    (package / "sample" / "buffer" / "episode.npz").touch()
    assert doctor.check_sample(machine(package=package)).status == "ok"


@pytest.mark.parametrize(("free", "status"), [(5, "ok"), (0.5, "warn"), (0.01, "fail")])
def test_little_room_on_the_disk_is_told(free, status):
    found = doctor.check_disk(machine(free_disk=lambda folder: free * GIBIBYTE))
    assert found.status == status and bool(found.remedy) == (status != "ok")


@pytest.mark.parametrize(("available", "status"), [(8, "ok"), (1, "warn")])
def test_little_memory_is_told(available, status):
    assert doctor.check_memory(machine(memory=lambda: available * GIBIBYTE)).status == status


def test_available_memory_is_linuxs_or_all_there_is(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable: 3 kB\n")
    assert doctor.available_memory(tmp_path / "meminfo") == 3 * 1024
    assert doctor.available_memory(tmp_path / "elsewhere") > 0


def test_an_installation_without_metadata_is_a_finding():
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    sick = Machine(requires=missing)
    assert doctor.all_checks(sick) == [*doctor.CHECKS]
    checks = [check for check in doctor.CHECKS if check[0] in ("jaxlib", "mujoco")]
    found = dict(doctor.diagnose(sick, checks))
    assert all(one.status == "fail" and one.remedy for one in found.values())
    assert "agentic is not installed" in found["mujoco"].message


def test_an_unexpected_error_is_a_finding_and_the_next_check_still_runs():
    checks = [("odd", lambda machine: 1 / 0), ("even", lambda machine: Finding("ok", "fine"))]
    odd, even = doctor.diagnose(Machine(), checks)
    assert odd[0] == "odd" and odd[1].status == "fail"
    assert odd[1].message == "ZeroDivisionError: division by zero"
    assert even == ("even", Finding("ok", "fine"))


def test_each_finding_is_printed_before_the_next_check_begins(capsys):
    printed = []

    def slow(machine):
        printed.append(capsys.readouterr().out)
        return Finding("fail", "slow", "hurry")

    with pytest.raises(SystemExit) as end:
        doctor.doctor([], checks=[("first", lambda machine: Finding("ok", "fine")), ("slow", slow)])
    assert end.value.code == 1
    assert printed == ["ok    first  fine\n"]
    assert capsys.readouterr().out == "fail  slow   slow\n             hurry\n"


def test_importing_the_doctor_loads_nothing_heavy():
    heavy = "{'jax', 'mujoco', 'dm_control', 'h5py', 'matplotlib', 'numpy'}"
    code = f"import sys, agentic.cli.doctor; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
