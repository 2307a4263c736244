"""The folder of one training outside of any search: what it is, who trains in it, and its reports.

train.yaml      everything that the training's numbers depend on, with the command and versions it began with
reports.jsonl   one report a line
.lock           locked by the process that trains
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import yaml

from gan.bundle.bundle import Bundle
from gan.errors import InputError
from gan.settings import MOST_THREADS
from gan.storage.lock import locked_file
from gan.storage.storage import Storage, writing
from gan.training.run import TrainingRun
from gan.training.trainer import Trainer
from gan.versions import versions

IDENTITY, REPORTS, LOCK = "train.yaml", "reports.jsonl", ".lock"
FORMAT = 1


class TrainingFolder:
    """Where one training is kept, so that it can be resumed."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._place = storage.uri

    def identity(self) -> dict[str, Any] | None:
        """Return the identity of the training in this folder; None if the folder is new or empty.

        Raises:
            InputError: it is a file, holds something else, or its identity is damaged or of another format.
        """
        saved = self._read()
        return None if saved is None else saved["identity"]

    @property
    def threads(self) -> int | None:
        """PyTorch's threads in the training in this folder; None if it is new, or of a version that did not say."""
        threads = (self._read() or {}).get("threads")
        known = isinstance(threads, int) and not isinstance(threads, bool) and 0 < threads <= MOST_THREADS
        return threads if known else None

    def _read(self) -> dict[str, Any] | None:
        if self.storage.exists() and not self.storage.is_folder():
            raise InputError(f"--out {self._place}: is a file, not a folder")
        try:
            text = self.storage.read_bytes(IDENTITY)
        except FileNotFoundError:
            if any(not name.startswith(".") for name in self.storage.list()):
                raise InputError(
                    f"--out {self._place}: holds other files, and no training ({IDENTITY}) to go on with;"
                    " give a new folder"
                ) from None
            return None
        except OSError as error:
            raise InputError(f"--out {self._place}: cannot be read ({error.strerror or error})") from None
        try:
            saved = yaml.safe_load(text)
        except (yaml.YAMLError, UnicodeDecodeError):
            saved = None
        if isinstance(saved, dict) and saved.get("format", FORMAT) != FORMAT:
            raise InputError(f"--out {self._place}: its {IDENTITY} has format {saved['format']}, not {FORMAT}")
        if not isinstance(saved, dict) or not isinstance(saved.get("identity"), dict):
            raise InputError(f"--out {self._place}: its {IDENTITY} is damaged; give a new folder")
        return saved

    @contextmanager
    def claim(
        self, identity: dict[str, Any], command: str, ignored: Collection[str] = (), threads: int | None = None
    ) -> Iterator[None]:
        """Make this folder that of a training, and keep a second process out of it while the context lasts.

        Args:
            identity: of the training.
            command: to be recorded in a new folder.
            ignored: parts of the identity that may differ from the saved one.
            threads: of PyTorch, to be recorded in a new folder.

        Raises:
            InputError: it holds another training, or another process trains in it.
        """
        self._holds(identity, ignored)
        with ExitStack() as lock:
            place = self.storage.local_path
            if place is not None:
                place.mkdir(parents=True, exist_ok=True)
                try:
                    lock.enter_context(locked_file(place / LOCK, wait=False))
                except BlockingIOError:
                    raise InputError(f"--out {self._place}: another process is training in it") from None
            # Another process may have begun here since.
            if not self._holds(identity, ignored):
                record = {"format": FORMAT, "command": command, "identity": identity, "versions": versions()}
                record |= {} if threads is None else {"threads": threads}
                with writing(self.storage.uri):
                    text = yaml.safe_dump(record, sort_keys=False, allow_unicode=True)
                    self.storage.write_bytes(IDENTITY, text.encode())
            yield

    def _holds(self, identity: dict[str, Any], ignored: Collection[str]) -> bool:
        """Tell whether the folder holds this training; raise `InputError`, with the differences, for another one."""
        saved = self.identity()
        if saved is None:
            return False
        names = [name for name in saved | identity if saved.get(name) != identity.get(name) and name not in ignored]
        if names:
            shown = ", ".join(
                f"{name} {_short(saved.get(name))} there, {_short(identity.get(name))} here" for name in names
            )
            raise InputError(f"--out {self._place}: holds another training: {shown}; give another folder")
        return True

    def reports(self, below_kimg: float) -> list[dict[str, Any]]:
        """Return the reports of the training up to `below_kimg`, excluded."""
        try:
            reports = [json.loads(line) for line in self.storage.read_bytes(REPORTS).splitlines()]
        except FileNotFoundError:
            return []
        except ValueError:
            raise InputError(f"--out {self._place}: its {REPORTS} is damaged; remove that file") from None
        return [report for report in reports if report["kimg"] < below_kimg]

    def write_reports(self, reports: list[dict[str, Any]]) -> None:
        lines = "".join(json.dumps(report, allow_nan=False) + "\n" for report in reports)
        self.storage.write_bytes(REPORTS, lines.encode())


def _short(value: Any) -> Any:
    return value[:12] if isinstance(value, str) and len(value) == 64 else value


def identity_of(run: TrainingRun, start: Bundle | None = None) -> dict[str, Any]:
    """Return everything that the numbers of a training depend on; `start` is where its first weights are from."""
    trainer, evaluation = run.trainer, run.evaluator.identity.as_dict()
    return {
        "recipe": trainer.recipe.name,
        **trainer.recipe.settings,
        "seed": trainer.seed,
        "precision": trainer.precision,
        "data_hash": evaluation.pop("data_hash"),
        **{name: evaluation[name] for name in ("features", "weights_sha256", "samples", "size")},
        "from": None if start is None else start.config.get("generator_sha256"),
    }


def start_from(trainer: Trainer, bundle: Bundle, name: str) -> None:
    """Give the generator, and its moving average, the weights of a bundle.

    Raises:
        InputError: they do not fit; the message calls the bundle `name`.
    """
    weights, wanted = bundle.generator.state_dict(), trainer.generator.state_dict()
    differing = sorted(
        key
        for key in wanted | weights
        if key not in wanted or key not in weights or wanted[key].shape != weights[key].shape
    )
    if differing:
        raise InputError(
            f"{name}: its generator ({bundle.config['network']}, {'×'.join(map(str, bundle.shape))}) does not fit these"
            f" settings; they differ in {', '.join(differing[:3])}"
        )
    for network in (trainer.generator, trainer.average):
        if network is not None:
            network.load_state_dict(weights)
