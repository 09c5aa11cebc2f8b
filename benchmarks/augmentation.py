"""Images per second of `course_utils.augmentation`, against Keras' old generator and its layers.

Each contender draws batches of float32 images between 0 and 1: it picks the images, changes them at
random and divides by 255. Repetitions alternate between the contenders and the median counts, so
that other work on the machine hits all of them. Absolute numbers differ from machine to machine;
the ratios are what to compare.

Run ``python benchmarks/augmentation.py``; ``--help`` lists the sizes.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # no start-up log above the table

import keras
import numpy as np

from course_utils import augmentation

OURS, GENERATOR = "course_utils.augmentation", "per-image generator"


@dataclass(frozen=True)
class Setting:
    """The same random changes, written for each contender.

    Attributes
    ----------
    name
        What the table prints.
    shape
        Height, width, channels.
    transforms
        For `course_utils.augmentation.Batches`.
    generator
        Arguments of Keras' old ``ImageDataGenerator``.
    layers
        Makes Keras' preprocessing layers.
    """

    name: str
    shape: tuple[int, int, int]
    transforms: tuple[augmentation.Transform, ...]
    generator: dict[str, Any]
    layers: Callable[[], list[keras.Layer]]


def shift_and_flip_layers() -> list[keras.Layer]:
    """Return the layers for width and height shift 0.125 and flips."""
    return [
        keras.layers.RandomFlip("horizontal"),
        keras.layers.RandomTranslation(0.125, 0.125, fill_mode="nearest"),
    ]


def zoom_rotate_shift_layers() -> list[keras.Layer]:
    """Return the layers for zoom 0.1, rotation by 10 degrees and shift 0.1."""
    return [
        keras.layers.RandomZoom((-0.1, 0.1), (-0.1, 0.1), fill_mode="nearest"),
        keras.layers.RandomRotation(10 / 360, fill_mode="nearest"),
        keras.layers.RandomTranslation(0.1, 0.1, fill_mode="nearest"),
    ]


SHIFT = {"width_shift_range": 0.125, "height_shift_range": 0.125, "horizontal_flip": True}
AFFINE = {
    "zoom_range": 0.1,
    "rotation_range": 10,
    "width_shift_range": 0.1,
    "height_shift_range": 0.1,
}
ONE_AFFINE = (augmentation.affine(rotation=10, zoom=0.1, shift=0.1),)
SETTINGS = (
    Setting(
        "shift 0.125 + flip, 32x32x3",
        (32, 32, 3),
        (augmentation.flip(), augmentation.shift(0.125)),
        SHIFT,
        shift_and_flip_layers,
    ),
    Setting(
        "zoom 0.1 + rotation 10 + shift 0.1, 28x28x1",
        (28, 28, 1),
        ONE_AFFINE,
        AFFINE,
        zoom_rotate_shift_layers,
    ),
    Setting(
        "zoom 0.1 + rotation 10 + shift 0.1, 32x32x3",
        (32, 32, 3),
        ONE_AFFINE,
        AFFINE,
        zoom_rotate_shift_layers,
    ),
)


def contenders(
    setting: Setting, images: np.ndarray, batch_size: int
) -> dict[str, Callable[[], Iterator[Any]]]:
    """Return, for each contender, a function that starts a pass over all images.

    Parameters
    ----------
    setting
        The random changes.
    images
        uint8, ``(n, height, width, channels)``.
    batch_size
        Images per batch.

    Returns
    -------
    dict
        Contender to function; the function returns an iterator over batches.
    """
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    batches = augmentation.Batches(
        images,
        batch_size=batch_size,
        normalize=augmentation.scale,
        transforms=setting.transforms,
        shuffle=True,
    )
    flow = ImageDataGenerator(rescale=1 / 255, **setting.generator).flow(
        images.astype(np.float32), batch_size=batch_size, seed=0
    )
    layers = [*setting.layers(), keras.layers.Rescaling(1 / 255)]

    def augment(batch: Any) -> Any:
        for layer in layers:
            batch = layer(batch, training=True)
        return batch

    def layers_on_batches() -> Iterator[Any]:
        order = np.random.default_rng(0).permutation(len(images))
        for start in range(0, len(images), batch_size):
            batch = images[order[start : start + batch_size]].astype(np.float32)
            yield keras.ops.convert_to_numpy(augment(batch))

    starts: dict[str, Callable[[], Iterator[Any]]] = {
        OURS: lambda: (batches[index] for index in range(len(batches))),
        GENERATOR: lambda: (next(flow) for _ in range(len(flow))),
        "Keras layers, on batches": layers_on_batches,
    }
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        dataset = (
            tf.data.Dataset.from_tensor_slices(images)
            .shuffle(len(images))
            .batch(batch_size)
            .map(lambda batch: augment(tf.cast(batch, tf.float32)), tf.data.AUTOTUNE)
            .prefetch(tf.data.AUTOTUNE)
        )
        starts["Keras layers, tf.data map"] = lambda: iter(dataset)
    return starts


def measure(
    starts: dict[str, Callable[[], Iterator[Any]]], num_images: int, repetitions: int
) -> dict[str, float]:
    """Return the median images per second of each contender.

    Parameters
    ----------
    starts
        Functions that start a pass over all images.
    num_images
        Images in a pass.
    repetitions
        Timed passes of each contender, after one pass to warm up.

    Returns
    -------
    dict
        Contender to images per second.
    """
    seconds: dict[str, list[float]] = {name: [] for name in starts}
    for repetition in range(repetitions + 1):
        for name, start in starts.items():
            began = time.perf_counter()
            for _ in start():
                pass
            if repetition:
                seconds[name].append(time.perf_counter() - began)
    return {name: num_images / median(times) for name, times in seconds.items()}


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0] if __doc__ else None,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--images", type=int, default=4000, help="images in a pass")
    parser.add_argument("--batch-size", type=int, default=500, help="images in a batch")
    parser.add_argument("--repetitions", type=int, default=7, help="timed passes each")
    options = parser.parse_args()

    print(
        f"Keras {keras.__version__} on {keras.backend.backend()}, {os.cpu_count()} CPUs, "
        f"{options.images} images in batches of {options.batch_size}, "
        f"median of {options.repetitions} alternating passes"
    )
    for setting in SETTINGS:
        shape = (options.images, *setting.shape)
        images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        rates = measure(
            contenders(setting, images, options.batch_size), options.images, options.repetitions
        )
        print(f"\n{setting.name:<44}{'images/s':>12}{'course_utils is':>20}")
        for name, rate in rates.items():
            ratio = "" if name == OURS else f"{rates[OURS] / rate:.1f} times as fast"
            print(f"  {name:<42}{rate:>12,.0f}{ratio:>20}")


if __name__ == "__main__":
    main()
