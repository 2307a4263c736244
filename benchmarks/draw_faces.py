"""How fast `faces` are drawn on one thread: images a second at 32×32 and 64×64, best of several runs.

taskset -c 0 python benchmarks/draw_faces.py --json
"""

from __future__ import annotations

import argparse
import json
import platform
import time

import numpy as np

from gan.data.sources.faces import draw

IMAGES = {32: 2048, 64: 512}  # a third of a second each


def images_per_second(size: int, repeats: int) -> float:
    """Return the best rate of `repeats` runs: other work on the machine only ever slows one down."""
    indices = np.arange(IMAGES[size])
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        draw(indices, size)
        seconds.append(time.perf_counter() - start)
    return len(indices) / min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10, help="runs, of which the best counts")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    options = parser.parse_args()
    rates = {str(size): round(images_per_second(size, options.repeats)) for size in IMAGES}
    if options.json:
        machine = f"{platform.node()} ({platform.machine()}, {platform.system()})"
        print(json.dumps({"benchmark": "draw_faces", "machine": machine, "images_per_second": rates}))
    else:
        for size, rate in rates.items():
            print(f"{size}x{size}: {rate} images/s")


if __name__ == "__main__":
    main()
