"""What earlier trainings teach: settings to begin with, and how good any settings are expected to be.

A *score* is the normal quantile of a trial's rank among random settings on the same images: 0 is their median, −1 is
one standard deviation better. Distances of different images cannot be compared, but such scores can. A *task* is what
a training is like beside its settings: size, width, length, channels and number of images. The model of scores is a
Gaussian process over settings and tasks, conditioned on the scores of recorded trials. Its posterior mean is the prior
mean of a search on other images (Wang et al., "Pre-trained Gaussian processes for Bayesian optimization",
arXiv:2109.08215). The *portfolio* holds settings that are good on different sets of images, best first (Feurer et al.,
"Auto-sklearn 2.0", arXiv:2007.04074).

*Histories* tell what to expect of a whole search: what the settings that it would have tried came to on each set, as
multiples of the published settings' distance.

A prior is plain data: recorded settings with their scores, the process's constants, the portfolio, the histories.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata

from gan.recipe.recipe import PARTS, Recipe, parse_recipe
from gan.settings import Value
from search.algorithm.axes import Axes
from search.algorithm.forecast import FEWEST, LEVEL, Forecast, forecast
from search.algorithm.gaussian_process import matern

FORMAT = 1
RECIPE_FIELDS = ("optimizer_g", "optimizer_d")
"""Settings that distinguish recipes, beside the names of their parts. The others are few and matter less."""
LONGER = 4.0
"""Length, as a multiple of a trial's, at which more training is foreseen."""
LEAST_ALIKE = 0.25
"""Correlation of a task with the nearest recorded one below which nothing is said of a search's best."""
_GRID = np.linspace(-6.0, 6.0, 481)


class Task(NamedTuple):
    """What a training is like beside its settings.

    Attributes:
        size: side of an image in pixels.
        width: of the networks; the geometric mean of both.
        kimg: thousands of images shown.
        channels: of an image.
        images: number of images to train on.
    """

    size: int
    width: float
    kimg: float
    channels: int
    images: int

    @classmethod
    def of(cls, shape: Sequence[int], settings: dict[str, Any], kimg: float, images: int) -> Task:
        """Return the task of a training on images of a shape (height, width, channels)."""
        width = math.sqrt(float(settings["width_g"]) * float(settings["width_d"]))
        return cls(shape[0], width, kimg, shape[2], images)

    def at(self, kimg: float) -> Task:
        """Return this task with another length."""
        return self._replace(kimg=kimg)


@dataclass(frozen=True)
class Constants:
    """Of the Gaussian process; see `learn`.

    Attributes:
        common, particular: variances of scores that settings explain on all tasks, and on similar tasks.
        residual: variance that is left on images that the process has not seen.
        scales: length scale of each coordinate of a task, in doublings.
    """

    common: float = 0.5
    particular: float = 0.3
    residual: float = 0.4
    scales: tuple[float, ...] = (2.0, 2.0, 2.0, 2.0, 4.0)


@dataclass(frozen=True)
class Row:
    """The score of settings at a task: the mean over several sets of images.

    Attributes:
        recipe: name of one of the prior's recipes.
        params: values of its searched parameters.
        sets: how many sets of images the score is the mean of.
        fall: mean logarithm of the best distance at `LONGER` times the length over that at this one; None if unknown.
    """

    recipe: str
    params: dict[str, Value]
    task: Task
    score: float
    sets: int = 1
    fall: float | None = None


@dataclass(frozen=True)
class History:
    """What a search would have tried on a set of images that it had never seen, in this order, and what that came to.

    Attributes:
        kind: of the set; sets of one kind are alike, or share images.
        trials: recipe of each settings, and the logarithm of their distance over that of the best published settings.
        published: the same of each recipe's own settings.
    """

    kind: str
    task: Task
    trials: list[tuple[str, float]]
    published: dict[str, float]

    def best(self, recipes: Sequence[str], trainings: float) -> float | None:
        """Return the logarithm of the best of so many trainings, over the best published; None if nothing is known."""
        published = [log for name, log in self.published.items() if name in recipes]
        tried = [log for name, log in self.trials if name in recipes][: max(1, round(trainings))]
        return min([*tried, min(published)]) - min(published) if published and tried else None


@dataclass(frozen=True)
class Prior:
    """The model of scores, and the portfolio.

    Attributes:
        recipes: whose settings it knows, with the spaces that coordinates are taken from.
        rows: what the process is conditioned on.
        portfolio: recipe and parameters, best first.
        sets: the sets of images that it was learnt from.
        histories: one for each set, size, width and length.
    """

    recipes: dict[str, Recipe]
    rows: list[Row] = field(default_factory=list)
    portfolio: list[tuple[str, dict[str, Value]]] = field(default_factory=list)
    constants: Constants = field(default_factory=Constants)
    sets: tuple[str, ...] = ()
    histories: list[History] = field(default_factory=list)

    # ---- the file

    def as_bytes(self) -> bytes:
        """Return the prior as a file; the same prior gives the same bytes."""
        recipes = {
            name: {"settings": _family(recipe.settings), "space": recipe.space_as_dict()}
            for name, recipe in self.recipes.items()
        }
        params = list({settings_key(row.recipe, row.params): (row.recipe, row.params) for row in self.rows}.values())
        numbers = {settings_key(*entry): number for number, entry in enumerate(params)}
        tasks = list(dict.fromkeys([row.task for row in self.rows] + [history.task for history in self.histories]))
        rows = [
            [
                numbers[settings_key(row.recipe, row.params)],
                tasks.index(row.task),
                round(row.score, 3),
                row.sets,
                None if row.fall is None else round(row.fall, 2),
            ]
            for row in self.rows
        ]
        histories = [
            [
                history.kind,
                tasks.index(history.task),
                [[list(recipes).index(name), round(log, 2)] for name, log in history.trials],
                {name: round(log, 2) for name, log in history.published.items()},
            ]
            for history in self.histories
        ]
        content = {
            "format": FORMAT,
            "sets": self.sets,
            "constants": asdict(self.constants),
            "recipes": recipes,
            "portfolio": self.portfolio,
            "settings": params,
            "tasks": tasks,
            "rows": rows,
            "histories": histories,
        }
        return json.dumps(content, separators=(",", ":")).encode()

    @classmethod
    def parse(cls, content: bytes) -> Prior:
        """Read a file that `as_bytes` returned.

        Raises:
            ValueError: it is damaged, or of another format.
        """
        try:
            read = json.loads(content)
            if read["format"] != FORMAT:
                raise ValueError(f"format {read['format']}, not {FORMAT}")
            recipes = {name: parse_recipe({"name": name, **text}, name) for name, text in read["recipes"].items()}
            constants = Constants(**read["constants"] | {"scales": tuple(read["constants"]["scales"])})
            tasks = [Task(*task) for task in read["tasks"]]
            rows = []
            for number, place, score, sets, fall in read["rows"]:
                recipe, params = read["settings"][number]
                if recipe not in recipes or sets < 1 or not min(tasks[place]) > 0:
                    raise ValueError(f"damaged (settings {number} or task {place})")
                rows.append(Row(recipe, params, tasks[place], score, sets, None if fall is None else float(fall)))
            names = list(recipes)
            histories = [
                History(
                    kind,
                    tasks[place],
                    [(names[number], float(log)) for number, log in trials],
                    {name: float(log) for name, log in published.items()},
                )
                for kind, place, trials, published in read["histories"]
            ]
            portfolio = [(recipe, dict(params)) for recipe, params in read["portfolio"]]
            prior = cls(recipes, rows, portfolio, constants, tuple(read["sets"]), histories)
            # A search would end in the middle if a row holds no numbers, or none that a process can be conditioned on.
            told = [row.fall for row in rows if row.fall is not None]
            told += [log for each in histories for log in (*(log for _, log in each.trials), *each.published.values())]
            if not np.isfinite([*prior._conditioned[1], *told]).all():
                raise ValueError("damaged (not all of its numbers are finite)")
            return prior
        except (KeyError, TypeError, IndexError, AttributeError, UnicodeDecodeError, LinAlgError) as error:
            raise ValueError(f"damaged ({error})") from None

    # ---- the model

    def recipe_like(self, recipe: Recipe) -> str | None:
        """Return the name of the prior's recipe that has the same parts and optimizers; None if there is none."""
        return self.recipe_of(recipe.settings)

    def recipe_of(self, settings: dict[str, Value]) -> str | None:
        """Return the name of the prior's recipe that has the parts and optimizers in these settings, or None."""
        return next(
            (name for name, known in self.recipes.items() if _family(known.settings) == _family(settings)), None
        )

    def points(self, recipe: str, settings: Sequence[dict[str, Value]]) -> np.ndarray:
        """Return coordinates of settings [N, axes] of one of the prior's recipes, in units of length scales."""
        places = [self._axes.place(recipe, params) for params in settings]
        return np.array(places).reshape(len(places), -1) / self._axes.length_scales

    def mean(self, points: np.ndarray, tasks: Sequence[Task]) -> np.ndarray:
        """Return the expected scores [N] at `points`, each at its task."""
        mean: np.ndarray = self._covariance(points, self._places(tasks)) @ self._conditioned[1]
        return mean

    def best(self, recipes: Sequence[str], task: Task, trainings: float) -> Forecast | None:
        """Return what the best of a search's full trainings is expected to be, over the best published settings'.

        The sets of one kind count as one. None if nothing like this task was recorded.

        Args:
            recipes: of the prior.
            trainings: full ones, with those that are stopped early summed up.
        """
        known = [(history, history.best(recipes, trainings)) for history in self.histories]
        found = [(history, log) for history, log in known if log is not None]
        near = self._near(task, [history.task for history, _ in found]) if found else np.empty(0)
        if near.max(initial=0.0) < LEAST_ALIKE:
            return None
        kinds = Counter(history.kind for history, _ in found)
        weights = [weight / kinds[history.kind] for (history, _), weight in zip(found, near, strict=True)]
        return forecast([log for _, log in found], weights)

    def promise(self, recipe: str, params: dict[str, Value], task: Task) -> Forecast | None:
        """Return the best distance that training `LONGER` times as long is expected to come to, over that at `task`."""
        known = [index for index, row in enumerate(self.rows) if row.fall is not None]
        falls = np.array([self.rows[index].fall for index in known], float)
        if len(known) < FEWEST:
            return None
        observed = self._covariance(*(part[known] for part in self._observed))[:, known]
        cross = self._covariance(self.points(recipe, [params]), self._places([task]))[:, known]
        constants, sets = self.constants, np.array([self.rows[index].sets for index in known])
        solved = cho_solve(cho_factor(observed + np.diag(constants.residual / sets), lower=True), cross.T)[:, 0]
        mean = falls.mean() + float(solved @ (falls - falls.mean()))
        # Falls are taken to have the kernel of scores, in their own units.
        total = constants.common + constants.particular + constants.residual
        variance = falls.var() * max(constants.residual, total - float(solved @ cross[0])) / total
        return Forecast.of(mean, float(ndtri((1 + LEVEL) / 2)) * math.sqrt(variance))

    def _near(self, task: Task, others: Sequence[Task]) -> np.ndarray:
        """Return how much alike a task is to others [N]."""
        return matern(self._places([task]), self._places(others))[0]

    @cached_property
    def _axes(self) -> Axes:
        return Axes(self.recipes)

    @cached_property
    def _observed(self) -> tuple[np.ndarray, np.ndarray]:
        points = [self.points(row.recipe, [row.params])[0] for row in self.rows]
        return np.array(points), self._places([row.task for row in self.rows])

    @cached_property
    def _conditioned(self) -> tuple[np.ndarray, np.ndarray]:
        """The lower Cholesky factor of the rows' covariance, and the weights of the mean."""
        scores = np.array([row.score for row in self.rows])
        noise = self.constants.residual / np.array([row.sets for row in self.rows])
        covariance = self._covariance(*self._observed)
        factor = cho_factor(covariance + np.diag(noise), lower=True)
        return factor[0], cho_solve(factor, scores)

    def _places(self, tasks: Sequence[Task]) -> np.ndarray:
        return np.log2(np.array(tasks, float).reshape(len(tasks), -1)) / np.array(self.constants.scales)

    def _covariance(self, points: np.ndarray, tasks: np.ndarray) -> np.ndarray:
        observed, observed_tasks = self._observed
        alike = matern(points, observed)
        # Few points have tasks of their own: mostly a search asks for many settings at one.
        places, which = np.unique(tasks, axis=0, return_inverse=True)
        near = matern(places, observed_tasks)[which.ravel()]
        covariance: np.ndarray = alike * (self.constants.common + self.constants.particular * near)
        return covariance


def expected_quantiles(results: np.ndarray, means: np.ndarray, deviations: np.ndarray | float) -> np.ndarray:
    """Return the scores of results by their ranks, given the normal distribution that each is expected to have.

    The best result gets the lowest quantile of the mixture of all those distributions, and so on. So only the order of
    the results counts, and settings that were expected to be good are not taken for average ones. If nothing is known
    (means of 0, deviations of 1), these are the normal quantiles of the ranks.

    Args:
        results: [N], lower is better; infinite for lost trials. Equal results share their mean rank.
    """
    if not len(results):
        return np.empty(0)
    shares = (rankdata(results) - 0.5) / len(results)
    spread = np.broadcast_to(deviations, means.shape)
    below = ndtr((_GRID[:, None] - means[None]) / spread[None]).mean(1)
    quantiles: np.ndarray = np.interp(shares, below, _GRID)
    return quantiles


def _family(settings: dict[str, Value]) -> dict[str, Value]:
    """Return the settings by which recipes are the same to a prior."""
    return {name: settings[name] for name in (*PARTS, *RECIPE_FIELDS) if name in settings}


def settings_key(recipe: str, params: dict[str, Value]) -> str:
    """Return a text that is the same for the same settings only."""
    return json.dumps([recipe, params], sort_keys=True)
