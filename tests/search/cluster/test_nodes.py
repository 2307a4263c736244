"""What a node is asked before the first trial, and how what it lacks is told."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from gan.data.packed.opening import open_data
from gan.storage.storage import Storage
from gan.versions import differing, versions
from search.cluster.nodes import Needs, holds_a_trial
from search.plan.spec import make_spec


@pytest.fixture
def needs(tiny_data: str, tmp_path: Path) -> Needs:
    (tmp_path / "mark").write_bytes(b"")
    found = open_data(tiny_data)
    return Needs(tiny_data, None, None, found.content_hash, str(tmp_path / "results"), Storage(tmp_path), "mark")


def test_a_node_that_reaches_everything_lacks_nothing_and_leaves_nothing(needs: Needs, tmp_path: Path) -> None:
    assert needs.missing() is None
    assert [path.name for path in tmp_path.iterdir()] == ["mark"]


def test_a_folder_that_is_not_shared_is_told(needs: Needs, tmp_path: Path) -> None:
    (tmp_path / "mark").unlink()
    assert "use a folder that all nodes share" in str(needs.missing())


def test_a_storage_that_a_node_may_only_read_is_told(needs: Needs, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Storage, "write_bytes", refuse)
    assert needs.missing() == f"--storage {needs.storage}: cannot be written ([Errno 30] Read-only file system)"


def test_missing_and_other_data_are_told(needs: Needs, tmp_path: Path) -> None:
    missing = replace(needs, data=f"packed:{tmp_path}/none.arrow").missing()
    assert missing is not None and missing.startswith("--data: ") and "none.arrow: no such file" in missing
    assert "\n" not in missing
    shutil.copy(needs.data.removeprefix("packed:"), tmp_path / "other.arrow")
    other = replace(needs, data=f"packed:{tmp_path}/other.arrow", data_hash="0" * 64).missing()
    assert other is not None and "its images are not those" in other


def test_versions_that_differ_are_told_with_both() -> None:
    mine = versions()
    assert differing(mine, mine) is None
    assert differing(mine, mine | {"ray": "1.0"}) == f"it has ray 1.0, the driver {mine['ray']}"
    assert differing(mine, {"gan-search": mine["gan-search"]}) is not None
    assert differing(mine, mine | {"scipy": "0.1"}) is None


def test_a_trial_must_fit_on_one_node() -> None:
    spec = make_spec({"cpus_per_trial": 2, "gpus_per_trial": 0.5})
    assert holds_a_trial({"CPU": 2.0, "GPU": 1.0}, spec)
    assert not holds_a_trial({"CPU": 2.0}, spec)
    assert not holds_a_trial({"CPU": 1.0, "GPU": 4.0}, spec)
