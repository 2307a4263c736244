"""What `fid` takes: sets, folders, generators and saved statistics, each of which turns into statistics."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gan.bundle.bundle import Bundle, load_bundle
from gan.bundle.files import CONFIG, WEIGHTS
from gan.data.dataset import DataSet
from gan.data.packed.opening import open_data
from gan.data.sources.folder import SUFFIXES, Folder
from gan.data.sources.opening import SOURCES
from gan.errors import InputError, nearest
from gan.evaluation.evaluator import BATCH, Evaluator, reference_rows, statistics_of
from gan.evaluation.features import FeatureExtractor
from gan.evaluation.frechet import Reference
from gan.evaluation.statistics import Statistics, load_measured
from gan.storage.storage import Storage

Progress = Callable[[int, int | None], None]
Shape = tuple[int, ...]

_OTHER_FORMATS = (".bmp", ".pgm", ".ppm", ".tif", ".tiff")

FEWEST_REAL = 500
"""Under this many real images FID says little."""


@dataclass(frozen=True)
class FidOptions:
    """How two inputs are compared.

    Attributes:
        features: name of the extractor; None for what fits the data.
        samples: images of each side, as far as it has that many.
        seed: chooses them where there are more, and draws the latents of a generator.
        device: where features and distance are computed.
        weights: file of the Inception network's weights.
        progress: told how many images of a side are done.
    """

    features: str | None = None
    samples: int = 5000
    seed: int = 0
    device: str = "cpu"
    weights: Path | None = None
    progress: Progress = lambda done, total: None


class FidInput(ABC):
    """One of the two.

    Attributes:
        name: as the user gave it.
        shape: of its rows, where these have one by themselves; None for statistics, and for images
            that are brought to any size.
        default_features: what fits this kind of data, if known.
        saved: its statistics, where they are computed already.
        measured: what these say they were computed with: fields of `EvaluationIdentity`.
        rank: the side of higher rank is the reference of the two.
        voice: whose `default_features` count, the highest first.
    """

    rank = 0
    voice = 0
    default_features: str | None = None
    measured: dict[str, Any] | None = None
    saved: Statistics | None = None

    def __init__(self, name: str, shape: Shape | None) -> None:
        self.name = name
        self.shape = shape

    def at_size(self, size: int | None) -> FidInput:
        """Return this side with its images brought to a size, where they have none of their own."""
        return self

    def own_size(self) -> int | None:
        """Return the pixels a side of images that could be brought to any size, if they have one by themselves."""
        return None

    @abstractmethod
    def statistics(self, features: FeatureExtractor, options: FidOptions) -> Statistics:
        """Return mean and covariance of its features."""

    def reference(self, features: FeatureExtractor, options: FidOptions) -> tuple[Reference, int | None]:
        """Return this side as the reference, and how many images that is of."""
        statistics = self.statistics(features, options)
        return Reference.of(statistics.to(options.device)), statistics.count

    @abstractmethod
    def content_hash(self) -> str | None:
        """Return what changes when its content does; it may need `statistics` to have been asked for."""

    def caveat(self, used: int | None) -> str | None:
        """Return what must be said of it, if anything, when `used` of its images count."""
        return few(self.name, used)


class _Generator(FidInput):
    """A bundle: as many samples as asked for, from latents that the seed fixes."""

    voice = 2

    def __init__(self, name: str, bundle: Bundle) -> None:
        super().__init__(name, bundle.shape)
        self._bundle = bundle
        self.default_features = (bundle.config.get("evaluation") or {}).get("features")

    def statistics(self, features: FeatureExtractor, options: FidOptions) -> Statistics:
        latents = self._bundle.latents(options.samples, options.seed)
        batches = (self._bundle.generate(chunk) for chunk in latents.split(BATCH))
        return statistics_of(_watched(batches, options.samples, options.progress), features)

    def content_hash(self) -> str | None:
        return self._bundle.config.get("generator_sha256")

    def caveat(self, used: int | None) -> None:
        return None


class _Set(FidInput):
    """A data set: rows of its training part, chosen by seed."""

    rank = 3
    voice = 3

    def __init__(self, name: str, data: DataSet) -> None:
        super().__init__(name, data.shape)
        self.data = data
        self.default_features = data.default_features

    def statistics(self, features: FeatureExtractor, options: FidOptions) -> Statistics:
        rows = reference_rows(len(self.data.train), options.samples, options.seed)
        parts = (self.data.train.gather(rows[start : start + BATCH]) for start in range(0, len(rows), BATCH))
        return statistics_of(_watched(parts, len(rows), options.progress), features)

    def reference(self, features: FeatureExtractor, options: FidOptions) -> tuple[Reference, int | None]:
        """Return the reference that trainings on this set are judged by, from the cache if it is there."""
        prepared = Evaluator.prepare(
            self.data,
            features=features,
            samples=options.samples,
            seed=options.seed,
            device=options.device,
        )
        return prepared.reference, prepared.identity.reference_samples

    def content_hash(self) -> str:
        return self.data.content_hash


class _Source(FidInput):
    """Data that becomes a set once its size is known."""

    def __init__(self, name: str, progress: Progress) -> None:
        super().__init__(name, None)
        self._progress = progress

    def at_size(self, size: int | None) -> FidInput:
        return _Set(self.name, open_data(self.name, size, progress=self._progress))

    def statistics(self, features: FeatureExtractor, options: FidOptions) -> Statistics:
        raise AssertionError("at_size comes first: a source has no rows before its size is settled")

    def content_hash(self) -> None:
        return None


class _Images(Folder):
    """A folder of which only some images are read."""

    @property
    def others(self) -> int:
        """How many images pytorch-fid would count that are of formats not read here."""
        return sum(path.suffix.lower() in _OTHER_FORMATS for path in self._root.rglob("*"))

    def own_size(self) -> int:
        """Return the side that all images share.

        Raises:
            InputError: they are not all squares of one size.
        """
        sizes = {size for size in (self._size(name) for name, _ in self._items) if size is not None}
        if len(sizes) != 1 or len(set(next(iter(sizes)))) != 1:
            some = ", ".join(f"{width}×{height}" for width, height in sorted(sizes)[:3]) or "no readable image"
            raise InputError(f"{self._root}: its images are not squares of one size ({some}): give --size")
        return sizes.pop()[0]

    def _size(self, name: str) -> tuple[int, int] | None:
        try:
            with Image.open(self._root / name) as image:
                return image.size
        except Exception:  # Pillow raises nearly anything; such files are counted when they are decoded.
            return None

    def choose(self, samples: int, seed: int) -> None:
        self._items = [self._items[row] for row in reference_rows(len(self._items), samples, seed)]


class _Folder(FidInput):
    """Image files: all of them count, as a folder has no held-out part."""

    rank = 1
    voice = 1
    default_features = "inception"

    def __init__(self, name: str, size: int | None = None) -> None:
        super().__init__(name, None if size is None else (size, size, 3))
        self._path = name.removeprefix("folder:")
        self._digest = hashlib.sha256()
        self.images = _Images(self._path, size or 1)
        self._count = len(self.images)

    def at_size(self, size: int | None) -> FidInput:
        return _Folder(self.name, size or self.own_size())

    def own_size(self) -> int:
        return self.images.own_size()

    def statistics(self, features: FeatureExtractor, options: FidOptions) -> Statistics:
        self.images.choose(options.samples, options.seed)
        self._digest = hashlib.sha256(f"{list(self.images.shape)} uint8\n".encode())
        return statistics_of(_watched(self._batches(), len(self.images), options.progress), features)

    def _batches(self) -> Iterator[np.ndarray]:
        rows = []
        for row in self.images:
            self._digest.update(np.ascontiguousarray(row).data)
            rows.append(row)
            if len(rows) == BATCH:
                yield np.stack(rows)
                rows = []
        if rows:
            yield np.stack(rows)

    def content_hash(self) -> str:
        return self._digest.hexdigest()

    def caveat(self, used: int | None) -> str | None:
        others = self.images.others
        if others:
            return f"{self.name}: {others:,} images of other formats than {', '.join(SUFFIXES)} are left out"
        if used is not None and used < self._count - len(self.images.skipped):
            return f"{self.name}: {used:,} of its {self._count:,} images count: --samples takes more"
        return super().caveat(used)


class _Saved(FidInput):
    """Statistics from a file, pytorch-fid's included, which do not say how they were made."""

    rank = 2
    voice = 4

    def __init__(self, name: str) -> None:
        self.saved, self.measured = load_measured(Path(name))
        known = self.measured or {}
        super().__init__(name, tuple(known["shape"]) if known.get("shape") else None)
        self.default_features = known.get("features")

    def statistics(self, features: FeatureExtractor, options: FidOptions) -> Statistics:
        assert self.saved is not None
        return self.saved

    def content_hash(self) -> str:
        return hashlib.sha256(Path(self.name).read_bytes()).hexdigest()

    def caveat(self, used: int | None) -> str | None:
        if self.measured is None:
            return (
                f"{self.name}: does not say how its statistics were made, and is taken at its word; pytorch-fid"
                " resizes images otherwise, which moves FID by some percent (docs/evaluation.md)"
            )
        return super().caveat(used)


def few(name: str, count: int | None) -> str | None:
    """Return what to say of so few real images, if they are."""
    if count is None or count >= FEWEST_REAL:
        return None
    return f"{name} has {count} images: with fewer than {FEWEST_REAL} FID says little"


def open_input(place: str, device: str = "cpu", progress: Progress = lambda done, total: None) -> FidInput:
    """Return what a place holds: a data URI, a bundle, a folder of images, a packed set or statistics.

    Raises:
        InputError: there is nothing of this kind.
    """
    scheme, colon, _ = place.partition(":")
    if scheme == "folder" and colon:
        return _Source(place, progress)
    if scheme == "packed" and colon:
        return _Set(place, open_data(place))
    scheme = scheme.partition("?")[0]  # as of faces?limit=1000
    if "://" in place:
        return _Generator(place, load_bundle(place, device)) if _is_bundle(place) else _Set(place, _packed(place))
    if scheme in SOURCES:
        return _Source(place, progress)
    path = Path(place)
    if path.is_dir():
        return _Generator(place, load_bundle(place, device)) if _is_bundle(place) else _Folder(place)
    if path.suffix == ".npz":
        return _Saved(place)
    if path.is_file():
        return _Set(place, _packed(place))
    close = nearest(scheme, [*SOURCES, "packed", "folder"])
    hint = f"; as a data URI, {close}" if close.startswith("did") else ""
    raise InputError(f"'{place}': no such folder, file or data{hint}")


def _is_bundle(place: str) -> bool:
    storage = Storage(place)
    try:
        # One of the two alone is a broken bundle, unless it is some other JSON beside images.
        return storage.exists(WEIGHTS) or (storage.exists(CONFIG) and len(storage.list()) == 1)
    except OSError as error:
        raise InputError(f"{place}: cannot be read ({error})") from None


def _packed(place: str) -> DataSet:
    return open_data(f"packed:{place}")


def _watched(batches: Iterable[np.ndarray], total: int, progress: Progress) -> Iterator[np.ndarray]:
    done = 0
    for batch in batches:
        yield batch
        done += len(batch)
        progress(done, total)
