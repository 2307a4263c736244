"""`compare`: recipes at equal budget."""

from __future__ import annotations

from typing import Annotated

import typer

from gan.terminal import command_line, packing_progress
from search.commands import options as opt


def compare(
    recipes: Annotated[
        list[str],
        typer.Argument(metavar="R", help="recipes; YAML files; RUN:1, the best of a run, or RUN:t0007, a trial of it"),
    ],
    data: opt.Data = None,
    size: opt.Size = None,
    crop: opt.Crop = None,
    seeds: Annotated[int | None, typer.Option(help="training seeds for each recipe; default 3")] = None,
    kimg: opt.Kimg = None,
    interval_kimg: opt.Interval = None,
    draws: Annotated[
        int | None, typer.Option(help="latent draws on which each best generator is judged again; default 5")
    ] = None,
    name: opt.Name = None,
    storage: opt.Place = None,
    set_: opt.Settings = None,
    features: opt.Features = None,
    inception_weights: opt.Weights = None,
    samples: opt.Samples = None,
    seed: Annotated[int | None, typer.Option(help="the first training seed; the others follow it; default 0")] = None,
    concurrent: opt.Concurrent = None,
    cpus_per_trial: opt.Cpus = None,
    gpus_per_trial: opt.Gpus = None,
    device: opt.Device = None,
    precision: opt.Precision = None,
    address: opt.Address = None,
    wait_for_nodes: opt.WaitForNodes = None,
    time_budget: opt.TimeBudget = None,
    dry_run: opt.DryRun = False,
    json: opt.Json = False,
) -> None:
    """Compare recipes at equal budget: mean FID ± std over training seeds.

    Every recipe is trained to the same length on the same seeds; none is stopped early. The same
    command goes on with a comparison that was interrupted, and with more recipes or --seeds adds to
    it. `status`, `report`, `resume`, `export` and `tensorboard` work on it as on a sweep.

    \b
    Example:
      gan-search compare dcgan wgan results/photos:1 --data folder:photos \\
          --size 64 --seeds 5 --kimg 500 --name fair
    """
    from search.commands.launching import launch
    from search.commands.plan import show_plan
    from search.compare import Compare
    from search.plan.contestants import CompareSpec
    from search.plan.spec import validate

    flags = {
        "recipes": recipes,
        "data": data,
        "size": size,
        "crop": crop,
        "seeds": seeds,
        "kimg": kimg,
        "interval_kimg": interval_kimg,
        "draws": draws,
        "name": name,
        "storage": storage,
        "features": features,
        "inception_weights": inception_weights,
        "samples": samples,
        "seed": seed,
        "concurrent": concurrent,
        "cpus_per_trial": cpus_per_trial,
        "gpus_per_trial": gpus_per_trial,
        "device": device,
        "precision": precision,
        "address": address,
        "wait_for_nodes": wait_for_nodes,
        "time_budget": time_budget,
    }
    checked = validate(CompareSpec, opt.given(flags, set_), "compare")
    with packing_progress(quiet=json) as packing:
        made = Compare(checked, command=command_line(), quiet=json, packing=packing)
    (show_plan if dry_run else launch)(made, json)
