"""Random changes to training images, normalization, and the batches that apply both.

A *transform* takes a whole batch ``(n, height, width, channels)``, uint8 or float32 in the range
0 to 255, and a NumPy generator, and returns a new batch of the same shape and dtype; only `crop`
makes images smaller. A *normalizer* takes a uint8 batch and returns what the network sees, as
float32. `Batches` draws a batch, applies the transforms, then the normalizer. Nothing here depends
on the Keras backend.

Shifted, rotated and zoomed images are resampled with bilinear interpolation; the nearest edge pixel
fills what comes in from outside. The two loops that do this are compiled with Numba at first use,
because a NumPy formulation writes some twenty temporary arrays and is several times slower
(``python benchmarks/augmentation.py`` measures the speed).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

Transform = Callable[[np.ndarray, np.random.Generator], np.ndarray]
Normalize = Callable[[np.ndarray], np.ndarray]


# --- transforms -----------------------------------------------------------------------------------


def flip(probability: float = 0.5) -> Transform:
    """Mirror images left to right, each with the same probability.

    Parameters
    ----------
    probability
        Between 0 (never) and 1 (always).

    Returns
    -------
    Transform
        Changes a batch ``(n, height, width, channels)``.

    Raises
    ------
    ValueError
        If the probability is outside 0 to 1.
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"probability is {probability}: give a number from 0 to 1.")

    def transform(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        _check_batch(images)
        chosen = np.flatnonzero(generator.random(len(images)) < probability)
        mirrored = images[chosen][:, :, ::-1]
        flipped = images.copy()
        for channel in range(images.shape[-1]):  # one channel at a time is four times faster
            flipped[chosen, :, :, channel] = mirrored[..., channel]
        return flipped

    return transform


def pad_and_crop(pixels: int = 4, *, mode: str = "reflect") -> Transform:
    """Pad every side, then cut a window of the original size at a random place.

    Parameters
    ----------
    pixels
        Width of the border, so the picture moves by up to so many whole pixels each way.
    mode
        How `numpy.pad` fills the border: "reflect" mirrors the image, "constant" is black,
        "edge" repeats the outermost pixel.

    Returns
    -------
    Transform
        Changes a batch ``(n, height, width, channels)``.

    Raises
    ------
    ValueError
        If `pixels` is negative.

    References
    ----------
    He et al. (2015), "Deep residual learning for image recognition", section 4.2.
    """
    if pixels < 0:
        raise ValueError(f"pixels is {pixels}: give a border of 0 pixels or more.")

    def transform(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        _check_batch(images)
        count, height, width, channels = images.shape
        top, left = generator.integers(0, 2 * pixels + 1, size=(2, count))
        border = ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0))
        padded: np.ndarray = np.pad(images, border, mode=mode)  # type: ignore[call-overload]
        return _windows(padded, top, left, (height, width))

    return transform


def crop(size: int) -> Transform:
    """Cut a square window at a random place, without padding.

    Training becomes cheaper with the number of pixels, and a fully convolutional network can still
    be tested on the complete images.

    Parameters
    ----------
    size
        Side of the window in pixels.

    Returns
    -------
    Transform
        Turns a batch ``(n, height, width, channels)`` into ``(n, size, size, channels)``.

    Raises
    ------
    ValueError
        If the size is below 1, or when used on images smaller than the window.

    References
    ----------
    Touvron et al. (2019), "Fixing the train-test resolution discrepancy", arXiv 1906.06423: why
    training on smaller crops than those of the test can even help.
    """
    if size < 1:
        raise ValueError(f"size is {size}: give the side of the window, at least 1 pixel.")

    def transform(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        _check_batch(images)
        count, height, width, _ = images.shape
        _check_fits(size, images, "window")
        top = generator.integers(0, height - size + 1, count)
        left = generator.integers(0, width - size + 1, count)
        return _windows(images, top, left, (size, size))

    return transform


def shift(fraction: float) -> Transform:
    """Move images by a random, fractional number of pixels, independently in x and y.

    Parameters
    ----------
    fraction
        Largest shift as a fraction of the height (down or up) and the width (left or right).

    Returns
    -------
    Transform
        Changes a batch ``(n, height, width, channels)``.

    Raises
    ------
    ValueError
        If the fraction is negative or above 1.
    """
    _check_strengths(shift=fraction)

    def transform(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        _check_batch(images)
        size = np.array(images.shape[1:3])
        offsets = generator.uniform(-fraction, fraction, (len(images), 2)) * size
        return _shifted(images, offsets)

    return transform


def rotate(degrees: float) -> Transform:
    """Turn images about their center by a random angle.

    Parameters
    ----------
    degrees
        Largest angle, either way.

    Returns
    -------
    Transform
        Changes a batch ``(n, height, width, channels)``.

    Raises
    ------
    ValueError
        If the angle is negative or above 180.
    """
    return affine(rotation=degrees)


def zoom(fraction: float) -> Transform:
    """Stretch or squeeze images by random factors, drawn separately for x and y.

    Parameters
    ----------
    fraction
        The factors lie between ``1 - fraction`` and ``1 + fraction``.

    Returns
    -------
    Transform
        Changes a batch ``(n, height, width, channels)``.

    Raises
    ------
    ValueError
        If the fraction is negative, or 1 or more.
    """
    return affine(zoom=fraction)


def affine(*, rotation: float = 0, zoom: float = 0, shift: float = 0) -> Transform:
    """Rotate, zoom and shift in one resampling, which blurs less than three in a row.

    Parameters
    ----------
    rotation
        Largest angle in degrees, either way.
    zoom
        The factors for x and y, drawn separately, lie between ``1 - zoom`` and ``1 + zoom``.
    shift
        Largest shift as a fraction of the height and the width.

    Returns
    -------
    Transform
        Changes a batch ``(n, height, width, channels)``.

    Raises
    ------
    ValueError
        If a strength is negative or too large.
    """
    _check_strengths(rotation=rotation, zoom=zoom, shift=shift)

    def transform(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        _check_batch(images)
        count, size = len(images), np.array(images.shape[1:3])
        angles = np.deg2rad(generator.uniform(-rotation, rotation, count))
        factors = generator.uniform(1 - zoom, 1 + zoom, (count, 2))
        offsets = generator.uniform(-shift, shift, (count, 2)) * size
        return _resampled(images, _sampling_matrices(size, angles, factors, offsets))

    return transform


def cutout(size: int) -> Transform:
    """Cover a random square of each image with the image's mean color.

    The square lies entirely inside the image, so every image loses the same area.

    Parameters
    ----------
    size
        Side of the square in pixels.

    Returns
    -------
    Transform
        Changes a batch ``(n, height, width, channels)``.

    Raises
    ------
    ValueError
        If the size is negative, or when used on images smaller than the square.

    References
    ----------
    DeVries and Taylor (2017), "Improved regularization of convolutional neural networks with
    cutout", arXiv 1708.04552.
    """
    if size < 0:
        raise ValueError(f"size is {size}: give the side of the square, 0 pixels or more.")

    def transform(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        _check_batch(images)
        count, height, width, channels = images.shape
        _check_fits(size, images, "square")
        top = generator.integers(0, height - size + 1, size=(count, 1))
        left = generator.integers(0, width - size + 1, size=(count, 1))
        rows, columns = top + np.arange(size), left + np.arange(size)
        means = [images[..., channel].mean(axis=(1, 2)) for channel in range(channels)]
        covered = images.copy()
        covered[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]] = _as_dtype(
            np.stack(means, axis=-1), images.dtype
        )[:, None, None, :]
        return covered

    return transform


def _windows(
    images: np.ndarray, top: np.ndarray, left: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """Cut one window of the given height and width out of each image."""
    count, height, width, channels = images.shape
    # With a row's pixels and channels as one axis, a window is a few long runs of memory.
    rows = np.ascontiguousarray(images).reshape(count, height, width * channels)
    views = np.lib.stride_tricks.sliding_window_view(
        rows, (size[0], size[1] * channels), axis=(1, 2)
    )
    return views[np.arange(count), top, left * channels].reshape(count, *size, channels)


def resize(images: np.ndarray, size: int) -> np.ndarray:
    """Make all images smaller (or larger) at once, with anti-aliased bilinear interpolation.

    Parameters
    ----------
    images
        uint8, ``(n, height, width, channels)``.
    size
        New height and width in pixels.

    Returns
    -------
    numpy.ndarray
        uint8, ``(n, size, size, channels)``.

    Raises
    ------
    ValueError
        If the images are not a uint8 array of rank 4, there are none, or the size is below 1.
    """
    _check_stored(images)
    if size < 1:
        raise ValueError(f"size is {size}: give the new height and width, at least 1 pixel.")
    resized = np.empty((len(images), size, size, images.shape[-1]), np.uint8)
    for start in range(0, len(images), 1000):  # a float copy of few images at a time
        values = keras.ops.image.resize(
            images[start : start + 1000].astype(np.float32), (size, size), antialias=True
        )
        values = np.clip(np.rint(keras.ops.convert_to_numpy(values)), 0, 255)
        resized[start : start + 1000] = values
    return resized


# --- normalizers ----------------------------------------------------------------------------------


def scale(images: np.ndarray) -> np.ndarray:
    """Divide by 255, so that values lie between 0 and 1.

    Parameters
    ----------
    images
        Any shape, 0 to 255.

    Returns
    -------
    numpy.ndarray
        Same shape, float32.
    """
    scaled = images.astype(np.float32)
    scaled *= np.float32(1 / 255)
    return scaled


def per_image(images: np.ndarray) -> np.ndarray:
    """Standardize each image by one mean and one standard deviation over all of its values.

    The result has mean 0 and standard deviation 1 in every image; its brightness and contrast are
    gone. The formula is that of Keras' old image generator: ``(x - mean) / (std + 1e-6)``.

    Parameters
    ----------
    images
        ``(n, height, width, channels)``, 0 to 255.

    Returns
    -------
    numpy.ndarray
        Same shape, float32.
    """
    values = images.reshape(len(images), -1).astype(np.float32)
    values -= values.mean(axis=1, keepdims=True)
    variance = np.einsum("ij,ij->i", values, values) / values.shape[1]
    values /= np.sqrt(variance)[:, None] + np.float32(1e-6)
    return values.reshape(images.shape)


def fit_per_channel(x_train: np.ndarray) -> Normalizer:
    """Measure each channel's mean and standard deviation over all training images.

    Parameters
    ----------
    x_train
        uint8, ``(n, height, width, channels)``. Only training images: what validation and test
        images look like has to stay unknown.

    Returns
    -------
    Normalizer
        Standardizes a batch with the measured values.

    Raises
    ------
    ValueError
        If the images are not a uint8 array of rank 4, there are none, or a channel is constant.
    """
    _check_stored(x_train)
    count, channels = x_train[..., 0].size, x_train.shape[-1]
    values_per_image = x_train[0].size
    totals = np.zeros((2, values_per_image), np.uint64)
    # Exact integer sums over slices: no float copy of the complete array is ever made. Adding image
    # to image, and the channels apart only at the end, is twenty times faster than the other way.
    for start in range(0, len(x_train), 500):
        values = x_train[start : start + 500].reshape(-1, values_per_image)
        totals[0] += values.sum(axis=0, dtype=np.uint32)
        totals[1] += np.square(values, dtype=np.uint16).sum(axis=0, dtype=np.uint32)
    total, total_of_squares = totals.reshape(2, -1, channels).sum(axis=1)
    mean = total / count
    std = np.sqrt(np.maximum(total_of_squares / count - mean**2, 0))
    if not np.all(std):
        raise ValueError(
            f"channel {int(np.argmin(std))} has one value in all images, so it cannot be "
            "standardized: check how the images were loaded."
        )
    return Normalizer(tuple(map(float, mean)), tuple(map(float, std)))


@dataclass(frozen=True)
class Normalizer:
    """Standardizes images channel by channel: ``(x - mean) / std``.

    Attributes
    ----------
    mean, std
        One value per channel, in the images' range of 0 to 255.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Standardize a batch.

        Parameters
        ----------
        images
            ``(n, height, width, channels)``, 0 to 255.

        Returns
        -------
        numpy.ndarray
            Same shape, float32.

        Raises
        ------
        ValueError
            If the number of channels differs from that of the training images.
        """
        if images.shape[-1] != len(self.mean):
            raise ValueError(
                f"the images have {images.shape[-1]} channels, but the normalizer was fitted on "
                f"{len(self.mean)}: use the training images of the same data set."
            )
        width = images.shape[-2]
        # A value for each number in a row, because adding three numbers at a time is slow.
        values = images.astype(np.float32).reshape(*images.shape[:-2], -1)
        values -= np.tile(np.array(self.mean, np.float32), width)
        values *= np.tile((1 / np.array(self.std)).astype(np.float32), width)
        return values.reshape(images.shape)


# --- batches --------------------------------------------------------------------------------------


class Batches(keras.utils.PyDataset):
    """Batches for `fit`, `evaluate` and `predict`, changed and normalized as they are drawn.

    The images stay uint8 in memory. Order and augmentation depend only on the seed, the epoch and
    the batch's index: epoch 7 is the same whether it follows epoch 6 or a restart. Keras reports
    the end of each epoch, which moves `epoch` on, and also does so once before the first epoch of
    a `fit`, so that a new object is trained on epochs 1, 2, ...

    With TensorFlow on one device, two threads draw batches ahead while the network trains on the
    earlier ones, which it gets in order. So a transform of your own must not keep anything from one
    batch for the next.

    Parameters
    ----------
    images
        uint8, ``(n, height, width, channels)``.
    labels
        Integers, ``(n,)``; None for prediction.
    batch_size
        Images per batch; the last batch of an epoch holds what is left.
    normalize
        Turns a uint8 batch into float32: `scale`, `per_image` or the result of `fit_per_channel`.
    transforms
        Applied in turn before `normalize`. None for validation and test images.
    shuffle
        Draw a new order in each epoch. Leave False for validation, test and prediction.
    alternating_flip
        Mirror a random half of the images in one epoch and the other half in the next, so that two
        epochs show each image both ways (Jordan, 2024, "94% on CIFAR-10 in 3.29 seconds on a single
        GPU", arXiv 2404.00498). In place of `flip`.
    seed
        Not negative.

    Raises
    ------
    ValueError
        If images or labels have the wrong dtype, rank or length, or `batch_size` is below 1.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray | None = None,
        *,
        batch_size: int,
        normalize: Normalize,
        transforms: Sequence[Transform] = (),
        shuffle: bool = False,
        alternating_flip: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(workers=_workers(), max_queue_size=2)
        _check_stored(images)
        if labels is not None:
            _check_labels(labels, len(images))
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}: give at least 1 image per batch.")
        self.images = images
        self.labels = labels
        self.batch_size = batch_size
        self.normalize = normalize
        self.transforms = tuple(transforms)
        self.shuffle = shuffle
        self.alternating_flip = alternating_flip
        self.seed = seed
        self.epoch = 0

    @property
    def num_images(self) -> int:
        """Images per epoch."""
        return len(self.images)

    @property
    def epoch(self) -> int:
        """The epoch that batches are drawn for, from 0. Set it to continue at a later one."""
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        if epoch < 0:
            raise ValueError(f"epoch is {epoch}: epochs count from 0.")
        self._epoch = epoch
        self._order = np.arange(self.num_images)
        if self.shuffle:
            # NumPy reads missing entropy as 0, so the final 1 keeps this stream apart from that
            # of every batch, [seed, epoch, index].
            generator = np.random.default_rng([self.seed, epoch, 0, 1])
            self._order = generator.permutation(self.num_images)
        if self.alternating_flip:
            half = np.random.default_rng([self.seed, 0, 0, 2]).random(self.num_images) < 0.5
            self._mirrored = half if epoch % 2 else ~half

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return math.ceil(self.num_images / self.batch_size)

    def __getitem__(self, index: int) -> Any:
        """Draw one batch.

        Parameters
        ----------
        index
            From 0 to ``len(self) - 1``.

        Returns
        -------
        tuple of numpy.ndarray, or numpy.ndarray
            float32 images and their labels; the images alone if there are no labels.

        Raises
        ------
        IndexError
            If there is no such batch.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} does not exist: there are {len(self)} batches.")
        chosen = self._order[index * self.batch_size : (index + 1) * self.batch_size]
        generator = np.random.default_rng([self.seed, self._epoch, index])
        images = self.images[chosen]
        if self.alternating_flip:
            mirrored = self._mirrored[chosen]
            images[mirrored] = images[mirrored][:, :, ::-1]
        for transform in self.transforms:
            images = transform(images, generator)
        images = self.normalize(images)
        return images if self.labels is None else (images, self.labels[chosen])

    def on_epoch_end(self) -> None:
        """Move on to the next epoch's order and augmentation."""
        self.epoch += 1


def _workers() -> int:
    """Return how many threads draw batches ahead: two with TensorFlow on one device, else one.

    There, a single one leaves it to tf.data, whose tuning thread sleeps through the end of an epoch
    (TensorFlow 2.21): the next one begins seconds late. With another backend, or on several
    devices, Keras builds the model with a first batch. Several threads would leave what they had
    drawn ahead for the first epoch, which then had it twice and lacked its last batches (Keras
    3.15).
    """
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return 1 if tf.distribute.has_strategy() else 2


# --- checks ---------------------------------------------------------------------------------------


def _check_batch(images: np.ndarray) -> None:
    if images.ndim != 4 or images.dtype not in (np.uint8, np.float32):
        raise ValueError(
            f"a batch of shape {images.shape} and dtype {images.dtype} came in: transforms need "
            "(n, height, width, channels), uint8 or float32; add an axis with images[None]."
        )


def _check_fits(size: int, images: np.ndarray, what: str) -> None:
    height, width = images.shape[1:3]
    if size > min(height, width):
        raise ValueError(
            f"size is {size}, but the images are {height} x {width} pixels: "
            f"give a {what} of at most {min(height, width)} pixels."
        )


def _check_stored(images: np.ndarray) -> None:
    if images.ndim != 4:
        raise ValueError(
            f"the images have shape {images.shape}: expected (n, height, width, channels); "
            "gray images get their channel with images[..., None]."
        )
    if images.dtype != np.uint8:
        raise ValueError(
            f"the images have dtype {images.dtype}: expected uint8 from 0 to 255; leave scaling "
            "to the normalizer."
        )
    if not len(images):
        raise ValueError("there are 0 images: give at least one.")


def _check_labels(labels: np.ndarray, num_images: int) -> None:
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"the labels have shape {labels.shape} and dtype {labels.dtype}: expected one integer "
            "for each image, shape (n,)."
        )
    if len(labels) != num_images:
        raise ValueError(
            f"there are {num_images} images and {len(labels)} labels: give one label per image."
        )


def _check_strengths(*, rotation: float = 0, zoom: float = 0, shift: float = 0) -> None:
    if not 0 <= rotation <= 180:
        raise ValueError(f"rotation is {rotation}: give the largest angle, 0 to 180 degrees.")
    if not 0 <= zoom < 1:
        raise ValueError(f"zoom is {zoom}: give a fraction from 0 to below 1, such as 0.1.")
    if not 0 <= shift <= 1:
        raise ValueError(f"shift is {shift}: give a fraction of the image from 0 to 1.")


# --- resampling -----------------------------------------------------------------------------------


def _as_dtype(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Round for uint8, leave alone for float32."""
    return (np.rint(values) if dtype == np.uint8 else values).astype(dtype)


def _sampling_matrices(
    size: np.ndarray, angles: np.ndarray, factors: np.ndarray, offsets: np.ndarray
) -> np.ndarray:
    """Where each output pixel looks in the source: ``matrix @ (y, x, 1)``.

    About the center: zoom, then shift, then rotate (the order of Keras' old image generator).

    Parameters
    ----------
    size
        Height and width in pixels.
    angles
        Radians, ``(n,)``.
    factors
        Zoom along y and x, ``(n, 2)``; above 1 shows more of the scene, so it gets smaller.
    offsets
        Shift along y and x in pixels, ``(n, 2)``.

    Returns
    -------
    numpy.ndarray
        float32, ``(n, 2, 3)``.
    """
    cosine, sine = np.cos(angles), np.sin(angles)
    rotation = np.stack([cosine, sine, -sine, cosine], axis=-1).reshape(-1, 2, 2)
    linear = rotation * factors[:, None, :]
    center = (size - 1) / 2
    constant = center - linear @ center + np.einsum("nij,nj->ni", rotation, offsets)
    return np.concatenate([linear, constant[..., None]], axis=-1).astype(np.float32)


def _resampled(images: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    images = np.ascontiguousarray(images)
    output = np.empty_like(images)
    _compiled(_resample)(images, matrices, _half(images), output)
    return output


def _shifted(images: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    count, height, width, channels = images.shape
    rows = np.ascontiguousarray(images).reshape(count, height, width * channels)
    output = np.empty_like(rows)
    reach = math.ceil(np.abs(offsets).max(initial=0)) + 1
    _compiled(_shift)(rows, channels, offsets.astype(np.float32), reach, _half(rows), output)
    return output.reshape(images.shape)


def _half(images: np.ndarray) -> np.float32:
    """Return what to add so that conversion to the dtype, which cuts decimals off, rounds."""
    return np.float32(0.5 if images.dtype == np.uint8 else 0)


@functools.cache
def _compiled(loop: Callable[..., None]) -> Callable[..., None]:
    from numba import njit

    return njit(nogil=True, fastmath=True, error_model="numpy")(loop)


def _resample(
    images: np.ndarray, matrices: np.ndarray, half: np.float32, output: np.ndarray
) -> None:
    """Bilinear interpolation at the points that the matrices give; compiled."""
    count, height, width, channels = images.shape
    one, row_size = np.float32(1), width * channels
    to_below = row_size if height > 1 else 0
    to_right = channels if width > 1 else 0
    # For one row of output: where the upper left neighbor is, and how far the point is from it.
    start = np.empty(width, np.uint32)
    down, across = np.empty(width, np.float32), np.empty(width, np.float32)
    for image in range(count):
        matrix, source, target = matrices[image], images[image].reshape(-1), output[image]
        for row in range(height):
            row_y = matrix[0, 0] * np.float32(row) + matrix[0, 2]
            row_x = matrix[1, 0] * np.float32(row) + matrix[1, 2]
            for column in range(width):
                y = row_y + matrix[0, 1] * np.float32(column)
                x = row_x + matrix[1, 1] * np.float32(column)
                y = min(max(y, np.float32(0)), np.float32(height - 1))
                x = min(max(x, np.float32(0)), np.float32(width - 1))
                top = min(np.int32(y), max(height - 2, 0))
                left = min(np.int32(x), max(width - 2, 0))
                start[column] = top * row_size + left * channels
                down[column], across[column] = y - np.float32(top), x - np.float32(left)
            for channel in range(channels):
                for column in range(width):
                    k = start[column] + channel
                    right = across[column]
                    above = source[k] * (one - right) + source[k + to_right] * right
                    k += to_below
                    below = source[k] * (one - right) + source[k + to_right] * right
                    value = above * (one - down[column]) + below * down[column] + half
                    target[row, column, channel] = value


def _shift(
    images: np.ndarray,
    channels: int,
    offsets: np.ndarray,
    reach: int,
    half: np.float32,
    output: np.ndarray,
) -> None:
    """Bilinear interpolation at points that all lie the same way off the grid; compiled.

    All pixels of an image then share their weights, which is several times faster than `_resample`.
    A row's pixels and channels form one axis: ``(n, height, width * channels)``.
    """
    count, height, row_size = images.shape
    one, margin = np.float32(1), reach * channels
    line = np.empty(margin + row_size + margin, np.float32)  # one row, its edge pixels repeated
    inside = line[margin : margin + row_size]
    for image in range(count):
        down, right = math.floor(offsets[image, 0]), math.floor(offsets[image, 1])
        weight_y = offsets[image, 0] - np.float32(down)
        weight_x = offsets[image, 1] - np.float32(right)
        first = line[margin + right * channels :]
        second = first[channels:]
        for row in range(height):
            above = images[image, min(max(row + down, 0), height - 1)]
            below = images[image, min(max(row + down + 1, 0), height - 1)]
            for k in range(row_size):
                inside[k] = (one - weight_y) * above[k] + weight_y * below[k]
            for k in range(margin):
                line[margin - 1 - k] = line[margin - 1 - k + channels]
                line[margin + row_size + k] = line[margin + row_size + k - channels]
            target = output[image, row]
            for k in range(row_size):
                target[k] = (one - weight_x) * first[k] + weight_x * second[k] + half
