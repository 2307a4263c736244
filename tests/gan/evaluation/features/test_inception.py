"""Loading Inception's weights: safely, or not at all. The numbers of the real network are not at stake."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

from gan.errors import InputError
from gan.evaluation.features import inception, inception_weights, make_features
from gan.evaluation.features.inception_network import resize

SHAPE = (16, 16, 3)


@pytest.fixture(autouse=True)
def nobodys_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GAN_SEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(inception_weights.WEIGHTS, raising=False)
    return tmp_path / "cache"


def pixels(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))


def test_equals_torch_fidelity_and_comes_back_from_a_pickle(random_inception: Path) -> None:
    stream = torch.get_rng_state()
    extractor = make_features("inception", shape=SHAPE, inception_weights=random_inception)
    assert torch.equal(torch.get_rng_state(), stream), "building it moved the trial's random stream"
    assert extractor.weights_sha256 == hashlib.sha256(random_inception.read_bytes()).hexdigest()
    rows = pixels(3, *SHAPE)
    theirs = FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=str(random_inception))
    (expected,) = theirs(rows.permute(0, 3, 1, 2))
    features = extractor(rows)
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(pickle.loads(pickle.dumps(extractor))(rows), features)
    grey = rows[..., :1]
    torch.testing.assert_close(extractor(grey), extractor(grey.expand(-1, -1, -1, 3)))


def test_weights_changed_under_way_are_noticed(random_inception: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    path.write_bytes(random_inception.read_bytes())
    packed = pickle.dumps(inception.InceptionFeatures(path))
    state = torch.load(path, weights_only=True)
    state["fc.bias"] += 1
    torch.save(state, path)
    with pytest.raises(InputError, match="other Inception weights"):
        pickle.loads(packed)


def test_on_another_machine_the_weights_may_lie_elsewhere(
    random_inception: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.pth"
    path.write_bytes(random_inception.read_bytes())
    extractor = inception.InceptionFeatures(path)
    packed = pickle.dumps(extractor)
    path.rename(tmp_path / "elsewhere.pth")
    monkeypatch.setenv(inception_weights.WEIGHTS, str(tmp_path / "elsewhere.pth"))
    assert pickle.loads(packed).weights_sha256 == extractor.weights_sha256


def test_weights_of_the_users_own_are_taken_with_a_warning(
    random_inception: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inception, "_warned", set())
    for _ in range(2):  # but one warning, however often the extractor is made
        extractor = inception.InceptionFeatures(random_inception)
    assert extractor.weights_sha256 != inception_weights.SHA256
    (record,) = caplog.records
    assert "not the reference weights" in record.getMessage()
    assert extractor.weights_sha256[:8] in record.getMessage()


@pytest.mark.parametrize("side", [(16, 16), (299, 299), (7, 40)])
def test_the_resize_is_torch_fidelitys_to_the_bit(side: tuple[int, int]) -> None:
    rows = pixels(2, *side, 3)
    theirs = interpolate_bilinear_2d_like_tensorflow1x(
        rows.permute(0, 3, 1, 2).float(), size=(299, 299), align_corners=False
    )
    assert torch.equal(resize(rows), (theirs - 128) / 128)


def test_missing_weights_name_both_ways_out(nobodys_cache: Path) -> None:
    with pytest.raises(InputError) as caught:
        make_features("inception", shape=SHAPE)
    message = str(caught.value)
    assert inception_weights.URL in message and str(nobodys_cache / inception_weights.FILE) in message
    assert "--features random-conv" in message and "\n" not in message


def test_where_weights_are_looked_for(tmp_path: Path, nobodys_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, named, kept = tmp_path / "given", tmp_path / "named", nobodys_cache / inception_weights.FILE
    nobodys_cache.mkdir()
    for path in (given, named, kept):
        path.touch()
    # Only what a user names may be another network; in the cache it got there unseen.
    with pytest.raises(InputError, match=r"not the reference's: remove it"):
        inception_weights.find_weights(None)
    monkeypatch.setattr(inception_weights, "SHA256", hashlib.sha256(b"").hexdigest())
    assert inception_weights.find_weights(None) == kept
    monkeypatch.setenv(inception_weights.WEIGHTS, str(named))
    assert inception_weights.find_weights(None) == named
    assert inception_weights.find_weights(given) == given
    named.unlink()
    with pytest.raises(InputError, match=inception_weights.WEIGHTS):  # never a silent fall-back
        inception_weights.find_weights(None)


class Payload:
    """Pickled code: unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_pickled_code_does_not_run(tmp_path: Path) -> None:
    for path, save in ((tmp_path / "zip.pth", torch.save), (tmp_path / "plain.pth", _plain_pickle)):
        save({"weight": Payload(tmp_path / "ran")}, path)
        with pytest.raises(InputError, match=path.name) as caught:
            make_features("inception", shape=SHAPE, inception_weights=path)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def _plain_pickle(content: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(content, protocol=2))


@pytest.mark.parametrize("keep", [0, 100, 40_000_000])
def test_truncated_weights_are_refused(random_inception: Path, tmp_path: Path, keep: int) -> None:
    (tmp_path / "cut.pth").write_bytes(random_inception.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"cut\.pth: not a readable file"):
        make_features("inception", shape=SHAPE, inception_weights=tmp_path / "cut.pth")


@pytest.mark.parametrize("content", [{"fc.weight": torch.zeros(2)}, [torch.zeros(2)], {"fc.weight": 1}])
def test_other_networks_and_other_content_are_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"other\.pth") as caught:
        make_features("inception", shape=SHAPE, inception_weights=tmp_path / "other.pth")
    assert "\n" not in str(caught.value)


def test_vectors_are_refused() -> None:
    with pytest.raises(InputError, match="--features random-conv"):
        make_features("inception", shape=(15,))
