"""Laws: a picture shows its row, or one sentence says what to install; videos hold every frame."""

import numpy as np
import pytest
from PIL import Image

from agentic.errors import AgenticError
from agentic.simulation import dm_environment, make_simulation, write_video
from agentic.simulation.tasks import get_task
from agentic.simulation.video import Renderer, encoder


@pytest.mark.parametrize("name", ["walker_run", "point_mass_maze_reach_top_left"])
def test_picture_shows_its_row_or_says_what_to_install(name):
    simulation = make_simulation(name, 2)
    simulation.reset([0, 1], [(0,), (1,)])
    before = simulation.physics
    try:
        pictures = [simulation.render(row, height=48, width=64) for row in (0, 1, 0)]
    except AgenticError as error:
        assert "install an EGL driver" in str(error)
        return
    assert pictures[0].shape == (48, 64, 3) and pictures[0].dtype == np.uint8
    np.testing.assert_array_equal(pictures[0], pictures[2])
    assert np.abs(pictures[0].astype(int) - pictures[1]).max() > 50
    np.testing.assert_array_equal(simulation.physics, before)
    simulation.close()


def test_a_machine_without_drivers_says_what_to_install():
    model = dm_environment.load(get_task("cartpole_balance")).physics.model.ptr
    with pytest.raises(AgenticError, match=r"nowhere: .*neither: .*install an EGL driver"):
        Renderer(model, 48, 64, camera=0, backends=("nowhere", "neither"))


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_video_holds_every_frame(tmp_path, suffix):
    frames = [np.full((8, 12, 3), 60 * index, np.uint8) for index in range(4)]
    path = tmp_path / f"video{suffix}"
    write_video(path, frames, fps=25)
    with Image.open(path) as image:
        assert (image.n_frames, image.size) == (4, (12, 8))


def test_an_mp4_is_the_same_every_time_or_one_sentence_says_what_is_missing(tmp_path):
    frames = [np.full((16, 32, 3), 60 * index, np.uint8) for index in range(4)]
    paths = [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    try:
        for path in paths:
            write_video(path, frames, fps=25)
    except AgenticError as error:
        assert 'pip install "agentic[video]"' in str(error) and "\n" not in str(error)
        assert not list(tmp_path.iterdir())
        return
    content = paths[0].read_bytes()
    assert content[4:8] == b"ftyp" and content == paths[1].read_bytes()


def test_without_an_encoder_one_sentence_says_what_brings_one(tmp_path):
    def find_encoder():
        return encoder(bundled=lambda: None, installed={}.get)

    with pytest.raises(AgenticError, match=r"lacks: pip install \"agentic\[video\]\" brings one"):
        write_video(tmp_path / "video.mp4", [np.zeros((8, 8, 3), np.uint8)], 25, find_encoder)
    assert not list(tmp_path.iterdir())
    assert encoder(bundled=lambda: None, installed={"ffmpeg": "/bin/ffmpeg"}.get) == "/bin/ffmpeg"
    assert encoder(bundled=lambda: "ours", installed={"ffmpeg": "/bin/ffmpeg"}.get) == "ours"


def test_an_encoder_that_fails_is_quoted(tmp_path):
    program = tmp_path / "ffmpeg"
    program.write_text(
        "#!/bin/sh\ncat > /dev/null\necho first >&2\necho Unknown encoder >&2\nexit 1\n"
    )
    program.chmod(0o755)
    with pytest.raises(AgenticError, match=r"cannot write an mp4 \(Unknown encoder\)"):
        frames = [np.zeros((8, 8, 3), np.uint8)]
        write_video(tmp_path / "video.mp4", frames, 25, find_encoder=lambda: str(program))
    assert [path.name for path in tmp_path.iterdir()] == ["ffmpeg"]


def test_mistakes_are_met_with_a_sentence(tmp_path):
    frame = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(AgenticError, match=r"end with .mp4, .gif or .webp"):
        write_video(tmp_path / "video.avi", [frame], fps=25)
    with pytest.raises(AgenticError, match="7 x 8 cannot go into an mp4; both must be even"):
        write_video(tmp_path / "video.mp4", [frame[1:]], fps=25)
    with pytest.raises(AgenticError, match="at least one"):
        write_video(tmp_path / "video.gif", [], fps=25)
    with pytest.raises(AgenticError, match="fps is 0"):
        write_video(tmp_path / "video.gif", [frame], fps=0)
