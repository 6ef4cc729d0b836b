"""Pictures and videos of a simulation without a window, drawn by EGL or else by OSMesa."""

import atexit
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any
from weakref import WeakSet

import mujoco
import numpy as np

from agentic.errors import AgenticError
from agentic.files import written_whole

BACKENDS = ("egl", "osmesa")  # in the order in which they are tried


class Renderer:
    """An off-screen OpenGL context that draws one model at one size.

    Args:
      model: the model.
      height: of the picture in pixels.
      width: of the picture in pixels.
      camera: index of the camera; the free camera where the model has no such camera.
      backends: OpenGL platforms to try, in this order.

    Raises:
      AgenticError: the picture is empty, or no backend works on this machine.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        height: int,
        width: int,
        camera: int,
        backends: Sequence[str] = BACKENDS,
    ):
        if height < 1 or width < 1:
            raise AgenticError(f"a picture of {height} x {width} is empty; both must be at least 1")
        self._model = model
        self._rectangle = mujoco.MjrRect(0, 0, width, height)
        self._image = np.empty((height, width, 3), dtype=np.uint8)
        self._gl = _open_context(height, width, backends)
        _close_at_exit(self)
        model.vis.global_.offheight = max(height, model.vis.global_.offheight)
        model.vis.global_.offwidth = max(width, model.vis.global_.offwidth)
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._scene = mujoco.MjvScene(model, maxgeom=1000)
        self._options = mujoco.MjvOption()
        self._camera = mujoco.MjvCamera()
        if camera < model.ncam:
            self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
            self._camera.fixedcamid = camera

    def __call__(self, data: mujoco.MjData) -> np.ndarray:
        """Return a picture of `data`, uint8 [height, width, 3]."""
        self._gl.make_current()
        for terrain in range(self._model.nhfield):  # every episode has a terrain of its own
            mujoco.mjr_uploadHField(self._model, self._context, terrain)
        mujoco.mjv_updateScene(
            self._model,
            data,
            self._options,
            None,
            self._camera,
            mujoco.mjtCatBit.mjCAT_ALL,
            self._scene,
        )
        mujoco.mjr_render(self._rectangle, self._scene, self._context)
        mujoco.mjr_readPixels(self._image, None, self._rectangle, self._context)
        return self._image[::-1].copy()  # OpenGL starts with the lowest row

    def close(self) -> None:
        """Free the context; the renderer cannot draw afterwards."""
        _open_renderers.discard(self)
        self._gl.make_current()
        self._context.free()
        self._gl.free()


_open_renderers: WeakSet[Renderer] = WeakSet()


def _close_at_exit(renderer: Renderer) -> None:
    # Registered after the first context was opened, so that it runs before the driver's own exit.
    if not _open_renderers:
        atexit.unregister(_close_all)
        atexit.register(_close_all)
    _open_renderers.add(renderer)


def _close_all() -> None:
    for renderer in list(_open_renderers):
        renderer.close()


def _bundled_encoder() -> str | None:
    """Return the path of the ffmpeg that imageio-ffmpeg brings, or None without it."""
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return get_ffmpeg_exe()
    except (ImportError, RuntimeError):
        return None


def encoder(
    bundled: Callable[[], str | None] = _bundled_encoder,
    installed: Callable[[str], str | None] = shutil.which,
) -> str:
    """Return the path of an ffmpeg: the one that imageio-ffmpeg brings, or the machine's own.

    Args:
      bundled: returns the path of the first, or None.
      installed: returns the path of a program of this machine, or None.

    Raises:
      AgenticError: there is neither.
    """
    found = bundled() or installed("ffmpeg")
    if found is None:
        raise AgenticError(
            'an mp4 needs ffmpeg, which this machine lacks: pip install "agentic[video]" brings one'
        )
    return found


def write_video(
    path: str | Path,
    frames: Iterable[np.ndarray],
    fps: float,
    find_encoder: Callable[[], str] = encoder,
) -> None:
    """Write pictures, uint8 [height, width, 3] each, as a video that browsers play.

    Args:
      path: a file name that ends with .mp4, .gif or .webp; it appears whole or not at all.
      frames: at least one picture, all of one size; for .mp4 of even height and width.
      fps: pictures per second.
      find_encoder: returns the path of the ffmpeg that writes an .mp4.

    Raises:
      AgenticError: the file name has another ending, there is no picture, fps is not positive, or
        there is no encoder.
    """
    path = Path(path)
    if path.suffix not in (".mp4", ".gif", ".webp"):
        raise AgenticError(f"cannot write a video to {path.name!r}; its name must end with .mp4, "
                           ".gif or .webp")  # fmt: skip
    if not fps > 0:
        raise AgenticError(f"fps is {fps}; it must be greater than 0")
    frames = list(frames)
    if not frames:
        raise AgenticError("a video without pictures cannot be written; give at least one")
    with written_whole(path) as temporary:
        if path.suffix == ".mp4":
            _write_mp4(temporary, frames, fps, find_encoder)
        else:
            _write_animation(temporary, frames, fps, path.suffix[1:])


def _write_animation(path: Path, frames: list[np.ndarray], fps: float, kind: str) -> None:
    from PIL import Image

    first, *others = [Image.fromarray(frame) for frame in frames]
    first.save(path, kind, save_all=True, append_images=others, duration=round(1000 / fps), loop=0)


def _write_mp4(
    path: Path, frames: list[np.ndarray], fps: float, find_encoder: Callable[[], str]
) -> None:
    height, width, _ = frames[0].shape
    if height % 2 or width % 2:
        raise AgenticError(f"a picture of {height} x {width} cannot go into an mp4; both must be "
                           "even")  # fmt: skip
    command = [
        find_encoder(), "-y", "-loglevel", "error",
        "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps:g}",
        "-i", "-",
        "-c:v", "libx264", "-crf", "26", "-pix_fmt", "yuv420p", "-movflags", "+faststart",
        # One thread and no version or date inside, so that the same pictures give the same bytes.
        "-threads", "1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-map_metadata", "-1",
        "-f", "mp4", str(path),
    ]  # fmt: skip
    pictures = b"".join(np.ascontiguousarray(frame, np.uint8).tobytes() for frame in frames)
    done = subprocess.run(command, input=pictures, capture_output=True)
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines()
        raise AgenticError(
            f"{command[0]} cannot write an mp4 ({reason[-1] if reason else 'no reason given'}); "
            'pip install "agentic[video]" installs an ffmpeg with libx264, which can'
        )


def _open_context(height: int, width: int, backends: Sequence[str]) -> Any:
    """Return a current OpenGL context from the first backend that works on this machine."""
    reasons = []
    for backend in backends:
        try:
            context = import_module(f"mujoco.{backend}").GLContext(width, height)
            context.make_current()
            return context
        # A driver may lack libraries, a device or permission, or raise PyOpenGL's own exceptions.
        except Exception as error:
            reasons.append(f"{backend}: {type(error).__name__}")
            _forget_opengl(backend)
    raise AgenticError(
        f"cannot draw on this machine ({', '.join(reasons)}): install an EGL driver "
        "(libegl1 and a GPU driver or Mesa's libegl-mesa0) or OSMesa (libosmesa6)"
    )


def _forget_opengl(backend: str) -> None:
    """Unload PyOpenGL, which binds to one platform on import, so that the next backend can load."""
    if os.environ.get("PYOPENGL_PLATFORM") == backend:
        del os.environ["PYOPENGL_PLATFORM"]
    for module in [name for name in sys.modules if name.split(".")[0] == "OpenGL"]:
        del sys.modules[module]
    for module in [name for name in sys.modules if name.startswith(f"mujoco.{backend}")]:
        del sys.modules[module]
