"""Running a sweep or a comparison from the command line, and showing its results."""

from __future__ import annotations

import shlex
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from gan.errors import InputError
from gan.terminal import Failed, Interrupted, command_line, emit, note, packing_progress, say

if TYPE_CHECKING:
    from search.plan.spec import RunSpec
    from search.report.data.report_data import ReportData
    from search.run.record import SweepRecord
    from search.trials.launch import Launch


def start(kind: type[Launch], spec: RunSpec, dry_run: bool, json: bool) -> None:
    """Check a sweep or a comparison, and run it or show its plan."""
    from search.commands.plan import budget, in_short, show_plan

    with packing_progress(quiet=json) as packing:
        prepared = kind(spec, command=command_line(), quiet=json, packing=packing)
    choice = getattr(prepared, "choice", None)
    if choice is not None and not dry_run:
        note(f"for {budget(choice)}: {in_short(choice)}" + ("; then the best is trained on" * choice.budget.finishes))
    (show_plan if dry_run else launch)(prepared, json)


def launch(prepared: Launch, json: bool) -> None:
    """Run a sweep or a comparison to its end, write the report, export the winner."""
    from search.trials.launch import SweepHalted, SweepInterrupted

    run = prepared.run_storage
    try:
        record = prepared.run()
    except SweepInterrupted:
        raise Interrupted(f"all so far is kept; go on with: gan-search resume {shlex.quote(run.uri)}") from None
    except SweepHalted as error:
        raise Failed(f"{error}; fix that and go on with: gan-search resume {shlex.quote(run.uri)}") from None
    _conclude(prepared, record, json)


def _conclude(prepared: Launch, record: SweepRecord, json: bool) -> None:
    from search.algorithm.prior import LONGER
    from search.report.build import build_report
    from search.report.data.collect import best_finalist, collect
    from search.report.text.status import state_line
    from search.run.bundles import GENERATOR, export_winner
    from search.run.owner import Owner

    run = prepared.reported
    with ExitStack() as owned:
        if run is not prepared.run_storage:
            try:
                owned.callback(Owner(run).release)
            except InputError as error:
                note(f"{error}; its report and generator follow at its end")
                return
        best = export_winner(run)
        data = build_report(run)
    show(data, json)
    if not json:
        generator = shlex.quote(f"{run.uri}/{GENERATOR}")
        say(f"\nreport     {run.uri}/report.html")
        if best is not None:
            say(f"generator  {generator}\nsample it  gan-search sample {generator} -n 64 --grid --out samples.png")
        say_finalist(best_finalist(run))
        if data.best is not None and not data.extended and data.total_kimg and prepared.spec.checkpoints_kept:
            say(f"train it on  gan-search extend {shlex.quote(run.uri)} --kimg {LONGER * data.total_kimg:g}")
        if record.ended == "interrupted":
            own = data if run is prepared.run_storage else collect(prepared.run_storage)
            say(f"\n{state_line(own)}")
    if best is None and record.ended == "finished":
        raise Failed("no trial produced a generator: see the reasons in the report, and try lower learning rates")


def say_finalist(finalist: dict[str, Any] | None) -> None:
    """Print which settings won on the mean over fresh seeds; the lowest single FID may be of others."""
    if finalist is None:
        return
    spread = "" if finalist["std_over_seeds"] is None else f" ± {finalist['std_over_seeds']:.2f}"
    mean = f"{finalist['mean']:.2f}{spread} over {finalist['seeds']} fresh seeds"
    best = f"; its best generator: {shlex.quote(finalist['bundle'])}" if finalist["bundle"] else ""
    say(f"finalists  {finalist['name']} won on mean: {mean}{best}")


def show(data: ReportData, json: bool) -> None:
    from rich.console import Console

    from search.report.text.status import as_json
    from search.report.text.status import show as show_status

    if json:
        emit(as_json(data))
    else:
        show_status(data, Console())
