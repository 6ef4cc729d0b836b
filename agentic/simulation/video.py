"""Pictures and videos of a simulation, without a window: EGL, or else OSMesa, once asked for."""

import atexit
import os
import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any
from weakref import WeakSet

import mujoco
import numpy as np

from agentic.errors import AgenticError

_BACKENDS = ("egl", "osmesa")


class Renderer:
    """An off-screen OpenGL context that draws one model at one size."""

    def __init__(self, model: mujoco.MjModel, height: int, width: int, camera: int):
        if height < 1 or width < 1:
            raise AgenticError(f"a picture of {height} x {width} is empty: both must be at least 1")
        self._model = model
        self._rectangle = mujoco.MjrRect(0, 0, width, height)
        self._image = np.empty((height, width, 3), dtype=np.uint8)
        self._gl = _open_context(height, width)
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
        for terrain in range(self._model.nhfield):  # drawn anew in every episode
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
        return self._image[::-1].copy()  # OpenGL counts rows from the bottom

    def close(self) -> None:
        """Free the context; the renderer draws no more."""
        _open_renderers.discard(self)
        self._gl.make_current()
        self._context.free()
        self._gl.free()


_open_renderers: WeakSet[Renderer] = WeakSet()


def _close_at_exit(renderer: Renderer) -> None:
    # Registered after the first context was opened, hence run before the driver's own exit.
    if not _open_renderers:
        atexit.unregister(_close_all)
        atexit.register(_close_all)
    _open_renderers.add(renderer)


def _close_all() -> None:
    for renderer in list(_open_renderers):
        renderer.close()


def write_video(path: str | Path, frames: Iterable[np.ndarray], fps: float) -> None:
    """Write pictures, uint8 [height, width, 3] each, as an animation that browsers play.

    Args:
      path: a file name that ends with .gif or .webp.
      frames: at least one picture, all of one size.
      fps: pictures per second.

    Raises:
      AgenticError: another file name, no picture, or a rate that is not positive.
    """
    from PIL import Image

    path = Path(path)
    if path.suffix not in (".gif", ".webp"):
        raise AgenticError(f"cannot write a video to {path.name!r}: its name must end with .gif "
                           "or .webp")  # fmt: skip
    if not fps > 0:
        raise AgenticError(f"fps is {fps}: it must be greater than 0")
    images = [Image.fromarray(frame) for frame in frames]
    if not images:
        raise AgenticError("a video without pictures cannot be written: give at least one")
    images[0].save(
        path, save_all=True, append_images=images[1:], duration=round(1000 / fps), loop=0
    )


def _open_context(height: int, width: int) -> Any:
    """Return a current OpenGL context from the first backend that this machine supports."""
    reasons = []
    for backend in _BACKENDS:
        try:
            context = import_module(f"mujoco.{backend}").GLContext(width, height)
            context.make_current()
            return context
        # Drivers fail in every way: missing libraries, devices, permissions, PyOpenGL's own types.
        except Exception as error:
            reasons.append(f"{backend}: {type(error).__name__}")
            _forget_opengl(backend)
    raise AgenticError(
        f"cannot draw on this machine ({', '.join(reasons)}): install an EGL driver "
        "(libegl1 and a GPU driver or Mesa's libegl-mesa0) or OSMesa (libosmesa6)"
    )


def _forget_opengl(backend: str) -> None:
    """Let the next backend load: PyOpenGL binds to one platform when it is imported."""
    if os.environ.get("PYOPENGL_PLATFORM") == backend:
        del os.environ["PYOPENGL_PLATFORM"]
    for module in [name for name in sys.modules if name.split(".")[0] == "OpenGL"]:
        del sys.modules[module]
    for module in [name for name in sys.modules if name.startswith(f"mujoco.{backend}")]:
        del sys.modules[module]
