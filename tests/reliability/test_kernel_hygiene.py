"""After any error in a cell, the cells that follow work without a restart of the kernel.

One real kernel runs all cells. While it is fresh, it computes what right cells give. Then one cell
after another errs or is interrupted; each time the right cell has to give the same again, to the
last bit, and what surrounds it has to be what it was.
"""

import hashlib
import itertools
import json
import os
import random
import threading
import time
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

import pytest
from jupyter_client.manager import start_new_kernel

from tools import check_notebooks

ROOT = Path(__file__).resolve().parents[2]
BEGUN = "begun"
SET_UP = """
from course_utils import profiles

profile = profiles.start("02")

import json
import tempfile
from dataclasses import replace

import IPython.display
import keras
import numpy as np
from keras import layers

from course_utils import (
    augmentation, callbacks, dashboards, datasets, exercises, explanations, training
)
from course_utils.display import bundle, describe
from test_kernel_hygiene import fingerprint, surroundings

dashboards.extension()
"""
TOOLS = """
generator = np.random.default_rng(0)
images = generator.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
inputs = augmentation.scale(images)
labels = np.arange(40) % 10
names = [f"class {number}" for number in range(10)]
history = {"loss": [2.0, 1.0], "val_loss": [2.1, 1.2]}
batches_left = np.inf


def changed(transform):
    return transform(images, np.random.default_rng(0))


def batches(**settings):
    settings = {"batch_size": 10, "normalize": augmentation.scale} | settings
    return augmentation.Batches(images, labels, **settings)


def without_room(images, generator):
    global batches_left
    batches_left -= 1
    if batches_left < 0:
        raise MemoryError("there is no room for another batch")
    return images


train = batches(shuffle=True, transforms=[augmentation.flip(), without_room], seed=1)


def compiled(*extra, optimizer="adam", **settings):
    training.seed_everything(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3, activation="relu", name="convolution"),
            *extra,
            layers.Dropout(0.5),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    loss = "sparse_categorical_crossentropy"
    model.compile(optimizer, loss, metrics=["accuracy"], **settings)
    return model


def fit(model, **settings):
    settings = {"epochs": 3, "validation": batches(), "folder": folder} | settings
    return training.fit(model, train, name="02_net", **settings)


def fitted(model, **settings):
    return [fit(model, **settings).history, model.get_weights()]


def tested(model, **settings):
    finder = callbacks.LearningRateFinder(1e-4, 1, **{"steps": 12} | settings)
    return [finder.run(model, train).losses, model.get_weights()]


def explained(model, **settings):
    return explanations.explain(model, inputs[:2], inputs[:10], **settings).values


def with_room_for(batches, call):
    global batches_left
    batches_left = batches
    try:
        call()
    finally:
        batches_left = np.inf


def without_front_end(call):
    def refuse(*arguments, **settings):
        raise OSError("the front end is gone")

    show, IPython.display.display = IPython.display.display, refuse
    try:
        call()
    finally:
        IPython.display.display = show


class Raises(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise RuntimeError("a callback has an error")


def plots():
    yield dashboards.confusion_matrix(labels, labels, names, title="Answers")
    yield dashboards.learning_curves(history, metrics=["loss"], title="Curves")
    yield dashboards.sample_grid(images, labels, names, per_class=2, title="Images")
    yield explanations.first_layer_filters(untrained, title="Filters")


def saved_and_loaded(model):
    return training.load_model(training.save_model(model, "saved.keras")).get_weights()


many_images = images[np.arange(9000) % len(images)]
untrained = compiled()
"""


# --- what runs inside the kernel ------------------------------------------------------------------


def fingerprint(value):
    """Hash numbers, texts and arrays, and lists of them, to the last bit."""
    text = json.dumps(value, default=lambda part: part.tolist())
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def surroundings():
    """Return, as texts, what belongs to the whole process and no failed cell may change."""
    import signal
    import sys
    import warnings

    import holoviews
    import keras
    import matplotlib
    import numpy as np
    import tensorflow as tf
    from matplotlib import pyplot
    from tensorflow.python.eager import execute
    from tensorflow.python.framework import config

    found = {
        "the number format": keras.config.dtype_policy().name,
        "deterministic operations": config.is_op_determinism_enabled(),
        "eager execution": tf.executing_eagerly(),
        "the recording of gradients": execute.record_gradient.__module__,
        "TensorFlow's log level": tf.get_logger().level,
        "standard output": (type(sys.stdout).__name__, os.fstat(1).st_ino),
        "standard error": (type(sys.stderr).__name__, os.fstat(2).st_ino),
        "the environment": fingerprint(sorted(os.environ.items())),
        "the working folder": os.getcwd(),
        "warnings": [str(entry) for entry in warnings.filters],
        "Matplotlib's back end": matplotlib.get_backend(),
        "open figures": pyplot.get_fignums(),
        "HoloViews' back end": holoviews.Store.current_backend,
        "NumPy's errors": np.geterr(),
        "the answer to an interrupt": signal.getsignal(signal.SIGINT).__name__,
        "display": sys.modules["IPython.display"].display.__module__,
    }
    return {key: str(value) for key, value in found.items()}


# --- faults ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fault:
    """A cell that errs, and one that has to work after it.

    `before` holds what an earlier cell did. `right` is an expression; while the kernel was fresh,
    it gave what it has to give after the error.
    """

    wrong: str
    right: str
    _: KW_ONLY
    error: str = "ValueError"
    before: str = ""


TITLE = "title='A title'"
ARGUMENTS = [
    Fault("augmentation.flip(1.5)", "changed(augmentation.flip())"),
    Fault("augmentation.pad_and_crop(-1)", "changed(augmentation.pad_and_crop(2))"),
    Fault("augmentation.crop(0)", "changed(augmentation.crop(6))"),
    Fault("changed(augmentation.crop(9))", "changed(augmentation.crop(8))"),
    Fault("augmentation.shift(-0.1)", "changed(augmentation.shift(0.1))"),
    Fault("augmentation.rotate(270)", "changed(augmentation.rotate(27))"),
    Fault("augmentation.zoom(1)", "changed(augmentation.zoom(0.1))"),
    Fault(
        "augmentation.affine(shift=9)", "changed(augmentation.affine(zoom=0.1, shift=0.1))"
    ),
    Fault("augmentation.cutout(-1)", "changed(augmentation.cutout(3))"),
    Fault("changed(augmentation.cutout(9))", "changed(augmentation.cutout(8))"),
    Fault("augmentation.flip()(images[0], generator)", "changed(augmentation.flip())"),
    Fault("augmentation.resize(images, 0)", "augmentation.resize(images, 4)"),
    Fault(
        "augmentation.resize(images, 10**6)", "augmentation.resize(images, 4)", error="MemoryError"
    ),
    Fault("augmentation.fit_per_channel(images * 0)", "augmentation.fit_per_channel(images).mean"),
    Fault(
        "augmentation.fit_per_channel(images)(images[..., :1])",
        "augmentation.fit_per_channel(images)(images)",
    ),
    Fault("batches(batch_size=0)[0]", "batches()[0]"),
    Fault("batches(seed=-1)[0]", "batches(seed=1)[0]"),
    Fault(
        "augmentation.Batches(inputs, batch_size=5, normalize=augmentation.scale)", "batches()[1]"
    ),
    Fault("batches()[4]", "batches()[3]", error="IndexError"),
    Fault("batches().epoch = -1", "batches(shuffle=True)[0]"),
    Fault(
        "callbacks.CyclicLR(0.1, 0.01, step_size=4)",
        "callbacks.CyclicLR(0.01, 0.1, step_size=4).values(20)",
    ),
    Fault(
        "callbacks.CyclicLR(0.01, 0.1, step_size=0)",
        "callbacks.CyclicLR(0.01, 0.1, step_size=1).values(20)",
    ),
    Fault(
        "callbacks.CyclicLR(0.01, 0.1, step_size=4, policy='square')",
        "callbacks.CyclicLR(0.01, 0.1, step_size=4, policy='triangular2').values(20)",
    ),
    Fault(
        "callbacks.OneCycle(-0.1, total_steps=20)",
        "callbacks.OneCycle(0.1, total_steps=20).values(9)",
    ),
    Fault(
        "callbacks.PiecewiseLinear([5, 5], [0.1, 0.2])",
        "callbacks.PiecewiseLinear([5, 6], [0.1, 0.2]).values(9)",
    ),
    Fault(
        "callbacks.LearningRateFinder(1, 0.1, steps=20)",
        "callbacks.LearningRateFinder(0.1, 1, steps=20).rates",
    ),
    Fault(
        "callbacks.LearningRateFinder(0.1, 1, steps=1)",
        "callbacks.LearningRateFinder(0.1, 1, steps=10).rates",
    ),
    Fault("callbacks.StopAtTarget(90)", "callbacks.StopAtTarget(0.9).target"),
    Fault("callbacks.StopAtTarget(0.9, monitor='accuracy')", "callbacks.StopAtTarget(0.9).monitor"),
    Fault("callbacks.LiveProgress(final='film')", "callbacks.LiveProgress(final='line').final"),
    Fault(
        "datasets.stratified_subset(images, labels, 3, seed=0)",
        "datasets.stratified_subset(images, labels, 20, seed=0)",
    ),
    Fault(
        "datasets.train_validation_split(images, labels, validation_fraction=1.5, seed=0)",
        "datasets.train_validation_split(images, labels, validation_fraction=0.5, seed=0)",
    ),
    Fault("datasets.shared_images(images, inputs)", "datasets.shared_images(images, images[:5])"),
    Fault(
        "datasets.load_mnist(train_images=3)",
        "datasets.load_mnist(train_images=20, test_images=10).x_train"
    ),
    Fault("training.fit(untrained, batches(), name='02', epochs=0)", "untrained.get_weights()"),
    Fault(
        "training.fit(untrained, batches(), name='02', epochs=1, progress='film')",
        "untrained.get_weights()",
    ),
    Fault(
        "training.fit(keras.Sequential([layers.Dense(1)]), batches(), name='02', epochs=1)",
        "untrained.get_weights()",
    ),
    Fault(
        "training.predict(untrained, images[:, :4], augmentation.scale)",
        "training.predict(untrained, images, augmentation.scale)",
        error="InvalidArgumentError",
    ),
    Fault(
        "training.evaluate(untrained, batches(labels=labels[:5]))",
        "training.evaluate(untrained, batches())",
        error="TypeError",
    ),
    Fault("training.load_model('no.keras')", "untrained.count_params()", error="FileNotFoundError"),
    Fault("training.save_model(untrained, 'net.h5')", "saved_and_loaded(untrained)"),
    Fault("training.accuracy_interval(5, 3)", "training.accuracy_interval(3, 5)"),
    Fault("training.reported('S9')", "training.reported('S1')"),
    Fault(
        f"dashboards.learning_curves(history, {TITLE})",
        f"describe(dashboards.learning_curves(history, metrics=['loss'], {TITLE}))",
    ),
    Fault(
        f"dashboards.compare_runs({{'one': history}}, {TITLE})",
        f"describe(dashboards.compare_runs({{'one': history}}, metric='val_loss', {TITLE}))",
    ),
    Fault("dashboards.smooth([1.0, 2.0], 0)", "dashboards.smooth([1.0, 2.0], 2)"),
    Fault(
        f"dashboards.rate_curves([0.1], [2.0, 1.0], [0.5], {TITLE})",
        f"describe(dashboards.rate_curves([0.1, 1], [2, 1], [0.5, 0.6], {TITLE}))",
    ),
    Fault(
        f"dashboards.class_balance(labels + 1, names, {TITLE})",
        f"describe(dashboards.class_balance(labels, names, {TITLE}))",
    ),
    Fault(
        "dashboards.confusion_counts(labels, labels, 5)",
        "dashboards.confusion_counts(labels, labels, 10)",
    ),
    Fault(
        f"dashboards.confusion_matrix(labels, labels, names, mode='shares', {TITLE})",
        f"describe(dashboards.confusion_matrix(labels, labels, names, {TITLE}))",
    ),
    Fault(
        f"dashboards.sample_grid(images, labels[:5], names, {TITLE})",
        f"describe(dashboards.sample_grid(images, labels, names, per_class=2, {TITLE}))",
    ),
    Fault(
        f"dashboards.image_strip(inputs - 1, names, {TITLE})",
        f"describe(dashboards.image_strip(images[:10], names, {TITLE}))",
    ),
    Fault(
        f"dashboards.prediction_grid(images, labels, labels - 1, names, {TITLE})",
        f"describe(dashboards.prediction_grid(images, labels, labels, names, {TITLE}))",
    ),
    Fault("dashboards.extension(backend='paper')", "dashboards.extension()"),
    Fault(
        "explanations.randomize_weights(untrained, seed=0, layers=9)",
        "explanations.randomize_weights(untrained, seed=0).get_weights()",
    ),
    Fault(
        "explanations.map_similarity(inputs, inputs[:3])",
        "explanations.map_similarity(inputs, inputs)",
    ),
    Fault(
        "explanations.feature_maps(untrained, inputs[0], 'none')",
        "describe(explanations.feature_maps(untrained, inputs[0], 'convolution'))",
    ),
    Fault("explained(untrained, method='deeper')", "untrained.get_weights()"),
    Fault("explanations.explain(untrained, images, inputs)", "untrained.get_weights()"),
    Fault("explanations.explain(untrained, inputs[:, :4], inputs)", "untrained.get_weights()"),
    Fault("profiles.start('99')", "profiles.active().name"),
    Fault("exercises.check('02.99', 1)", "exercises.check('02.1', ...).title"),
    Fault("exercises.quiz('99')", "len(exercises.quiz('02').questions)"),
    Fault("compiled().fit(inputs, labels[:5], verbose=0)", "compiled().get_weights()"),
    Fault("a_name_that_is_missing", "1", error="NameError"),
]  # fmt: skip
MODEL = "model, folder, train.epoch = compiled(), tempfile.mkdtemp(), 0"
TRAININGS = [
    Fault("fit(model, callbacks=[Raises()])", "fitted(model)", error="RuntimeError", before=MODEL),
    Fault(
        "fit(model, callbacks=[callbacks.StopAtTarget(0.9)], validation=None)",
        "fitted(model)",
        before=MODEL,
    ),
    Fault(
        "with_room_for(9, lambda: fit(model))",
        "fitted(model)",
        error="ResourceExhaustedError",
        before=MODEL,
    ),
    Fault("without_front_end(lambda: fit(model))", "fitted(model)", error="OSError", before=MODEL),
    Fault("fit(model, folder='/proc')", "fitted(model)", error="OSError", before=MODEL),
    Fault(
        "fit(compiled(steps_per_execution=2), callbacks=[callbacks.BatchHistory()])",
        "fitted(model, callbacks=[callbacks.BatchHistory()])",
        before=MODEL,
    ),
    Fault(
        "tested(compiled(optimizer=keras.optimizers.SGD(callbacks.CyclicLR(0, 1, step_size=4))))",
        "tested(model)",
        before=MODEL,
    ),
    Fault(
        "callbacks.LearningRateFinder(1e30, 1e35, steps=20).run(model, train)",
        "tested(model)",
        before=MODEL,
    ),
    Fault(
        "with_room_for(9, lambda: tested(model))",
        "tested(model)",
        error="MemoryError",
        before=MODEL,
    ),
    Fault(
        "keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(10**11)])",
        "fitted(model)",
        error="ResourceExhaustedError",
        before=MODEL,
    ),
    Fault(
        "recipes['compiled_model'](replace(recipe, network=None), images, seed=0)",
        "recipes['compiled_model'](replace(recipe, number_format='float32'), images, seed=0)"
        ".get_weights()",
        error="TypeError",
        before="from benchmarks.racing import recipes as recipes_of_09\n"
        "recipes = recipes_of_09()\n"
        "recipe = replace(recipes['race_to_90'](), number_format='mixed_bfloat16')",
    ),
]
EXPLANATIONS = [
    Fault(
        "explained(model)",
        "[explained(model, method='gradient', samples=5), fitted(model)]",
        before=MODEL.replace("compiled()", "compiled(layers.LeakyReLU())"),
    ),
    Fault(
        "explained(model)",
        "[explained(model, method='gradient', samples=5), fitted(model)]",
        before=MODEL.replace("compiled()", "compiled(layers.Activation('gelu'))"),
    ),
    Fault(
        "explained(model, method='gradient', samples=0)",
        "[explained(model), fitted(model)]",
        before=MODEL,
    ),
]


@dataclass(frozen=True)
class Activity:
    """A cell that is interrupted at a random moment; run again, it gives what it would have."""

    name: str
    cell: str


ACTIVITIES = [
    Activity("a training", "fitted(model, epochs=20)"),
    Activity("a range test", "tested(model, steps=300)"),
    Activity("a prediction", "training.predict(model, many_images, augmentation.scale)"),
    Activity("plots", "[bundle(plot)[0]['text/plain'] for plot in plots()]"),
    Activity("the choice of images", "datasets.load_cifar10(train_images=50).x_train"),
    Activity("saving and loading", "[saved_and_loaded(model) for _ in range(5)]"),
    Activity("an explanation", "explained(model)"),
]


class Kernel:
    """A kernel with a reader, as JupyterLab starts it."""

    def __init__(self, folder):
        environment = check_notebooks.environment(None, folder) | {
            "COURSE_EXERCISES_DIR": "",
            "KERAS_HOME": str(folder / "keras"),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)]),
        }
        self.manager, self.client = start_new_kernel(
            kernel_name="python3",
            cwd=str(folder),
            env=environment,
            extra_arguments=["--log-level=40"],
        )

    def run(self, cell, *, interrupt_after=None):
        """Run a cell; return the name of its error, if there is one, and what it printed.

        It is interrupted that many seconds after it has printed that it has begun.
        """
        printed, timers = [], []

        def note(message):
            if message["content"].get("name") == "stdout":
                printed.append(message["content"]["text"])
                if interrupt_after is not None and BEGUN in printed[-1]:
                    timers.append(threading.Timer(interrupt_after, self.manager.interrupt_kernel))
                    timers[0].start()

        reply = self.client.execute_interactive(
            cell, allow_stdin=True, timeout=120, output_hook=note
        )
        for timer in timers:
            timer.cancel()
            timer.join()
        return reply["content"].get("ename"), "".join(printed)

    def result(self, expression):
        """Return the fingerprint of an expression, or its error, and then the surroundings."""
        error, _ = self.run(f"found = None\nfound = fingerprint({expression})")
        _, printed = self.run("print(json.dumps([found, surroundings()]))")
        found, around = json.loads(printed.splitlines()[-1])
        return error or found, around


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """One kernel for all tests, with what cells above would have defined."""
    started = Kernel(tmp_path_factory.mktemp("kernel"))
    for cell in (SET_UP, TOOLS):
        error, printed = started.run(cell)
        assert error is None, f"{error}: {printed}"
    yield started
    started.client.stop_channels()
    started.manager.shutdown_kernel(now=True)


def harm(kernel, expression, expected, around):
    """Say what is not as it should be, with the value of an expression or around it."""
    found, around_now = kernel.result(expression)
    changes = [key for key in around if around_now[key] != around[key]]
    said = [f"{expression} gives {found}, not {expected}"] if found != expected else []
    return said + [f"{key} is {around_now[key]}, not {around[key]}" for key in changes]


def test_cells_after_an_error_work(kernel, trials, row):
    faults = trials(
        full=[*ARGUMENTS, *TRAININGS, *EXPLANATIONS], few=[*ARGUMENTS[::6], TRAININGS[0]]
    )
    fresh = {}
    for fault in faults:
        kernel.run(fault.before)
        fresh[fault.before, fault.right], around = kernel.result(fault.right)
    lost = []
    for fault in faults:
        kernel.run(fault.before)
        error, _ = kernel.run(fault.wrong)
        said = harm(kernel, fault.right, fresh[fault.before, fault.right], around)
        if error != fault.error:
            said.insert(0, f"it ended with {error}, not with {fault.error}")
        if said:
            lost.append(f"{fault.wrong}: {'; '.join(said)}")
    row("kernels").conclude(
        "after_errors",
        "a cell that errs, then the right one in the same kernel",
        tried=len(faults),
        lost=lost,
    )


def test_cells_after_an_interrupt_work(kernel, trials, row):
    count = trials(full=len(ACTIVITIES) * 8, few=2)
    fresh, seconds, lost, tried = {}, {}, [], 0
    for activity in ACTIVITIES[:count]:
        kernel.run(MODEL)
        began = time.monotonic()
        fresh[activity], around = kernel.result(activity.cell)
        seconds[activity] = time.monotonic() - began
    moments = random.Random(0)
    for activity in itertools.islice(itertools.cycle(fresh), 3 * count):
        if tried == count:
            break
        kernel.run(MODEL)
        moment = moments.uniform(0, seconds[activity])
        cell = f"print({BEGUN!r}, flush=True)\n{activity.cell}"
        error, _ = kernel.run(cell, interrupt_after=moment)
        if error is None:  # the cell was faster this time
            continue
        tried += 1
        said = harm(kernel, activity.cell, fresh[activity], around)
        if error != "KeyboardInterrupt":
            said.insert(0, f"it ended with {error}")
        if said:
            lost.append(f"{activity.name}, interrupted after {moment:.2f} s: {'; '.join(said)}")
    row("kernels").conclude(
        "after_interrupts",
        "a cell that is interrupted at a random moment, then run again",
        tried=tried,
        lost=lost,
    )
