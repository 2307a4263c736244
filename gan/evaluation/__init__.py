"""Scores for generators: features, their statistics, and the distance between them."""

from gan.evaluation.evaluator import Evaluation, Evaluator
from gan.evaluation.features import EXTRACTORS, FeatureExtractor, make_features
from gan.evaluation.frechet import Reference, frechet_distance
from gan.evaluation.identity import EvaluationIdentity, require_same
from gan.evaluation.statistics import Statistics, load_statistics, save_statistics

__all__ = [
    "EXTRACTORS",
    "Evaluation",
    "EvaluationIdentity",
    "Evaluator",
    "FeatureExtractor",
    "Reference",
    "Statistics",
    "frechet_distance",
    "load_statistics",
    "make_features",
    "require_same",
    "save_statistics",
]
