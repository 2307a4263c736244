"""A sweep's best judged again: the journal tells both numbers, and what is shown and exported goes by the better."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml

from gan.bundle.bundle import load_bundle, write_bundle
from gan.data.packed.opening import open_data
from gan.evaluation.evaluator import Evaluator
from gan.networks import FAMILIES
from gan.storage.storage import Storage
from gan.terminal import run_app
from search import rescore
from search.commands.app import app
from search.report.data.collect import collect
from search.run.bundles import apply_retention
from search.run.journal import FORMAT, JOURNAL, read_events
from search.run.owner import OWNER, process_start
from search.run.record import read_record

# As the sweep measured them; the generators themselves are in another order: the first makes one grey.
SWEPT = {"t0000": 10.0, "t0001": 20.0, "t0002": 30.0}
BRIGHT = {"t0000": 0.0, "t0001": 1.0, "t0002": 3.0}

Tree = dict[str, Any]


class Run:
    """A run's folder as a sweep leaves it, and the command line on it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.storage, self._capsys = folder, Storage(folder), capsys

    def evaluate(self, *arguments: object) -> tuple[int, str, str]:
        self._capsys.readouterr()
        status = run_app(app, ["evaluate", str(self.folder), *map(str, arguments)])
        return (status, *self._capsys.readouterr())

    def bad_input(self, *arguments: object) -> str:
        status, out, err = self.evaluate(*arguments)
        assert (status, out) == (2, "") and err.count("\n") == 1 and "Traceback" not in err, (out, err)
        return err

    def rescored(self, *arguments: object) -> dict[str, Any]:
        status, out, err = self.evaluate("--samples", 128, "--repeats", 2, "--device", "cpu", "--json", *arguments)
        assert status == 0, err
        return json.loads(out)


def make_bundle(folder: Storage, shade: float, fid: float) -> None:
    settings: dict[str, Any] = {"width_g": 4, "width_d": 4, "dropout": 0.0}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator = FAMILIES["dcgan"](**settings).generator((16, 16, 3), 8)
    weights = {name: value.contiguous() for name, value in generator.state_dict().items()}
    last = [name for name, value in weights.items() if value.ndim == 4][-1]
    weights[last] = weights[last] * 30 * shade
    config = {
        "network": "dcgan",
        "network_settings": settings,
        "latent": "gaussian",
        "latent_dim": 8,
        "shape": [16, 16, 3],
        "recipe": "dcgan",
        "fid": fid,
        "kimg": 2.0,
    }
    write_bundle(folder, weights, config)


@pytest.fixture
def run(tmp_path: Path, tiny_data: str, capsys: pytest.CaptureFixture[str]) -> Run:
    """A finished sweep of three trials, whose bundles are all kept."""
    made = Run(tmp_path / "swept", capsys)
    data = open_data(tiny_data)
    evaluator = Evaluator.prepare(data, samples=64)
    settings = {
        "kind": "sweep",
        "name": "swept",
        "data": tiny_data,
        "features": "random-conv",
        "kimg": 2.0,
        "trials": 3,
    }
    lines: list[dict[str, Any]] = [
        {
            "event": "sweep",
            "format": FORMAT,
            "settings": settings,
            "evaluation": evaluator.identity.as_dict(),
            "versions": {},
            "command": "gan-search sweep",
        }
    ]
    for name, fid in SWEPT.items():
        lines += [
            {"event": "trial", "trial": name, "recipe": "dcgan", "objective": "non-saturating", "source": "sampled"}
            | {"params": {}, "settings": {}, "seed": 0},
            {"event": "report", "trial": name, "kimg": 2.0, "fid": fid, "best_fid": fid, "best_kimg": 2.0}
            | {"seconds": 1.0},
            {"event": "verdict", "trial": name, "state": "finished"},
        ]
        make_bundle(made.storage.child(f"best/{name}"), BRIGHT[name], fid)
    lines.append({"event": "end", "state": "finished"})
    content = "".join(json.dumps({"time": 1000.0 + place, **line}) + "\n" for place, line in enumerate(lines))
    made.storage.write_bytes(JOURNAL, content.encode())
    saved = {"identity": {"data": data.content_hash, "recipes": {}}, "settings": settings, "versions": {}}
    made.storage.write_bytes("sweep.yaml", yaml.safe_dump(saved).encode())
    return made


def by_hand(run: Run, tiny_data: str, trial: str) -> list[float | None]:
    bundle = load_bundle(str(run.folder / "best" / trial))
    evaluator = Evaluator.prepare(open_data(tiny_data), samples=128)
    draws = [torch.from_numpy(bundle.sample(128, seed)) for seed in (1, 2)]  # not the sweep's own: 0
    return [evaluator.evaluate(lambda start, count, x=x: x[start : start + count]).fid for x in draws]


def test_leaderboard_report_and_export_go_by_what_was_found(run: Run, tiny_data: str, tmp_path: Path) -> None:
    told = run.rescored("--top", 2)
    trials = {trial["id"]: trial for trial in told["trials"]}
    assert {name: trial["best_fid"] for name, trial in trials.items()} == SWEPT, "the sweep's own numbers stay"
    for name in ("t0000", "t0001"):
        first, second = by_hand(run, tiny_data, name)
        assert first is not None and second is not None
        assert trials[name]["rescored_fid"] == pytest.approx((first + second) / 2, rel=1e-6)
        assert trials[name]["rescored_std"] == pytest.approx(abs(first - second) / 2**0.5, rel=1e-3, abs=1e-6)
    assert trials["t0002"]["rescored_fid"] is None
    assert trials["t0001"]["rescored_fid"] < trials["t0000"]["rescored_fid"]
    # Both numbers of the new winner, which the sweep had placed second.
    best = told["best"]
    assert (best["trial"], best["best_fid"]) == ("t0001", 20.0)
    assert best["rescored_fid"] == trials["t0001"]["rescored_fid"]
    assert told["rescoring"]["evaluation"]["samples"] == 128 and told["evaluation"]["samples"] == 64
    assert (told["rescoring"]["trials"], told["rescoring"]["draws"]) == (2, 2)
    assert [row.id for row in collect(run.storage).leaderboard] == ["t0001", "t0000", "t0002"]
    written = (run.folder / "leaderboard.csv").read_text().splitlines()
    assert "rescored_fid" in written[0] and written[1].startswith("1,t0001,")
    page = (run.folder / "report.html").read_text()
    assert f"{best['rescored_fid']:.1f}" in page and "20.0" in page
    # Whether it copied: in the report too, with a picture.
    assert "t0001, evaluated" in page and "near-duplicates" in page and "each above the training image" in page
    evidence = json.loads((run.folder / "evidence" / "evaluation.json").read_text())
    assert (evidence["trial"], evidence["evaluation"]["samples"], evidence["memorisation"] is None) == (
        "t0001",
        128,
        False,
    )
    for folder in (run.folder / "generator", tmp_path / "out"):
        if folder.name == "out":
            assert run_app(app, ["export", str(run.folder), "--out", str(folder), "--json"]) == 0
        config = json.loads((folder / "config.json").read_text())
        assert (config["fid"], config["rescored"]["fid"]) == (20.0, best["rescored_fid"])
        assert f"**{best['rescored_fid']:.2f}**" in (folder / "README.md").read_text()
        assert "**20.00**" in (folder / "README.md").read_text()
        assert load_bundle(str(folder)).config["generator_sha256"] == config["generator_sha256"]


@pytest.mark.slow
def test_by_inception(run: Run, random_inception: Path) -> None:
    """What a sweep that ranked by light features is judged again for; the weights here are random."""
    own = {trial["id"]: trial["best_fid"] for trial in run.rescored("--top", 1)["trials"]}
    weights = ["--features", "inception", "--inception-weights", random_inception, "--neighbours", 12]
    trials = {trial["id"]: trial for trial in run.rescored("--top", 1, "--samples", 12, *weights)["trials"]}
    assert {name: trial["best_fid"] for name, trial in trials.items()} == own
    assert trials["t0000"]["rescored_fid"] > 0
    rescoring = read_record(run.storage).rescoring
    assert rescoring is not None and rescoring["evaluation"]["features"] == "inception"


def test_what_was_found_is_not_measured_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.rescored("--top", 2)
    judged: list[int] = []
    judge = rescore.judge
    monkeypatch.setattr(rescore, "judge", lambda *a, **k: judged.append(a[2]) or judge(*a, **k))
    assessed: list[str] = []
    assess = rescore.assess
    monkeypatch.setattr(rescore, "assess", lambda *a, **k: assessed.append("again") or assess(*a, **k))
    run.rescored("--top", 3)
    assert judged == [1, 2]  # both draws of the third trial
    assert len(assessed) == 1, "the third trial is the winner now"
    run.rescored("--top", 3, "--repeats", 3)
    assert len(judged) == 2 + 9
    assert len(assessed) == 1
    rescoring = read_record(run.storage).rescoring
    assert rescoring is not None and rescoring["trials"] == list(SWEPT)


def test_an_interrupted_rescoring_ranks_nothing_and_goes_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = rescore.judge

    def interrupt(bundle: Any, evaluator: Any, seed: int, **options: Any) -> Any:
        if bundle.config["fid"] == SWEPT["t0001"]:
            raise KeyboardInterrupt
        return judge(bundle, evaluator, seed, **options)

    monkeypatch.setattr(rescore, "judge", interrupt)
    assert run.evaluate("--top", 2, "--samples", 128, "--repeats", 1)[0] == 130
    assert [trial.id for trial in read_record(run.storage).by_evidence()] == list(SWEPT)
    assert collect(run.storage).rescoring is None
    assert not (run.folder / OWNER).exists()
    monkeypatch.setattr(rescore, "judge", judge)
    assert run.rescored("--top", 2, "--repeats", 1)["best"]["trial"] == "t0001"
    assert sum(event["event"] == "rescore" for event in read_events(run.storage)) == 2


def test_winners_whose_samples_are_not_finite_have_no_evidence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rescore, "judge", lambda *a, **k: SimpleNamespace(fid=None))
    assert run.rescored("--top", 1)["best"]["trial"] == "t0000"
    assert not (run.folder / "evidence").exists() and (run.folder / "generator").is_dir()


def test_broken_off_at_the_evidence_it_goes_on_there(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(rescore, "assess", interrupt)
        assert run.evaluate("--top", 2, "--samples", 128, "--repeats", 2)[0] == 130
    config = json.loads((run.folder / "generator" / "config.json").read_text())
    assert config["rescored"]["fid"] is not None, "what was found before is exported"
    monkeypatch.setattr(rescore, "judge", None)  # Nothing is judged twice.
    run.rescored("--top", 2)
    assert (run.folder / "evidence" / "evaluation.json").exists()


def test_time_that_passes_before_it_is_not_the_sweeps(run: Run) -> None:
    before = collect(run.storage).budget
    run.rescored("--top", 1)
    assert collect(run.storage).budget == before


def test_another_measurement_takes_the_place_of_the_last(run: Run) -> None:
    run.rescored("--top", 2)
    told = run.rescored("--top", 1, "--samples", 100)
    assert told["rescoring"]["evaluation"]["samples"] == 100
    assert [trial["rescored_fid"] is None for trial in told["trials"]] == [False, True, True]


def test_a_generator_found_since_is_not_judged_by_its_predecessor(run: Run) -> None:
    run.rescored("--top", 2)
    report = {"event": "report", "trial": "t0001", "kimg": 3.0, "fid": 15.0, "best_fid": 15.0, "best_kimg": 3.0}
    with (run.folder / JOURNAL).open("a") as journal:
        journal.write(json.dumps(report) + "\n")
    record = read_record(run.storage)
    assert record.rescored(record.trials["t0001"]) is None
    assert [trial.id for trial in record.by_evidence()] == ["t0000", "t0001", "t0002"]


def test_the_winner_is_kept_beyond_the_best_by_the_sweeps_numbers(run: Run) -> None:
    run.rescored("--top", 2)
    record = read_record(run.storage)
    apply_retention(run.storage, record, record.trials["t0000"], 1)
    assert run.storage.list("best") == ["t0000", "t0001"]


def test_the_table_shows_both(run: Run) -> None:
    status, out, _ = run.evaluate("--top", 2, "--samples", 128, "--repeats", 1, "--device", "cpu")
    assert status == 0
    assert "re-scored FD" in out and "best FD" in out
    assert "re-scored: the best 2, Fréchet distance in random-conv features, 128 samples" in out


def test_what_cannot_be_rescored(
    run: Run, tiny_data: str, snapshot: Callable[[Path], Tree], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(said: str, *arguments: object) -> None:
        before = snapshot(run.folder)
        assert said in run.bad_input(*arguments)
        assert snapshot(run.folder) == before

    refused("give --top K")
    refused("--top", "--top", 0)
    refused("--data does not go with --top", "--top", 1, "--data", tiny_data)
    refused("--out does not go with --top", "--top", 1, "--out", run.folder / "page")
    refused("--features random-conv", "--top", 1, "--features", "inception")
    refused("did you mean 'random-conv'", "--top", 1, "--features", "random_conv")
    owner = {"host": os.uname().nodename, "pid": os.getpid(), "started": process_start(os.getpid()), "token": "x"}
    (run.folder / OWNER).write_text(json.dumps(owner | {"beat": time.time()}))
    refused("is run by process", "--top", 1)
    (run.folder / OWNER).unlink()
    saved = yaml.safe_load((run.folder / "sweep.yaml").read_text())
    other = saved | {"identity": {"data": "other", "recipes": {}}}
    (run.folder / "sweep.yaml").write_text(yaml.safe_dump(other))
    refused("is not what it trained on", "--top", 1)
    (run.folder / "sweep.yaml").write_text(
        yaml.safe_dump(saved | {"settings": saved["settings"] | {"kind": "compare"}})
    )
    refused("not a sweep", "--top", 1)
    (run.folder / "sweep.yaml").write_text(yaml.safe_dump(saved))
    for name in SWEPT:
        run.storage.delete(f"best/{name}")
    refused("keeps no generator", "--top", 1)
