"""FID: the same numbers as the reference implementations, and what they cost.

    python benchmarks/fid.py                          # all parts, at sizes that take minutes on two cores
    python benchmarks/fid.py --parts distance light   # seconds
    python benchmarks/fid.py --images 5000 --device cuda --json

Peers, in the same run: pytorch-fid (its command, as users run it) and torch-fidelity, both from
`pip install -e '.[benchmarks]'`. All are given one file of random weights in the layout of the 2015
Inception network, so that nothing need be downloaded: their values are no scores, but equal ones are
equal, and cost what real ones cost.

    agreement   FID of drawn faces and of others that are a little blurred: ours, torch-fidelity's, and
                pytorch-fid's, which resizes otherwise. With fewer than 2,049 images a set the covariances
                are singular, and rounding in the peers' square roots shows: there the distance is compared
                over fewer features
    distance    the distance alone, 2048 dimensions, against scipy.linalg.sqrtm
    evaluation  one evaluation as a training makes it (images in memory, statistics cached) against the
                pytorch-fid command on the same images as PNG files and its own cached .npz
    light       random-conv: samples generated and scored, on one core
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from image_faults import blurred
from torch import Tensor

from gan.data.packed.opening import open_data
from gan.data.sources import faces
from gan.evaluation.evaluator import Evaluator, statistics_of
from gan.evaluation.features import inception
from gan.evaluation.features.inception_weights import FILE
from gan.evaluation.frechet import Reference, frechet_distance
from gan.evaluation.statistics import Statistics, save_statistics
from gan.recipe.recipe import load_recipe
from gan.tensors.device import choose_device
from gan.tensors.images import save_png
from gan.tensors.latents import fixed_latents
from gan.training.trainer import Trainer

PARTS = ("agreement", "distance", "evaluation", "light")
SIDE = 64
DIMENSIONS = 2048
FULL = 5000
BLUR = 0.5
"""Of one of the sets that are compared, in pixels: two of one kind would differ by next to nothing but rounding."""
TARGETS = {"agreement": 1e-5, "distance": 15.0, "distance_error": 1e-9, "light": 2.0}
EVALUATION_TARGETS = {"cpu": {"ratio": 1.5}, "cuda": {"ratio": 10.0, "seconds": 3.0}}
"""Of 5,000 samples: times as fast as pytorch-fid, and seconds at most."""


# ---- what all are given


def write_weights(path: Path) -> None:
    """Write random weights in the 2015 layout, scaled as a trained network's so that features vary."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Unloaded(FeatureExtractorInceptionV3):  # type: ignore[misc]
        def load_state_dict(self, *state: Any, **options: Any) -> None:
            return None

    nothing = io.BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Unloaded("inception", [str(DIMENSIONS)], feature_extractor_weights_path=nothing)
        for name, value in network.state_dict().items():
            if name.endswith("conv.weight"):
                value.normal_(0, (2 / value[0].numel()) ** 0.5)
            elif name.endswith(("bn.weight", "running_var")):
                value.uniform_(0.7, 1.3)
            elif name.endswith(("bn.bias", "running_mean")):
                value.normal_(0, 0.2)
    torch.save(network.state_dict(), path)


def drawn(start: int, count: int) -> np.ndarray:
    return faces.draw(np.arange(start, start + count), SIDE)


def write_images(folder: Path, images: np.ndarray) -> Path:
    folder.mkdir()
    for number, image in enumerate(images):
        save_png(folder / f"{number:05d}.png", image)
    return folder


class Setting:
    """The files that the parts share, made when first asked for."""

    def __init__(self, folder: Path, args: argparse.Namespace) -> None:
        self.folder, self.args = folder, args
        self.home = folder / "torch"
        self.weights = self.home / "hub" / "checkpoints" / FILE
        self.device = choose_device(args.device)

    def prepare(self) -> None:
        # Where the pytorch-fid command finds what it would else download.
        self.weights.parent.mkdir(parents=True)
        write_weights(self.weights)

    def extractor(self) -> inception.InceptionFeatures:
        return inception.InceptionFeatures(self.weights).to(self.device)

    def pytorch_fid(self, *arguments: object) -> tuple[float, float | None]:
        """Run the command; return its seconds, and its FID if it prints one."""
        command = [sys.executable, "-m", "pytorch_fid", *map(str, arguments), "--device", str(self.device)]
        began = time.perf_counter()
        done = subprocess.run(
            command, env={**os.environ, "TORCH_HOME": str(self.home)}, capture_output=True, text=True, check=False
        )
        taken = time.perf_counter() - began
        if done.returncode:
            raise SystemExit(f"pytorch-fid failed: {done.stderr.strip().splitlines()[-1]}")
        printed = [line for line in done.stdout.splitlines() if line.startswith("FID:")]
        return taken, float(printed[0].split()[1]) if printed else None


# ---- the parts


def agreement(setting: Setting) -> dict[str, Any]:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    count = setting.args.images
    sets = [drawn(0, count), blurred(torch.from_numpy(drawn(100_000, count)), BLUR).numpy()]
    theirs = FeatureExtractorInceptionV3(
        "inception", [str(DIMENSIONS)], feature_extractor_weights_path=str(setting.weights)
    ).to(setting.device)

    def their_features(images: np.ndarray) -> Tensor:
        rows = torch.from_numpy(images).permute(0, 3, 1, 2).to(setting.device)
        return torch.cat([theirs(part)[0] for part in rows.split(32)]).cpu()

    extractor = setting.extractor()
    ours = [
        torch.cat([extractor(torch.from_numpy(images[s : s + 250])) for s in range(0, count, 250)]) for images in sets
    ]
    reference = [their_features(images) for images in sets]

    def distances(columns: int) -> tuple[float, float]:
        statistics = [fid_features_to_statistics(features[:, :columns]) for features in reference]
        fidelity = fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"]
        return frechet_distance(*(statistics_of_features(features[:, :columns]) for features in ours[::-1])), fidelity

    columns = DIMENSIONS if count > DIMENSIONS else max(2, count // 4)
    mine, fidelity = distances(DIMENSIONS)
    compared = distances(columns)
    folders = [write_images(setting.folder / f"agreement{n}", images) for n, images in enumerate(sets)]
    _, pytorch_fid = setting.pytorch_fid(*folders)
    scale = max(float(features.abs().max()) for features in reference)
    return {
        "images": count,
        "fid": {"ours": mine, "torch_fidelity": fidelity, "pytorch_fid": pytorch_fid},
        "dimensions": columns,
        "relative_to_torch_fidelity": abs(compared[0] - compared[1]) / compared[1],
        "relative_to_pytorch_fid": None if pytorch_fid is None else abs(mine - pytorch_fid) / pytorch_fid,
        "largest_difference_of_features": max(
            float((a.cpu() - b).abs().max()) for a, b in zip(ours, reference, strict=True)
        )
        / scale,
        "target": TARGETS["agreement"],
    }


def statistics_of_features(features: Tensor) -> Statistics:
    return statistics_of([features], _Identity())  # type: ignore[arg-type]


class _Identity:
    """Takes features for rows."""

    def __call__(self, rows: Tensor) -> Tensor:
        return rows


def distance(setting: Setting) -> dict[str, Any]:
    from scipy import linalg

    random = np.random.default_rng(0)

    def gaussian() -> Statistics:
        rows = torch.from_numpy(random.normal(size=(DIMENSIONS, DIMENSIONS + 500)) * random.uniform(0.5, 2))
        return Statistics(torch.from_numpy(random.normal(size=DIMENSIONS)), rows @ rows.T / rows.shape[1], None)

    real, fake = gaussian(), gaussian()
    reference = Reference.of(real.to(setting.device))
    fake_there = fake.to(setting.device)

    def ours() -> float:
        return reference.distance(fake_there)

    def theirs() -> float:
        cross = linalg.sqrtm(real.covariance.numpy() @ fake.covariance.numpy())
        shift = (real.mean - fake.mean).square().sum()
        return float(shift + real.covariance.trace() + fake.covariance.trace() - 2 * np.trace(cross).real)

    ours()  # the first call allocates
    turns = [(seconds(theirs), seconds(ours)) for _ in range(setting.args.repeats)]
    found = turns[-1][0][1], turns[-1][1][1]
    return {
        "dimensions": DIMENSIONS,
        "seconds": {"sqrtm": median(a[0] for a, _ in turns), "ours": median(b[0] for _, b in turns)},
        "ratio": spread([a[0] / b[0] for a, b in turns]),
        "relative_error": abs(found[0] - found[1]) / found[0],
        "target": TARGETS["distance"],
        "target_error": TARGETS["distance_error"],
    }


def evaluation(setting: Setting) -> dict[str, Any]:
    few, many = max(2, setting.args.images // 4), setting.args.images
    images = drawn(200_000, many)
    extractor = setting.extractor()
    known = statistics_of([drawn(0, 64)], extractor)
    cached = setting.folder / "cached.npz"
    save_statistics(cached, known)
    reference = Reference.of(known.to(setting.device))

    def ours(count: int) -> float:
        batches = (torch.from_numpy(images[start : min(start + 250, count)]) for start in range(0, count, 250))
        return reference.distance(statistics_of(batches, extractor).to(setting.device))

    folders = {count: write_images(setting.folder / f"evaluation{count}", images[:count]) for count in (few, many)}
    ours(few)
    turns: dict[str, dict[int, list[float]]] = {name: {few: [], many: []} for name in ("ours", "pytorch_fid")}
    for _ in range(setting.args.repeats):
        for count in (few, many):
            turns["pytorch_fid"][count].append(setting.pytorch_fid(folders[count], cached)[0])
            turns["ours"][count].append(seconds(lambda count=count: ours(count), setting.device)[0])
    costs = {name: _line(few, many, median(taken[few]), median(taken[many])) for name, taken in turns.items()}
    full = {name: fixed + each * FULL for name, (fixed, each) in costs.items()}
    return {
        "images": many,
        "seconds": {name: median(taken[many]) for name, taken in turns.items()},
        "ratio": spread([a / b for a, b in zip(turns["pytorch_fid"][many], turns["ours"][many], strict=True)]),
        "images_per_second": {name: 1 / each for name, (_, each) in costs.items()},
        "seconds_at_5000": full,
        "ratio_at_5000": full["pytorch_fid"] / full["ours"],
        "extrapolated": many < FULL,
        "target": EVALUATION_TARGETS.get(setting.device.type, {}),
    }


def _line(few: int, many: int, at_few: float, at_many: float) -> tuple[float, float]:
    """Return fixed seconds and seconds an image, from two counts."""
    each = max(1e-9, (at_many - at_few) / (many - few))
    return max(0.0, at_few - each * few), each


def light(setting: Setting) -> dict[str, Any]:
    data = open_data("faces", 32)
    evaluator = Evaluator.prepare(data, features="random-conv", samples=FULL, device=setting.device)
    found = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for width in (32, 64):
            recipe = load_recipe("dcgan").with_settings({"width_g": width, "width_d": width})
            trainer = Trainer(recipe, data, device=str(setting.device))
            latents = fixed_latents("gaussian", FULL, recipe.training.latent_dim, 0)

            def once(trainer: Trainer = trainer, latents: Tensor = latents) -> object:
                return evaluator.evaluate(lambda start, count: trainer.sample(latents[start : start + count]))

            once()
            turns = [(seconds(once, setting.device)[0], processor_seconds(once)) for _ in range(setting.args.repeats)]
            found[str(width)] = {
                "seconds": spread([wall for wall, _ in turns]),
                "processor_seconds": spread([cpu for _, cpu in turns]),
            }
    finally:
        torch.set_num_threads(threads)
    return {"samples": FULL, "size": 32, "by_generator_width": found, "target": TARGETS["light"]}


# ---- measuring


def seconds(work: Callable[[], Any], device: torch.device | None = None) -> tuple[float, Any]:
    """Return how long `work` takes, what it left running on the device included, and what it returns."""
    began = time.perf_counter()
    result = work()
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began, result


def processor_seconds(work: Callable[[], Any]) -> float:
    """Return the processor time that `work` takes: of one thread, what it would take with the core to itself."""
    began = time.process_time()
    work()
    return time.process_time() - began


def spread(values: list[float]) -> dict[str, float]:
    return {"min": min(values), "median": median(values), "max": max(values)}


def machine(device: torch.device) -> dict[str, Any]:
    names = [
        line.partition(":")[2].strip()
        for line in (Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ())
        if "model name" in line
    ]
    return {
        "cpu": names[0] if names else platform.machine(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "load": os.getloadavg()[0],
    }


# ---- what is shown


def show(result: dict[str, Any]) -> None:
    place = result["machine"]
    where = place["gpu"] or f"{place['cpu']}, {place['threads']} threads, load {place['load']:.1f}"
    print(f"{where}; torch {result['torch']}; {result['date']}")
    for name in PARTS:
        if name in result:
            print(f"\n{name}")
            for line in LINES[name](result[name]):
                print(f"  {line}")


def _of_agreement(found: dict[str, Any]) -> list[str]:
    fids = ", ".join(f"{name} {value:.6g}" for name, value in found["fid"].items() if value is not None)
    lines = [
        f"{found['images']} images a set: {fids}",
        f"features differ by at most {found['largest_difference_of_features']:.1e} of torch-fidelity's largest",
        f"the distance over {found['dimensions']} of {DIMENSIONS} features differs from torch-fidelity's by"
        f" {found['relative_to_torch_fidelity']:.1e} (target {found['target']:.0e})",
        f"FID differs from pytorch-fid's by {found['relative_to_pytorch_fid']:.2%}",
    ]
    return lines


def _of_distance(found: dict[str, Any]) -> list[str]:
    each = found["seconds"]
    return [
        f"{found['dimensions']} dimensions: sqrtm {each['sqrtm']:.2f} s, ours {each['ours']:.2f} s",
        f"{_ratio(found['ratio'])} (target {found['target']:g}×), relative error {found['relative_error']:.1e}",
    ]


def _of_evaluation(found: dict[str, Any]) -> list[str]:
    each, rates, full = found["seconds"], found["images_per_second"], found["seconds_at_5000"]
    how = "extrapolated from two counts" if found["extrapolated"] else "measured"
    return [
        f"{found['images']} images: pytorch-fid {each['pytorch_fid']:.1f} s, ours {each['ours']:.1f} s,"
        f" {_ratio(found['ratio'])}",
        f"images a second: pytorch-fid {rates['pytorch_fid']:.1f}, ours {rates['ours']:.1f}",
        f"5,000 images ({how}): {full['pytorch_fid']:.1f} s against {full['ours']:.1f} s,"
        f" {found['ratio_at_5000']:.2f}× (targets: {found['target']})",
    ]


def _of_light(found: dict[str, Any]) -> list[str]:
    return [
        f"{found['samples']:,} samples at {found['size']}×{found['size']}, generator of width {width}, one core:"
        f" {each['seconds']['median']:.2f} s, of the processor {each['processor_seconds']['median']:.2f} s"
        f" (target {found['target']:g} s)"
        for width, each in found["by_generator_width"].items()
    ]


def _ratio(values: dict[str, float]) -> str:
    return f"{values['median']:.2f}× (min {values['min']:.2f}, max {values['max']:.2f})"


LINES = {"agreement": _of_agreement, "distance": _of_distance, "evaluation": _of_evaluation, "light": _of_light}


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--images", type=int, default=200, help="of a set; what costs time on a CPU")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as PyTorch takes")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(arguments)


def main() -> None:
    args = parse(sys.argv[1:])
    if args.threads:
        torch.set_num_threads(args.threads)
        os.environ["OMP_NUM_THREADS"] = str(args.threads)  # of the peer's process as well
    parts = {"agreement": agreement, "distance": distance, "evaluation": evaluation, "light": light}
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(Path(folder), args)
        result: dict[str, Any] = {
            "machine": machine(setting.device),
            "torch": torch.__version__,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        if {"agreement", "evaluation"} & set(args.parts):
            setting.prepare()
        for name in args.parts:
            result[name] = parts[name](setting)
    if args.json:
        print(json.dumps(result))
    else:
        show(result)


if __name__ == "__main__":
    main()
