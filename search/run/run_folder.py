"""A run's folder: its layout, its settings, and what identifies it.

sweep.yaml        the resolved settings, what identifies the run, and the versions
prior.json        what the sweep knew beforehand, unless it began with nothing
journal.jsonl     the truth (see `search.run.journal`); on an object store earlier parts of it are in journal/
owner.json        the driver that runs it, with its last heartbeat (see `search.run.owner`)
trials/<id>/      checkpoints, sample grids and the best bundle of a trial
tensorboard/      event files
best/<id>/        bundles of the whole sweep's best finished trials
real.png          some of the images that it trains on
extended/<id>/    a run of its own: one of the best trials, trained on
finalists/        a run of its own: the best settings and the published ones on fresh seeds
leaderboard.csv, leaderboard.parquet, plots/, report.html
"""

from __future__ import annotations

import json
from typing import Any

import yaml

from gan.errors import InputError
from gan.storage.storage import Storage, Unreachable
from gan.terminal import warn
from gan.versions import __version__

SETTINGS = "sweep.yaml"
PRIOR = "prior.json"
EVIDENCE = "evidence"
"""Folder of the assessment of a sweep's winner: whether it collapsed or copied."""
EXTENDED = "extended"
FINALISTS = "finalists"


def open_run(run: str, storage: str = "results") -> Storage:
    """Return the folder of an existing run, named by its path or URI, or by its name in `storage`.

    Raises:
        InputError: there is no such run.
    """
    for place in (Storage(run), Storage(storage).child(run)) if "/" not in run else (Storage(run),):
        if place.exists(SETTINGS):
            return place
    raise InputError(f"{run}: there is no run here (a run's folder holds {SETTINGS}); name its folder")


def write_settings(run: Storage, settings: dict[str, Any], identity: dict[str, Any], versions: dict[str, str]) -> None:
    """Write sweep.yaml."""
    content = {"identity": identity, "settings": settings, "versions": versions}
    run.write_bytes(SETTINGS, yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode())


def warn_of_a_program(settings: dict[str, Any]) -> None:
    """Warn if a run's settings evaluate generators by a program: the run may come from somebody else."""
    features = str(settings.get("features") or "")
    if features.startswith("exported:"):
        warn(f"this run's features are a program, {features.partition(':')[2]}, which runs with your rights")


def read_settings(run: Storage) -> dict[str, Any]:
    """Read sweep.yaml: {"identity", "settings", "versions"}.

    Raises:
        InputError: it is missing or damaged.
    """
    try:
        content = yaml.safe_load(run.read_bytes(SETTINGS))
        read = {key: content[key] for key in ("identity", "settings", "versions")}
        if not all(isinstance(part, dict) for part in read.values()):
            raise TypeError
        return read
    except Unreachable:
        raise
    except (OSError, yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError):
        raise InputError(f"{run.uri}/{SETTINGS}: missing or damaged") from None


def kind_of(run: Storage) -> str:
    """Return what kind of run is in a folder: "sweep", "compare" or "extend"."""
    return str(read_settings(run)["settings"].get("kind", "sweep"))


def require_same_identity(run: Storage, identity: dict[str, Any], growing: tuple[str, ...] = ()) -> None:
    """Raise `InputError`, naming the differences, unless the run in this folder is the same one.

    Args:
        identity: of the run that is wanted.
        growing: its parts that may have gained entries since, such as a comparison's recipes.
    """
    stored = read_settings(run)
    saved = stored["identity"]
    wanted = json.loads(json.dumps(identity))
    for part in growing:
        wanted[part] = {name: value for name, value in wanted[part].items() if name in saved.get(part, ())}
    differences = _differences(saved, wanted)
    if differences:
        raise InputError(
            f"{run.uri} holds another run: {'; '.join(differences)}; choose another --name, or these settings"
            f" (gan-search {stored['versions'].get('gan-search', '?')} began it, this is {__version__})"
        )


def _differences(saved: Any, wanted: Any, where: str = "") -> list[str]:
    """Return "field is X there, Y here" for each leaf in which two settings differ."""
    saved, wanted = _numbered(saved), _numbered(wanted)
    if isinstance(saved, dict) and isinstance(wanted, dict):
        keys = sorted(saved.keys() | wanted.keys())
        paths = {key: f"{where}.{key}" if where else str(key) for key in keys}
        return [line for key in keys for line in _differences(saved.get(key), wanted.get(key), paths[key])]
    if saved == wanted:
        return []
    return [f"{where} is {_shown(saved, wanted)} there, {_shown(wanted, saved)} here"]


def _numbered(value: Any) -> Any:
    """Return a list of mappings, such as a sweep's points, as a mapping from 1 on."""
    is_list = isinstance(value, list) and any(isinstance(each, dict) for each in value)
    return {str(place): each for place, each in enumerate(value, 1)} if is_list else value


def _shown(value: Any, other: Any) -> Any:
    """Return how a setting is shown that differs from another. A whole recipe would fill the screen."""
    if isinstance(value, dict):
        return "set"
    return "missing" if value is None and isinstance(other, dict) else value
