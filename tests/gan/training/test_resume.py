"""Stopping and going on in a new process gives what never stopping gives, to the bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from training_fixtures import lines, one_thread, pictures, run_python, small_recipe, small_trainer, state_digest

from gan.data.dataset import DataSet
from gan.errors import InputError
from gan.storage.storage import Storage
from gan.training import state as state_module
from gan.training.checkpoints import Checkpoints, Superseded
from gan.training.state import load_state_dict, state_dict
from gan.training.trainer import Trainer

__all__ = ["one_thread"]

# 190 training images: both stretches pass the end of an epoch in the middle of a batch.
BEFORE, AFTER = 208, 240

CASES: dict[str, dict[str, Any]] = {
    "non-saturating": {},
    "minimax": {"objective": "minimax"},
    "l2": {"objective": "l2"},
    "wgan": {"objective": "wgan", "n_critic": 2},
    "wgan-kernels-adam": {"objective": "wgan", "clip_scope": "kernels", "optimizer_d": "adam"},
    "average": {"ema_kimg": 0.05},
    "average-wgan": {"objective": "wgan", "ema_kimg": 0.05, "n_critic": 3},
    "dropout": {"dropout": 0.3},
    "flip": {"flip": True},
    "rmsprop": {"optimizer_g": "rmsprop", "optimizer_d": "rmsprop"},
    "sgd": {"optimizer_g": "sgd", "optimizer_d": "sgd", "lr_d": 0.01},
    "sgd-momentum": {"optimizer_g": "sgd", "optimizer_d": "adam", "momentum": 0.9},
    "joint": {"d_batch": "joint", "g_step_statistics": "running", "dropout": 0.2},
    "uniform": {"latent": "uniform", "beta1": 0.0},
    "everything": {"ema_kimg": 0.05, "dropout": 0.3, "flip": True, "latent": "spherical", "batch": 50},
    "wgan-gp": {"objective": "wgan-gp", "n_critic": 2, "dropout": 0.1},
    "pooling": {"pooling": "max", "norm_d": "layer"},
    "transposed": {"network": "transposed", "dropout": 0.1, "epsilon": 1e-7},
    "upsampling": {"network": "upsampling", "d_batch": "joint", "g_step_statistics": "running", "ema_kimg": 0.05},
    "upsampling-wgan-gp": {"network": "upsampling", "objective": "wgan-gp", "n_critic": 2},
    "vectors": {"network": "fully-connected", "ema_kimg": 0.05, "dropout": 0.1},
    "vectors-wgan-gp": {"network": "fully-connected", "objective": "wgan-gp"},
    "bf16": {"ema_kimg": 0.05},
    "bf16-wgan-gp": {"objective": "wgan-gp", "n_critic": 2},
    "bf16-upsampling": {"network": "upsampling", "d_batch": "joint"},
}


def data_of(settings: dict[str, Any]) -> DataSet:
    return lines() if settings.get("network") == "fully-connected" else pictures()


GO_ON = """
import json, sys
import torch
from gan import open_data
from gan.training.checkpoints import Checkpoints
from gan.training.state import load_state_dict
from gan.storage.storage import Storage
from gan.training.trainer import Trainer
from training_fixtures import small_recipe, state_digest

cases, folder, after, threads = json.loads(sys.argv[1])
torch.set_num_threads(threads)
found = {}
for name, (settings, uri) in cases.items():
    trainer = Trainer(small_recipe(**settings), open_data(uri), seed=3, device="cpu")
    _, state = Checkpoints(Storage(f"{folder}/{name}")).latest()
    load_state_dict(trainer, state)
    stats = trainer.advance(after)
    found[name] = [state_digest(trainer), stats.history.tolist()]
print(json.dumps(found))
"""


def trained(settings: dict[str, Any], bf16: bool, images: int) -> Trainer:
    precision = "bf16" if bf16 else "fp32"
    trainer = Trainer(small_recipe(**settings), data_of(settings), seed=3, device="cpu", precision=precision)
    trainer.advance(images)
    return trainer


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """What one new process makes of the checkpoints of all cases: digest and history of each."""
    folder = tmp_path_factory.mktemp("resume")
    for name, settings in CASES.items():
        trainer = trained(settings, name.startswith("bf16"), BEFORE)
        Checkpoints(Storage(folder / name)).save(trainer.images / 1000, state_dict(trainer))
    cases = {name: [settings, data_of(settings).uri] for name, settings in CASES.items()}
    task = [cases, str(folder), AFTER, torch.get_num_threads()]
    return dict(json.loads(run_python(GO_ON, json.dumps(task))))


@pytest.mark.parametrize("name", CASES)
def test_a_new_process_goes_on_to_the_bit(name: str, resumed: dict[str, list[Any]]) -> None:
    whole = trained(CASES[name], name.startswith("bf16"), BEFORE)
    history = whole.advance(AFTER).history
    assert resumed[name][1] == history.tolist()
    assert resumed[name][0] == state_digest(whole)
    assert len(history) and whole.batches.position > 2 * len(pictures().train)


def test_the_digest_sees_a_single_bit() -> None:
    trainer = small_trainer()
    before = state_digest(trainer)
    with torch.no_grad():
        weight = next(trainer.generator.parameters())
        weight[0, 0, 1, 1] = torch.nextafter(weight[0, 0, 1, 1], torch.tensor(1.0))
    assert state_digest(trainer) != before


def with_contiguous_moments(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state as it comes from a format that does not keep the order of memory."""
    for side in ("optimizer_g", "optimizer_d"):
        for moments in state[side]["state"].values():
            for name, value in moments.items():
                moments[name] = value.contiguous() if isinstance(value, torch.Tensor) else value
    return state


def saved_after(images: int) -> dict[str, Any]:
    trainer = small_trainer()
    trainer.advance(images)
    return with_contiguous_moments(state_dict(trainer))


def test_moments_come_back_in_their_weights_memory_format() -> None:
    whole, again = small_trainer(), small_trainer()
    whole.advance(96)
    load_state_dict(again, saved_after(96))
    for optimizer in (again.optimizer_g, again.optimizer_d):
        for weight, moments in optimizer.state.items():
            assert moments["exp_avg"].stride() == weight.stride()
            assert moments["exp_avg_sq"].stride() == weight.stride()
    whole.advance(96), again.advance(96)
    assert state_digest(again) == state_digest(whole)


def test_the_trap_of_moments_in_another_memory_format_is_real(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_module, "_load_optimizer", lambda optimizer, state: optimizer.load_state_dict(state))
    whole, trapped = small_trainer(), small_trainer()
    whole.advance(96)
    load_state_dict(trapped, saved_after(96))
    assert state_digest(trapped) == state_digest(whole)  # the same numbers, each in its place …
    whole.advance(16), trapped.advance(16)
    assert state_digest(trapped) != state_digest(whole)  # … and yet the next step is another


def test_weights_are_channels_last_where_they_can_be() -> None:
    trainer = small_trainer()
    kernels = [w for w in trainer.discriminator.parameters() if w.ndim == 4 and min(w.shape[:2]) > 1]
    assert len(kernels) > 1
    assert all(w.is_contiguous(memory_format=torch.channels_last) for w in kernels)


def test_loading_does_not_share_memory_with_the_state() -> None:
    state = saved_after(48)
    first, second = small_trainer(), small_trainer()
    load_state_dict(first, state)
    first.advance(48)
    load_state_dict(second, state)
    second.advance(48)
    assert state_digest(first) == state_digest(second)


def test_a_state_of_another_training_is_refused_with_the_differences() -> None:
    state = state_dict(small_trainer(lr_g=1e-3))
    with pytest.raises(InputError, match=r"lr_g 0.001 there, 0.0002 here"):
        load_state_dict(small_trainer(), state)
    with pytest.raises(InputError, match="seed 1 there, 2 here"):
        load_state_dict(small_trainer(seed=2), state_dict(small_trainer()))
    with pytest.raises(InputError, match="objective minimax there, non-saturating here"):
        load_state_dict(small_trainer(), state_dict(small_trainer("minimax")))
    with pytest.raises(InputError, match="format 99"):
        load_state_dict(small_trainer(), state_dict(small_trainer()) | {"format": 99})
    other = Trainer(small_recipe(), pictures(channels=1), seed=1, device="cpu")
    with pytest.raises(InputError, match=r"data \w+ there"):
        load_state_dict(small_trainer(), state_dict(other))


# ---- checkpoints on storage


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with checkpoints of 1 and 2 kimg."""
    store = Checkpoints(Storage(tmp_path))
    store.save(1.0, {"at": torch.tensor(1)})
    store.save(2.0, {"at": torch.tensor(2)})
    return tmp_path


def latest(folder: Path) -> float | None:
    found = Checkpoints(Storage(folder)).latest()
    if found is None:
        return None
    kimg, state = found
    assert int(state["at"]) == kimg
    return kimg


def test_only_the_last_two_are_kept(folder: Path) -> None:
    store = Checkpoints(Storage(folder))
    for kimg in (3.0, 11.0):
        store.save(kimg, {"at": torch.tensor(int(kimg))})
    assert kept(folder) == ["000000003000.json", "000000003000.pt", "000000011000.json", "000000011000.pt"]
    assert latest(folder) == 11
    assert store.latest(before=11.0)[0] == 3  # type: ignore[index]
    assert store.latest(before=3.0) is None


def kept(folder: Path) -> list[str]:
    """Return the files of checkpoints, without the process that wrote each."""
    return sorted(path.name.partition("-")[0] + path.suffix for path in folder.iterdir() if path.name != "holder")


def newest(folder: Path, suffix: str) -> Path:
    (path,) = folder.glob(f"000000002000-*{suffix}")
    return path


def truncate(folder: Path) -> None:
    content = newest(folder, ".pt").read_bytes()
    newest(folder, ".pt").write_bytes(content[:-1])


def flip_a_bit(folder: Path) -> None:
    content = bytearray(newest(folder, ".pt").read_bytes())
    content[len(content) // 2] ^= 1
    newest(folder, ".pt").write_bytes(content)


DAMAGES = {
    "truncated": truncate,
    "one bit": flip_a_bit,
    "empty": lambda folder: newest(folder, ".pt").write_bytes(b""),
    "rubbish": lambda folder: newest(folder, ".pt").write_bytes(b"\0rubbish" * 99),
    "gone": lambda folder: newest(folder, ".pt").unlink(),
    "seal gone": lambda folder: newest(folder, ".json").unlink(),
    "seal empty": lambda folder: newest(folder, ".json").write_bytes(b""),
    "seal not JSON": lambda folder: newest(folder, ".json").write_bytes(b"\xff\xfe{"),
    "seal of another kind": lambda folder: newest(folder, ".json").write_bytes(b"[1, 2]"),
    "seal without a hash": lambda folder: newest(folder, ".json").write_bytes(b'{"kimg": 2.0}'),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_passed_over(folder: Path, damage: str) -> None:
    assert latest(folder) == 2
    DAMAGES[damage](folder)
    assert latest(folder) == 1


def test_without_a_whole_checkpoint_there_is_none(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    for path in folder.glob("*.pt"):
        path.write_bytes(b"rubbish")
    assert latest(folder) is None
    assert latest(tmp_path_factory.mktemp("empty")) is None


def test_a_checkpoint_replaces_a_damaged_one_and_what_lay_beyond(folder: Path) -> None:
    for path in folder.glob("*.pt"):
        path.write_bytes(b"rubbish")
    store = Checkpoints(Storage(folder))
    store.save(0.5, {"at": torch.tensor(0.5)})
    assert store.latest()[0] == 0.5  # type: ignore[index]
    store.save(1.0, {"at": torch.tensor(1)})
    assert latest(folder) == 1


def test_a_checkpoint_cut_short_while_written_does_not_count(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Storage.write_bytes

    def break_down(storage: Storage, path: str, data: bytes) -> None:
        if path.endswith(".json"):
            raise OSError("no space left")
        write(storage, path, data)

    monkeypatch.setattr(Storage, "write_bytes", break_down)
    with pytest.raises(OSError, match="no space"):
        Checkpoints(Storage(folder)).save(3.0, {"at": torch.tensor(3)})
    monkeypatch.undo()
    assert latest(folder) == 2
    Checkpoints(Storage(folder)).save(4.0, {"at": torch.tensor(4)})
    # No orphan stays.
    assert kept(folder) == ["000000002000.json", "000000002000.pt", "000000004000.json", "000000004000.pt"]


def test_a_process_that_was_out_of_reach_touches_nothing_of_its_successors(tmp_path: Path) -> None:
    first, second = Checkpoints(Storage(tmp_path)), Checkpoints(Storage(tmp_path))
    first.save(1.0, {"at": torch.tensor(1)})
    second.claim()
    for kimg in (2.0, 3.0):
        second.save(kimg, {"at": torch.tensor(kimg)})
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(Superseded):
        first.save(2.0, {"at": torch.tensor(2)})
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_nor_does_one_whose_write_was_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its storage came back only after the successor had saved: what was written late is there beside, unsealed."""
    first, second = Checkpoints(Storage(tmp_path)), Checkpoints(Storage(tmp_path))
    first.save(1.0, {"at": torch.tensor(1)})
    whole = Storage.write_bytes

    def hang(storage: Storage, path: str, data: bytes) -> None:
        monkeypatch.undo()
        second.claim()
        for kimg in (2.0, 3.0):
            second.save(kimg, {"at": torch.tensor(kimg)})
        whole(storage, path, data)

    monkeypatch.setattr(Storage, "write_bytes", hang)
    with pytest.raises(Superseded):
        first.save(2.0, {"at": torch.tensor(9)})
    assert latest(tmp_path) == 3
    assert int(second.latest(before=3.0)[1]["at"]) == 2  # type: ignore[index]


def test_what_a_checkpoint_holds_is_never_unpickled(folder: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path(folder / "touched").touch, ())

    with pytest.raises(Exception, match=r"weights_only|Unsupported|WeightsUnpickler"):
        store = Checkpoints(Storage(folder))
        store.save(3.0, {"at": Evil()})
        store.latest()
    assert not (folder / "touched").exists()
