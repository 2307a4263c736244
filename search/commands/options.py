"""Options that `sweep` and `compare` share, and what their values turn into."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gan.commands.app import parse_settings
from gan.errors import InputError

Json = Annotated[bool, typer.Option("--json", help="machine-readable output on stdout")]
Data = Annotated[str | None, typer.Option(help="faces, folder:DIR, packed:URI, fashion-mnist:DIR, …; default faces")]
Size = Annotated[
    int | None, typer.Option(help="side of the images in pixels; default: the recipes', or the data's own")
]
Crop = Annotated[
    str | None, typer.Option(help="crop before resizing, such as center-178; default: the recipes', or the data's own")
]
Kimg = Annotated[float | None, typer.Option(help="thousands of real images a full trial sees; default 200")]
Interval = Annotated[float | None, typer.Option(help="kimg between reports; default kimg / 12")]
Name = Annotated[str | None, typer.Option(help="name of the run; default: the command's")]
Place = Annotated[str | None, typer.Option(help="where runs are kept: a folder, s3:// or gs://; default results")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="KEY=VALUE in every recipe; repeatable; default: as the recipes say")
]
Features = Annotated[str | None, typer.Option(help="inception or random-conv; default: by the data")]
Weights = Annotated[str | None, typer.Option(help="file of the Inception weights; default: fetched once")]
Samples = Annotated[int | None, typer.Option(help="generated images per FID; default 5000")]
Concurrent = Annotated[int | None, typer.Option(help="trials at once; default: what fits")]
Cpus = Annotated[float | None, typer.Option(help="CPU cores a trial takes; default 1")]
Gpus = Annotated[
    str | None,
    typer.Option(help="GPUs a trial takes; fractions share one, auto measures which; default 1 where there are any"),
]
Device = Annotated[str | None, typer.Option(help="auto, cpu or cuda; default auto")]
Precision = Annotated[str | None, typer.Option(help="auto, fp32 or bf16; default auto")]
Address = Annotated[str | None, typer.Option(help="of a Ray cluster; default: this machine")]
WaitForNodes = Annotated[
    str | None, typer.Option(help="for an autoscaler to bring the first node, such as 15m; default: not at all")
]
TimeBudget = Annotated[str | None, typer.Option(help="end cleanly after this long, such as 2h; default: never")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="check everything, show the plan, start nothing")]


def given(flags: dict[str, Any], settings: list[str] | None, values: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a run's settings: those of a file, if any, and over them the flags that were given."""
    values = dict(values or {}) | {name: value for name, value in flags.items() if value is not None}
    if settings:
        values["settings"] = {**(values.get("settings") or {}), **parse_settings(settings)}
    return values


def more(option: str, given: str | None) -> int:
    """Read "+N": how many more; none if the option was not given."""
    if given is None:
        return 0
    if not given.removeprefix("+").isdecimal():
        raise InputError(f"{option} {given}: give +N, how many more")
    return int(given.removeprefix("+"))
