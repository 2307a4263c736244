"""Judges a sweep's best generators again, by better features or with more samples than the search could afford.

A sweep ranks hundreds of evaluations by light features. Standard FID then chooses among the few best. The results are
added to the run's journal; the sweep's own scores stay as they are.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gan.bundle.bundle import Bundle, load_bundle
from gan.bundle.files import CONFIG
from gan.checks.preflight import open_checked
from gan.data.dataset import DataSet
from gan.errors import InputError
from gan.evaluation.assessment.assessment import SEARCHED, assess
from gan.evaluation.assessment.page import write_assessment
from gan.evaluation.assessment.rejudge import fresh_seed, judge
from gan.evaluation.evaluator import Evaluator
from gan.storage.storage import Storage
from gan.terminal import Progress
from search.report.build import build_report
from search.report.data.collect import read_assessment
from search.run.bundles import export_winner, trial_bundle
from search.run.journal import Journal
from search.run.owner import Owner, require_free
from search.run.record import Rescore, SweepRecord, TrialRecord, read_record
from search.run.run_folder import EVIDENCE, kind_of, read_settings, warn_of_a_program


@dataclass(frozen=True)
class Request:
    """How finalists are judged.

    Attributes:
        top: how many, the best by the sweep's own numbers.
        features: name of the extractor; None for the sweep's own.
        samples: generated images of a draw.
        repeats: draws of latents.
        weights: file of the Inception weights.
        device: as `load_bundle` takes it.
        neighbours: training images among which copies by the winner are looked for.
    """

    top: int
    features: str | None = None
    samples: int = 5000
    repeats: int = 3
    weights: Path | None = None
    device: str = "auto"
    neighbours: int = SEARCHED


@dataclass(frozen=True)
class Finalist:
    """A trial to be judged, with its generator loaded: a sweep may delete its files meanwhile."""

    trial: TrialRecord
    bundle: Bundle

    @property
    def hash(self) -> str:
        return str(self.bundle.config["generator_sha256"])


class Rescoring:
    """The finalists of a run and their evaluator, all checked. Nothing has been written yet.

    Args:
        run: the run's folder.
        request: how they are judged.
        packing: called with the rows packed so far, if the data is not packed on this machine yet.

    Raises:
        InputError: no sweep, one that a live driver owns, data that has changed or is gone, no bundles
            kept, or features that cannot be had.
    """

    def __init__(self, run: Storage, request: Request, packing: Progress | None = None) -> None:
        require_free(run)
        if kind_of(run) != "sweep":
            raise InputError(f"{run.uri}: not a sweep; only a sweep's generators are judged again")
        self.run, self.request = run, request
        record = read_record(run)
        self.finalists = _finalists(run, record, request)
        # The same real images as in the sweep, but other latents: on the sweep's, the best moments were chosen.
        seed = int((record.evaluation or {}).get("reference_seed") or 0)
        self.data, self.evaluator = self._prepare(seed, packing)
        self.identity = replace(self.evaluator.identity, latent_seed=fresh_seed(self.evaluator))

    def _prepare(self, seed: int, packing: Progress | None) -> tuple[DataSet, Evaluator]:
        saved, request = read_settings(self.run), self.request
        settings = saved["settings"]
        features = request.features or settings.get("features")
        if request.features is None:
            warn_of_a_program(settings)
        own = settings.get("inception_weights")
        weights = request.weights or (Path(own) if own else None)
        data = open_checked(
            settings["data"],
            settings.get("size"),
            settings.get("crop"),
            features=features,
            weights=weights,
            check_shape=self._require_shape,
            progress=packing,
        )
        if data.content_hash != saved["identity"].get("data"):
            raise InputError(f"{self.run.uri}: its data is not what it trained on; bring that back, or judge a bundle")
        return data, Evaluator.prepare(
            data,
            features=features or data.default_features,
            samples=request.samples,
            seed=seed,
            device=self.finalists[0].bundle.device,
            inception_weights=weights,
        )

    def _require_shape(self, shape: tuple[int, ...]) -> None:
        for finalist in self.finalists:
            if finalist.bundle.shape != shape:
                raise InputError(f"{self.run.uri}: {finalist.trial.id} makes images of another shape than the data has")

    def perform(self, progress: Progress = lambda done, total: None) -> SweepRecord:
        """Judge each finalist, export the winner, look for training images among its samples, write a new report.

        Results go to the journal. Those of an interrupted re-scoring are not measured again.

        Raises:
            InputError: a driver has begun on the run meanwhile.
        """
        owner = Owner(self.run)
        try:
            journal = Journal(self.run)
            evaluation = self.identity.as_dict()
            total = len(self.finalists) * self.request.repeats * self.evaluator.samples
            done = 0

            def count(images: int) -> None:
                nonlocal done
                done += images
                progress(done, total)

            def count_assessed(images: int, of: int | None) -> None:
                progress(total + images, total + (of or 0))

            record = read_record(self.run)
            for finalist in self.finalists:
                if not self._is_known(record, finalist, evaluation):
                    journal.append("rescore", **self._judge(finalist, evaluation, count))
            journal.append("rescored", trials=[each.trial.id for each in self.finalists], evaluation=evaluation)
            record = read_record(self.run)
            # The export comes first: the rest takes longest, and if it is broken off, the next call goes on with it.
            export_winner(self.run)
            self._assess_winner(record, count_assessed)
            build_report(self.run)
            return record
        finally:
            owner.release()

    def _assess_winner(self, record: SweepRecord, progress: Progress) -> None:
        """Assess in the run's folder whether the winner collapsed or copied, unless that is there already."""
        winner = record.by_evidence()[0]
        rescore = record.rescored(winner)
        finalist = next((each for each in self.finalists if each.trial.id == winner.id), None)
        if finalist is None or rescore is None or rescore.fid is None:
            return  # The samples are not finite: there is nothing to look at.
        folder = self.run.child(EVIDENCE)
        facts = {"trial": winner.id, "generator_sha256": finalist.hash, "searched": self.request.neighbours}
        known = {**facts, "evaluation": self.identity.as_dict()}
        earlier = read_assessment(self.run)
        if earlier is not None and all(earlier.values.get(name) == value for name, value in known.items()):
            return
        assessment = assess(
            finalist.bundle, self.data, self.evaluator, repeats=1, searched=self.request.neighbours, progress=progress
        )
        self.run.delete(EVIDENCE)
        write_assessment(folder, winner.id, assessment, facts)

    def _is_known(self, record: SweepRecord, finalist: Finalist, evaluation: dict[str, Any]) -> bool:
        rescore: Rescore | None = record.trials[finalist.trial.id].rescored(evaluation)
        if rescore is None or len(rescore.fids) < self.request.repeats:
            return False
        return rescore.generator_sha256 == finalist.hash

    def _judge(self, finalist: Finalist, evaluation: dict[str, Any], count: Callable[[int], None]) -> dict[str, Any]:
        """Return the fields of a "rescore" event."""
        seeds = range(self.identity.latent_seed, self.identity.latent_seed + self.request.repeats)
        fids = [judge(finalist.bundle, self.evaluator, seed, count=count).fid for seed in seeds]
        known = [fid for fid in fids if fid is not None]
        return {
            "trial": finalist.trial.id,
            "kimg": finalist.trial.last["best_kimg"],
            "fid": statistics.fmean(known) if len(known) == len(fids) else None,
            "fids": fids,
            "evaluation": evaluation,
            "metric": self.identity.metric,
            "generator_sha256": finalist.hash,
        }


def _finalists(run: Storage, record: SweepRecord, request: Request) -> list[Finalist]:
    """Load the bundles of the best trials; a trial whose bundle was not kept gives way to the next."""
    finalists: list[Finalist] = []
    for trial in record.ranked():
        bundle = trial_bundle(run, trial.id, trial.last.get("best_kimg"))
        if bundle is not None and _is_its_best(run.child(bundle), trial):
            finalists.append(Finalist(trial, load_bundle(run.child(bundle).uri, request.device)))
        if len(finalists) == request.top:
            break
    if not finalists:
        raise InputError(f"{run.uri}: keeps no generator of a trial with a FID, so there is nothing to judge again")
    return finalists


def _is_its_best(bundle: Storage, trial: TrialRecord) -> bool:
    """Tell whether a bundle is the one that the journal ranks. A killed driver may have been ahead of its journal."""
    try:
        kimg = json.loads(bundle.read_bytes(CONFIG)).get("kimg")
    except (OSError, ValueError, AttributeError):
        return False
    return bool(kimg == trial.last.get("best_kimg"))
