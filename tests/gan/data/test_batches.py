"""The endless stream of batches: every row once an epoch, and resuming to the bit."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gan.data.batches import Batches
from gan.data.dataset import Rows
from gan.errors import InputError

CPU = torch.device("cpu")


def numbered(count: int, chunk: int = 7) -> Rows:
    """Rows 1×2×1 whose left pixel is the row's number, over several chunks."""
    data = np.zeros((count, 1, 2, 1), np.uint8)
    data[:, 0, 0, 0] = np.arange(count)
    return Rows([data[start : start + chunk] for start in range(0, count, chunk)], np.arange(count))


def numbers(batch: torch.Tensor) -> list[int]:
    return batch.sum((1, 2, 3)).tolist()


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 60), batch=st.integers(1, 70), seed=st.integers(0, 2**32), resident=st.booleans())
def test_every_row_once_an_epoch(count: int, batch: int, seed: int, resident: bool) -> None:
    stream = Batches(numbered(count), batch, seed, CPU, resident=resident)
    drawn: list[int] = []
    while len(drawn) < 3 * count:
        rows = stream.next()
        assert rows.shape == (batch, 1, 2, 1)
        drawn += numbers(rows)
    assert stream.position == len(drawn)
    for epoch in range(3):
        assert sorted(drawn[epoch * count : (epoch + 1) * count]) == list(range(count))


@settings(max_examples=40, deadline=None)
@given(batch=st.integers(1, 40), before=st.integers(0, 9), resident=st.booleans())
def test_resuming_gives_the_same_rows_and_flips(batch: int, before: int, resident: bool) -> None:
    def stream(kept: bool) -> Batches:
        return Batches(numbered(23), batch, 5, CPU, flip=True, resident=kept)

    whole = stream(resident)
    for _ in range(before):
        whole.next()
    resumed = stream(not resident)
    resumed.load_state_dict(whole.state_dict())
    for _ in range(4):
        assert torch.equal(whole.next(), resumed.next())


def test_epochs_and_seeds_differ() -> None:
    def epochs(seed: int) -> list[list[int]]:
        stream = Batches(numbered(50), 50, seed, CPU)
        return [numbers(stream.next()) for _ in range(2)]

    (first, second), (other, _) = epochs(1), epochs(2)
    assert first != second and first != other
    assert epochs(1) == [first, second]


def test_about_half_are_mirrored_anew_each_epoch() -> None:
    stream = Batches(numbered(200), 200, 0, CPU, flip=True)
    mirrored = []
    for _ in range(2):
        rows = stream.next()
        order = torch.tensor(numbers(rows)).argsort()
        mirrored.append((rows[:, 0, 1, 0] > 0)[order])
    assert 70 < mirrored[0].sum() < 130
    assert not torch.equal(mirrored[0], mirrored[1])


def test_vectors_come_as_float32_and_cannot_be_mirrored() -> None:
    rows = Rows([np.ones((4, 15), np.float32)], np.arange(4))
    batch = Batches(rows, 3, 0, CPU).next()
    assert batch.shape == (3, 15) and batch.dtype == torch.float32
    with pytest.raises(ValueError, match="only images"):
        Batches(rows, 3, 0, CPU, flip=True)


def test_batches_do_not_share_memory_with_the_set() -> None:
    for resident in (False, True):
        rows = numbered(4)
        Batches(rows, 4, 0, CPU, resident=resident).next().fill_(9)
        assert rows.gather(np.arange(4))[:, 0, 0, 0].tolist() == [0, 1, 2, 3]


def test_nothing_to_draw_is_an_error() -> None:
    empty = Rows([np.zeros((1, 1, 2, 1), np.uint8)], np.arange(0))
    with pytest.raises(InputError, match="from 0 rows"):
        Batches(empty, 4, 0, CPU)
    with pytest.raises(InputError, match="batches of 0"):
        Batches(numbered(4), 0, 0, CPU)


def test_the_device_memory_is_let_go_with_the_stream() -> None:
    gc.disable()
    try:
        stream = Batches(numbered(10), 4, 0, CPU, resident=True)
        stream.next()
        kept = weakref.ref(stream._all)
        del stream
        assert kept() is None
    finally:
        gc.enable()


def test_prefetching_draws_the_same_and_follows_a_new_position(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    plain, ahead = (Batches(numbered(23), 8, 3, CPU, flip=True) for _ in range(2))

    def prefetched() -> torch.Tensor:
        rows = ahead._prefetched()
        ahead.position += 8
        return rows

    for _ in range(7):
        assert torch.equal(plain.next(), prefetched())
    for stream in (plain, ahead):
        stream.load_state_dict({"position": 16})
    for _ in range(7):
        assert torch.equal(plain.next(), prefetched())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("resident", [False, True, "auto"])
def test_a_gpu_draws_what_a_cpu_draws(resident: bool) -> None:
    device = torch.device("cuda")
    here = Batches(numbered(50), 16, 1, CPU, flip=True)
    there = Batches(numbered(50), 16, 1, device, flip=True, resident=resident)
    assert (there._all is not None) == (resident is not False)
    for _ in range(10):
        batch = there.next()
        assert batch.device.type == "cuda"
        assert torch.equal(here.next(), batch.cpu())
