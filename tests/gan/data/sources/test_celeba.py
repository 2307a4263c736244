"""CelebA: where its images are looked for, in which order they come, and what is refused."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from album import FOLDER, encoded, jpeg, official_zip, partition, pixels, write_folder, write_zip
from PIL import Image

from gan.data.dataset import DataSet
from gan.data.packed.opening import open_data
from gan.data.sources.opening import open_source
from gan.errors import InputError

NUMBERS = range(1, 41)


def numbers(data: DataSet, held_out: bool = False) -> list[int]:
    """Tell from the pixels which images a part holds, in its order."""
    rows = data.held_out if held_out else data.train
    means = rows.gather(np.arange(len(rows))).reshape(len(rows), -1).mean(1)
    return [int(number) for number in ((means - 19.5) / 2).round()]


def opened(path: Path, tmp_path: Path, query: str = "", crop: str | None = None, size: int = 16) -> DataSet:
    return open_data(f"celeba:{path}{query}", size, crop=crop, cache_dir=tmp_path / "cache")


def reference(number: int, size: int = 64) -> np.ndarray:
    """Prepare an image by hand: the 178 rows in the middle, resized as Pillow does."""
    with Image.open(BytesIO(encoded(number))) as image:
        return np.asarray(image.crop((0, 20, 178, 198)).resize((size, size), Image.Resampling.LANCZOS))


def test_every_place_of_the_images_gives_the_same_set(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "root", NUMBERS)
    (tmp_path / "vision").mkdir()
    (tmp_path / "vision" / "celeba").symlink_to(root)
    (tmp_path / "kaggle" / FOLDER).mkdir(parents=True)
    (tmp_path / "kaggle" / FOLDER / FOLDER).symlink_to(root / FOLDER)
    flat = {f"{number:06}.jpg": encoded(number) for number in NUMBERS}
    places = [root, root / FOLDER, tmp_path / "vision", tmp_path / "kaggle"]
    places += [official_zip(tmp_path / "a.zip", NUMBERS), write_zip(tmp_path / "b.zip", flat)]
    places += [official_zip(tmp_path / "c.zip", NUMBERS, zipfile.ZIP_DEFLATED)]
    places += [write_zip(tmp_path / "d.zip", {f"x/y/{name}": data for name, data in flat.items()})]
    hashes = {opened(place, tmp_path).content_hash for place in places}
    assert len(hashes) == 1
    data = opened(root, tmp_path)
    assert (data.shape, data.default_features, data.crop) == ((16, 16, 3), "inception", "center-178")
    assert sorted(numbers(data) + numbers(data, held_out=True)) == list(NUMBERS)
    assert len(data.held_out) == 2
    rows = list(open_source(f"celeba:{places[4]}", 64))
    assert all(np.array_equal(row, reference(number)) for number, row in zip(NUMBERS, rows, strict=True))


def test_the_archive_is_not_unpacked(tmp_path: Path) -> None:
    archive = official_zip(tmp_path / "only" / "a.zip", NUMBERS)
    opened(archive, tmp_path)
    assert list((tmp_path / "only").iterdir()) == [archive]


def test_the_order_is_that_of_the_numbers_not_of_the_names(tmp_path: Path) -> None:
    members = {f"{number}.jpg": encoded(number) for number in (10, 9, 2, 1, 33)}
    rows = np.stack(list(open_source(f"celeba:{write_zip(tmp_path / 'a.zip', members)}", 16)))
    assert ((rows.reshape(5, -1).mean(1) - 19.5) / 2).round().tolist() == [1, 2, 9, 10, 33]


@pytest.mark.parametrize("place", ["beside the folder", "in the folder", "in the archive", "beside the archive", "csv"])
def test_the_official_test_part_is_held_out(tmp_path: Path, place: str) -> None:
    text, test = partition(NUMBERS, range(11, 15)), [11, 12, 13, 14]
    path = tmp_path / "root"
    if "archive" in place:
        path = official_zip(tmp_path / "root" / "a.zip", NUMBERS)
        if place.startswith("in"):
            with zipfile.ZipFile(path, "a") as archive:
                archive.writestr("list_eval_partition.txt", text)
        else:
            (path.parent / "list_eval_partition.txt").write_text(text)
    else:
        write_folder(path, NUMBERS)
        if place == "csv":
            csv = "image_id,partition\n" + text.replace(" ", ",")
            (path / "list_eval_partition.csv").write_text(csv)
        else:
            (path / (FOLDER if "in" in place else "") / "list_eval_partition.txt").write_text(text)
    data = opened(path, tmp_path)
    assert numbers(data, held_out=True) == test
    assert numbers(data) == [number for number in NUMBERS if number not in test]


def test_the_held_out_part_stays_itself_when_images_before_it_are_skipped(tmp_path: Path) -> None:
    few = range(1, 201)
    root = write_folder(tmp_path / "root", few)
    (root / FOLDER / "000003.jpg").write_bytes(b"")
    (root / FOLDER / "000195.jpg").write_bytes(b"")
    (root / "list_eval_partition.txt").write_text(partition(few, range(191, 201)))
    data = opened(root, tmp_path, size=64)
    assert data.skipped_names == ("000003.jpg: is empty", "000195.jpg: is empty")
    held = data.held_out.gather(np.arange(len(data.held_out)))
    wanted = [reference(number) for number in range(191, 201) if number != 195]
    assert np.array_equal(held, np.stack(wanted))
    assert len(data.train) == 189


def test_parts_that_the_images_do_not_have_are_not_made_up(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "root", NUMBERS)
    (root / "list_eval_partition.txt").write_text(partition(range(1, 100), range(90, 100)))
    assert len(opened(root, tmp_path).held_out) == 2  # 5%: none of the test part is here


def test_the_crops(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "root", NUMBERS)
    wide, cut, tight = (opened(root, tmp_path, crop=crop) for crop in ("center-178", "top-bottom-20", "center-148"))
    assert wide.content_hash == cut.content_hash != tight.content_hash
    assert (cut.crop, tight.crop) == ("top-bottom-20", "center-148")
    with pytest.raises(InputError, match=r"178×218 pixels, too few to crop 179"):
        opened(root, tmp_path, crop="center-179")
    with pytest.raises(InputError, match=r"too few to cut off 109 rows"):
        opened(root, tmp_path, crop="top-bottom-109")


def test_the_fingerprint_follows_images_partition_size_and_crop(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "root", NUMBERS)
    archive = official_zip(tmp_path / "a.zip", NUMBERS)

    def print_of(path: Path = root, size: int = 16, crop: str | None = None) -> str:
        return open_source(f"celeba:{path}", size, crop).fingerprint()

    first = {print_of(), print_of(size=8), print_of(crop="center-148"), print_of(archive)}
    assert len(first) == 4
    (root / "list_eval_partition.txt").write_text(partition(NUMBERS, range(11, 15)))
    assert print_of() not in first
    archive.unlink()
    official_zip(archive, range(1, 42))
    assert print_of(archive) not in first


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../000001.jpg", r"the name '\.\./000001\.jpg' in it leads out of it"),
        ("a/../../000001.jpg", "leads out of it"),
        ("/etc/000001.jpg", "leads out of it"),
        ("..\\000001.jpg", "leads out of it"),
        ("C:/000001.jpg", "leads out of it"),
        ("../elsewhere.txt", "leads out of it"),
    ],
)
def test_an_archive_that_leads_out_is_refused(tmp_path: Path, name: str, message: str) -> None:
    members = {f"{number:06}.jpg": encoded(number) for number in range(2, 5)}
    archive = write_zip(tmp_path / "in" / "a.zip", members | {name: encoded(1)})
    with pytest.raises(InputError, match=message) as error:
        opened(archive, tmp_path)
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.rglob("*.jpg")] == []


def test_archives_that_cannot_be_read(tmp_path: Path) -> None:
    def refuse(path: Path, message: str) -> None:
        with pytest.raises(InputError, match=message) as error:
            opened(path, tmp_path)
        assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)

    whole = official_zip(tmp_path / "whole.zip", NUMBERS).read_bytes()
    cut = tmp_path / "cut.zip"
    cut.write_bytes(whole[: len(whole) // 2])
    refuse(cut, "cannot be read as a zip archive")
    cut.write_bytes(b"")
    refuse(cut, "cannot be read as a zip archive")
    second = whole.index(b"PK\x03\x04", 4)  # That of the first image, after the folder's.
    cut.write_bytes(whole[:second] + b"\x00" * 4 + whole[second + 4 :])
    refuse(cut, r"more than 1% of its 40 images cannot be read: 000001\.jpg: is not where")
    image = encoded(7)
    cut.write_bytes(whole.replace(image, image[:100] + b"\x00" * (len(image) - 100)))
    refuse(cut, r"000007\.jpg: is damaged in the archive")
    mixed = write_zip(tmp_path / "mixed.zip", {"a/000001.jpg": image, "b/000002.jpg": image})
    refuse(mixed, r"has images in 2 folders \(a, b\)")
    refuse(write_zip(tmp_path / "none.zip", {"a/readme.txt": b""}), "no numbered JPEG")
    rare = write_zip(tmp_path / "rare.zip", {"000001.jpg": image}, zipfile.ZIP_LZMA)
    refuse(rare, "is compressed in a rare way")
    secret = write_zip(tmp_path / "secret.zip", {"000001.jpg": image})
    data = bytearray(secret.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    secret.write_bytes(data)
    refuse(secret, "is encrypted")


def test_a_member_that_claims_to_be_small_is_not_inflated_further(tmp_path: Path) -> None:
    bomb = write_zip(tmp_path / "a.zip", {"000001.jpg": bytes(50 << 20)}, zipfile.ZIP_DEFLATED)
    data = bytearray(bomb.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = (1000).to_bytes(4, "little")  # The size once unpacked, in the directory.
    bomb.write_bytes(data)
    with pytest.raises(InputError, match="is damaged in the archive"):
        opened(bomb, tmp_path)


def test_folders_that_are_not_celeba(tmp_path: Path) -> None:
    def refuse(path: Path, message: str) -> None:
        with pytest.raises(InputError, match=message) as error:
            opened(path, tmp_path)
        assert "\n" not in str(error.value)

    refuse(tmp_path / "none", "is neither a folder nor a zip archive")
    (tmp_path / "empty").mkdir()
    refuse(tmp_path / "empty", "no numbered JPEG")
    official_zip(tmp_path / "packed" / f"{FOLDER}.zip", range(1, 3))
    refuse(tmp_path / "packed", f"use celeba:{tmp_path}/packed/{FOLDER}.zip")
    twice = write_folder(tmp_path / "twice", range(1, 3))
    (twice / FOLDER / "1.jpg").write_bytes(encoded(1))
    refuse(twice, "holds image 1 2 times")
    small = write_folder(tmp_path / "small", range(1, 3))
    (small / FOLDER / "000002.jpg").write_bytes(jpeg(pixels(2)[:100]))
    refuse(small, r"000002\.jpg: has 178×100 pixels, not 178×218")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("000001.jpg 3\n", "line 1 is not"),
        ("000001.jpg 0\nhello\n", "line 2 is not"),
        ("\x00\x01", "line 1 is not"),
        (partition(range(1, 30), range(2, 4)), r"no line for 000030\.jpg"),
        ("", r"no line for 000001\.jpg"),
    ],
)
def test_a_bad_partition_is_named(tmp_path: Path, text: str, message: str) -> None:
    root = write_folder(tmp_path / "root", NUMBERS)
    (root / "list_eval_partition.txt").write_text(text)
    with pytest.raises(InputError, match=message) as error:
        opened(root, tmp_path)
    assert "list_eval_partition.txt" in str(error.value) and "\n" not in str(error.value)
