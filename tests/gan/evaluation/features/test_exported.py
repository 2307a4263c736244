"""A user's own extractor: an exported program, or one line on why not."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gan.errors import InputError
from gan.evaluation.features import absolute_name, make_features

SHAPE = (8, 8, 3)


class Means(nn.Module):
    """Mean and square of each channel, scaled."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, pixels: Tensor) -> Tensor:
        means = pixels.float().mean((2, 3)) * self.scale
        return torch.cat([means, means.square()], 1)


class Flat(nn.Module):
    def forward(self, pixels: Tensor) -> Tensor:
        return pixels.float().mean((1, 2, 3))


def export(module: nn.Module, path: Path, *, dynamic: bool = True, shape: tuple[int, ...] = (3, 8, 8)) -> Path:
    rows = torch.zeros(2, *shape, dtype=torch.uint8)
    shapes = ({0: torch.export.Dim("n")},) if dynamic else None
    with torch.no_grad():
        torch.export.save(torch.export.export(module.eval(), (rows,), dynamic_shapes=shapes), path)
    return path


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(Means(), tmp_path_factory.mktemp("exported") / "means.pt2")


def test_computes_what_the_module_does(program: Path) -> None:
    extractor = make_features(f"exported:{program}", shape=SHAPE)
    rows = torch.randint(0, 256, (5, *SHAPE), dtype=torch.uint8)
    expected = Means()(rows.permute(0, 3, 1, 2)).detach()
    for start in (0, 4):  # any number of rows, one included
        torch.testing.assert_close(extractor(rows[start:]), expected[start:])
    assert (extractor.name, extractor.dimensions, extractor.resize) == ("exported", 6, "its own")
    assert extractor.weights_sha256 == hashlib.sha256(program.read_bytes()).hexdigest()
    assert torch.equal(pickle.loads(pickle.dumps(extractor))(rows), extractor(rows))


def test_another_program_under_the_same_name_is_noticed(program: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.pt2"
    path.write_bytes(program.read_bytes())
    packed = pickle.dumps(make_features(f"exported:{path}", shape=SHAPE))
    other = Means()
    nn.init.constant_(other.scale, 3.0)
    export(other, path)
    with pytest.raises(InputError, match="another program"):
        pickle.loads(packed)


def test_what_does_not_fit_is_refused_in_one_line(program: Path, tmp_path: Path) -> None:
    (tmp_path / "text.pt2").write_text("no")
    (tmp_path / "cut.pt2").write_bytes(program.read_bytes()[:1000])
    torch.save({"weight": torch.zeros(2)}, tmp_path / "weights.pt2")
    export(Means(), tmp_path / "static.pt2", dynamic=False)
    export(Flat(), tmp_path / "flat.pt2")
    for path, shape, said in (
        (tmp_path / "none.pt2", SHAPE, "cannot be read"),
        (tmp_path / "text.pt2", SHAPE, "not an exported program"),
        (tmp_path / "cut.pt2", SHAPE, "not an exported program"),
        (tmp_path / "weights.pt2", SHAPE, "not an exported program"),
        (tmp_path / "static.pt2", SHAPE, "its first dimension dynamic"),
        (tmp_path / "flat.pt2", SHAPE, r"returns \[2\], not 2 rows"),
        (program, (16, 16, 3), "16×16×3 the program fails"),
        (program, (8, 8, 1), "8×8×1 the program fails"),
    ):
        with pytest.raises(InputError, match=said) as caught:
            make_features(f"exported:{path}", shape=shape)
        assert "\n" not in str(caught.value) and path.name in str(caught.value)


@pytest.mark.filterwarnings("ignore")
def test_torchscript_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.jit.save(torch.jit.script(Flat()), tmp_path / "script.pt2")
    monkeypatch.setattr(torch.jit, "load", lambda *args: pytest.fail("it was loaded"))
    with pytest.raises(InputError, match="is TorchScript"):
        make_features(f"exported:{tmp_path / 'script.pt2'}", shape=SHAPE)


def test_how_extractors_are_named(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, said in (
        ("exported", "exported:PATH"),
        ("exported:", "exported:PATH"),
        ("random-conv:x", "leave out ':x'"),
        ("exportd:x", "did you mean 'exported'"),
    ):
        with pytest.raises(InputError, match=said):
            make_features(name, shape=SHAPE)
    monkeypatch.chdir(program.parent)
    assert absolute_name("exported:means.pt2") == f"exported:{program}"
    assert absolute_name("random-conv") == "random-conv"
