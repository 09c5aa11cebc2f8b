"""What the live view costs: the time of a training with it, against the same training without.

The same small network is trained again and again in a kernel of its own, as in JupyterLab, where
the front end receives every update. Repetitions with and without the view alternate, and the median
of the ratios of neighbors counts, so that other work on the machine hits both; the share is also
measured inside the view. The plot that stays at the end is timed apart: it is drawn when the
training is over.

Run ``python benchmarks/live_view.py``; ``--help`` lists the sizes.
"""

from __future__ import annotations

import argparse
import json
import os
from statistics import median
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

SET_UP = """
import json, os, time
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
import numpy as np
from course_utils import augmentation, callbacks, dashboards

dashboards.extension()
generator = np.random.default_rng(0)
images = generator.integers(0, 256, (IMAGES, 32, 32, 3), dtype=np.uint8)
labels = generator.integers(0, 10, IMAGES)
train = augmentation.Batches(images, labels, batch_size=100, normalize=augmentation.scale)
validation = augmentation.Batches(
    images[:500], labels[:500], batch_size=500, normalize=augmentation.scale
)
layers = [keras.Input((32, 32, 3))]
for filters in (16, 32, 64):
    layers += [keras.layers.Conv2D(filters, 3, activation="relu"), keras.layers.MaxPooling2D()]
layers += [keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax")]
model = keras.Sequential(layers)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])


def inside(call):
    def timed(*arguments, **keywords):
        began = time.perf_counter()
        try:
            return call(*arguments, **keywords)
        finally:
            seconds.append(time.perf_counter() - began)
    return timed


progress = callbacks._Progress
for name in ("begin_epoch", "note", "end_epoch", "refresh"):
    setattr(progress, name, inside(getattr(progress, name)))
finish = progress.finish


def fit(shown):
    global seconds
    seconds, final, final_cpu = [], [0], [0]

    def timed_finish(*arguments, **keywords):
        began, began_cpu = time.perf_counter(), time.process_time()
        finish(*arguments, **keywords)
        final.append(time.perf_counter() - began)
        final_cpu.append(time.process_time() - began_cpu)

    progress.finish = timed_finish
    view = [callbacks.LiveProgress()] if shown else []
    began, began_cpu = time.perf_counter(), time.process_time()
    model.fit(
        train, validation_data=validation, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=view
    )
    cpu = time.process_time() - began_cpu - sum(final_cpu)
    return time.perf_counter() - began - sum(final), cpu, sum(seconds), sum(final)


fit(False)
"""


def run(client: BlockingKernelClient, code: str) -> list[dict[str, Any]]:
    """Run code in the kernel, as somebody does who looks on; return its output messages."""
    messages: list[dict[str, Any]] = []
    reply = client.execute_interactive(
        code, allow_stdin=True, timeout=3600, output_hook=messages.append
    )
    if reply["content"]["status"] != "ok":
        raise SystemExit("\n".join(reply["content"]["traceback"]))
    return messages


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0] if __doc__ else None,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--images", type=int, default=3000, help="images in an epoch")
    parser.add_argument("--epochs", type=int, default=10, help="epochs of a training")
    parser.add_argument("--repetitions", type=int, default=9, help="trainings of each kind")
    options = parser.parse_args()

    times: dict[bool, list[float]] = {True: [], False: []}
    cpu_times: dict[bool, list[float]] = {True: [], False: []}
    shares, finals, updates = [], [], []
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        run(client, f"IMAGES, EPOCHS = {options.images}, {options.epochs}\n{SET_UP}")
        for repetition in range(options.repetitions):
            for shown in (True, False) if repetition % 2 else (False, True):
                messages = run(client, f"print(json.dumps(fit({shown})))")
                text = [m["content"]["text"] for m in messages if m["msg_type"] == "stream"]
                seconds, cpu, inside, final = json.loads(text[-1])
                times[shown].append(seconds)
                cpu_times[shown].append(cpu)
                if shown:
                    shares.append(inside / seconds)
                    finals.append(final)
                    updates.append(sum(m["msg_type"] == "update_display_data" for m in messages))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)

    ratio, cpu_ratio = (
        median(shown / hidden for shown, hidden in zip(kind[True], kind[False], strict=True))
        for kind in (times, cpu_times)
    )
    print(
        f"{os.cpu_count()} CPUs, {options.images} images, {options.epochs} epochs, median of "
        f"{options.repetitions} alternating trainings\n"
        f"without the live view   {median(times[False]):8.2f} s "
        f"({min(times[False]):.2f} to {max(times[False]):.2f})\n"
        f"with the live view      {median(times[True]):8.2f} s "
        f"({min(times[True]):.2f} to {max(times[True]):.2f})\n"
        f"ratio                   {ratio:8.3f}   (of CPU time, on all cores: {cpu_ratio:.3f})\n"
        f"share inside the view   {median(shares):8.2%}   (at most {max(shares):.2%})\n"
        f"updates in a training   {median(updates):8.0f}   (at least {min(updates)})\n"
        f"the plot at the end     {median(finals):8.2f} s, once the training is over"
    )


if __name__ == "__main__":
    main()
