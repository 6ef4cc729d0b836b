"""The GPU's benchmark runs anywhere at toy size, keeps finished parts and names failures."""

import json

from support import compiling

from experiments.benchmarks import gpu


def read(folder):
    return json.loads((folder / "gpu.json").read_text())["parts"]


@compiling.plainly()
def test_parts_at_toy_size_are_measured_once(tmp_path, capsys):
    only = "products", "error", "attention ours, 128", "training 3x128, 1 trajectories"
    command = ["--toy", "--out", str(tmp_path), "--repeats", "2", "--only", *only]
    gpu.main(command)
    found = read(tmp_path)
    assert {name.split()[0] for name in found} == {"products", "error", "attention", "training"}
    assert not any("failed" in part for part in found.values())
    assert max(found["error ours"][x] for x in ("out", "dq", "dk", "dv")) < 0.01
    trained = found["training 3x128, 1 trajectories, attention"]
    # The first step's learning rate is 0, so the third loss is the first to fall.
    assert trained["tokens"] == 64 and trained["losses"][2] < trained["losses"][0]
    assert trained["GB temporary"] > 0

    capsys.readouterr()
    del found["products"]
    document = json.loads((tmp_path / "gpu.json").read_text())
    (tmp_path / "gpu.json").write_text(json.dumps(document | {"parts": found}))

    def broken(peak):
        raise ValueError("no products today")

    def parts_of(*arguments):
        return [*(dict(gpu.parts(*arguments)) | {"products": broken}).items()]

    gpu.main(command, parts_of)
    assert capsys.readouterr().out.count("\n") == 1
    assert read(tmp_path)["products"]["failed"] == "ValueError: no products today"
    assert {name: part for name, part in read(tmp_path).items() if name != "products"} == found
