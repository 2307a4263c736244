"""A run folder as a sweep leaves it, without the sweep: trials in every state, grids and bundles."""

from __future__ import annotations

import functools
import io
import json
import math
from pathlib import Path
from typing import Any

import yaml
from PIL import Image, ImageDraw

from gan.storage.storage import Storage
from search.run.journal import FORMAT, JOURNAL

KIMG, INTERVAL = 6.0, 1.0
EVALUATION = {
    "features": "random-conv",
    "weights_sha256": "ab" * 32,
    "resize": "none",
    "samples": 500,
    "reference_samples": 400,
    "reference_seed": 0,
    "latent_seed": 0,
    "data": "faces",
    "data_hash": "cd" * 32,
    "size": 32,
}
REASON = "exploding: g_loss 1e7 <script>alert('x')</script> & more"
SPACES = {
    "dcgan": ["lr_g", "beta1"],
    "l2": ["lr_g", "beta1", "l2_lambda"],
    "wgan": ["lr_g", "clip", "n_critic"],
}
TRIALS = [  # recipe, source, state, reports, FID that it tends to
    ("dcgan", "published", "finished", 6, 90.0),
    ("l2", "published", "finished", 6, 110.0),
    ("wgan", "published", "finished", 6, 140.0),
    ("dcgan", "sampled", "finished", 6, 60.0),
    ("l2", "sampled", "stopped", 2, 170.0),
    ("wgan", "sampled", "diverged", 3, 200.0),
    ("dcgan", "sampled", "failed", 0, 0.0),
    ("l2", "sampled", "finished", 6, 75.0),
    ("wgan", "sampled", "stopped", 4, 120.0),
    ("dcgan", "sampled", "running", 3, 80.0),
    ("l2", "sampled", "running", 0, 0.0),
]


class Writer:
    """Writes a run's journal, a second passing at every event."""

    def __init__(self, folder: Path) -> None:
        self.run = Storage(folder)
        self.now = 1_000_000.0
        self.lines: list[str] = []

    def event(self, event: str, **fields: Any) -> None:
        self.now += 1
        self.lines.append(json.dumps({"event": event, "time": self.now, **fields}))

    def begin(self, trials: int, **settings: Any) -> None:
        values = {
            "name": "demo",
            "recipes": list(SPACES),
            "trials": trials,
            "kimg": KIMG,
            "data": "faces",
        } | settings
        identity = {"recipes": {name: {"space": dict.fromkeys(space)} for name, space in SPACES.items()}}
        content = {"identity": identity, "settings": values, "versions": {"torch": "2"}}
        self.run.write_bytes("sweep.yaml", yaml.safe_dump(content, sort_keys=False).encode())
        self.event(
            "sweep",
            format=FORMAT,
            settings=values,
            evaluation=EVALUATION,
            versions={"torch": "2"},
            command="gan-search sweep --name demo <b>",
        )

    def trial(self, index: int, recipe: str, source: str, state: str, reports: int, fid: float, **more: Any) -> str:
        name = f"t{index:04d}"
        settings = {"lr_g": 1e-4 * (index + 1), "beta1": 0.5, "l2_lambda": 0.02, "clip": 0.01, "n_critic": 5}
        params = {key: settings[key] for key in SPACES[recipe]} if source == "sampled" else {}
        self.event(
            "trial",
            trial=name,
            recipe=recipe,
            objective={"dcgan": "non-saturating"}.get(recipe, recipe),
            source=source,
            params=params,
            settings=settings,
            seed=index,
            **more,
        )
        self.event("start", trial=name)
        for step in range(1, reports + 1):
            lost = state == "diverged" and step == reports
            self._report(name, step * INTERVAL, fid, lost)
        if state != "running":
            reason = {"diverged": REASON, "failed": "out of memory: 3 GiB", "stopped": "rung 2 kimg"}.get(state)
            self.event("verdict", trial=name, state=state, reason=reason)
        return name

    def _report(self, name: str, kimg: float, fid: float, lost: bool) -> None:
        def reached(at: float) -> float:
            # The last two evaluations are worse again: the best is not the last.
            return fid * (1 + 4 * math.exp(-at)) + (10 if at >= 5 else 0)

        seen = [at for at in range(1, int(kimg) + 1) if not (lost and at == kimg)]
        best = min(seen, key=reached)
        self.event(
            "report",
            trial=name,
            kimg=kimg,
            fid=None if lost else reached(kimg),
            best_fid=reached(best),
            best_kimg=float(best),
            g_loss=None if lost else 1.0 + kimg / 10,
            d_loss=None if lost else 0.5,
            seconds=10 * kimg,
            train_seconds=8.0,
            eval_seconds=1.5,
            checkpoint_seconds=0.5,
            spread=None if lost else kimg / 10,
            curve=[[kimg - 0.5, 1e7 if lost else 1.0, 0.6], [kimg, 1e7 if lost else 1.1, -0.5 * kimg]],
        )
        if not lost:
            self.run.write_bytes(f"trials/{name}/samples/{round(kimg * 1000):09d}.png", faces(kimg))

    def bundle(self, path: str) -> None:
        self.run.write_bytes(f"{path}/config.json", b"{}")
        self.run.write_bytes(f"{path}/samples.png", faces(KIMG))

    def write(self) -> Storage:
        self.run.write_bytes(JOURNAL, "".join(line + "\n" for line in self.lines).encode())
        return self.run


@functools.cache
def faces(kimg: float, cell: int = 34) -> bytes:
    """Draw a grid of 8 by 8 little faces that get clearer with training."""
    image = Image.new("RGB", (8 * cell + 2, 8 * cell + 2), "white")
    draw = ImageDraw.Draw(image)
    for index in range(64):
        x, y = 2 + index % 8 * cell, 2 + index // 8 * cell
        warm = int(min(1.0, kimg / KIMG) * 60)
        draw.rectangle((x, y, x + cell - 3, y + cell - 3), fill=(90, 100 + index, 160))
        draw.ellipse((x + 6, y + 4, x + cell - 9, y + cell - 5), fill=(170 + warm, 150 + index // 2, 140))
        draw.point([(x + 13, y + 14), (x + 20, y + 14)], fill="black")
        draw.line((x + 12, y + 22, x + 21, y + 22), fill=(150, 40, 40))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()
