"""What identifies a run in its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from gan.errors import InputError
from gan.storage.storage import Storage
from search.run.run_folder import open_run, require_same_identity, write_settings


@pytest.fixture
def run(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "run"))


def test_another_identity_is_refused_with_the_differences(run: Storage) -> None:
    write_settings(run, {}, {"kimg": 10, "recipes": {"wgan": {"clip": 0.01}}}, {})
    require_same_identity(run, {"kimg": 10, "recipes": {"wgan": {"clip": 0.01}}})
    with pytest.raises(InputError, match=r"kimg is 10 there, 20 here; recipes\.wgan\.clip is 0\.01 there, 0\.1 here"):
        require_same_identity(run, {"kimg": 20, "recipes": {"wgan": {"clip": 0.1}}})


def test_points_that_differ_are_named_one_by_one(run: Storage) -> None:
    points = [{"recipe": "wgan", "clip": 0.01}, {"recipe": "l2"}]
    write_settings(run, {}, {"points": points}, {})
    require_same_identity(run, {"points": points})
    with pytest.raises(InputError, match=r"another run: points\.1\.clip is 0\.01 there, 0\.1 here;"):
        require_same_identity(run, {"points": [points[0] | {"clip": 0.1}, points[1]]})
    with pytest.raises(InputError, match=r"another run: points is set there, missing here;"):
        require_same_identity(run, {})


def test_a_run_is_found_by_folder_or_by_name(run: Storage, tmp_path: Path) -> None:
    write_settings(run, {}, {}, {})
    assert open_run(str(tmp_path / "run")).uri == open_run("run", str(tmp_path)).uri == run.uri
    with pytest.raises(InputError, match="no run"):
        open_run("other", str(tmp_path))
