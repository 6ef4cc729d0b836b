"""Laws of videos: a filmed episode is the recorded one; a machine that cannot film says so."""

import numpy as np
import pytest
from support.short_episodes import ShortEpisodes, run_folder, stand_in

from agentic.errors import AgenticError
from agentic.evaluation import film as filming
from agentic.evaluation.film import FilmConfig, film
from agentic.evaluation.run import EvaluationConfig, evaluate_run
from agentic.simulation import make_simulation
from agentic.training.run import read_jsonl


class Filmed(ShortEpisodes):
    """Draws the first number that it shows."""

    def render(self, row, height, width):
        return np.full((height, width, 3), int(self.observations[row, 0] * 40) % 256, np.uint8)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    stand_in(monkeypatch)
    return run_folder(tmp_path / "run")


@pytest.fixture
def camera(monkeypatch):
    """Return what is written, by file name, on a machine that seems to draw and encode."""
    written = {}

    def write(path, frames, fps):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"film")
        written[path.name] = (frames, fps)

    monkeypatch.setattr(filming, "make_simulation", lambda task, num: Filmed(num))
    monkeypatch.setattr(filming, "encoder", lambda: "ffmpeg")
    monkeypatch.setattr(filming, "write_video", write)
    return written


@pytest.mark.parametrize("memory", ["kept", "shuffled"])
def test_a_filmed_episode_is_the_recorded_one(folder, camera, memory):
    config = EvaluationConfig(seeds=(3, 5), memory=(memory,), action_noise=0.1)
    evaluate_run(folder, config)
    recorded = {
        (line["seed"], line["episode"]): line["return"]
        for line in read_jsonl(folder / "evaluation.jsonl")
    }
    said = []
    assert film(folder, config, FilmConfig(video=True, video_seed=5), say=said.append) is None
    assert [clip.returns for clip in said] == [recorded[5, 0], recorded[5, 2]]
    assert [clip.path.name for clip in said] == list(camera)
    # Twelve steps of a hundredth of a second: every fourth is shown, in real time.
    for frames, fps in camera.values():
        assert len(frames) == 3 and fps == pytest.approx(25)
        assert frames[0].shape == (filming.HEIGHT, filming.WIDTH, 3)
    lines = read_jsonl(folder / "videos" / "videos.jsonl")
    assert [line["return"] for line in lines] == [clip.returns for clip in said]


def test_what_was_filmed_is_not_filmed_again_unless_asked_for(folder, camera):
    config = EvaluationConfig(seeds=(3,))
    film(folder, config, FilmConfig(video_episodes=(2,)))
    assert len(camera) == 1
    camera.clear()
    said = []
    film(folder, config, FilmConfig(video_episodes=(3, 2)), say=said.append)
    assert [name[-12:] for name in camera] == ["episode3.mp4"] and len(said) == 2
    film(folder, EvaluationConfig(seeds=(3,), again=True), FilmConfig(video_episodes=(2,)))
    assert len(camera) == 2


def test_an_episode_that_there_is_not_is_refused(folder, camera):
    with pytest.raises(AgenticError, match="episode 4 cannot be filmed: a context has episodes 1"):
        film(folder, EvaluationConfig(), FilmConfig(video_episodes=(4,)))


@pytest.mark.parametrize("lacking", ["drawing", "encoding"])
def test_a_machine_that_cannot_film_says_so_and_leaves_nothing(
    folder,
    camera,
    monkeypatch,
    lacking,
):
    def fail(*arguments):
        raise AgenticError(f"no {lacking} here: install something")

    place, name = (filming, "encoder") if lacking == "encoding" else (Filmed, "render")
    monkeypatch.setattr(place, name, fail)
    note = film(folder, EvaluationConfig(seeds=(3,)), FilmConfig())
    assert note == f"no {lacking} here: install something" and not camera
    assert not (folder / "videos").exists()


def test_the_real_simulator_films_or_says_what_is_missing(folder, monkeypatch):
    monkeypatch.setattr(filming, "make_simulation", make_simulation)
    monkeypatch.setattr(filming, "HEIGHT", 32)
    monkeypatch.setattr(filming, "WIDTH", 48)
    note = film(folder, EvaluationConfig(seeds=(3,), episodes=1), FilmConfig())
    if note:
        assert "install" in note and "\n" not in note
        return
    (path,) = (folder / "videos").glob("*.mp4")
    assert path.read_bytes()[4:8] == b"ftyp"
