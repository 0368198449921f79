"""Pictures decoded, whatever they are, and kept: once, whole, or not at all."""

from __future__ import annotations

import io
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.datasets.files.archives import Leftovers
from engine.datasets.pictures import decoded as cache
from engine.datasets.pictures.decoded import STALE_S, Pictures, decoded
from engine.datasets.pictures.decoding import LeftOut, picture
from engine.datasets.pictures.sources import FolderOfPictures, archive_of_pictures, folder_of_pictures
from engine.datasets.pictures.traits import WORDS, in_words, measured
from engine.errors import BadData
from tests.worlds.pictures import coded, packed, pixels, unpacked

FILES = {f"{number:03d}.png": coded(pixels(number)) for number in range(200)}


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("SUBPOP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "decoded"


def folder(path: Path) -> FolderOfPictures:
    return folder_of_pictures(path, lambda name: name)


def quiet(what: str, done: float) -> None:
    pass


def opened(source: FolderOfPictures, size: int = 32) -> Pictures:
    return decoded("tiny", source, size, quiet)


# ---- one picture -----------------------------------------------------------------------------------------------------


def test_every_pixel_of_a_lossless_picture_is_kept() -> None:
    for kind in ("PNG", "BMP", "TIFF", "PPM"):
        found, was = picture(coded(pixels(1), kind), 32)
        assert was == (32, 32)
        assert (found == pixels(1)).all()


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK", "I;16", "F", "I"])
def test_other_colours_become_rgb(mode: str) -> None:
    image = Image.fromarray(np.full((32, 32), 200 << 8, np.uint16)) if mode == "I;16" else Image.new("RGB", (32, 32), (200, 200, 200))
    file = io.BytesIO()
    image.convert(mode).save(file, "TIFF" if mode in ("CMYK", "F", "I") else "PNG")
    found, _ = picture(file.getvalue(), 32)
    assert found.shape == (32, 32, 3)
    assert abs(int(found.mean()) - 200) < 60


def test_what_is_transparent_lies_on_white_and_a_camera_held_sideways_is_heeded() -> None:
    file = io.BytesIO()
    Image.new("RGBA", (32, 32), (0, 0, 0, 0)).save(file, "PNG")
    assert (picture(file.getvalue(), 32)[0] == 255).all()
    left_dark = np.full((40, 40, 3), 255, np.uint8)
    left_dark[:, :20] = 0
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: its left side is the top
    found, _ = picture(coded(left_dark, "JPEG", exif=exif), 40)
    assert found[:15].mean() < 20
    assert found[25:].mean() > 235


def test_resizing_keeps_the_whole_picture() -> None:
    for height, width in ((64, 64), (20, 20), (50, 200), (700, 900)):
        array = np.zeros((height, width, 3), np.uint8)
        array[:, width // 2 :] = 200
        found, was = picture(coded(array, "JPEG"), 32)
        assert was == (width, height)
        assert found.shape == (32, 32, 3)
        assert found[:, :14].mean() < 6
        assert found[:, 18:].mean() == pytest.approx(200, abs=6)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b"hello", "not readable as a picture"),
        (coded(pixels(1, 64), "JPEG")[:900], "not readable as a picture"),
        (coded(pixels(1, 64))[:900], "not readable as a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not readable as a picture"),  # Pillow would start Ghostscript
        (b"P6 12000 12000 255\n", "larger than 100 megapixels"),
        (b"P6 99999 99999 255\n", "larger than 100 megapixels"),
    ],
)  # fmt: skip
def test_what_is_no_picture_is_left_out(data: bytes, why: str) -> None:
    with pytest.raises(LeftOut, match=f"^{why}$"):
        picture(data, 32)


def test_traits_tell_pictures_apart() -> None:
    made = np.zeros((4, 32, 32, 3), np.uint8)
    made[1] = 255
    made[2] = (250, 100, 20)
    made[3, 8:24, 8:24] = (20, 100, 250)
    traits = dict(zip(WORDS, measured(made).T, strict=True))
    assert traits["brightness"].tolist() == pytest.approx(
        [0, 255, 0.299 * 250 + 0.587 * 100 + 0.114 * 20, traits["brightness"][3]], abs=0.1
    )
    assert traits["contrast"][:3].tolist() == pytest.approx([0, 0, 0], abs=0.1)
    assert traits["contrast"][3] > 30
    assert (traits["warmth"][2], traits["colour"][2]) == pytest.approx((230, 230))
    assert traits["warmth"][3] < 0
    assert traits["surroundings"][3] < 0
    words = in_words(measured(np.stack([pixels(seed) for seed in range(300)])))
    assert {name: set(column) for name, column in words.items()} == {name: set(levels) for name, levels in WORDS.items()}


def test_one_line_a_reason_and_three_names() -> None:
    left = Leftovers()
    for number in range(5):
        left.add("empty", f"{number}.jpg")
    left.add("named twice", "not\udcffutf8.jpg")
    assert left.notes() == (
        "left out, empty: 5 files (0.jpg, 1.jpg, 2.jpg, ...)",
        "left out, named twice: 1 file (not\ufffdutf8.jpg)",
    )  # fmt: skip


# ---- the cache -------------------------------------------------------------------------------------------------------


def test_it_is_decoded_once_whatever_the_order_and_mapped_afterwards(tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, float]] = []
    source = archive_of_pictures(packed(dict(reversed(FILES.items())), tmp_path / "a.tar.gz"), lambda name: name)
    first = decoded("tiny", source, 32, lambda what, done: told.append((what, done)))
    assert first.names == tuple(FILES)
    assert isinstance(first.pixels, np.memmap)
    assert (first.take(np.array([7, 199, 0])) == np.stack([pixels(7), pixels(199), pixels(0)])).all()
    assert {what for what, _ in told} == {"decoding a.tar.gz"}
    assert (told[0][1], told[-1][1]) == (0.0, 1.0)
    assert [done for _, done in told] == sorted(done for _, done in told)
    assert first.traits == pytest.approx(measured(np.stack([pixels(number) for number in range(200)])))
    monkeypatch.setattr(cache, "_spool", None)  # would be called
    again = decoded("tiny", source, 32, quiet)
    assert again.names == first.names
    assert (again.traits == first.traits).all()
    assert len(list(place.iterdir())) == 1


def test_a_folder_is_known_by_its_files_and_its_checksum_by_their_bytes(tmp_path: Path, place: Path) -> None:
    unpacked(FILES, tmp_path / "a")
    one = opened(folder(tmp_path / "a"))
    unpacked(FILES, tmp_path / "b" / "a")
    assert opened(folder(tmp_path / "b" / "a")).checksums == one.checksums
    (tmp_path / "a" / "005.png").write_bytes(coded(pixels(500)))
    os.utime(tmp_path / "a" / "005.png", (1, 1))
    two = opened(folder(tmp_path / "a"))
    assert (two.take(np.array([5]))[0] == pixels(500)).all()
    assert two.checksums != one.checksums
    assert len(list(place.iterdir())) == 3


def test_links_are_followed_once_and_hidden_folders_are_not(tmp_path: Path) -> None:
    unpacked({"real/1.png": FILES["001.png"], ".git/2.png": FILES["002.png"]}, tmp_path / "a")
    (tmp_path / "a" / "loop").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "again").symlink_to(tmp_path / "a" / "real")
    (tmp_path / "a" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    found = opened(folder(tmp_path / "a"))
    assert len(found) == 1
    assert any("left out, not readable (No such file" in note for note in found.notes)


def test_ctrl_c_leaves_nothing(tmp_path: Path, place: Path) -> None:
    source = folder(unpacked(FILES, tmp_path / "a"))

    def interrupt(what: str, done: float) -> None:
        if done > 0.3:
            assert len(list(place.iterdir())) == 1  # under a name of its own
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decoded("tiny", source, 32, interrupt)
    assert list(place.iterdir()) == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


def test_what_a_killed_run_left_is_swept_away_once_it_is_old(tmp_path: Path, place: Path) -> None:
    old, busy = place / ".tiny-32-dead.part", place / ".tiny-32-busy.part"
    for part in (old, busy):
        part.mkdir(parents=True)
        (part / "pixels").write_bytes(b"half")
    for path in (old / "pixels", old):
        os.utime(path, (time.time() - STALE_S - 10,) * 2)
    opened(folder(unpacked(FILES, tmp_path / "a")))
    assert sorted(path.name for path in place.iterdir() if path.name.startswith(".")) == [busy.name]


@pytest.mark.parametrize("damage", ["cut", "nonsense", "half gone"])
def test_a_damaged_entry_is_made_again(tmp_path: Path, place: Path, damage: str) -> None:
    source = folder(unpacked(FILES, tmp_path / "a"))
    first = opened(source)
    (entry,) = place.iterdir()
    if damage == "cut":
        os.truncate(entry / "pixels", 1000)
    elif damage == "nonsense":
        (entry / "about.json").write_text('{"names": 3')
    else:
        (entry / "traits").unlink()
    again = opened(source)
    assert (again.take(np.arange(200)) == np.stack([pixels(number) for number in range(200)])).all()
    assert again.checksums == first.checksums
    assert [path.name for path in place.iterdir()] == [entry.name]


def test_runs_at_once_all_get_the_whole(tmp_path: Path, place: Path) -> None:
    source = folder(unpacked(FILES, tmp_path / "a"))
    together = threading.Barrier(4)
    found: list[Pictures] = []

    def run() -> None:
        together.wait()
        found.append(opened(source))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for each in found:
        assert (each.take(np.arange(200)) == found[0].take(np.arange(200))).all()
    assert len(list(place.iterdir())) == 1


def test_a_cache_that_cannot_be_written_is_said_and_done_without(tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = folder(unpacked(FILES, tmp_path / "a"))
    kept = opened(source)
    blocked = tmp_path / "file"
    blocked.write_text("no folder can be here")
    monkeypatch.setenv("SUBPOP_CACHE", str(blocked))
    found = opened(source)
    assert any("decoded into memory, for this time only" in note and str(blocked) in note for note in found.notes)
    assert (found.take(np.arange(200)) == kept.take(np.arange(200))).all()
    assert (found.traits == kept.traits).all()
    assert found.checksums == kept.checksums

    def full(file: object, array: np.ndarray) -> None:
        if not isinstance(file, cache._Memory):
            raise cache._NotKept("No space left on device")
        write(file, array)

    write = cache._write
    monkeypatch.setattr(cache, "_write", full)
    monkeypatch.setenv("SUBPOP_CACHE", str(tmp_path / "full"))
    found = opened(source)
    assert any("(No space left on device)" in note for note in found.notes)
    assert (found.take(np.arange(200)) == kept.take(np.arange(200))).all()
    assert list((tmp_path / "full" / "decoded").iterdir()) == []


def test_a_folder_without_pictures_is_an_empty_one(tmp_path: Path) -> None:
    unpacked({"a.txt": b"hello"}, tmp_path / "a")
    for _ in range(2):
        found = opened(folder(tmp_path / "a"))
        assert len(found) == 0
        assert found.notes == ("left out, not readable as a picture: 1 file (a.txt)",)


def test_members_that_are_no_files_and_names_twice(tmp_path: Path) -> None:
    import tarfile

    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, data in [*list(FILES.items())[:5], ("000.png", FILES["009.png"])]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for name, kind in (("link.png", tarfile.SYMTYPE), ("hard.png", tarfile.LNKTYPE), ("pipe.png", tarfile.FIFOTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
        info = tarfile.TarInfo("x" * 300 + ".png")  # a long name, in a header of its own
        info.size = len(FILES["007.png"])
        tar.addfile(info, io.BytesIO(FILES["007.png"]))
    found = decoded("tiny", archive_of_pictures(path, lambda name: name), 32, quiet)
    assert len(found) == 6
    assert (found.take(np.array([0]))[0] == pixels(0)).all()
    assert found.notes == (
        "left out, a link or a device, not a file: 3 files (link.png, hard.png, pipe.png)",
        "left out, named twice: 1 file (000.png)",
    )


def test_an_archive_that_is_none_or_cannot_be_read(tmp_path: Path) -> None:
    for name, data in (("a.tar.gz", b"hello"), ("b.tar.gz", b""), ("c.tar.gz", b"\x1f\x8b\x08\x00")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BadData, match="cannot be read as a tar archive"):
            decoded("tiny", archive_of_pictures(tmp_path / name, lambda name: name), 32, quiet)
    with pytest.raises(BadData, match="cannot be read: No such file"):
        archive_of_pictures(tmp_path / "gone.tar.gz", lambda name: name)
