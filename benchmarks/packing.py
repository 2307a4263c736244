"""How fast 178×218 JPEGs, the geometry of aligned CelebA, are packed to 64×64.

    python benchmarks/packing.py                           # 20,000 images, drawn into a temporary folder
    python benchmarks/packing.py --images DIR --json       # drawn into DIR, and taken from there the next time

Ours is `gan-search data pack celeba:DIR` as users run it, in a process of its own, start-up included. The
peer is a plain loop in one process: PIL decodes, torchvision crops the centre and resizes (antialiased),
the rows are stacked and saved. They take turns, so that what else the machine does hits both.

Memory is the peak of all processes of the packing together, each page counted once (PSS), sampled twenty
times a second, without the pages of mapped files: those the kernel takes back when it needs them. That of
fewer images beside it shows whether it grows with the set.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

from gan.data.sources.faces import draw

WIDTH, HEIGHT, SIZE = 178, 218, 64
CELEBA = 202_599
TARGET = 800
"""Images a second on two cores."""
QUALITY, NOISE = 85, 2.0
"""Of the JPEGs: with a little noise a drawn face takes about the 7 kB that a photo in CelebA does."""
FEW = 4
"""The set is a part of this size where memory is measured against that of all."""


# ---- the images


def write_images(folder: Path, start: int, stop: int) -> int:
    """Draw faces into a folder as JPEGs 178×218; return their bytes."""
    random, total = np.random.default_rng(start), 0
    left = (HEIGHT - WIDTH) // 2
    for begin in range(start, stop, 32):
        for number, face in enumerate(draw(np.arange(begin, min(begin + 32, stop)), HEIGHT), begin + 1):
            noisy = face[:, left : left + WIDTH] + random.normal(0, NOISE, (HEIGHT, WIDTH, 3))
            buffer = io.BytesIO()
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=QUALITY)
            total += (folder / f"{number:06}.jpg").write_bytes(buffer.getvalue())
    return total


def make_images(folder: Path, count: int) -> float:
    """Fill a folder with JPEGs, unless it holds them; return their mean size in bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    there = list(folder.glob("*.jpg"))
    if len(there) == count:
        return float(np.mean([path.stat().st_size for path in there]))
    if there:
        raise SystemExit(f"{folder} holds {len(there)} JPEGs, not {count}: give another folder")
    starts = range(0, count, 500)
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        sizes = pool.map(write_images, [folder] * len(starts), starts, [min(at + 500, count) for at in starts])
        return sum(sizes) / count


# ---- the two


def pack(uri: str, packed: Path) -> tuple[float, int]:
    """Pack a set by the command line; return the seconds that it took, and the peak of its memory in bytes."""
    command = [sys.executable, "-m", "gan", "data", "pack", uri, str(packed), "--size", str(SIZE), "--json"]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    with Memory(process.pid) as memory:
        status = process.wait()
    if status:
        raise SystemExit(f"{' '.join(command)}: ended with status {status}")
    return time.perf_counter() - start, memory.peak


def plain_loop(folder: Path, count: int, out: Path) -> float:
    """Prepare the first images as a short script would; return the seconds that it took."""
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

    prepare = Compose([CenterCrop(WIDTH), Resize(SIZE, InterpolationMode.LANCZOS, antialias=True)])
    start = time.perf_counter()
    rows = []
    for path in sorted(folder.glob("*.jpg"))[:count]:
        with Image.open(path) as image:
            rows.append(np.asarray(prepare(image.convert("RGB"))))
    np.save(out, np.stack(rows))
    return time.perf_counter() - start


def opening_seconds(packed: Path) -> float:
    """Return how long opening a packed set takes, the best of a few times, reading one batch included."""
    from gan.data.packed.packing import open_packed

    times = []
    for _ in range(5):
        start = time.perf_counter()
        data = open_packed(str(packed))
        data.train.gather(np.arange(64))
        times.append(time.perf_counter() - start)
    return min(times)


class Memory:
    """Samples the memory of a process and of those it started; `peak` is the most of all together, in bytes."""

    def __init__(self, pid: int) -> None:
        self.peak = 0
        self._pid = pid
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.05):
            self.peak = max(self.peak, sum(map(_pss, _tree(self._pid))))


def _tree(pid: int) -> list[int]:
    try:  # A process is listed with the thread that started it.
        said = [(task / "children").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return []
    return [pid, *(one for child in " ".join(said).split() for one in _tree(int(child)))]


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:")))


# ---- the measurement


def measure(args: argparse.Namespace, images: Path, work: Path) -> dict[str, Any]:
    mean_bytes = make_images(images, args.count)
    ours, peer, peaks = [], [], []
    for turn in range(args.repeats):
        packed = work / f"{turn}.arrow"
        seconds, peak = pack(f"celeba:{images}", packed)
        ours.append(args.count / seconds)
        peaks.append(peak)
        few = args.count // 10
        peer.append(few / plain_loop(images, few, work / "plain.npy"))
    _, small = pack(f"celeba:{images}?limit={args.count // FEW}", work / "few.arrow")
    rate = median(ours)
    return {
        "cores": len(os.sched_getaffinity(0)),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "images": args.count,
        "mean_bytes": round(mean_bytes),
        "images_per_second": {"ours": rate, "peer": median(peer)},
        "ratio": {
            "min": min(mine / its for mine, its in zip(ours, peer, strict=True)),
            "median": median(mine / its for mine, its in zip(ours, peer, strict=True)),
            "max": max(mine / its for mine, its in zip(ours, peer, strict=True)),
        },
        "target": TARGET,
        "peak_bytes": {str(args.count): max(peaks), str(args.count // FEW): small},
        "celeba_seconds": CELEBA / rate,
        "opening_seconds": opening_seconds(work / "0.arrow"),
    }


def show(result: dict[str, Any]) -> None:
    rate, ratio, peak = result["images_per_second"], result["ratio"], result["peak_bytes"]
    print(f"{result['images']:,} JPEGs of 178×218, {result['mean_bytes']:,} bytes each, to 64×64; {result['date']}")
    print(f"ours: {rate['ours']:.0f} images/s on {result['cores']} cores; target {result['target']}")
    spread = f"(min {ratio['min']:.2f}, max {ratio['max']:.2f})"
    print(f"peer: {rate['peer']:.0f} images/s; ratio {ratio['median']:.2f} {spread}")
    for count, most in peak.items():
        print(f"peak memory of all processes, {int(count):,} images: {most / 2**20:.0f} MiB")
    print(f"at this rate all {CELEBA:,} images of CelebA take {result['celeba_seconds'] / 60:.1f} minutes")
    print(f"opening the packed set: {result['opening_seconds'] * 1000:.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--count", type=int, default=20_000, help="JPEGs")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each")
    parser.add_argument("--images", type=Path, help="a folder for them, to be used again")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        result = measure(args, args.images or work / "images", work)
    if args.json:
        print(json.dumps(result))
    else:
        show(result)


if __name__ == "__main__":
    main()
