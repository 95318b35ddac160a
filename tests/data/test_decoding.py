"""Many files are decoded by several processes, to the same pixels, whatever becomes of the processes."""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile

import numpy as np
import pytest
from PIL import Image

from lanewise.data import decoding, image_cache, reading
from lanewise.data.load import load
from lanewise.notes import unheard


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Twelve images of two classes and a broken one; every number of files is many, and every set is mapped."""
    monkeypatch.setattr(decoding, "MANY", 1)
    monkeypatch.setattr(decoding, "CHUNK", 4)
    monkeypatch.setattr(image_cache, "IN_MEMORY", 1)
    monkeypatch.setattr(reading, "default_threads", lambda: 2)
    random = np.random.default_rng(0)
    for n in range(12):
        path = tmp_path / "images" / "ab"[n % 2] / f"{n:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (9, 8, 3), np.uint8)).save(path)
    (tmp_path / "images" / "b" / "bad.png").write_bytes(b"no image")
    return tmp_path / "images"


def both(root, tmp_path, monkeypatch):
    """The images by processes, and by threads of this one."""
    here = load(root, size=8, cache_dir=tmp_path / "processes", notes=unheard).train
    monkeypatch.setattr(decoding, "MANY", 10**6)
    return here, load(root, size=8, cache_dir=tmp_path / "threads", notes=unheard).train


def test_processes_give_the_same_as_threads(root, tmp_path, monkeypatch):
    one, other = both(root, tmp_path, monkeypatch)
    np.testing.assert_array_equal(one.pixels, other.pixels)
    assert (one.names, one.skipped, one.notes) == (other.names, other.skipped, other.notes)
    assert len(one.skipped) == 1


@pytest.mark.parametrize(
    "serve", ["raise SystemExit", "import sys; sys.stdin.readline(); sys.stdin.readline()", "print(1)"]
)
def test_work_of_processes_that_die_is_done_here(root, tmp_path, monkeypatch, serve):
    monkeypatch.setattr(decoding, "_SERVE", serve)
    one, other = both(root, tmp_path, monkeypatch)
    np.testing.assert_array_equal(one.pixels, other.pixels)
    assert one.skipped == other.skipped


def test_no_process_can_be_started(root, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(tmp_path / "nowhere"))
        one = load(root, size=8, cache_dir=tmp_path / "processes", notes=unheard).train
    assert len(one) == 12


def test_an_interruption_ends_all_processes(root, tmp_path, monkeypatch):
    started = []
    real = decoding._Worker.__init__

    def noted(self, task, ending):
        real(self, task, ending)
        started.append(self._process)

    monkeypatch.setattr(decoding._Worker, "__init__", noted)
    monkeypatch.setattr(reading, "_CHUNK", 1)

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(root, size=8, cache_dir=tmp_path / "cache", progress=interrupt, notes=unheard)
    assert started
    assert all(process.poll() is not None for process in started)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_worker_reads_members_of_tar_files(tmp_path):
    content = io.BytesIO()
    Image.fromarray(np.full((8, 8), 7, np.uint8)).save(content, "PNG")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        info = tarfile.TarInfo("x.png")
        info.size = len(content.getvalue())
        archive.addfile(info, io.BytesIO(content.getvalue()))
    (tmp_path / "pixels").write_bytes(bytes(10 + 2 * 64))
    task = {"file": str(tmp_path / "pixels"), "offset": 10, "shape": [2, 8, 8, 1]}
    task |= {"max_pixels": 1000, "bits": 16, "fit": "stretch"}
    asked = [1, [[os.fspath(tmp_path / "a.tar"), [512, info.size]]]]
    answers = io.StringIO()
    decoding.serve(io.StringIO(f"{json.dumps(task)}\n{json.dumps(asked)}\n"), answers)
    assert json.loads(answers.getvalue()) == [1, [[8, 8, False]]]
    assert (tmp_path / "pixels").read_bytes() == bytes(74) + bytes([7] * 64)
