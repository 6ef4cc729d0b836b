"""`agentic data download`."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from agentic.cli.terminal import say, steps_of_bytes
from agentic.download.catalogue import PUBLISHER, ROOT, DataSet, find_data_set
from agentic.download.disk import readable
from agentic.download.download import DownloadConfig
from agentic.download.download import download as fetch_data_set
from agentic.download.local_copy import LocalCopy


def download(arguments: Sequence[str]) -> None:
    """Parse and run `agentic data download`."""

    def command(
        domain: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="DOMAIN")],
        algorithm: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="ALGORITHM")],
        /,
        root: Path = ROOT,
        mirror: Annotated[str, tyro.conf.arg(metavar="URL")] = PUBLISHER,
    ) -> None:
        """Download, verify and unpack one ExoRL data set to ROOT/DOMAIN/ALGORITHM.

        Interrupt it at any point and run the same command again: it goes on where it was.
        Proxies and certificates are taken from http_proxy, https_proxy and SSL_CERT_FILE.

        Args:
            domain: such as walker; `agentic data list` names all.
            algorithm: what explored, such as rnd.
            root: folder for downloads; twice the archive's size must be free.
            mirror: address of another server, in front of /DOMAIN/ALGORITHM.zip.
        """
        _download(find_data_set(domain, algorithm), DownloadConfig(root, mirror))

    tyro.cli(command, prog="agentic data download", args=arguments)


def _download(data_set: DataSet, config: DownloadConfig) -> None:
    local = LocalCopy(config.root, data_set)
    fetched = False
    try:
        with steps_of_bytes(data_set.name) as show:
            for progress in fetch_data_set(data_set, config):
                fetched = True
                show(*progress)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted; nothing is lost, this goes on: {_command(data_set, config)}"
        ) from None
    manifest = local.manifest()
    what = f"{manifest.episodes} episodes, {readable(manifest.unpacked_bytes)}"
    if fetched:
        etag = ", ETag" if manifest.etag_verified else ""
        say(f"{local.folder}: {what}; size{etag} and the CRC of every file verified")
    else:
        say(f"{local.folder} is complete already: {what}; nothing was downloaded")
    folder, store = shlex.quote(str(local.folder)), data_set.name.replace("/", "-")
    say(f"next: agentic data convert {folder} {store}.h5 --task {data_set.domain.tasks[0]}")


def _command(data_set: DataSet, config: DownloadConfig) -> str:
    """Return the command line that goes on with a download."""
    words = ["agentic", "data", "download", data_set.domain.name, data_set.algorithm.name]
    if config.root != ROOT:
        words += ["--root", str(config.root)]
    if config.mirror != PUBLISHER:
        words += ["--mirror", config.mirror]
    return shlex.join(words)
