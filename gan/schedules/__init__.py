"""Schedules of the learning rates: one file each, one line each here."""

from gan.registry import Registry
from gan.schedules.base import Schedule

SCHEDULES = Registry("schedule", "gan_search.schedules", {}, optional=True)

__all__ = ["SCHEDULES", "Schedule"]
