"""Pictures: what is read, what is refused and how, and what a network receives."""

from __future__ import annotations

import errno
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgeinc.cards import InputSpec, Quantization
from edgeinc.errors import CardError, ImageError
from edgeinc.images import (
    LEAST_SIDE,
    MAX_PIXELS,
    Preparation,
    is_image_path,
    labelled_images,
    list_images,
    quiet,
    read_image,
    shrink,
)
from edgeinc.images.sizes import read_header

Array = NDArray[np.uint8]
SPEC = InputSpec(96, 96, "RGB", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "center")


def prepare(image: Array, spec: InputSpec, **options: Any) -> NDArray[Any]:
    return Preparation(spec, **options)(image)


def scene(height: int = 60, width: int = 80) -> Array:
    """A picture whose four corners differ, smooth enough for JPEG."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    channels = [255 * x / width, 255 * y / height, 120 + 60 * np.sin(x / 9) * np.cos(y / 7)]
    return np.dstack(channels).astype(np.uint8)


def encode(suffix: str, image: Array | NDArray[np.uint16]) -> bytes:
    ok, data = cv2.imencode(suffix, image)
    assert ok
    return bytes(data.tobytes())


def png_chunk(name: bytes, data: bytes) -> bytes:
    crc = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc)


def png_of_size(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = png_chunk(b"IDAT", zlib.compress(bytes(10_000)))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", head) + body + png_chunk(b"IEND", b"")


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """Adds an EXIF segment that holds nothing but the orientation."""
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    exif = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


# -- what is read ------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".ppm"])
def test_lossless_files_come_back_as_they_were(suffix: str, tmp_path: Path) -> None:
    image = scene()
    path = tmp_path / f"a{suffix}"
    path.write_bytes(encode(suffix, image))
    for source in (path, str(path), path.read_bytes()):
        assert np.array_equal(read_image(source), image)


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_lossy_files_come_back_nearly(suffix: str) -> None:
    difference = read_image(encode(suffix, scene())).astype(int) - scene()
    assert abs(difference).mean() < 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    image = scene()
    # What has to be done to the stored picture for each value of the tag, EXIF 2.3.
    upright = {
        1: image,
        2: image[:, ::-1],
        3: image[::-1, ::-1],
        4: image[::-1],
        5: image.transpose(1, 0, 2),
        6: np.rot90(image, -1),
        7: image[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(image),
    }[orientation]
    read = read_image(with_orientation(encode(".jpg", image), orientation))
    assert read.shape == upright.shape
    assert abs(read.astype(int) - upright).mean() < 4


def test_roi_counts_in_pixels_of_the_upright_picture() -> None:
    data = with_orientation(encode(".jpg", scene(600, 800)), 6)
    whole = read_image(data)
    assert whole.shape == (800, 600, 3)
    part = read_image(data, roi=(40, 500, 80, 240))
    assert np.array_equal(part, whole[500:740, 40:120])
    small = read_image(data, roi=(40, 500, 80, 240), least=20)
    assert small.shape == (60, 20, 3)
    assert abs(small.astype(int) - cv2.resize(part, (20, 60))).mean() < 6


@pytest.mark.parametrize(
    ("least", "shape"), [(None, (600, 800)), (300, (300, 400)), (75, (75, 100)), (301, (600, 800))]
)
def test_jpegs_are_decoded_as_small_as_suffices(least: int | None, shape: tuple[int, int]) -> None:
    assert read_image(encode(".jpg", scene(600, 800)), least=least).shape[:2] == shape


def test_other_kinds_are_decoded_whole_whatever_suffices() -> None:
    image = scene(600, 800)
    assert np.array_equal(read_image(encode(".png", image), least=20), image)


def test_grey_and_alpha_and_16_bits() -> None:
    image = scene()
    grey = image[..., 0]
    three = np.dstack([grey] * 3)
    alpha = np.dstack([image, np.zeros_like(grey)])
    deep = image.astype(np.uint16) * 256 + 77
    for source, expected in [
        (grey, three),
        (grey[..., np.newaxis], three),
        (alpha, image),
        (deep, image),
        (deep[..., 0], three),
    ]:
        assert np.array_equal(read_image(source), expected)
        assert np.array_equal(read_image(encode(".png", source)), expected)


def test_an_array_that_needs_no_change_is_not_copied() -> None:
    image = scene()
    assert np.shares_memory(read_image(image), image)
    part = read_image(image, roi=(10, 20, 30, 40))
    assert np.array_equal(part, image[20:60, 10:40])


# -- what is refused ---------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.2, 0.6, 0.99])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".ppm"])
def test_truncated_files_are_refused_without_a_word_from_opencv(
    suffix: str, share: float, capfd: pytest.CaptureFixture[str]
) -> None:
    data = encode(suffix, scene())
    with pytest.raises(ImageError, match="truncated"):
        read_image(data[: int(share * len(data))])
    assert capfd.readouterr().err == ""


def test_a_truncated_tiff_is_refused() -> None:
    data = encode(".tif", scene())
    for share in (0.2, 0.6, 0.99):
        with pytest.raises(ImageError):
            read_image(data[: int(share * len(data))])


def test_a_jpeg_whose_thumbnail_is_whole_may_still_be_truncated() -> None:
    inner = encode(".jpg", scene(16, 16))
    segment = b"\xff\xe2" + struct.pack(">H", len(inner) + 2) + inner
    data = encode(".jpg", scene())
    whole = data[:2] + segment + data[2:]
    assert read_image(whole).shape == (60, 80, 3)
    assert read_image(whole + b"trailing bytes of a camera").shape == (60, 80, 3)
    with pytest.raises(ImageError, match="truncated"):
        read_image(whole[:-20])


def test_a_power_cut_leaves_zeros_at_the_end() -> None:
    data = encode(".jpg", scene())
    with pytest.raises(ImageError, match="truncated"):
        read_image(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))


def test_a_png_with_a_flipped_bit_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray(encode(".png", scene()))
    data[len(data) // 2] ^= 4
    with pytest.raises(ImageError, match="damaged"):
        read_image(bytes(data))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "data",
    [
        b"hello world" * 9,
        b"BM is how this text begins",
        b"P5",
        b"<svg xmlns='http://www.w3.org/2000/svg' width='20' height='20'/>",
        b"\0" * 100,
        b"\0\0\0\x18ftypheic" + bytes(100),
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xe0\0\0",
        b"\x89PNG\r\n\x1a\n",
        b"II*\0\xff\xff\xff\xff",
        b"RIFF\x10\0\0\0WEBPVP8 ",
        b"BM" + bytes(60),
    ],
)
def test_what_is_no_picture_is_refused(data: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ImageError):
        read_image(data)
    assert capfd.readouterr().err == ""


@settings(max_examples=150)
@given(st.data())
def test_mutated_files_end_in_a_picture_or_an_image_error(data: st.DataObject) -> None:
    suffix = data.draw(st.sampled_from([".jpg", ".png", ".webp", ".bmp", ".tif", ".ppm"]))
    mutant = bytearray(encode(suffix, scene(16, 24)))
    for _ in range(data.draw(st.integers(1, 4))):
        mutant[data.draw(st.integers(0, len(mutant) - 1))] = data.draw(st.integers(0, 255))
    try:
        image = read_image(bytes(mutant))
    except ImageError:
        return
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert min(image.shape[:2]) >= LEAST_SIDE


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".jpg", []),
        (".jpg", [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
        (".png", []),
        (".webp", [cv2.IMWRITE_WEBP_QUALITY, 80]),
        (".webp", [cv2.IMWRITE_WEBP_QUALITY, 101]),
        (".bmp", []),
        (".tif", []),
        (".pnm", []),
    ],
)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_header_tells_what_the_decoder_finds(
    suffix: str, options: list[int], channels: int
) -> None:
    for height, width in [(8, 300), (301, 11), (64, 64)]:
        shape = (height, width, min(channels, 3) if suffix == ".pnm" else channels)
        image = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
        data = bytes(cv2.imencode(suffix, image, options)[1])
        header = read_header(data)
        assert header is not None
        assert (header.height, header.width) == (height, width)
        assert read_image(data).shape == (height, width, 3)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_may_be_of_either_byte_order(order: str) -> None:
    image = scene(10, 12)
    tags = [
        (256, 3, 1, 12),
        (257, 4, 1, 10),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, 8),
        (277, 3, 1, 1),
        (278, 3, 1, 10),
        (279, 4, 1, 120),
    ]
    entries = b"".join(
        struct.pack(f"{order}HHI", *tag[:3])
        + (
            struct.pack(f"{order}HH", tag[3], 0)
            if tag[1] == 3
            else struct.pack(f"{order}I", tag[3])
        )
        for tag in tags
    )
    start = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", 8 + 120)
    data = (
        start + image[..., 0].tobytes() + struct.pack(f"{order}H", len(tags)) + entries + bytes(4)
    )
    assert np.array_equal(read_image(data)[..., 1], image[..., 0])


def test_size_is_judged_by_the_header() -> None:
    with pytest.raises(ImageError, match="30000x30000"):
        read_image(png_of_size(30_000, 30_000))
    jpeg = bytearray(encode(".jpg", scene()))
    at = jpeg.find(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">HH", 30_000, 30_000)
    with pytest.raises(ImageError, match="30000x30000"):
        read_image(bytes(jpeg))
    with pytest.raises(ImageError, match="scale it down"):
        read_image(png_of_size(MAX_PIXELS // 8 + 1, 8))


@pytest.mark.parametrize("shape", [(1, 1), (7, 100), (100, 7)])
def test_too_small_is_refused(shape: tuple[int, int]) -> None:
    tiny = np.zeros((*shape, 3), np.uint8)
    for source in (tiny, encode(".png", tiny)):
        with pytest.raises(ImageError, match=f"{shape[1]}x{shape[0]} pixels; each side needs"):
            read_image(source)


def test_the_least_side_is_read() -> None:
    assert read_image(np.zeros((8, 8), np.uint8)).shape == (8, 8, 3)


def test_missing_files_folders_fifos_and_empty_files(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo.jpg"
    os.mkfifo(fifo)
    empty = tmp_path / "empty.jpg"
    empty.touch()
    for source, words in [
        (tmp_path / "none.jpg", "does not exist"),
        (tmp_path, "is a folder"),
        (fifo, "no regular file"),
        (empty, "is empty"),
        (b"", "is empty"),
        ("a\0b.jpg", "is no path"),
        (empty / "below.jpg", "cannot be read"),
        ("", "path is empty"),
    ]:
        with pytest.raises(ImageError, match=words) as said:
            read_image(source)
        assert str(said.value).count(";") == 1, "one remedy"


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((20, 20, 3), np.float32), "dtype float32; bring it to 0..255"),
        (np.zeros((20, 20), bool), "dtype bool"),
        (np.zeros((20, 20, 3), np.int64), "dtype int64"),
        (np.zeros((20, 20, 2), np.uint8), r"shape \(20, 20, 2\)"),
        (np.zeros((3, 20, 20), np.uint8), "shape"),
        (np.zeros((1, 20, 20, 3), np.uint8), "shape"),
        (np.zeros(20, np.uint8), "shape"),
        (np.zeros((0, 20, 3), np.uint8), "pixels"),
    ],
)
def test_wrong_arrays_are_refused(array: NDArray[np.generic], words: str) -> None:
    with pytest.raises(ImageError, match=words):
        read_image(array)


def test_what_cannot_be_a_picture_is_refused() -> None:
    with pytest.raises(ImageError, match=r"got NoneType; .*cv2\.imread"):
        read_image(None)


@pytest.mark.parametrize(
    "roi", [(-1, 0, 20, 20), (0, 0, 81, 20), (0, 50, 20, 20), (0, 0, 7, 20), (0, 0, 20, -20)]
)
def test_a_part_outside_is_refused(roi: tuple[int, int, int, int]) -> None:
    for source in (scene(), encode(".jpg", scene())):
        with pytest.raises(ImageError, match="is not within"):
            read_image(source, roi=roi)


def test_quiet_restores_the_log_level_when_the_last_thread_leaves() -> None:
    log = getattr(cv2.utils, "logging", cv2)
    before = log.getLogLevel()
    inside = threading.Barrier(2)

    def work() -> None:
        with quiet():
            inside.wait()
        inside.wait()

    thread = threading.Thread(target=work)
    thread.start()
    with quiet():
        inside.wait()
        inside.wait()
        thread.join()
        assert log.getLogLevel() == 0
    assert log.getLogLevel() == before


# -- what a network receives -------------------------------------------------------------


def test_identity_input_is_the_resized_centre_in_the_order_asked() -> None:
    image = scene(96, 160)
    out = prepare(image, SPEC)
    assert out.shape == (1, 96, 96, 3)
    assert out.flags.c_contiguous
    assert np.array_equal(out[0], image[:, 32:128, ::-1])
    bgr = InputSpec(96, 96, "BGR", SPEC.mean, SPEC.std, "center")
    assert np.array_equal(prepare(image, bgr)[0], image[:, 32:128])


def test_squash_takes_the_whole_picture() -> None:
    image = np.zeros((96, 192, 3), np.uint8)
    image[:, :20] = 255
    squash = InputSpec(96, 96, "RGB", SPEC.mean, SPEC.std, "squash")
    assert prepare(image, squash)[0, 48, 2].tolist() == [255] * 3
    assert prepare(image, SPEC)[0, 48, 2].tolist() == [0] * 3


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (96, 64), (20, 500)])
def test_any_shape_of_input_and_picture(size: tuple[int, int]) -> None:
    spec = InputSpec(96, 64, "RGB", SPEC.mean, SPEC.std, "center")
    image = np.full((*size, 3), 77, np.uint8)
    out = prepare(image, spec, layout="NCHW")
    assert out.shape == (1, 3, 96, 64)
    assert out.flags.c_contiguous
    assert (out == 77).all()


@settings(max_examples=60)
@given(
    mean=st.tuples(*[st.floats(0, 255)] * 3),
    std=st.tuples(*[st.floats(0.1, 300)] * 3),
    dtype=st.sampled_from(["uint8", "int8", "float32"]),
    scale=st.floats(1e-4, 2),
    zero=st.integers(-128, 127),
    layout=st.sampled_from(["NHWC", "NCHW"]),
)
def test_normalisation_follows_its_formula(
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    dtype: str,
    scale: float,
    zero: int,
    layout: str,
) -> None:
    image = np.random.default_rng(3).integers(0, 256, (96, 96, 3), np.uint8)
    spec = InputSpec(96, 96, "RGB", mean, std, "center")
    quantization = None if dtype == "float32" else Quantization(scale, zero)
    out = prepare(image, spec, layout=layout, dtype=dtype, quantization=quantization)
    expected = (image[..., ::-1] - np.array(mean)) / np.array(std)
    if quantization is not None:
        limits = np.iinfo(dtype)
        expected = np.rint(expected / scale) + zero
        expected = np.clip(expected, limits.min, limits.max)
    nhwc = out[0] if layout == "NHWC" else out[0].transpose(1, 2, 0)
    assert out.dtype == dtype
    assert np.array_equal(nhwc, expected.astype(dtype))


def test_the_caller_s_picture_is_left_alone() -> None:
    image = scene(96, 160)
    before = image.copy()
    prepare(image, SPEC, dtype="int8", quantization=Quantization(0.5, -3))
    assert np.array_equal(image, before)


def test_an_unknown_layout_or_dtype_is_a_card_error() -> None:
    with pytest.raises(CardError, match="CHWN"):
        prepare(scene(), SPEC, layout="CHWN")
    with pytest.raises(CardError, match="int64"):
        prepare(scene(), SPEC, dtype="int64")


@pytest.mark.parametrize("period", [2, 3])
def test_fine_stripes_do_not_fold_into_coarse_ones(period: int) -> None:
    """720 to 224 by one bilinear step keeps most of the contrast, as stripes not there."""
    stripes = np.zeros((720, 720, 3), np.uint8)
    stripes[:, np.arange(720) % period < period / 2] = 255
    bare = cv2.resize(stripes, (224, 224), interpolation=cv2.INTER_LINEAR)
    assert shrink(stripes, 224, 224).std() < 0.6 * bare.std()


def test_a_smooth_picture_shrinks_as_by_areas() -> None:
    image = scene(719, 1279)
    area = cv2.resize(image, (224, 224), interpolation=cv2.INTER_AREA)
    assert abs(shrink(image, 224, 224).astype(int) - area).mean() < 2


# -- folders -----------------------------------------------------------------------------


def test_names_of_pictures() -> None:
    assert is_image_path("a/B.JPEG")
    assert is_image_path(Path("a.tiff"))
    assert not is_image_path("a/notes.txt")
    assert not is_image_path("a/.hidden.png")


def test_list_images_goes_down_and_sorts(tmp_path: Path) -> None:
    for name in ("b/2.png", "b/1.png", "a.jpg", "b/c/0.png", ".git/x.png", "b/.x.png", "n.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = list_images(tmp_path)
    names = [str(p.relative_to(tmp_path)) for p in found.pictures]
    assert names == ["a.jpg", "b/1.png", "b/2.png", "b/c/0.png"]
    (sentence,) = found.passed_over
    assert sentence.startswith(f"{tmp_path / 'n.txt'} has not the name of a picture")


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    real = tmp_path / "elsewhere"
    (real / "deep").mkdir(parents=True)
    (real / "1.png").touch()
    (real / "deep" / "2.png").touch()
    (real / "deep" / "up").symlink_to(real)
    (real / "self").symlink_to(real / "self")
    data = tmp_path / "data"
    data.mkdir()
    (data / "bolt").symlink_to(real)
    (data / "nut").symlink_to(real)
    (data / "lost.png").touch()
    (data / "gear").mkdir()
    (data / "gear" / "gone.png").symlink_to(tmp_path / "none.png")
    pictures, passed_over = labelled_images(data)
    assert [sentence.split(" ")[0] for sentence in passed_over] == [
        str(data / name) for name in ("bolt/self", "lost.png", "nut/self")
    ]
    assert "lies in no label folder" in passed_over[1]
    found = [(label, str(path.relative_to(data))) for label, path in pictures]
    assert found == [
        ("bolt", "bolt/1.png"),
        ("bolt", "bolt/deep/2.png"),
        ("gear", "gear/gone.png"),
        ("nut", "nut/1.png"),
        ("nut", "nut/deep/2.png"),
    ]


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.touch()
    for function in (list_images, labelled_images):
        with pytest.raises(ImageError, match="does not exist"):
            function(tmp_path / "none")
        with pytest.raises(ImageError, match="is no folder"):
            function(file)
    assert list_images(tmp_path) == ([file], [])
    with pytest.raises(ImageError, match=r"holds no picture with a label.*a\.png lies in no"):
        labelled_images(tmp_path)


def test_what_is_passed_over_is_named(tmp_path: Path) -> None:
    for name in ("nut/p.heic", "nut/x.gif", "nut/IMG_1", "nut/1.png", "notes.txt", ".nut/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    found = labelled_images(tmp_path)
    assert found.pictures == [("nut", tmp_path / "nut" / "1.png")]
    names = [Path(sentence.split(" has not")[0]).name for sentence in found.passed_over]
    assert names == ["notes.txt", "IMG_1", "p.heic", "x.gif"]
    with pytest.raises(ImageError, match=r"holds no picture; give a folder of pictures\.$"):
        list_images(tmp_path / "empty")
    (tmp_path / "nut" / "1.png").unlink()
    with pytest.raises(
        ImageError, match=r"give a folder of pictures\. Passed over \(1 of 3\): .*IMG_1.*\.$"
    ):
        list_images(tmp_path / "nut")


def test_a_folder_that_cannot_be_listed_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bolt", "nut/deep"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "1.png").touch()
    (tmp_path / "nut" / "2.png").touch()
    real = Path.iterdir
    shut = {tmp_path / "bolt", tmp_path / "nut" / "deep"}

    def refusing(folder: Path) -> Iterator[Path]:
        # Permissions alone would not stop a test that runs as root.
        if folder in shut:
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return real(folder)

    monkeypatch.setattr(Path, "iterdir", refusing)
    found = labelled_images(tmp_path)
    assert found.pictures == [("nut", tmp_path / "nut" / "2.png")]
    assert [sentence.split(" cannot be listed")[0] for sentence in found.passed_over] == [
        str(tmp_path / "bolt"),
        str(tmp_path / "nut" / "deep"),
    ]
    with pytest.raises(ImageError, match="cannot be listed"):
        list_images(tmp_path / "bolt")
