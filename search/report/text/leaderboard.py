"""All trials of a run as a table, for spreadsheets (csv) and for programs (parquet)."""

from __future__ import annotations

import csv
import io
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from gan.storage.storage import Storage
from search.report.data.report_data import ReportData, Row

CSV, PARQUET = "leaderboard.csv", "leaderboard.parquet"

_TEXT, _NUMBER = pa.string(), pa.float64()
_FIXED = (
    {"rank": pa.int64()}
    | dict.fromkeys(("trial", "recipe", "objective", "source", "provenance", "state", "features"), _TEXT)
    | dict.fromkeys(("best_fid", "best_kimg", "kimg", "fid", "seconds", "images_per_second"), _NUMBER)
    | {"reason": _TEXT, "rescored_fid": _NUMBER, "rescored_std": _NUMBER, "rescored_features": _TEXT}
)
"""Columns that every run has. `features` says what `best_fid` and `fid` were measured with."""


def write_leaderboard(run: Storage, data: ReportData) -> None:
    """Write leaderboard.csv and leaderboard.parquet, each whole or not at all."""
    table = leaderboard(data)
    run.write_bytes(CSV, as_csv(table))
    run.write_bytes(PARQUET, as_parquet(table))


def leaderboard(data: ReportData) -> pa.Table:
    """Return all trials so far, best first, with a column for each searched parameter: null where it has no effect."""
    rows = data.leaderboard
    columns = {name: [_fixed(row, name, data) for row in rows] for name in _FIXED}
    arrays = {name: pa.array(columns[name], kind) for name, kind in _FIXED.items()}
    for name in data.searched:
        # A parameter of an added objective may have the name of a fixed column.
        label = f"param_{name}" if name in _FIXED else name
        arrays[label] = _parameter([(row.params or {}).get(name) for row in rows])
    return pa.table(arrays)


def as_csv(table: pa.Table) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.column_names)
    writer.writerows(zip(*(column.to_pylist() for column in table.columns), strict=True))
    return text.getvalue().encode()


def as_parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    parquet.write_table(table, buffer)
    return buffer.getvalue()


def _fixed(row: Row, name: str, data: ReportData) -> Any:
    if name == "features":
        return None if row.best_fid is None else data.evaluation["features"]
    if name == "rescored_features":
        return None if data.rescoring is None or row.rescored_fid is None else data.rescoring.evaluation["features"]
    return row.id if name == "trial" else getattr(row, name)


def _parameter(values: list[Any]) -> pa.Array:
    """Return a column in the narrowest type that holds all its values: recipes may have values of different types."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float}:
        return pa.array(values, pa.int64() if kinds == {int} else pa.float64())
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    return pa.array([None if value is None else str(value) for value in values], pa.string())
