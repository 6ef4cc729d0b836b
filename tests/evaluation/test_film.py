"""Laws of videos: a filmed episode is the recorded one; a machine that cannot film says so."""

from functools import partial

import numpy as np
import pytest
from support.short_episodes import ShortEpisodes, evaluate_run, load_policy, run_folder

from agentic.errors import AgenticError
from agentic.evaluation import film as filming
from agentic.evaluation.film import Camera, FilmConfig
from agentic.evaluation.run import EvaluationConfig
from agentic.training.run import read_jsonl


class Drawn(ShortEpisodes):
    """Draws the first number that it shows."""

    def render(self, row, height, width):
        return np.full((height, width, 3), int(self.observations[row, 0] * 40) % 256, np.uint8)


@pytest.fixture
def folder(tmp_path):
    return run_folder(tmp_path / "run")


film_run = partial(filming.film, load_policy=load_policy)


class Studio:
    """A machine that draws and encodes; `written` is what it wrote, by file name."""

    def __init__(self):
        self.written = {}
        self.camera = Camera(lambda: "ffmpeg", self.write)
        self.film = partial(
            film_run, camera=self.camera, make_simulation=lambda task, num: Drawn(num)
        )

    def write(self, path, pictures, fps):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"film")
        self.written[path.name] = (pictures, fps)


@pytest.fixture
def studio():
    return Studio()


@pytest.mark.parametrize("memory", ["kept", "shuffled"])
def test_a_filmed_episode_is_the_recorded_one(folder, studio, memory):
    config = EvaluationConfig(seeds=(3, 5), memory=(memory,), action_noise=0.1)
    evaluate_run(folder, config)
    recorded = {
        (line["seed"], line["episode"]): line["return"]
        for line in read_jsonl(folder / "evaluation.jsonl")
    }
    said = []
    assert (
        studio.film(folder, config, FilmConfig(video=True, video_seed=5), say=said.append) is None
    )
    assert [clip.returns for clip in said] == [recorded[5, 0], recorded[5, 2]]
    assert [clip.path.name for clip in said] == list(studio.written)
    # Twelve steps of a hundredth of a second: every fourth is shown, in real time.
    for frames, fps in studio.written.values():
        assert len(frames) == 3 and fps == pytest.approx(25)
        assert frames[0].shape == (240, 320, 3)
    lines = read_jsonl(folder / "videos" / "videos.jsonl")
    assert [line["return"] for line in lines] == [clip.returns for clip in said]


def test_what_was_filmed_is_not_filmed_again_unless_asked_for(folder, studio):
    config = EvaluationConfig(seeds=(3,))
    studio.film(folder, config, FilmConfig(video_episodes=(2,)))
    assert len(studio.written) == 1
    studio.written.clear()
    said = []
    studio.film(folder, config, FilmConfig(video_episodes=(3, 2)), say=said.append)
    assert [name[-12:] for name in studio.written] == ["episode3.mp4"] and len(said) == 2
    studio.film(folder, EvaluationConfig(seeds=(3,), again=True), FilmConfig(video_episodes=(2,)))
    assert len(studio.written) == 2


def test_an_episode_that_there_is_not_is_refused(folder, studio):
    with pytest.raises(AgenticError, match="episode 4 cannot be filmed: a context has episodes 1"):
        studio.film(folder, EvaluationConfig(), FilmConfig(video_episodes=(4,)))


@pytest.mark.parametrize("lacking", ["drawing", "encoding"])
def test_a_machine_that_cannot_film_says_so_and_leaves_nothing(folder, lacking):
    def fail(*arguments):
        raise AgenticError(f"no {lacking} here: install something")

    class Undrawn(Drawn):
        render = fail

    studio = Studio()
    kind = Undrawn if lacking == "drawing" else Drawn
    encoder = fail if lacking == "encoding" else studio.camera.encoder
    note = film_run(
        folder, EvaluationConfig(seeds=(3,)), FilmConfig(),
        camera=Camera(encoder, studio.write), make_simulation=lambda task, num: kind(num),
    )  # fmt: skip
    assert note == f"no {lacking} here: install something" and not studio.written
    assert not (folder / "videos").exists()


def test_the_real_simulator_films_or_says_what_is_missing(folder):
    config, small = EvaluationConfig(seeds=(3,), episodes=1), Camera(height=32, width=48)
    note = film_run(folder, config, FilmConfig(), camera=small)
    if note:
        assert "install" in note and "\n" not in note
        return
    (path,) = (folder / "videos").glob("*.mp4")
    assert path.read_bytes()[4:8] == b"ftyp"
