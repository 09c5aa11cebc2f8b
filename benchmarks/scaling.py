"""How time and memory of a training grow with the number of images: linearly, and not at all.

The same small network is trained on 1, 2, 4 and 8 times as many images of CIFAR-10's size. The
sizes take turns, and the median time for an image counts, so that other work on the machine hits
all of them; the time that processors spent on it hardly depends on other work. Memory is the most
that the process held at once while it trained, less what it held before, when the images were there
already. Only Linux tells that.

Run ``python benchmarks/scaling.py``; ``--help`` lists the sizes.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # no start-up log above the table

import keras
import numpy as np

from course_utils import augmentation, training

FACTORS = (1, 2, 4, 8)
PROCESS = Path("/proc/self")


@dataclass(frozen=True)
class Cost:
    """What a training took.

    Attributes
    ----------
    seconds, processor_seconds
        Of an epoch, without the time to compile the model: passed, and spent by all processors.
    data_mib
        Size of the images.
    beyond_mib
        Peak of the memory while it trained, beyond what was held with the images before.
    """

    seconds: float
    processor_seconds: float
    data_mib: float
    beyond_mib: float


def small_network() -> keras.Model:
    """Return a compiled network of two convolutions."""
    training.seed_everything(0)
    stack = [keras.Input((32, 32, 3))]
    for filters in (8, 16):
        stack += [keras.layers.Conv2D(filters, 3, activation="relu"), keras.layers.MaxPooling2D()]
    stack += [keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax")]
    model = keras.Sequential(stack)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def measure(count: int) -> Cost:
    """Train on so many images, once to compile the model and once with the clock.

    Parameters
    ----------
    count
        Images, of 3,072 bytes each.

    Returns
    -------
    Cost
        Time and memory.
    """
    generator = np.random.default_rng(0)
    batches = augmentation.Batches(
        generator.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8),
        generator.integers(0, 10, count),
        batch_size=100,
        normalize=augmentation.scale,
        transforms=[augmentation.flip(), augmentation.pad_and_crop()],
        shuffle=True,
    )
    model = small_network()
    held = memory("VmRSS")
    (PROCESS / "clear_refs").write_text("5", encoding="ascii")  # forgets the peak
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(2):
            began = time.perf_counter(), time.process_time()
            training.fit(model, batches, name="scaling", epochs=1, folder=folder, progress=None)
            ended = time.perf_counter(), time.process_time()
    seconds, processor_seconds = (end - begin for begin, end in zip(began, ended, strict=True))
    beyond_mib = memory("VmHWM") - held
    return Cost(seconds, processor_seconds, batches.images.nbytes / 2**20, beyond_mib)


def memory(field: str) -> float:
    """Return the resident memory of this process (VmRSS) or its peak (VmHWM) in MiB."""
    status = (PROCESS / "status").read_text(encoding="ascii")
    found = re.search(rf"^{field}:\s+(\d+) kB", status, flags=re.MULTILINE)
    assert found is not None, f"Linux gives {field} for each process"
    return int(found[1]) / 1024


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0] if __doc__ else None,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--images", type=int, default=5000, help="the smallest number of images")
    parser.add_argument("--repetitions", type=int, default=3, help="trainings of each size")
    options = parser.parse_args()

    print(
        f"Keras {keras.__version__} on {keras.backend.backend()}, {os.cpu_count()} CPUs, "
        f"median of {options.repetitions} trainings of each size\n"
    )
    measure(options.images)  # what the process takes once only
    costs: dict[int, list[Cost]] = {factor: [] for factor in FACTORS}
    for _ in range(options.repetitions):
        for factor in FACTORS:
            costs[factor].append(measure(factor * options.images))

    print(f"{'images':>8}{'time':>8}{'processors':>12}{'images':>10}{'memory beyond them':>20}")
    first = costs[1]
    for factor, some in costs.items():
        time_ratio = median(c.seconds for c in some) / median(c.seconds for c in first) / factor
        work = median(c.processor_seconds for c in some)
        work_ratio = work / median(c.processor_seconds for c in first) / factor
        print(
            f"{factor * options.images:>8,}{time_ratio:>8.2f}{work_ratio:>12.2f}"
            f"{some[0].data_mib:>6.0f} MiB{max(c.beyond_mib for c in some):>16.0f} MiB"
        )
    print("\ntime, processors: for an image, relative to the smallest number of images")


if __name__ == "__main__":
    main()
