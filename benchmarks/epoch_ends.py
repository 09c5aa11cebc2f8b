"""What the end of an epoch costs: training with the threads of `Batches`, against Keras' default.

With one worker, Keras' default, batches reach TensorFlow through tf.data with its tuning switched
on. The thread that tunes sleeps for longer and longer; in TensorFlow 2.21 it can miss that an epoch
has ended, and the next one waits until it wakes. With two workers Keras draws the batches in
threads of its own and switches the tuning off; `course_utils.augmentation.Batches` asks for that.

The same small network is trained both ways in turn, so that other work on the machine hits both,
and the median of the ratios of neighbors counts. The losses have to be the same. Epochs of a second
or two are over before the thread sleeps long, so there are many images.

Run ``python benchmarks/epoch_ends.py``; ``--help`` lists the sizes.
"""

from __future__ import annotations

import argparse
import os
import time
from statistics import median

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # no start-up log above the figures

import keras
import numpy as np

from course_utils import augmentation, training


def timed(images: np.ndarray, labels: np.ndarray, workers: int, epochs: int) -> tuple[float, float]:
    """Train a small network.

    Parameters
    ----------
    images, labels : numpy.ndarray
        uint8, shape (n, 32, 32, 3), and integers, shape (n,).
    workers : int
        Threads that draw batches.
    epochs : int
        Passes over the images, after one that builds the computation.

    Returns
    -------
    tuple of float
        Seconds, and the last loss.
    """
    training.seed_everything(0)
    layers = [keras.Input((32, 32, 3))]
    for filters in (16, 32):
        layers += [keras.layers.Conv2D(filters, 3, activation="relu"), keras.layers.MaxPooling2D()]
    layers += [keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax")]
    model = keras.Sequential(layers)
    model.compile("adam", "sparse_categorical_crossentropy")
    batches = augmentation.Batches(
        images, labels, batch_size=250, normalize=augmentation.scale, shuffle=True
    )
    batches.workers = workers
    model.fit(batches, shuffle=False, verbose=0)
    start = time.perf_counter()
    history = model.fit(batches, epochs=epochs, shuffle=False, verbose=0).history
    return time.perf_counter() - start, history["loss"][-1]


def main() -> None:
    """Train in turn and print the seconds and the ratio."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()
    if keras.backend.backend() != "tensorflow":
        raise SystemExit(
            f"Keras runs on {keras.backend.backend()}, and only TensorFlow waits at the ends of "
            "epochs: set KERAS_BACKEND=tensorflow to measure that."
        )
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (options.images, 32, 32, 3), dtype=np.uint8)
    labels = generator.integers(0, 10, options.images)
    pairs = []
    for _ in range(options.repetitions):
        results = [timed(images, labels, workers, options.epochs) for workers in (1, 2)]
        (one, loss), (two, same_loss) = results
        assert loss == same_loss, "the same batches in the same order give the same loss"
        pairs.append((one, two))
    ones, twos = zip(*pairs, strict=True)
    print(
        f"{options.epochs} epochs of {options.images:,} images, {options.repetitions} times each:"
    )
    for name, seconds in (("one worker (Keras' default)", ones), ("two workers (Batches)", twos)):
        print(f"  {name:28} {median(seconds):6.2f} s ({min(seconds):.2f} to {max(seconds):.2f})")
    print(f"  one worker takes {median(a / b for a, b in pairs):.2f} times as long")


if __name__ == "__main__":
    main()
