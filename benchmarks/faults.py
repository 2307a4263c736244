"""What a sweep loses when things go wrong: faults at random moments of real sweeps on a real cluster, counted.

    python benchmarks/faults.py --storage shared --repeats 5
    python benchmarks/faults.py --storage s3 --repeats 5 --faults node cut --json

Three Ray nodes in network namespaces (this needs root), under a token; the head runs no trial, each worker one at
a time. Every fault meets a sweep of its own, at a random moment. Afterwards the run must be as if nothing had
happened: all trials, each with one verdict, those from before unchanged, every report there, the best bundle whole.

Who starts a node again: this script does, when the sweep has ended, as systemd, an autoscaler or KubeRay would;
only a link that comes back has its node started while the sweep goes on. Recovery is from the fault to the first
report of new work by the last trial that lost its process. Repeated work: what an interrupted trial trains twice, at
most: the part of an interval since its last report, counted whole, and what its checkpoint was behind that.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import yaml
from injections import FAULTS, Fault, Injected, Stage, stage
from three_nodes import SUBNET
from verdicts import trained_after_its_verdict

from gan import load_bundle
from gan.storage.storage import Storage
from search.run.journal import read_events
from search.run.record import FINAL, fold

TRIALS, KIMG, INTERVAL = 4, 8.0, 0.4
SPEC = {
    "recipes": ["dcgan"],
    "settings": {"width_g": 4, "width_d": 4, "batch": 16},
    "samples": 500,
    "trials": TRIALS,
    "kimg": KIMG,
    "interval_kimg": INTERVAL,
    "grace_kimg": 7.6,
}
EARLIEST, LATEST = 3, 24
"""Reports after which a fault may come: early enough that both nodes train for some time yet. With its only rung at 7.6
kimg, a sweep of which no trial diverges makes 76."""

_INTERVAL_SECONDS = 1.5
"""About what a trial needs from report to report."""

PATIENCE = 400.0
NOTICED_SECONDS, MOST_REPEATED = 15.0, 2 * INTERVAL
"""Goals: until a lost node is noticed; kimg trained twice, which are the checkpoints that are kept."""

Events = list[dict[str, Any]]


@dataclass(frozen=True)
class Outcome:
    """What one fault did.

    Attributes:
        lost: what is not as it should be; nothing if all is well.
        trials_lost: trials without a verdict of their own, or failed.
        noticed: seconds until the lost node was noted down; None where none is lost.
        recovery: seconds until the last interrupted trial did new work; None if none was interrupted.
        repeated: kimg trained twice by the trial that repeated most, at most.
        behind: reports that the checkpoint of the worst trial was behind its last report.
        false_alarms: nodes given up that were well.
    """

    fault: str
    after_reports: int
    lost: list[str]
    trials_lost: int
    noticed: float | None
    recovery: float | None
    repeated: float
    behind: int
    false_alarms: int
    seconds: float

    def missed(self) -> list[str]:
        """Return which goals it missed, in words."""
        missed = [f"LOST: {wrong}" for wrong in self.lost]
        if self.false_alarms > 0:
            missed.append("FALSE ALARM: a node was given up that was well")
        if self.noticed is not None and self.noticed > NOTICED_SECONDS:
            missed.append(f"LATE: the lost node was noticed after {self.noticed:.1f} s")
        if self.repeated > MOST_REPEATED + 1e-6:
            missed.append(f"REPEATED: {self.repeated:.1f} kimg")
        return missed


def run_one(on: Stage, name: str, data: list[str], label: str) -> Outcome:
    """Run a sweep, let one fault happen to it, and tell what came of it.

    Args:
        data: flags that name it.
        label: name of the sweep.
    """
    fault, begin = FAULTS[name], time.monotonic()
    on.run = Storage(on.storage).child(label)
    after = on.rng.randint(EARLIEST, LATEST)
    injected, verdicts = Injected(time.time()), dict[str, str]()
    node: int | None = None
    wrong: list[str] = []
    with tempfile.NamedTemporaryFile("w+", suffix=".yaml") as spec, tempfile.TemporaryFile("w+") as said:
        yaml.safe_dump(SPEC | {"seed": on.rng.randrange(1000)}, spec)
        on.driver = _start(on, said, "sweep", spec.name, *data, "--storage", on.storage, "--name", label)
        try:
            verdicts = _verdicts(_wait(on.run, after, on.driver, said))
            # Not just after a report was written, but anywhere in what a trial does between two.
            time.sleep(on.rng.uniform(0, _INTERVAL_SECONDS))
            injected = fault.inject(on)
            node = injected.node
            if fault.ends_driver:
                on.driver.wait(60)
                on.driver = _start(on, said, "resume", on.run.uri)
            elif name == "cut" and node is not None:
                _start_anew(on, node)
                node = None
            on.driver.communicate(timeout=PATIENCE)
            if on.driver.returncode:
                said.seek(0)
                wrong.append(f"exit {on.driver.returncode}: {said.read()[-300:]}")
        except subprocess.TimeoutExpired as error:
            wrong.append(f"it hangs: nothing ended within {error.timeout:.0f} s")
        except RuntimeError as error:
            wrong.append(str(error))
        finally:
            on.driver.kill()
            if node is not None:
                on.cluster.mend(node)
                _start_anew(on, node)
    events = read_events(on.run)
    wrong += _judge(on.run, events, verdicts)
    lost = [(event["node"], event["time"]) for event in events if event["event"] == "node" and event["state"] == "lost"]
    expected = f"{SUBNET}.{injected.node}" if fault.loses_node else None
    noticed = min((when - injected.when for where, when in lost if where == expected), default=None)
    if expected is not None and noticed is None:
        wrong.append("the lost node was never noticed")
    interrupted = _interrupted(events, injected.when)
    Storage(on.storage).delete(label)  # The disk is small.
    return Outcome(
        name,
        after,
        wrong,
        TRIALS - _survivors(events),
        noticed,
        max((trial.recovery for trial in interrupted), default=None),
        max((trial.behind + 1 for trial in interrupted), default=0) * INTERVAL,
        max((trial.behind for trial in interrupted), default=0),
        len({where for where, _ in lost} - {expected}),
        time.monotonic() - begin,
    )


def _start(on: Stage, said: Any, *arguments: str) -> subprocess.Popen[str]:
    address = [] if arguments[0] == "resume" else ["--address", on.cluster.address]
    command = on.cluster.inside(1, sys.executable, "-m", "search", *arguments, *address, "--json")
    return subprocess.Popen(command, env=on.cluster.environment, stdout=subprocess.PIPE, stderr=said, text=True)


def _start_anew(on: Stage, node: int) -> None:
    """Start Ray on a node again, once nothing of it is left."""
    on.cluster.kill(node)
    time.sleep(1)
    on.cluster.start(node)


def _wait(run: Storage, reports: int, driver: subprocess.Popen[str], said: Any) -> Events:
    """Wait until a run has so many reports; return its events."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if driver.poll() is not None:
            said.seek(0)
            raise RuntimeError(f"the sweep ended before it had {reports} reports: {said.read()[-2000:]}")
        events = read_events(run) if run.exists("journal.jsonl") else []
        if sum(event["event"] == "report" for event in events) >= reports:
            return events
        time.sleep(0.1)
    raise RuntimeError(f"no {reports} reports in {PATIENCE:.0f} s")


# ---- what came of it


def _verdicts(events: Events) -> dict[str, str]:
    return {event["trial"]: event["state"] for event in events if event["event"] == "verdict"}


def _survivors(events: Events) -> int:
    return sum(trial.state in FINAL and trial.state != "failed" for trial in fold(events).trials.values())


def _judge(run: Storage, events: Events, before: dict[str, str]) -> list[str]:
    """Return what is not as if nothing had happened."""
    record, wrong = fold(events), []
    if record.ended != "finished":
        wrong.append(f"the run is {record.ended}")
    states = {trial.id: trial.state for trial in record.trials.values()}
    if len(states) != TRIALS:
        wrong.append(f"{len(states)} trials")
    wrong += [f"{trial}: {state}" for trial, state in states.items() if state not in FINAL or state == "failed"]
    wrong += [
        f"{trial}: {state}, then {states.get(trial)}" for trial, state in before.items() if states.get(trial) != state
    ]
    wrong += [f"{trial}: trained or judged after its verdict" for trial in trained_after_its_verdict(events)]
    for trial in record.trials.values():
        # One that diverges may do so between two reports.
        told = [round(report["kimg"], 6) for report in trial.reports if not report["diverged"]]
        if told != [round(INTERVAL * (index + 1), 6) for index in range(len(told))]:
            wrong.append(f"{trial.id}: reports are missing, so rungs are not complete")
    if not record.ranked():
        return [*wrong, "there is no best"]
    best = record.ranked()[0]
    bundle = load_bundle(run.child(f"best/{best.id}").uri)
    if bundle.config["fid"] != best.best_fid or bundle.sample(4).shape[0] != 4:
        wrong.append(f"the best bundle says {bundle.config['fid']}, the journal {best.best_fid}")
    return wrong


@dataclass(frozen=True)
class _Interrupted:
    recovery: float
    behind: int


def _interrupted(events: Events, when: float) -> list[_Interrupted]:
    """Return the trials that had begun and were started again after a moment."""
    found = []
    for trial in {event["trial"] for event in events if event["event"] == "trial"}:
        mine = [event for event in events if event.get("trial") == trial]
        starts = [event["time"] for event in mine if event["event"] in ("start", "retry")]
        again = next((moment for moment in starts if moment > when), None)
        if again is None or min(starts) > when:
            continue
        earlier = [event for event in mine if event["event"] == "report" and event["time"] <= again]
        later = [event for event in mine if event["event"] == "report" and event["time"] > again]
        reached = max((event["kimg"] for event in earlier), default=0.0)
        new = next((event for event in later if not _told_again(event)), None)
        if new is not None:
            behind = max(0.0, reached - (new["kimg"] - INTERVAL))
            found.append(_Interrupted(new["time"] - when, round(behind / INTERVAL)))
    return found


def _told_again(report: dict[str, Any]) -> bool:
    """Tell whether a report came out of a checkpoint: it was put there before the checkpoint had taken its time."""
    return bool(report["checkpoint_seconds"] == 0)


def show(outcomes: list[Outcome], storage: str) -> None:
    print(f"storage: {storage}; {TRIALS} trials of {KIMG:g} kimg, a report every {INTERVAL:g}; times: median (most)")
    heads = f"{'noticed':>14} {'recovered':>16} {'kimg repeated':>14}"
    print(f"{'fault':58} {'met':>4} {'survived':>8} {'trials lost':>11} {heads}")
    for name, fault in FAULTS.items():
        mine = [outcome for outcome in outcomes if outcome.fault == name]
        if mine:
            print(_row(fault, mine))
    for outcome in outcomes:
        for missed in outcome.missed():
            print(f"{outcome.fault} after {outcome.after_reports} reports: {missed}")


def _row(fault: Fault, mine: list[Outcome]) -> str:
    def middle(values: list[float | None]) -> str:
        known = [value for value in values if value is not None]
        return f"{median(known):.1f} ({max(known):.1f}) s" if known else "-"

    survived = sum(not outcome.lost for outcome in mine)
    times = f"{middle([o.noticed for o in mine]):>14} {middle([o.recovery for o in mine]):>16}"
    lost = sum(outcome.trials_lost for outcome in mine)
    repeated = max(outcome.repeated for outcome in mine)
    return f"{fault.says:58} {len(mine):>4} {survived:>8} {lost:>11} {times} {repeated:>14.1f}"


def measure(args: argparse.Namespace) -> list[Outcome]:
    wanted = [name for name in args.faults or FAULTS if args.storage == "shared" or not FAULTS[name].shared_only]
    outcomes = []
    scratch = tempfile.TemporaryDirectory(prefix="gan-faults-")
    with scratch as folder, stage(Path(folder), args.storage, args.seed) as on:
        for repeat in range(args.repeats):
            for name in wanted:
                outcome = run_one(on, name, ["--data", "faces", "--size", "32"], f"{name}-{repeat}")
                outcomes.append(outcome)
                print(json.dumps(asdict(outcome)), file=sys.stderr, flush=True)
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--storage", choices=["shared", "s3"], default="shared")
    parser.add_argument("--faults", nargs="+", choices=FAULTS, help="all, if none is named")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="of the moments and the victims")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))  # The cluster is cleared away all the same.
    outcomes = measure(args)
    if args.json:
        print(json.dumps([asdict(outcome) for outcome in outcomes]))
    else:
        show(outcomes, args.storage)
    sys.exit(any(outcome.missed() for outcome in outcomes))


if __name__ == "__main__":
    main()
