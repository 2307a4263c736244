"""Packing in parts: the same bytes from any number of processes, and after any interruption."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gan.data.dataset import PartReader, Source
from gan.data.packed import parts
from gan.data.packed.packing import open_packed, pack
from gan.data.sources.folder import Folder
from gan.data.sources.opening import open_source
from gan.data.workers import Workers
from gan.errors import InputError

COUNT = 300


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 300 images, two of which cannot be read."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for number in range(COUNT):
        image = Image.fromarray(random.integers(0, 256, (20, 24, 3), np.uint8))
        image.save(folder / f"{number:03}.{'png' if number % 2 else 'jpg'}")
    (folder / "010.jpg").write_bytes(b"")
    (folder / "290.jpg").write_bytes((folder / "290.jpg").read_bytes()[:200])
    return folder


def rows_of(path: Path) -> np.ndarray:
    data = open_packed(str(path))
    return np.concatenate(data.train._chunks)


def hash_of(rows: Sequence[np.ndarray]) -> str:
    """The content hash as `DataSet` documents it."""
    said = hashlib.sha256(f"{list(rows[0].shape)} {rows[0].dtype}\n".encode())
    for row in rows:
        said.update(np.ascontiguousarray(row).data)
    return said.hexdigest()


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other processes take over after the first part."""
    monkeypatch.setattr(parts, "ALONE_SECONDS", 0.0)
    monkeypatch.setattr(parts, "ROWS", 32)


@pytest.mark.parametrize("uri", ["folder", "faces?limit=300"])
def test_the_set_is_the_same_from_any_number_of_processes(uri: str, photos: Path, tmp_path: Path, eager: None) -> None:
    uri = f"folder:{photos}" if uri == "folder" else uri
    sets = [pack(open_source(uri, 16), tmp_path / f"{count}.arrow", processes=count) for count in (1, 2, 3)]
    assert len({data.content_hash for data in sets}) == 1
    assert len({(tmp_path / f"{count}.arrow").read_bytes() for count in (1, 2, 3)}) == 1
    rows = list(open_source(uri, 16))  # In this process, and not in parts.
    assert sets[0].content_hash == hash_of(rows)
    assert np.array_equal(rows_of(tmp_path / "2.arrow"), np.stack(rows))
    if uri.startswith("folder"):
        assert [name.split(":")[0] for name in sets[1].skipped_names] == ["010.jpg", "290.jpg"]


def test_progress_counts_every_file_and_ends_at_the_total(photos: Path, tmp_path: Path, eager: None) -> None:
    calls: list[tuple[int, int]] = []
    source = open_source(f"folder:{photos}", 16)
    pack(source, tmp_path / "a.arrow", lambda done, total: calls.append((done, total)), processes=2)
    assert calls[-1] == (COUNT, COUNT)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_too_many_unreadable_files_end_it_early_and_leave_nothing(photos: Path, tmp_path: Path, eager: None) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(COUNT):
        (folder / f"{number:03}.png").write_bytes(b"" if number % 30 == 1 else (photos / "001.png").read_bytes())
    seen: list[int] = []
    for processes in (1, 2):
        with pytest.raises(InputError, match=r"more than 1% of its 300 images.*001\.png: is empty; 031\.png") as error:
            source = open_source(f"folder:{folder}", 16)
            pack(source, tmp_path / "new" / "deep" / "a.arrow", lambda done, _: seen.append(done), processes=processes)
        assert "\n" not in str(error.value)
    assert max(seen) < COUNT
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


@dataclass(frozen=True)
class MadeReader:
    rows: tuple[int, ...]
    log: str
    fail_at: int

    def __call__(self) -> Iterator[np.ndarray]:
        for row in self.rows:
            if row == self.fail_at:
                raise KeyboardInterrupt
            with Path(self.log).open("a") as log:
                log.write(f"{row}\n")
            yield np.full((4, 4, 3), row % 256, np.uint8)


class Made:
    """A source of numbered images that are read in parts, which notes each row that is made."""

    uri = "made"
    shape = (4, 4, 3)
    dtype: np.dtype[Any] = np.dtype(np.uint8)
    default_features = "inception"
    held_out: range | None = None

    def __init__(self, log: Path, version: str = "1", fail_at: int = -1) -> None:
        self.log, self.version, self.fail_at = log, version, fail_at

    def __len__(self) -> int:
        return COUNT

    def __iter__(self) -> Iterator[np.ndarray]:
        raise AssertionError("it is to be read in parts")

    def fingerprint(self) -> str:
        return self.version

    def part_reader(self, rows: Sequence[int]) -> PartReader:
        return MadeReader(tuple(rows), str(self.log), self.fail_at)

    def made(self) -> list[int]:
        return [int(line) for line in self.log.read_text().split()] if self.log.exists() else []


def interrupted(source: Source, path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        pack(source, path, processes=1)
    assert not path.exists()


def test_an_interrupted_packing_goes_on_after_the_last_whole_part(tmp_path: Path, eager: None) -> None:
    log, path = tmp_path / "log", tmp_path / "out" / "a.arrow"
    interrupted(Made(log, fail_at=200), path)
    pack(Made(log), path, processes=1)
    # Parts are of 32: the seventh was cut short at row 200.
    assert Made(log).made() == [*range(200), *range(192, COUNT)]
    assert rows_of(path)[:, 0, 0, 0].tolist() == [number % 256 for number in range(COUNT)]
    assert list((tmp_path / "out").iterdir()) == [path]


def test_parts_of_other_data_are_not_taken(tmp_path: Path, eager: None) -> None:
    log, path = tmp_path / "log", tmp_path / "a.arrow"
    interrupted(Made(log, fail_at=200), path)
    log.unlink()
    pack(Made(log, version="2"), path, processes=1)
    assert Made(log).made() == list(range(COUNT))


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:-1] + b"\xff", lambda data: b""])
def test_a_damaged_part_is_made_again(tmp_path: Path, eager: None, damage: Any) -> None:
    log, path = tmp_path / "log", tmp_path / "a.arrow"
    interrupted(Made(log, fail_at=200), path)
    part = sorted(tmp_path.rglob("*.part"))[1]
    part.write_bytes(damage(part.read_bytes()))
    log.unlink()
    pack(Made(log), path, processes=1)
    assert Made(log).made() == [*range(32, 64), *range(192, COUNT)]
    assert rows_of(path)[:, 0, 0, 0].tolist() == [number % 256 for number in range(COUNT)]


def test_two_cannot_pack_to_one_place_at_once(tmp_path: Path, eager: None) -> None:
    path = tmp_path / "a.arrow"

    def again(done: int, total: int) -> None:
        with pytest.raises(InputError, match=r"a\.arrow: another process is packing it"):
            pack(Made(tmp_path / "other"), path)

    pack(Made(tmp_path / "log"), path, again, processes=1)
    assert not (tmp_path / "other").exists()


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eager: None) -> None:
    def full(self: object, *args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parts._MakePart, "_write", full)
    with pytest.raises(InputError, match=r"cannot be written: No space left on device"):
        pack(Made(tmp_path / "log"), tmp_path / "out" / "a.arrow", processes=1)
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


# ---- real processes


IMAGES = 640
PACK = "import sys; from gan.commands.app import main; from gan.data.packed import parts; "
PACK += "parts.ROWS = 16; parts.ALONE_SECONDS = 0.2; sys.exit(main(sys.argv[1:]))"


def start_packing(source: object, path: Path, **options: Any) -> subprocess.Popen[str]:
    arguments = ["data", "pack", str(source), str(path), "--size", "256", "--processes", "2"]
    return subprocess.Popen([sys.executable, "-c", PACK, *arguments], text=True, **options)


def children(pid: int) -> list[int]:
    lists = [(task / "children").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return [int(child) for child in " ".join(lists).split()]


def wait_until(condition: Any, seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.01)
    raise AssertionError("it did not happen")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A folder of enough work for some ten seconds on two cores."""
    folder = tmp_path / "large"
    folder.mkdir()
    grain = np.random.default_rng(0).integers(0, 256, (700, 700, 3), np.uint8)
    Image.fromarray(grain).save(folder / "0000.jpg", quality=90)
    for number in range(1, IMAGES):
        os.link(folder / "0000.jpg", folder / f"{number:04}.jpg")
    return folder


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's account of processes")
@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_killed_packing_ends_its_processes_and_decodes_no_part_again(
    how: signal.Signals, large: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a.arrow"
    first = start_packing(large, path, stderr=subprocess.PIPE)
    folder = tmp_path / ".a.arrow.parts"
    workers = wait_until(lambda: len(list(folder.glob("*.part"))) > 2 and children(first.pid))
    assert len(workers) == 2
    first.send_signal(how)
    _, said = first.communicate(timeout=60)
    wait_until(lambda: not any(map(alive, workers)))
    assert not path.exists() and len(list(folder.glob("*.part"))) < IMAGES // 16
    if how == signal.SIGINT:
        assert first.returncode == 130
        assert said.splitlines()[-1].startswith("gan-search: interrupted: to go on: gan-search data pack")
        assert "Traceback" not in said
    # What is in a part need not be there any more: were its image read again, it would be missing.
    done = sorted(int(part.stem) for part in folder.glob("*.part"))
    gone = large / f"{done[0] * 16:04}.jpg"
    stat = gone.stat()
    gone.unlink()
    gone.write_bytes(bytes(stat.st_size))
    os.utime(gone, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert start_packing(large, path).wait(timeout=120) == 0
    assert open_packed(str(path)).skipped == 0
    assert len(rows_of(path)) == IMAGES
    assert not folder.exists()


class Work:
    """Work that may be sent to other processes: calls something by name."""

    def __init__(self, name: str, *arguments: Any) -> None:
        self.name, self.arguments = name, arguments

    def __reduce__(self) -> Any:
        return _Imported, (self.name, self.arguments)


class _Imported:
    def __new__(cls, name: str, arguments: Any) -> Any:
        import functools
        import importlib

        module, _, attribute = name.rpartition(".")
        return functools.partial(getattr(importlib.import_module(module), attribute), *arguments)


def test_results_come_in_order_and_errors_come_back() -> None:
    with Workers(2) as workers:
        assert list(workers.run(Work("math.sqrt", number * number) for number in range(40))) == list(range(40))
        with pytest.raises(ZeroDivisionError):
            list(workers.run([Work("operator.truediv", 1, 0)]))
        assert list(workers.run([Work("os.getppid")])) == [os.getpid()]


def test_a_process_that_dies_is_told() -> None:
    with Workers(1) as workers, pytest.raises(RuntimeError, match=r"ended with status 3: .*out of memory"):
        list(workers.run([Work("os._exit", 3)]))


def test_what_is_printed_does_not_get_between_the_answers(capfd: pytest.CaptureFixture[str]) -> None:
    with Workers(1) as workers:
        assert list(workers.run([Work("builtins.print", "hello"), Work("math.sqrt", 4)])) == [None, 2.0]
    assert capfd.readouterr().out == ""


def test_processes_import_neither_pytorch_nor_the_callers_program(tmp_path: Path, photos: Path) -> None:
    """A script without `if __name__ == "__main__"` packs once, and its processes stay lean."""
    script = tmp_path / "script.py"
    script.write_text(
        "import json\n"
        "from pathlib import Path\n"
        "from gan.data.sources.opening import open_source\nfrom gan.data.packed.packing import pack\n"
        "from gan.data.packed.parts import _MakePart\n"
        "from gan.data.workers import Workers\n"
        f"source = open_source('folder:{photos}', 16)\n"
        f"print(pack(source, r'{tmp_path}/a.arrow', processes=2).content_hash)\n"
        "class Modules:\n"
        "    def __reduce__(self):\n"
        "        return eval, ('lambda: sorted(__import__(\"sys\").modules)',)\n"
        "with Workers(1) as workers:\n"
        "    read = source.part_reader(range(3))\n"
        f"    workers.run([_MakePart(read, Path(r'{tmp_path}/a'), (16, 16, 3), 'uint8')]).__next__()\n"
        "    (modules,) = workers.run([Modules()])\n"
        "print(json.dumps(modules))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, env=environment)
    digest, modules = done.stdout.splitlines()
    assert digest == hash_of(list(Folder(str(photos), 16)))
    assert "gan.data.sources.image_files" in json.loads(modules)
    assert not {"torch", "ray", "pydantic", "typer"} & set(json.loads(modules))
