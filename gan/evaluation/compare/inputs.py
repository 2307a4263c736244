"""The inputs of `fid`: data sets, folders, generators and saved statistics. Each yields statistics of its features."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gan.bundle.bundle import Bundle, load_bundle
from gan.bundle.files import CONFIG, WEIGHTS
from gan.data.dataset import DataSet, reported, stacked
from gan.data.packed.opening import open_data
from gan.data.sources.folder import SUFFIXES, Folder
from gan.data.sources.opening import SOURCES
from gan.errors import InputError, nearest
from gan.evaluation.evaluator import BATCH, Evaluator, reference_rows, statistics_of
from gan.evaluation.features import FeatureExtractor
from gan.evaluation.frechet import Reference
from gan.evaluation.statistics import Statistics, load_statistics
from gan.storage.storage import Storage

Progress = Callable[[int, int | None], None]
Shape = tuple[int, ...]

_OTHER_FORMATS = (".bmp", ".pgm", ".ppm", ".tif", ".tiff")

FEWEST_REAL = 500
"""With fewer real images, FID says little."""


@dataclass(frozen=True)
class FidOptions:
    """How two inputs are compared.

    Attributes:
        features: name of the feature extractor; None for the one that fits the data.
        samples: number of images of each input, if it has so many.
        seed: selects images if there are more, and draws the latents of a generator.
        device: the device that computes features and distance.
        weights: file of the Inception network's weights.
        progress: called with the number of images done, for each input.
    """

    features: str | None = None
    samples: int = 5000
    seed: int = 0
    device: str = "cpu"
    weights: Path | None = None
    progress: Progress = lambda done, total: None


class FidInput(ABC):
    """One input of a comparison.

    Attributes:
        name: as the user gave it.
        shape: shape of its rows; None for statistics, and for images that can be brought to any size.
        default_features: name of the features that fit this kind of data, if known.
        saved: its statistics, if they are computed already.
        measured: how these were computed: fields of `EvaluationIdentity`.
        reference_priority: the input with the higher priority is the reference.
        features_priority: the `default_features` of the input with the highest priority are used.
    """

    reference_priority = 0
    features_priority = 0
    default_features: str | None = None
    measured: dict[str, Any] | None = None
    saved: Statistics | None = None

    def __init__(self, name: str, shape: Shape | None) -> None:
        self.name = name
        self.shape = shape

    def at_size(self, size: int | None) -> FidInput:
        """Return this input with its images brought to a size, if they have no fixed size."""
        return self

    def own_size(self) -> int | None:
        """Return the pixels a side that images without a fixed size have in common, if they have."""
        return None

    @abstractmethod
    def statistics(self, features: FeatureExtractor, options: FidOptions) -> Statistics:
        """Return mean and covariance of the features."""

    def reference(self, features: FeatureExtractor, options: FidOptions) -> tuple[Reference, int | None]:
        """Return this input as the reference, and the number of its images."""
        statistics = self.statistics(features, options)
        return Reference.of(statistics.to(options.device)), statistics.count

    @abstractmethod
    def content_hash(self) -> str | None:
        """Return a hash of the content. For a folder, `statistics` must be called first."""

    def caveat(self, used: int | None) -> str | None:
        """Return a warning about this input, of which `used` images are compared, or None."""
        return few(self.name, used)


class _Generator(FidInput):
    """A bundle: as many samples as wanted, from latents that the seed determines."""

    features_priority = 2

    def __init__(self, name: str, bundle: Bundle) -> None:
        super().__init__(name, bundle.shape)
        self._bundle = bundle
        self.default_features = (bundle.config.get("evaluation") or {}).get("features")

    def statistics(self, features: FeatureExtractor, options: FidOptions) -> Statistics:
        latents = self._bundle.latents(options.samples, options.seed)
        batches = (self._bundle.generate(chunk) for chunk in latents.split(BATCH))
        return statistics_of(reported(batches, options.samples, options.progress), features)

    def content_hash(self) -> str | None:
        return self._bundle.config.get("generator_sha256")

    def caveat(self, used: int | None) -> None:
        return None


class _Set(FidInput):
    """A data set: rows of its training part, chosen by seed.

    Args:
        name: a data URI.
        data: the open set; None for data that are packed when their size is known.
        progress: called with the progress of that packing.
    """

    reference_priority = 3
    features_priority = 3

    def __init__(self, name: str, data: DataSet | None, progress: Progress | None = None) -> None:
        super().__init__(name, None if data is None else data.shape)
        self._data = data
        self._progress = progress
        self.default_features = None if data is None else data.default_features

    def at_size(self, size: int | None) -> FidInput:
        return _Set(self.name, open_data(self.name, size, progress=self._progress))

    @property
    def data(self) -> DataSet:
        assert self._data is not None, "at_size must be called first"
        return self._data

    def statistics(self, features: FeatureExtractor, options: FidOptions) -> Statistics:
        rows = reference_rows(len(self.data.train), options.samples, options.seed)
        batches = self.data.train.batches(rows, BATCH)
        return statistics_of(reported(batches, len(rows), options.progress), features)

    def reference(self, features: FeatureExtractor, options: FidOptions) -> tuple[Reference, int | None]:
        """Return the reference that trainings on this set are judged by, from the cache if it is there."""
        evaluator = Evaluator.prepare(
            self.data, features=features, samples=options.samples, seed=options.seed, device=options.device
        )
        return evaluator.reference, evaluator.identity.reference_samples

    def content_hash(self) -> str:
        return self.data.content_hash


class _Images(Folder):
    """A folder of which only some images are read."""

    def count_other_formats(self) -> int:
        """Return the number of images that pytorch-fid would count, but whose formats are not read here."""
        return sum(path.suffix.lower() in _OTHER_FORMATS for path in self._root.rglob("*"))

    def own_size(self) -> int:
        """Return the side that all images share.

        Raises:
            InputError: they are not all squares of one size.
        """
        sizes = {size for size in (self._size_of(name) for name, _ in self._items) if size is not None}
        if len(sizes) != 1 or len(set(next(iter(sizes)))) != 1:
            some = ", ".join(f"{width}×{height}" for width, height in sorted(sizes)[:3]) or "no readable image"
            raise InputError(f"{self._root}: its images are not squares of one size ({some}): give --size")
        return sizes.pop()[0]

    def _size_of(self, name: str) -> tuple[int, int] | None:
        try:
            with Image.open(self._root / name) as image:
                return image.size
        except Exception:  # Pillow raises nearly anything. Such files are counted when they are decoded.
            return None

    def choose(self, samples: int, seed: int) -> None:
        self._items = [self._items[row] for row in reference_rows(len(self._items), samples, seed)]


class _Folder(FidInput):
    """Image files. All of them count, as a folder has no held-out part."""

    reference_priority = 1
    features_priority = 1
    default_features = "inception"

    def __init__(self, name: str, size: int | None = None) -> None:
        super().__init__(name, None if size is None else (size, size, 3))
        self._digest = hashlib.sha256()
        self._images = _Images(name, size or 1)
        self._count = len(self._images)

    def at_size(self, size: int | None) -> FidInput:
        return _Folder(self.name, size or self.own_size())

    def own_size(self) -> int:
        return self._images.own_size()

    def statistics(self, features: FeatureExtractor, options: FidOptions) -> Statistics:
        self._images.choose(options.samples, options.seed)
        self._digest = hashlib.sha256(f"{list(self._images.shape)} uint8\n".encode())
        batches = stacked(self._hashed_rows(), BATCH)
        return statistics_of(reported(batches, len(self._images), options.progress), features)

    def _hashed_rows(self) -> Iterator[np.ndarray]:
        for row in self._images:
            self._digest.update(np.ascontiguousarray(row).data)
            yield row

    def content_hash(self) -> str:
        return self._digest.hexdigest()

    def caveat(self, used: int | None) -> str | None:
        others = self._images.count_other_formats()
        if others:
            return f"{self.name}: {others:,} images of other formats than {', '.join(SUFFIXES)} are left out"
        if used is not None and used < self._count - len(self._images.skipped):
            return f"{self.name}: {used:,} of its {self._count:,} images count: --samples takes more"
        return super().caveat(used)


class _Saved(FidInput):
    """Statistics from a file. Files of pytorch-fid do not say how they were made."""

    reference_priority = 2
    features_priority = 4

    def __init__(self, name: str) -> None:
        self.saved, self.measured = load_statistics(Path(name))
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
                f"{self.name}: does not say how its statistics were made, so this is not checked; pytorch-fid"
                " resizes images in another way, which moves FID by some percent (docs/evaluation.md)"
            )
        return super().caveat(used)


def few(name: str, count: int | None) -> str | None:
    """Return a warning if there are too few real images, else None."""
    if count is None or count >= FEWEST_REAL:
        return None
    return f"{name} has {count} images: with fewer than {FEWEST_REAL} FID says little"


def open_input(place: str, device: str = "cpu", progress: Progress = lambda done, total: None) -> FidInput:
    """Open a data URI, a bundle, a folder of images, a packed set or saved statistics.

    Raises:
        InputError: `place` is none of these.
    """
    scheme, colon, _ = place.partition(":")
    if scheme == "folder" and colon:
        return _Set(place, None, progress)
    if scheme == "packed" and colon:
        return _Set(place, open_data(place))
    scheme = scheme.partition("?")[0]  # As in faces?limit=1000.
    if "://" not in place and scheme in SOURCES:
        return _Set(place, None, progress)
    path = Path(place)
    if "://" in place or path.is_dir():
        if _is_bundle(place):
            return _Generator(place, load_bundle(place, device))
        return _Set(place, open_data(f"packed:{place}")) if "://" in place else _Folder(place)
    if path.suffix == ".npz":
        return _Saved(place)
    if path.is_file():
        return _Set(place, open_data(f"packed:{place}"))
    close = nearest(scheme, [*SOURCES, "packed", "folder"])
    hint = f"; as a data URI, {close}" if close.startswith("did") else ""
    raise InputError(f"'{place}': no such folder, file or data{hint}")


def _is_bundle(place: str) -> bool:
    storage = Storage(place)
    try:
        # A folder with only one of the two files is a broken bundle, unless the other files show that it is not one.
        return storage.exists(WEIGHTS) or (storage.exists(CONFIG) and len(storage.list()) == 1)
    except OSError as error:
        raise InputError(f"{place}: cannot be read ({error})") from None
