"""Generators for other programs: the same images there, and nothing half-written."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from command_line import Cli
from torch import Tensor, nn
from training_fixtures import lively_bundle, one_thread

from gan.bundle import portable
from gan.bundle.bundle import Bundle, load_bundle
from gan.bundle.portable import FORMATS, ConversionFailed, convert
from gan.networks import FAMILIES

__all__ = ["one_thread"]

Snapshot = Callable[[Path], Any]


# Each family takes some seconds to convert.
ALL = [pytest.param(name, marks=() if name == "dcgan" else pytest.mark.slow) for name in FAMILIES]


@pytest.fixture(scope="module", params=ALL)
def converted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Bundle, dict[str, bytes]]:
    """A bundle, and its generator in every format."""
    bundle = lively_bundle(request.param, tmp_path_factory.mktemp("bundle"))
    return bundle, dict(zip(FORMATS, convert(bundle, FORMATS).values(), strict=True))


def pytorch(bundle: Bundle, latents: Tensor) -> np.ndarray:
    with torch.no_grad():
        images: np.ndarray = bundle.generator(latents).numpy()
    assert images.std() > 0.1  # else nearly anything would be equal
    return images


@pytest.mark.parametrize("count", [1, 3, 64])
def test_onnx_runtime_makes_the_same_images(converted: tuple[Bundle, dict[str, bytes]], count: int) -> None:
    bundle, files = converted
    session = onnxruntime.InferenceSession(files["onnx"], providers=["CPUExecutionProvider"])
    assert [entry.name for entry in session.get_inputs()] == ["latents"]
    assert [entry.name for entry in session.get_outputs()] == ["images"]
    latents = bundle.latents(count, seed=9)
    (images,) = session.run(None, {"latents": latents.numpy()})
    np.testing.assert_allclose(images, pytorch(bundle, latents), rtol=0, atol=1e-4)


@pytest.mark.parametrize("count", [1, 3, 64])
def test_the_exported_program_makes_the_same_images(converted: tuple[Bundle, dict[str, bytes]], count: int) -> None:
    bundle, files = converted
    program = torch.export.load(io.BytesIO(files["pt2"]))
    latents = bundle.latents(count, seed=9)
    np.testing.assert_allclose(program.module()(latents).detach().numpy(), pytorch(bundle, latents), rtol=0, atol=1e-4)


def test_the_files_tell_what_to_feed_them_and_nothing_of_this_machine(
    converted: tuple[Bundle, dict[str, bytes]],
) -> None:
    bundle, files = converted
    model = onnx.load_from_string(files["onnx"])
    onnx.checker.check_model(model, full_check=True)
    about = {entry.key: entry.value for entry in model.metadata_props}
    extra = {"about.json": ""}
    torch.export.load(io.BytesIO(files["pt2"]), extra_files=extra)
    told = json.loads(extra["about.json"])
    assert told.items() <= about.items()
    assert told["latent"] == "gaussian" and told["latent_dim"] == "12" and told["range"] == "[-1, 1]"
    assert json.loads(told["shape"]) == list(bundle.shape)
    assert told["generator_sha256"] == bundle.config["generator_sha256"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    for content in files.values():
        assert str(Path(portable.__file__).parent).encode() not in content


# ---- the command


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "my bundle"))


def test_convert_adds_files_to_the_bundle_or_writes_elsewhere(copy: Path, cli: Cli, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    told = cli("convert", copy, "--onnx", "--pt2", "--json").json
    assert told == {"bundle": str(copy), "written": [f"{copy}/generator.onnx", f"{copy}/generator.pt2"]}
    assert {path.name for path in copy.iterdir()} == {*before, "generator.onnx", "generator.pt2"}
    assert all((copy / name).read_bytes() == content for name, content in before.items())
    load_bundle(str(copy))
    out = tmp_path / "elsewhere"
    assert cli("convert", copy, "--pt2", "--out", out).out == f"{out}/generator.pt2\n"
    assert [path.name for path in out.iterdir()] == ["generator.pt2"]


def without(*packages: str) -> Callable[[str], object]:
    return lambda package: None if package in packages else object()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{bundle}"], "--onnx, --pt2 or both"),
        (["{tmp}", "--pt2"], "not a bundle"),
        (["{tmp}/nowhere", "--pt2"], "not a bundle"),
        (["{bundle}", "--pt2", "--out", "{tmp}/file.txt"], "file.txt: cannot be written"),
        (["{bundle}", "--pt2", "--out", "{tmp}/file.txt/below"], "cannot be written"),
    ],
)
def test_bad_input_writes_nothing(
    arguments: list[str], said: str, copy: Path, cli: Cli, tmp_path: Path, snapshot: Snapshot
) -> None:
    (tmp_path / "file.txt").write_text("mine")
    before = snapshot(tmp_path)
    assert said in cli("convert", *(part.format(bundle=copy, tmp=tmp_path) for part in arguments)).bad_input()
    assert snapshot(tmp_path) == before


def test_without_the_packages_of_onnx_nothing_is_written(
    copy: Path, cli: Cli, tmp_path: Path, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portable, "find_spec", without("onnxscript", "onnxruntime"))
    before = snapshot(tmp_path)
    said = cli("convert", copy, "--onnx", "--pt2").bad_input()
    assert "--onnx needs onnxscript, onnxruntime: install 'gan-search[onnx]'" in said
    assert snapshot(tmp_path) == before
    assert cli("convert", copy, "--pt2").status == 0


@pytest.mark.parametrize("fault", [1.1e-4, float("nan")])
def test_a_file_with_other_images_is_not_written(
    fault: float, copy: Path, cli: Cli, tmp_path: Path, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = FORMATS["pt2"]
    bent = portable._Format(honest.file, (), honest.encode, lambda content: lambda z: honest.open(content)(z) + fault)
    monkeypatch.setitem(FORMATS, "pt2", bent)
    before = snapshot(tmp_path)
    told = cli("convert", copy, "--pt2")
    assert told.status == 1 and told.err.startswith("gan-search: failed: generator.pt2: its images differ")
    assert snapshot(tmp_path) == before


class Fickle(nn.Module):
    """What it does depends on the numbers it is given, which no exporter can follow."""

    def forward(self, latents: Tensor) -> Tensor:
        return latents if latents.sum() > 0 else -latents


def test_a_generator_that_cannot_be_traced_is_named_in_one_line(copy: Path) -> None:
    loaded = load_bundle(str(copy))
    with pytest.raises(ConversionFailed, match=r"network dcgan cannot be written as torch\.export: ") as caught:
        convert(Bundle(Fickle(), loaded.config, loaded.device), ["pt2"])
    assert "\n" not in str(caught.value)
