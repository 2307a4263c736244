"""What two things `fid` compares: each side names itself, and turns into feature statistics."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gan.bundle import Bundle, load_bundle
from gan.bundle_files import CONFIG, WEIGHTS
from gan.data import SOURCES, DataSet, open_data
from gan.data.folder import Folder
from gan.errors import InputError, nearest
from gan.evaluation.evaluator import BATCH, Evaluator, reference_rows, statistics_of
from gan.evaluation.features import FeatureExtractor, make_features
from gan.evaluation.frechet import Reference
from gan.evaluation.statistics import Statistics, load_statistics
from gan.storage import Storage

Progress = Callable[[int, int | None], None]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class How:
    """How two sides are compared.

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


class Side(ABC):
    """One of the two.

    Attributes:
        name: as the user gave it.
        shape: of its rows, where these have one by themselves; None for statistics, and for images
            that are brought to any size.
        default_features: what fits this kind of data, if known.
        rank: the side of higher rank is the reference of the two.
        voice: whose `default_features` count, the highest first.
    """

    rank = 0
    voice = 0
    default_features: str | None = None

    def __init__(self, name: str, shape: Shape | None) -> None:
        self.name = name
        self.shape = shape

    def at_size(self, size: int | None) -> Side:
        """Return this side with its images brought to a size, where they have none of their own."""
        return self

    @abstractmethod
    def statistics(self, features: FeatureExtractor, how: How) -> Statistics:
        """Return mean and covariance of its features."""

    def reference(self, features: FeatureExtractor, how: How) -> tuple[Reference, int | None]:
        """Return this side as the reference, and how many images that is of."""
        statistics = self.statistics(features, how)
        return Reference.of(statistics.to(how.device)), statistics.count

    @abstractmethod
    def content_hash(self) -> str | None:
        """Return what changes when its content does; it may need `statistics` to have been asked for."""


class _Generator(Side):
    """A bundle: as many samples as asked for, from latents that the seed fixes."""

    voice = 2

    def __init__(self, name: str, bundle: Bundle) -> None:
        super().__init__(name, bundle.shape)
        self._bundle = bundle
        self.default_features = (bundle.config.get("evaluation") or {}).get("features")

    def statistics(self, features: FeatureExtractor, how: How) -> Statistics:
        latents = self._bundle.latents(how.samples, how.seed)
        batches = (self._bundle.generate(chunk) for chunk in latents.split(BATCH))
        return statistics_of(_watched(batches, how.samples, how.progress), features)

    def content_hash(self) -> str | None:
        return self._bundle.config.get("generator_sha256")


class _Set(Side):
    """A data set: rows of its training part, chosen by seed."""

    rank = 3
    voice = 3

    def __init__(self, name: str, data: DataSet) -> None:
        super().__init__(name, data.shape)
        self.data = data
        self.default_features = data.default_features

    def statistics(self, features: FeatureExtractor, how: How) -> Statistics:
        rows = reference_rows(len(self.data.train), how.samples, how.seed)
        parts = (self.data.train.gather(rows[start : start + BATCH]) for start in range(0, len(rows), BATCH))
        return statistics_of(_watched(parts, len(rows), how.progress), features)

    def reference(self, features: FeatureExtractor, how: How) -> tuple[Reference, int | None]:
        """Return the reference that trainings on this set are judged by, from the cache if it is there."""
        prepared = Evaluator.prepare(
            self.data,
            features=features.name,
            samples=how.samples,
            seed=how.seed,
            device=how.device,
            inception_weights=how.weights,
        )
        return prepared.reference, prepared.identity.reference_samples

    def content_hash(self) -> str:
        return self.data.content_hash


class _Source(Side):
    """Data that becomes a set once its size is known."""

    def __init__(self, name: str, progress: Progress) -> None:
        super().__init__(name, None)
        self._progress = progress

    def at_size(self, size: int | None) -> Side:
        return _Set(self.name, open_data(self.name, size, progress=self._progress))

    def statistics(self, features: FeatureExtractor, how: How) -> Statistics:
        raise AssertionError("at_size comes first: a source has no rows before its size is settled")

    def content_hash(self) -> None:
        return None


class _Images(Folder):
    """A folder of which only some images are read."""

    def own_size(self) -> int:
        """Return the side that all images share.

        Raises:
            InputError: they are not all squares of one size.
        """
        sizes = {size for size in map(self._size, self._files) if size is not None}
        if len(sizes) != 1 or len(set(next(iter(sizes)))) != 1:
            some = ", ".join(f"{width}×{height}" for width, height in sorted(sizes)[:3]) or "no readable image"
            raise InputError(f"{self._root}: its images are not squares of one size ({some}): give --size")
        return sizes.pop()[0]

    def _size(self, file: tuple[str, int, int]) -> tuple[int, int] | None:
        try:
            with Image.open(self._root / file[0]) as image:
                return image.size
        except Exception:  # Pillow raises nearly anything; such files are counted when they are decoded.
            return None

    def choose(self, samples: int, seed: int) -> None:
        self._files = [self._files[row] for row in reference_rows(len(self._files), samples, seed)]


class _Folder(Side):
    """Image files: all of them count, as a folder has no held-out part."""

    rank = 1
    voice = 1
    default_features = "inception"

    def __init__(self, name: str, size: int | None = None) -> None:
        super().__init__(name, None if size is None else (size, size, 3))
        self._path = name.removeprefix("folder:")
        self._digest = hashlib.sha256()
        self.images = _Images(self._path, size or 1)

    def at_size(self, size: int | None) -> Side:
        return _Folder(self.name, size or self.images.own_size())

    def statistics(self, features: FeatureExtractor, how: How) -> Statistics:
        self.images.choose(how.samples, how.seed)
        self._digest = hashlib.sha256(f"{list(self.images.shape)} uint8\n".encode())
        return statistics_of(_watched(self._batches(), len(self.images), how.progress), features)

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


class _Saved(Side):
    """Statistics from a file, pytorch-fid's included."""

    rank = 2

    def __init__(self, name: str) -> None:
        super().__init__(name, None)
        self.saved = load_statistics(Path(name))

    def statistics(self, features: FeatureExtractor, how: How) -> Statistics:
        return self.saved

    def content_hash(self) -> str:
        return hashlib.sha256(Path(self.name).read_bytes()).hexdigest()


@dataclass(frozen=True)
class Comparison:
    """A distance, and how it came about.

    Attributes:
        distance: the squared Fréchet distance.
        first, second: the sides; the second is the reference.
        count, reference_count: images of each; None where a file does not tell.
        features: None between two files of statistics.
    """

    distance: float
    first: Side
    second: Side
    count: int | None
    reference_count: int | None
    features: FeatureExtractor | None
    how: How

    def evaluation(self) -> dict[str, Any]:
        """Return the identity of this measurement: the fields of `EvaluationIdentity`, and the first side."""
        features, shape = self.features, self.first.shape or self.second.shape
        return {
            "features": None if features is None else features.name,
            "weights_sha256": None if features is None else features.weights_sha256,
            "resize": None if features is None else features.resize,
            "samples": self.count,
            "reference_samples": self.reference_count,
            "reference_seed": self.how.seed,
            "latent_seed": self.how.seed,
            "data": self.second.name,
            "data_hash": self.second.content_hash(),
            "size": None if shape is None else shape[0],
            "compared": self.first.name,
            "compared_hash": self.first.content_hash(),
        }

    def few(self, least: int) -> list[str]:
        """Return one "NAME has N images" for each side of real images that has fewer than `least`."""
        return [
            f"{side.name} has {count} images"
            for side, count in ((self.first, self.count), (self.second, self.reference_count))
            if not isinstance(side, _Generator) and count is not None and count < least
        ]


def open_side(place: str, device: str = "cpu", progress: Progress = lambda done, total: None) -> Side:
    """Return what a place holds: a data URI, a bundle, a folder of images, a packed set or statistics.

    Raises:
        InputError: there is nothing of this kind.
    """
    scheme, colon, _ = place.partition(":")
    if scheme == "folder" and colon:
        return _Source(place, progress)
    if scheme == "packed" and colon:
        return _Set(place, open_data(place))
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


def compare(first: Side, second: Side, size: int | None, how: How) -> Comparison:
    """Measure how far two sides are apart.

    Args:
        first, second: in any order, as the distance is symmetric.
        size: pixels a side that images are brought to; None takes what the sides have.
        how: everything else.

    Raises:
        InputError: they cannot be compared; no features have been computed by then.
    """
    first, second = _at_one_size(first, second, size)
    if first.rank > second.rank:
        first, second = second, first
    if isinstance(first, _Saved) and isinstance(second, _Saved):
        distance = Reference.of(second.saved).distance(first.saved)
        return Comparison(distance, first, second, first.saved.count, second.saved.count, None, how)
    features = _features(first, second, how)
    reference, count = second.reference(features, how)
    statistics = first.statistics(features, how)
    distance = reference.distance(statistics.to(how.device))
    return Comparison(distance, first, second, statistics.count, count, features, how)


def _at_one_size(first: Side, second: Side, size: int | None) -> tuple[Side, Side]:
    """Settle the size of both sides: given, or that of the side that cannot change, or the images' own."""
    fixed = next((side for side in (first, second) if side.shape is not None), None)
    if fixed is None or fixed.shape is None:
        folder = next((side for side in (first, second) if isinstance(side, _Folder)), None)
        size = folder.images.own_size() if folder is not None and size is None else size
    elif len(fixed.shape) == 1:
        size = None
    elif size not in (None, fixed.shape[0]):
        raise InputError(f"--size {size}: {fixed.name} is of size {fixed.shape[0]}, and cannot be resized")
    else:
        size = fixed.shape[0]
    first, second = (side if side.shape is not None else side.at_size(size) for side in (first, second))
    if first.shape is not None and second.shape is not None:
        _require_one_shape(first, second)
    return first, second


def _require_one_shape(first: Side, second: Side) -> None:
    """Raise `InputError` unless both are images of one size (grey and RGB go together), or like vectors."""
    mine, theirs = first.shape or (), second.shape or ()
    if len(mine) != len(theirs) or mine[: max(1, len(mine) - 1)] != theirs[: max(1, len(theirs) - 1)]:
        shapes = " and ".join("×".join(map(str, shape)) for shape in (mine, theirs))
        raise InputError(f"{first.name} and {second.name} are of different sizes ({shapes}) and cannot be compared")


def _features(first: Side, second: Side, how: How) -> FeatureExtractor:
    """Make the extractor asked for, or the one that fits the data; check saved statistics against it."""
    by_voice = sorted((first, second), key=lambda side: side.voice, reverse=True)
    name = how.features or next((side.default_features for side in by_voice if side.default_features), "inception")
    shape = next(side.shape for side in by_voice if side.shape is not None)
    features = make_features(name, shape=shape, device=how.device, inception_weights=how.weights)
    for side in (first, second):
        if isinstance(side, _Saved) and len(side.saved.mean) != features.dimensions:
            raise InputError(
                f"{side.name}: statistics of {len(side.saved.mean)} dimensions, but {features.name} has"
                f" {features.dimensions}: choose other --features"
            )
    return features


def _watched(batches: Iterable[np.ndarray], total: int, progress: Progress) -> Iterator[np.ndarray]:
    done = 0
    for batch in batches:
        yield batch
        done += len(batch)
        progress(done, total)
