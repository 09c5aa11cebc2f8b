# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: tags,slideshow,-all
#     notebook_metadata_filter: kernelspec,jupytext,-jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] slideshow={"slide_type": "slide"}
# # 08 · Augment, stop in time, and choose a batch size
#
# At the end of this notebook you will have trained a VGG-style network with and without augmented
# images, let callbacks decide when to stop and which weights to keep, and compared batch sizes in a
# way that allows a conclusion.
#
# **What you'll learn**
#
# - to measure what augmentation does to the gap between training and validation;
# - to choose what early stopping and checkpoints watch, and to know which weights you hold at the
#   end;
# - to compare batch sizes at equal epochs, equal steps and equal seconds, with the learning rate
#   scaled and not;
# - to read smoothed curves, and to open TensorBoard.
#
# **What you'll need:** notebooks 02 (training and validation), 03 (dropout and gaps) and 05 (fair
# comparisons). The set-up line prints how long this one takes.
#
# The experiments re-create an older write-up, called S4, that trained a VGG-style network on
# CIFAR-10 for many epochs. You do not need it. A label such as M4.7 means: mistake 7 of S4.

# %%
from course_utils import profiles

profile = profiles.start("08")

# %%
import datetime
import math
import os
import tempfile
import time
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import keras
import numpy as np
import pandas as pd
from IPython.display import clear_output
from keras import layers
from scipy import stats
from tensorboard import notebook as tensorboard_page
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

from course_utils import (
    augmentation,
    callbacks,
    dashboards,
    datasets,
    display,
    exercises,
    records,
    training,
)

# %%
dashboards.extension()

# %% [markdown]
# What did S4 report? You will meet these numbers again at the end.

# %%
s4 = training.reported("S4")["vgg"]
print(f"{s4['epochs']} epochs, batches of {s4['batch_size']} images, {s4['seconds']:,.0f} seconds")
print(f"best training accuracy {s4['best_train_accuracy']:.2%}")
print(f"best test accuracy     {s4['best_test_accuracy']:.2%} in epoch {s4['best_epoch']}")
print(f"last test accuracy     {s4['last_test_accuracy']:.2%}")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## How large is this run?
#
# `width` is the number of filters in the first block of the network, 64 in S4. The cost of a
# network grows with the square of its width, so most experiments use a narrower one.
# The smoke profile only checks that everything runs: its accuracies are noise.

# %%
train_images = profile.pick(smoke=400, quick=2000, full=50_000)  # validation images included
test_images = profile.pick(smoke=200, quick=1000, full=10_000)
validation_fraction = profile.pick(smoke=0.5, quick=0.4, full=0.1)
batch_size = profile.pick(smoke=50, quick=32, full=64)
seeds = range(profile.pick(smoke=2, quick=2, full=3))
width = profile.pick(smoke=4, quick=16, full=32)
compared_epochs = profile.pick(smoke=1, quick=6, full=8)

# %% [markdown]
# The full profile takes hours. Where the processor multiplies numbers of 16 bits faster than those
# of 32 bits, its networks compute in them and keep their weights in 32 bits; notebook 09 explains
# and measures it.

# %%
fast_format = "mixed_bfloat16" if profiles.has_fast_bfloat16() else "float32"
number_format = profile.pick(smoke="float32", quick="float32", full=fast_format)
keras.config.set_dtype_policy(number_format)

# %% [markdown]
# The data are split as in the earlier notebooks. S4 had no validation images: its test set took
# every decision. Here the test set stays closed until the end. Like S4, you divide pixels by 255.

# %%
data = datasets.load_cifar10(train_images=train_images, test_images=test_images)
split = datasets.train_validation_split(
    data.x_train, data.y_train, validation_fraction=validation_fraction, seed=0
)
assert datasets.shared_images(split.x_train, split.x_validation) == 0, "the split leaks"
print(f"{len(split.x_train):,} images to train, {len(split.x_validation):,} to decide")
print(f"{len(seeds)} seeds for each comparison")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What does S4's network look like?
#
# VGG networks (Simonyan and Zisserman 2014) follow one pattern: two or three small convolutions,
# then a pooling that halves the picture while the number of filters doubles. S4 took the pattern,
# with three blocks, and left out the large dense layers.
#
# The weights start from *He initialization*: random numbers whose size is chosen so that the
# signal keeps its strength from one ReLU layer to the next.


# %%
def build_network(width, *, initializer="he_normal", hidden=0, seed=0):
    """Return S4's network; hidden is the size of an additional dense layer before the output."""
    training.seed_everything(seed)
    look = {"activation": "relu", "kernel_initializer": initializer}
    stack = [keras.Input((32, 32, 3))]
    for block, filters in enumerate((width, 2 * width, 4 * width), start=1):
        for place in (1, 2):
            name = f"convolution_{block}_{place}"
            stack.append(layers.Conv2D(filters, 3, padding="same", name=name, **look))
        stack.append(layers.MaxPooling2D(name=f"pooling_{block}"))
    stack += [layers.Flatten(name="flatten"), layers.Dropout(0.5, name="dropout")]
    if hidden:
        stack.append(layers.Dense(hidden, name="hidden", **look))
    scores = layers.Dense(10, activation="softmax", dtype="float32", name="scores")
    return keras.Sequential([*stack, scores])


# %% [markdown]
# Before you run this: where do most of the parameters sit, in the convolutions or in the dense
# layer at the end? Think of S2's network in notebook 02.

# %%
# NBVAL_CHECK_OUTPUT
s4_table = dashboards.layer_table(build_network(64))
in_convolutions = s4_table["layer"].str.startswith("convolution")
share = s4_table.loc[in_convolutions, "parameters"].sum() / s4_table["parameters"].sum()
print(f"{s4_table['parameters'].sum():,} parameters, {share:.1%} of them in the convolutions")
s4_table

# %% [markdown]
# The opposite of the networks before: three poolings leave only 4×4 places, so the dense layer at
# the end is small.

# %% [markdown] slideshow={"slide_type": "slide"}
# ### What goes wrong: facts from memory (M4.8)
#
# S4 wrote that VGG16, which it imitates, has more than nine tenths of its parameters in dense
# layers, and two convolutions in its third block. Both can be counted from the published table: a
# convolution has nine weights for each pair of input channel and filter and one bias for each
# filter.

# %%
# NBVAL_CHECK_OUTPUT
vgg16_blocks = [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]  # filters, convolutions
channels, convolutional = 3, 0
for filters, count in vgg16_blocks:
    for _ in range(count):
        convolutional += (9 * channels + 1) * filters
        channels = filters
dense, inputs = 0, 7 * 7 * channels  # five poolings turn 224 pixels into 7
for units in (4096, 4096, 1000):
    dense, inputs = dense + (inputs + 1) * units, units
total = dense + convolutional
print(f"dense: {dense:,} of {total:,} parameters, {dense / total:.1%}")
print(f"convolutions in the third block: {vgg16_blocks[2][1]}")

# %% [markdown]
# Close, but not what was written. A count takes a few lines; use them.

# %% [markdown] slideshow={"slide_type": "slide"}
# ### What does He initialization do?
#
# Keras starts layers by another rule unless told otherwise: *Glorot initialization* (Glorot and
# Bengio 2010), made for layers without ReLU. ReLU cuts off about half of the signal; He's rule
# (He et al. 2015) makes up for it by larger weights.
#
# Before you run this: some images go through S4's full network, untrained. What becomes of the
# strength of the signal (the root of its mean square) from layer to layer?


# %%
def signal_strength(initializer):
    """Return the strength of the signal after each convolution of the untrained network."""
    signal, strengths = augmentation.scale(split.x_validation[:50]), []
    for layer in build_network(64, initializer=initializer).layers:
        signal = layer(signal)
        if "convolution" in layer.name:
            strengths.append(float(keras.ops.sqrt(keras.ops.mean(signal**2))))
    return strengths


# %%
strengths = {name: signal_strength(name) for name in ("he_normal", "glorot_uniform")}
dashboards.line_plot(
    {name: (range(1, 7), values) for name, values in strengths.items()},
    title="Strength of the signal in the untrained network",
    xlabel="convolution",
    ylabel="root mean square of the outputs",
    height=280,
)

# %%
for name, values in strengths.items():
    left = values[-1] / values[0]
    print(f"{name:14} {left:.2f} of the strength after the first convolution is left at the sixth")

# %% [markdown]
# Compare the two lines. One that falls loses signal with each layer, and with it the differences
# between images. Six layers survive that; thirty might not. Whether it costs accuracy *here* is a
# question for an experiment, and S4 made none. It follows below.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Does augmentation help?
#
# *Augmentation* changes training images at random in ways that leave the class alone. S4 shifted
# them by up to an eighth of their size and mirrored them left to right.

# %%
AUGMENT = [augmentation.shift(0.125), augmentation.flip()]
one_image = np.repeat(split.x_train[:1], 10, axis=0)
generator = np.random.default_rng(0)
changed = AUGMENT[1](AUGMENT[0](one_image, generator), generator)
dashboards.image_strip(changed, [""] * 10, title="One training image, as ten epochs would see it")

# %% [markdown]
# The same object, never quite the same numbers: the network can't learn this image by heart. Look
# at the edges, where the outermost pixels are repeated to fill what a shift leaves empty.
#
# S4 had a switch for augmentation in its training function and never reported a run without it
# (M4.4). So its gain is unknown. The repair is a pair of runs that differ in the switch only: equal
# starting weights, equal epochs, for each of several seeds.


# %%
def batches(images, labels, *, size=batch_size, transforms=(), seed=0):
    """Return training batches, shuffled anew in each epoch."""
    return augmentation.Batches(
        images,
        labels,
        batch_size=size,
        normalize=augmentation.scale,
        transforms=transforms,
        shuffle=True,
        seed=seed,
    )


def plain_batches(images, labels):
    """Return batches for measuring: nothing random."""
    return augmentation.Batches(images, labels, batch_size=500, normalize=augmentation.scale)


# %%
validation = plain_batches(split.x_validation, split.y_validation)
count = min(len(split.x_train), len(split.x_validation))
clean_training = plain_batches(split.x_train[:count], split.y_train[:count])


# %% [markdown]
# S4's optimizer was Adadelta (notebook 02) at a rate of 1. As in notebook 05, a network is compiled
# once. Before each run it gets new starting weights and an empty optimizer, so that nothing of an
# earlier run is left.


# %%
def fresh_start(network, start, *, rate):
    """Give a compiled network the values of a new one, an empty optimizer, and a learning rate."""
    for variable, value in zip(network.variables, start.variables, strict=True):
        variable.assign(value)
    for variable in network.optimizer.variables:
        variable.assign(keras.ops.zeros(variable.shape, variable.dtype))
    assert int(network.optimizer.iterations) == 0, "the optimizer remembers an earlier run"
    network.optimizer.learning_rate = rate


def compiled(network, optimizer):
    """Compile a network and create the memory of its optimizer."""
    network.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    network.optimizer.build(network.trainable_variables)
    return network


# %%
network = compiled(build_network(width), keras.optimizers.Adadelta(1.0))


def train_compared(name, transforms, seed):
    """Train one run of the comparison; return it with its accuracy on clean training images."""
    clear_output(wait=True)  # one line at a time: that of the run before gives way
    fresh_start(network, build_network(width, seed=seed), rate=1.0)
    run = training.fit(
        network,
        batches(split.x_train, split.y_train, transforms=transforms, seed=seed),
        name=f"08_{name}_seed{seed}",
        epochs=compared_epochs,
        validation=validation,
        seed=seed,
        progress="line",
    )
    return run, training.evaluate(network, clean_training)["accuracy"]


# %% [markdown]
# **Before you run this:** the budget is the same for both. Which one will have the higher training
# accuracy, which one the higher validation accuracy?

# %%
compared = {
    name: [train_compared(name, transforms, seed) for seed in seeds]
    for name, transforms in (("plain", []), ("augmented", AUGMENT))
}
print(f"{len(compared) * len(seeds)} runs of {compared_epochs} epochs done")

# %% slideshow={"slide_type": "slide"}
dashboards.compare_runs(
    {name: [run.history for run, _ in runs] for name, runs in compared.items()},
    title="With and without augmentation, equal budget",
)

# %% [markdown]
# A line is the mean over the seeds, a band reaches from the lowest to the highest. Look at the
# right edge, and at the slopes there: augmentation makes every image harder, so it often starts
# behind, and pays when there are enough epochs for the other network to learn its images by heart.
#
# Is the difference larger than the spread? As in notebook 05, subtract seed by seed and compute the
# 95 % interval of the mean difference.


# %%
def paired(first, second):
    """Return the mean difference in points, seed by seed, with a 95 % interval, as a sentence."""
    points = 100 * (np.asarray(first) - np.asarray(second))
    half = stats.t.ppf(0.975, len(points) - 1) * points.std(ddof=1) / math.sqrt(len(points))
    low, high = points.mean() - half, points.mean() + half
    verdict = "more than the spread" if low > 0 or high < 0 else "not told apart"
    return (
        f"{round(points.mean(), 1) + 0:+.1f} points (interval {low:+.1f} to {high:+.1f}): {verdict}"
    )


def last_accuracy(name):
    """Return the last validation accuracy for each seed."""
    return [run.history["val_accuracy"][-1] for run, _ in compared[name]]


print("augmented minus plain:", paired(last_accuracy("augmented"), last_accuracy("plain")))

# %%
for name, runs in compared.items():
    for seed, (_, clean_accuracy) in zip(seeds, runs, strict=True):
        records.note(f"08_{name}", seed=seed, clean_training=clean_accuracy)
print(records.summary({name: f"08_{name}" for name in compared}))

# %% [markdown]
# With few seeds the interval is wide, and rightly so. "Not told apart" is an answer, too: then this
# experiment, at this budget, shows neither gain nor loss. S4's long run may have shown one; nobody
# looked. The last lines tell of the full run, at its own budget.

# %% [markdown] slideshow={"slide_type": "slide"}
# ### What goes wrong: a gap between unlike things (M4.7)
#
# S4 read its gap from the two curves that Keras reports. But the training accuracy is measured
# with dropout and augmentation switched on, while the network is still changing. The fair number
# is measured like the validation accuracy: same weights, nothing random, on *clean* training
# images.

# %%
rows = {}
for name, runs in compared.items():
    curve = np.mean([run.history["accuracy"][-1] for run, _ in runs])
    clean = np.mean([accuracy for _, accuracy in runs])
    judged = np.mean(last_accuracy(name))
    rows[name] = {
        "training, from the curve": curve,
        "training, clean": clean,
        "validation": judged,
        "gap as S4 read it (points)": 100 * (curve - judged),
        "fair gap (points)": 100 * (clean - judged),
    }
gaps = pd.DataFrame(rows).T
gaps.round(3)

# %%
understated = gaps["fair gap (points)"] - gaps["gap as S4 read it (points)"]
for name, points in understated.items():
    print(f"{name:9}: the curves show the gap {abs(points):.1f} points too", end=" ")
    print("small" if points > 0 else "large")
narrower = gaps["fair gap (points)"].idxmin()
print(f"the smaller fair gap, mean of {len(seeds)} seeds: {narrower}")

# %% [markdown]
# Compare the first two columns of the table. What dropout, augmentation and the moving weights take
# from the curve, they take from the gap as well. A curve of training accuracy that runs *below*
# that of validation does not show that a network can't overfit; it shows two ways of measuring. And
# a small gap is no aim in itself: it can be had by learning less. The validation column decides.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## When should training stop?
#
# The callback `EarlyStopping` watches a metric and stops when it has not improved for some epochs,
# its *patience* (Prechelt 1998). S4 let it watch the accuracy on the test set. To see what a rule
# does, you first need a run that goes on too long: few images, no augmentation, many epochs.

# %%
long_size = profile.pick(smoke=100, quick=800, full=10_000)
long_epochs = profile.pick(smoke=4, quick=18, full=40)
patience = profile.pick(smoke=1, quick=4, full=5)
long_x, long_y = datasets.stratified_subset(split.x_train, split.y_train, long_size, seed=0)

# Files of other data or other sizes must not meet in one folder.
sizes = f"width{width}_{long_size}x{long_epochs}_patience{patience}"
stamp = f"08_{profile.name}_{sizes}_{datasets.array_checksum(split.x_train)[:8]}"
folder = training.artifacts_folder() / stamp
folder.mkdir(exist_ok=True)

# %% [markdown]
# A callback of your own is a class with methods that Keras calls at set moments. This one keeps, at
# the end of each epoch, what the network answers to the validation images.


# %%
class EpochAnswers(keras.callbacks.Callback):
    """Keep the probabilities that the network gives to some images, epoch by epoch."""

    def __init__(self, images):
        super().__init__()
        self.images = images
        self.probabilities = []

    def on_train_begin(self, logs=None):
        """Begin anew."""
        self.probabilities = []

    def on_epoch_end(self, epoch, logs=None):
        """Predict once more."""
        self.probabilities.append(
            training.predict(self.model, self.images, augmentation.scale, batch_size=500)
        )


# %% [markdown]
# The second callback is `ModelCheckpoint`: it writes the network into a file whenever the
# validation accuracy is the best so far.

# %%
answers = EpochAnswers(split.x_validation)
best_file = folder / "long_best.keras"
checkpoint = keras.callbacks.ModelCheckpoint(best_file, monitor="val_accuracy", save_best_only=True)
fresh_start(network, build_network(width, seed=0), rate=1.0)
long_run = training.fit(
    network,
    batches(long_x, long_y),
    name="08_long_seed0",
    epochs=long_epochs,
    validation=validation,
    callbacks=[answers, checkpoint],
)
in_memory = training.evaluate(network, validation)

# %% [markdown]
# Follow the two validation curves. Does the loss turn upward? Does the accuracy follow it down, or
# does it stay, or go on rising?

# %% [markdown] slideshow={"slide_type": "slide"}
# ### Why do loss and accuracy disagree? (M4.2)
#
# Accuracy counts right answers. The loss also asks how *sure* the network was. A measure of the
# difference is the *expected calibration error* (Guo et al. 2017): sort the answers by confidence
# into bins; in each bin compare the mean confidence with the share of right answers; average the
# distances, weighted by the number of answers in the bin.


# %%
def calibration_error(probabilities, labels, bins=10):
    """Return the expected calibration error, between 0 and 1."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bin_of = np.minimum((bins * confidence).astype(int), bins - 1)
    return sum(
        np.mean(bin_of == k) * abs(right[bin_of == k].mean() - confidence[bin_of == k].mean())
        for k in np.unique(bin_of)
    )


# %%
# NBVAL_CHECK_OUTPUT
toy = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]])  # four images, two classes
for labels in ([0, 0, 1, 1], [0, 1, 1, 1], [0, 1, 1, 0]):
    print(f"true classes {labels}: calibration error {calibration_error(toy, labels):.2f}")

# %% [markdown]
# In the first line all four answers are right, so the network was too modest. In the last one half
# of them are wrong, so it was too sure. The distance is the same.

# %%
y_validation = split.y_validation
accuracies = [np.mean(p.argmax(axis=1) == y_validation) for p in answers.probabilities]
confidences = [p.max(axis=1).mean() for p in answers.probabilities]
calibration = [calibration_error(p, y_validation) for p in answers.probabilities]
epochs_run = np.arange(1, long_epochs + 1)

# %% slideshow={"slide_type": "slide"}
dashboards.line_plot(
    {
        "mean confidence": (epochs_run, confidences),
        "accuracy": (epochs_run, accuracies),
        "calibration error": (epochs_run, calibration),
    },
    title="How sure, how often right, and the distance between the two",
    xlabel="epoch",
    ylabel="share or probability (0 to 1)",
    ylim=(0, 1),
)

# %%
lowest_loss = int(np.argmin(long_run.history["val_loss"]))
print(f"lowest validation loss in epoch {lowest_loss + 1} of {long_epochs}; from there to the end:")
for name, values in (
    ("loss", long_run.history["val_loss"]),
    ("accuracy", accuracies),
    ("mean confidence", confidences),
    ("calibration error", calibration),
):
    print(f"  {name:17} {values[lowest_loss]:.3f} to {values[-1]:.3f}")

# %% [markdown]
# Look where confidence and accuracy part, if they do. From there on the network grows surer faster
# than it grows better, and the loss, which punishes confident mistakes hardest, turns upward. S4
# saw its loss rise and took the epochs before that for its sober estimate. But its accuracy had
# gone on rising: what got worse was the confidence. Which matters depends on the use. If only the
# winning class counts, watch accuracy; if anyone relies on the probabilities, watch the loss.

# %% [markdown] slideshow={"slide_type": "slide"}
# ### Which rule stops when?
#
# A recorded metric can be shown to the callback afterwards, value by value, as if the training were
# running. So one long run is enough to try all rules.


# %%
def replay(values, *, mode, patience):
    """Show a metric to EarlyStopping; return the epoch it stops after and the one it calls best."""
    stopper = keras.callbacks.EarlyStopping("metric", mode=mode, patience=patience)
    watched = keras.Sequential()
    watched.stop_training = False  # as fit does when it begins
    stopper.set_model(watched)
    stopper.on_train_begin()
    for epoch, value in enumerate(values):
        stopper.on_epoch_end(epoch, {"metric": value})
        if watched.stop_training:
            break
    return epoch + 1, stopper.best_epoch + 1


# %%
rules = {}
for metric, mode in (("val_accuracy", "max"), ("val_loss", "min")):
    for waits in (patience, 2 * patience):
        stop, best = replay(long_run.history[metric], mode=mode, patience=waits)
        rules[f"{metric}, patience {waits}"] = {
            "stops after epoch": stop,
            "best epoch": best,
            "accuracy there": round(accuracies[best - 1], 3),
            "loss there": round(long_run.history["val_loss"][best - 1], 3),
            "calibration error there": round(calibration[best - 1], 3),
        }
rules = pd.DataFrame(rules).T.convert_dtypes()
rules

# %%
by_accuracy, by_loss = rules.iloc[0], rules.iloc[2]
later = int(by_accuracy["stops after epoch"] - by_loss["stops after epoch"])
points = 100 * (by_accuracy["accuracy there"] - by_loss["accuracy there"])
error = by_accuracy["calibration error there"] - by_loss["calibration error there"]
records.note("08_stopping", seed=0, later=later, points=points, calibration_error=error)
print(f"Watching accuracy stops {abs(later)} epochs {'later' if later >= 0 else 'earlier'}")
print(
    f"and keeps an epoch with {points:+.1f} points of accuracy and {error:+.3f} calibration error."
)

# %% [markdown]
# Accuracy jumps about, and a lucky epoch resets the patience, again and again: so a run can go on
# for as long as S4's did. The loss usually speaks first, but it has bumps as well, and a short
# patience may take one for the end: compare the two rows of the same metric. A rule that "stops"
# after the last epoch may never have fired.

# %% [markdown] slideshow={"slide_type": "slide"}
# ### What goes wrong: counting epochs (M4.10)
#
# S4 gave its callback a patience of 20 epochs. Would the run stop at the same epoch today? Show the
# callback a scripted metric that is best in S4's best epoch.

# %%
# NBVAL_CHECK_OUTPUT
scripted = [-abs(epoch - s4["best_epoch"]) for epoch in range(1, 201)]
stop, best = replay(scripted, mode="max", patience=20)
print(f"best epoch {best}, stopped after epoch {stop} (S4 ran {s4['epochs']})")

# %% [markdown]
# Keras counted one epoch more in those days. Harmless here; but whoever repeats a recipe should
# know that even "patience 20" depends on the version. More traps of this kind in S4's code, each in
# a few lines. First, log folders were named by date and *minute*:

# %%
# NBVAL_CHECK_OUTPUT
start_times = [datetime.datetime(2020, 1, 1, 12, 30, second) for second in (5, 40)]
with tempfile.TemporaryDirectory() as elsewhere:
    for moment in start_times:
        log_name = moment.strftime("%Y-%m-%d_%H-%M")
        try:
            (Path(elsewhere) / log_name).mkdir()
            print(f"{log_name}: made")
        except FileExistsError:
            print(f"{log_name}: exists already, the second run of this minute fails")

# %% [markdown]
# A name that says *what* was run (network, batch size, rate, seed) can't collide by accident, and
# tells you more. Second, paths were written with a backslash, which separates folders on Windows
# only. Third, the number of steps per epoch was a fraction, which Keras 3 refuses:

# %%
# NBVAL_CHECK_OUTPUT
for path in ("logs\\run_1", "logs/run_1"):
    print(f"{path} on Linux and macOS: parts {PurePosixPath(path).parts}")
tiny = keras.Sequential([keras.Input((1,)), layers.Dense(1)])
tiny.compile("sgd", "mse")
try:
    tiny.fit(np.zeros((50, 1)), np.zeros(50), steps_per_epoch=50_000 / 64, verbose=0)
except TypeError as error:
    print(f"{50_000 / 64} steps: {error}")
print(f"{math.ceil(50_000 / 64)} steps, the last one with fewer images, are right")

# %% [markdown] slideshow={"slide_type": "slide"}
# ### What do the callbacks do in a real run?
#
# Now the three together, each with a reason for its settings:
#
# - `EarlyStopping` watches the validation *loss*, and `restore_best_weights=True` puts the weights
#   of the best epoch back at the end;
# - `ModelCheckpoint` keeps the best epoch in a file as well: that survives a crash;
# - `TensorBoard` writes each epoch's metrics into *event files*, which the program TensorBoard
#   reads (further down). Its folder is named by the run. `write_graph=False` leaves out a drawing
#   of the network that makes the files large.
#
# The run begins like the long one: same weights, same images, same order. **Before you run this:**
# you know from the table when it will stop. When?

# %%
stopped_file = folder / "stopped_best.keras"
watching = [
    keras.callbacks.EarlyStopping("val_loss", patience=patience, restore_best_weights=True),
    keras.callbacks.ModelCheckpoint(stopped_file, monitor="val_loss", save_best_only=True),
    keras.callbacks.TensorBoard(folder / "logs" / "stopped_seed0", write_graph=False),
]
fresh_start(network, build_network(width, seed=0), rate=1.0)
stopped_run = training.fit(
    network,
    batches(long_x, long_y),
    name="08_stopped_seed0",
    epochs=long_epochs,
    validation=validation,
    callbacks=watching,
    progress="line",
)

# %%
expected = rules.loc[f"val_loss, patience {patience}", "stops after epoch"]
print(f"stopped after epoch {stopped_run.epochs}; the replay said {expected}")
same = np.allclose(
    stopped_run.history["val_loss"], long_run.history["val_loss"][: stopped_run.epochs], rtol=1e-3
)
print(f"same validation losses as the long run up to there: {same}")

# %% [markdown] slideshow={"slide_type": "slide"}
# ### What goes wrong: which weights are in memory? (M4.3)
#
# After `fit`, a network holds the weights of its *last* epoch, whatever a checkpoint wrote into a
# file. S4 printed the accuracy of its best epoch, held another network in memory, and never loaded
# the file.
#
# Before you run this: four ways to end up with weights. Which have the lowest loss, which the
# highest accuracy?

# %%
held = {
    "long run, in memory (last epoch)": in_memory,
    "long run, checkpoint by accuracy": training.evaluate(
        training.load_model(best_file), validation
    ),
    "stopped run, restored by loss": training.evaluate(network, validation),
    "stopped run, checkpoint by loss": training.evaluate(
        training.load_model(stopped_file), validation
    ),
}
pd.DataFrame(held).T.round(4)

# %%
given_away = 100 * (max(long_run.history["val_accuracy"]) - in_memory["accuracy"])
print(f"The weights in memory are {given_away:.1f} points below the best epoch of their run.")

# %% [markdown]
# The last two rows agree: restored weights and checkpoint are the same epoch. The first two agree
# only if the last epoch happened to be the best. Put `restore_best_weights=True`, or load the
# checkpoint, before you measure anything.

# %% [markdown] slideshow={"slide_type": "slide"}
# ### What goes wrong: the best of many epochs (M4.1)
#
# S4's headline is the best *test* accuracy of all its epochs. The test images chose the epoch and
# were then asked how good it is. How much does that flatter?
#
# The validation images can tell, because you kept all answers. Cut them into two halves at random.
# One half chooses the best epoch, the other half judges the choice; repeat with many cuts. The
# more epochs there are to choose from, the more chances for luck, so do it for the last two, four,
# ... epochs.

# %%
hits = np.array([p.argmax(axis=1) == y_validation for p in answers.probabilities])


def flattery(candidates, cuts=300):
    """Return how much higher the chosen epoch scores where it was chosen, in points, on average."""
    generator = np.random.default_rng(0)
    half = candidates.shape[1] // 2
    leads = []
    for _ in range(cuts):
        order = generator.permutation(candidates.shape[1])
        chooses = candidates[:, order[:half]].mean(axis=1)
        judges = candidates[:, order[half:]].mean(axis=1)
        leads.append(chooses.max() - judges[chooses.argmax()])
    return 100 * np.mean(leads)


coins = np.random.default_rng(0).random((8, 400)) < 0.5  # eight that only guess
assert flattery(coins) > 1, "the best of eight coins must be flattered"


# %%
choices = [count for count in (1, 2, 4, 8, 16, 32) if count <= long_epochs]
flattered = [flattery(hits[-count:]) for count in choices]
dashboards.line_plot(
    {"chosen and judged by the same images": (choices, flattered)},
    title="Choosing among more epochs flatters more",
    xlabel="epochs to choose from",
    ylabel="too high by (points)",
    height=280,
)

# %%
print(f"halves of {hits.shape[1] // 2:,} images:")
for count, points in zip(choices, flattered, strict=True):
    print(f"  best of the last {count:2} epochs: {points:+.2f} points too high")
leads = {f"best_of_{count}": points for count, points in zip(choices, flattered, strict=True)}
records.note("08_flattery", seed=0, **leads)
print(f"S4: best {s4['best_test_accuracy']:.2%}, last epoch {s4['last_test_accuracy']:.2%}")

# %% [markdown]
# With one epoch there is no choice, and the number should be near 0. The line shows by how much the
# best of many is better *on the images that chose it*. With more images the effect shrinks; but on
# average it flatters, never the other way round. So validation images choose, and the test images
# are asked once.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Which batch size?
#
# A larger batch gives a gradient with less noise, and fewer steps per epoch. S4 drew the training
# curves of four batch sizes against epochs and concluded that large batches converge slowly and in
# the end not at all. The picture does not allow this (M4.5): one run each, the rate not adapted, no
# numbers, and eight times fewer steps for the largest batch.
#
# Here each batch size gets several runs, from equal starting weights, without augmentation, so that
# overfitting can show, and without early stopping. The full profile has S4's sizes. With the few
# images of the quick profile, all four are a quarter of that; the factor between them is the same.

# %%
study_width = profile.pick(smoke=4, quick=8, full=16)
study_size = profile.pick(smoke=128, quick=512, full=20_480)
batch_sizes = profile.pick(smoke=(16, 32), quick=(16, 32, 64, 128), full=(64, 128, 256, 512))
study_epochs = profile.pick(smoke=2, quick=8, full=10)
small, large = batch_sizes[0], batch_sizes[-1]
study_x, study_y = datasets.stratified_subset(split.x_train, split.y_train, study_size, seed=1)
judges = profile.pick(smoke=100, quick=400, full=5000)
study_validation = plain_batches(split.x_validation[:judges], split.y_validation[:judges])
for size in batch_sizes:
    print(f"batch size {size:3}: {math.ceil(study_size / size):4} steps per epoch")

# %% [markdown]
# **And the learning rate?** The *linear scaling rule* (Goyal et al. 2017) says: $k$ times the batch
# size, $k$ times the rate. The thought behind it: $k$ small steps with the rate $\eta$ lead about
# as far as one step with $k\,\eta$ along the mean of their gradients, as long as the gradient
# hardly changes on the way.
#
# The rule is about SGD, whose step is proportional to the gradient. S4's Adadelta divides the
# gradient by its recent size, so that its steps hardly depend on it and the argument does not
# apply. For the study you take SGD with momentum 0.9, with a rate chosen for the smallest batch,
# once *kept* for all sizes and once *scaled*. For the smallest batch both are the same, so its runs
# count twice.

# %%
study_rate = profile.pick(smoke=0.01, quick=0.005, full=0.01)
settings = {(small, "kept"): study_rate}
for size in batch_sizes[1:]:
    settings[size, "kept"] = study_rate
    settings[size, "scaled"] = study_rate * size / small
    assert settings[size, "scaled"] > study_rate, "a larger batch must get a larger rate"
pd.Series(settings, name="learning rate").rename_axis(["batch size", "rate"]).to_frame()

# %% [markdown]
# To compare at equal *seconds*, a small callback measures the training time of each epoch, without
# validation. The first epoch of a network also prepares the computation, so the *median* epoch
# counts.


# %%
class EpochClock(keras.callbacks.Callback):
    """Measure the seconds of training in each epoch."""

    def __init__(self):
        super().__init__()
        self.began = 0.0
        self.seconds = []

    def on_train_begin(self, logs=None):
        """Begin anew."""
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        """Start the clock."""
        self.began = time.perf_counter()

    def on_test_begin(self, logs=None):
        """Stop it when validation begins."""
        self.seconds.append(time.perf_counter() - self.began)


# %%
class StudyRun(NamedTuple):
    """One run of the study."""

    history: dict
    steps_per_epoch: int
    seconds_per_epoch: float


study_network = compiled(build_network(study_width), keras.optimizers.SGD(study_rate, momentum=0.9))


# %%
def study_run(size, rate, seed, *, epochs=study_epochs, name="study", net=study_network):
    """Train for some epochs from wherever the network stands."""
    clear_output(wait=True)
    run_name = f"{name}_batch{size}_rate{rate:.3g}_seed{seed}"
    clock = EpochClock()
    log = keras.callbacks.TensorBoard(folder / "logs" / run_name, write_graph=False)
    training_batches = batches(study_x, study_y, size=size, seed=seed)
    run = training.fit(
        net,
        training_batches,
        name=f"08_{run_name}",
        epochs=epochs,
        validation=study_validation,
        callbacks=[clock, log],
        seed=seed,
        progress="line",
    )
    return StudyRun(run.history, len(training_batches), float(np.median(clock.seconds)))


# %% [markdown]
# **Before you run this:** order the batch sizes by the accuracy you expect after equal epochs. Then
# after equal steps.

# %%
study = {setting: [] for setting in settings}
for (size, label), rate in settings.items():
    for seed in seeds:
        fresh_start(study_network, build_network(study_width, seed=seed), rate=rate)
        study[size, label].append(study_run(size, rate, seed))
print(f"{len(settings) * len(seeds)} runs of {study_epochs} epochs, {len(seeds)} for each setting")

# %% [markdown] slideshow={"slide_type": "slide"}
# ### Equal epochs
#
# All three pictures below draw the same runs. Only the x axis changes. First as S4 drew it, but
# with validation accuracy: equal passes over the images.


# %%
def positions(result, axis):
    """Return where the ends of the epochs lie on an axis."""
    epochs = np.arange(1, study_epochs + 1)
    unit = {"epochs": 1, "steps": result.steps_per_epoch, "seconds": result.seconds_per_epoch}
    return epochs * unit[axis]


# %%
def draw(axis, label):
    """Draw the mean validation accuracy of each batch size on one of the three axes."""
    lines = {}
    for size in batch_sizes:
        results = study[size, "kept" if size == small else label]
        mean = np.mean([result.history["val_accuracy"] for result in results], axis=0)
        where = np.mean([positions(result, axis) for result in results], axis=0)
        lines[f"batch {size}"] = where, mean
    return dashboards.line_plot(
        lines,
        title=f"Validation accuracy at equal {axis}, rate {label} (mean of {len(seeds)} seeds)",
        xlabel=f"{axis} of training",
        ylabel="validation accuracy",
        height=320,
    )


# %% slideshow={"slide_type": "slide"}
draw("epochs", "kept")

# %% [markdown]
# Read upward from one epoch. A larger batch takes fewer steps to get there, with a rate chosen for
# the small one. Where it lags, the picture says only that few steps lead less far than many.

# %% [markdown] slideshow={"slide_type": "slide"}
# ### Equal steps

# %%
draw("steps", "kept")

# %% [markdown]
# Now read upward from one number of steps. The lines have different lengths because the large
# batches took fewer steps. Where two lines run over the same steps, is the larger batch still the
# slower one? Step for step you would expect it to be no worse, because its gradient has less noise;
# but each of its steps costs more images.

# %% [markdown] slideshow={"slide_type": "slide"}
# ### Equal seconds

# %%
draw("seconds", "kept")

# %%
for size in batch_sizes:
    seconds = np.mean([result.seconds_per_epoch for result in study[size, "kept"]])
    speed = study_size / seconds
    print(f"batch size {size:3}: {seconds:6.2f} seconds per epoch, {speed:6,.0f} images/s")

# %% [markdown]
# S4 found that larger batches make epochs shorter, down to a floor. The numbers above show how much
# of that holds on your machine. Every step has a fixed cost beside its images. In a narrow network
# that cost counts, so larger batches are faster even on few cores. A wide network keeps a processor
# busy with a small batch already, and this picture resembles the first one. A graphics card has
# room for thousands of images at once, and there the large batch can win on this axis and lose on
# the first.

# %% [markdown] slideshow={"slide_type": "slide"}
# ### And with the rate scaled?

# %%
draw("epochs", "scaled")

# %% [markdown]
# Compare with the first picture. If the rule holds, the lines move together: equal images seen,
# equally far. A line that falls behind or stays at the bottom shows where it breaks: the scaled
# rate is too large for the first steps of an untrained network. Goyal et al. therefore let the rate
# climb during the first epochs (*warm-up*), as one-cycle does in notebook 04.
#
# All in one table: validation accuracy, mean over the seeds and from lowest to highest.


# %%
def reading(setting, axis, at):
    """Return the validation accuracy of each seed at one place of an axis, between epochs too."""
    return [
        np.interp(at, positions(result, axis), result.history["val_accuracy"])
        for result in study[setting]
    ]


equal_steps = study[large, "kept"][0].steps_per_epoch * study_epochs
equal_seconds = study_epochs * min(r.seconds_per_epoch for runs in study.values() for r in runs)
PLACES = {"epochs": study_epochs, "steps": equal_steps, "seconds": equal_seconds}

# %%
columns = {}
for axis, at in PLACES.items():
    column = f"after {at:.3g} {axis}"
    columns[column] = {}
    for setting in settings:
        values = reading(setting, axis, at)
        columns[column][setting] = f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"
columns["training loss, last epoch"] = {
    setting: f"{np.mean([r.history['loss'][-1] for r in study[setting]]):.3f}" for setting in study
}
table = pd.DataFrame(columns).rename_axis(["batch size", "rate"])
table

# %% [markdown]
# The last column is the loss on training images. Does the verdict on one pair, largest against
# smallest batch, depend on the column? (With two seeds, expect "not told apart" often.)

# %%
for label in ("kept", "scaled"):
    for axis, at in PLACES.items():
        difference = paired(reading((large, label), axis, at), reading((small, "kept"), axis, at))
        print(f"{large} ({label:6}) minus {small}, equal {axis:7}: {difference}")

# %%
for setting in settings:
    size, label = setting
    for place, seed in enumerate(seeds):
        accuracy_at = {axis: reading(setting, axis, at)[place] for axis, at in PLACES.items()}
        duration = study[setting][place].seconds_per_epoch
        figures = {f"equal_{axis}": value for axis, value in accuracy_at.items()}
        records.note(f"08_batch{size}_{label}", seed=seed, **figures, seconds_per_epoch=duration)
print(records.summary({f"{s}, {label}": f"08_batch{s}_{label}" for s, label in settings}))

# %% [markdown]
# The last lines are those of the full run: accuracies at equal epochs, steps and seconds.
#
# "Which batch size is best?" has no answer until you say what is to be equal. On a machine of your
# own it is usually seconds. Then a larger batch is worth a try as long as it makes the epoch
# shorter, with a rate found for it.

# %% [markdown] slideshow={"slide_type": "slide"}
# ### What goes wrong: slow is not divergent (M4.6)
#
# S4 said of the largest batches that they do not converge. To *diverge* is something else than to
# be slow: the loss rises beyond that of guessing, or is no number at all any more. That can be
# checked.

# %%
guessing = math.log(len(data.class_names))
for setting, results in study.items():
    first, last = (np.array([result.history["loss"][k] for result in results]) for k in (0, -1))
    if not (last < guessing + 0.05).all():  # also catches a loss that is no number
        state = "diverged"
    else:
        state = "learning" if (last < guessing - 0.02).all() else "no better than guessing"
    change = f"{first.mean():.2f} to {last.mean():.2f}"
    print(f"batch {setting[0]:3}, rate {setting[1]:6}: {change}, {state}")
print(f"loss of guessing: {guessing:.2f}")

# %% [markdown]
# Where you read "diverged", lower the rate or let it climb. "No better than guessing" can mean two
# things: too few steps so far, or a rate so large that the network *died*: its ReLUs have come to
# answer 0 to every image, and no gradient flows any more. More steps, and a run with a lower rate,
# tell the two apart. S4 tried neither.

# %% [markdown] slideshow={"slide_type": "slide"}
# ### What goes wrong: one object for all sizes (M4.5)
#
# S4 shows a single `model` and does not say whether a new one was made for each batch size. If not,
# the second size begins with what the first one learned. One epoch of each, without a fresh start:

# %%
fresh_start(study_network, build_network(study_width, seed=0), rate=study_rate)
study_run(small, study_rate, 0, epochs=1, name="relay_first")
inherited = study_run(large, study_rate, 0, epochs=1, name="relay_second")
fresh_loss = study[large, "kept"][0].history["loss"][0]
print(f"Batch size {large}, training loss in its first epoch:")
print(f"  from a fresh start        {fresh_loss:.3f}")
print(f"  after batch size {small}, same object {inherited.history['loss'][0]:.3f}")

# %% [markdown]
# The difference is a present from the run before. An order of sizes in which the last one does best
# may be no more than an order of trainings.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What does TensorBoard show?
#
# *TensorBoard* is a program that reads event files and draws their curves in a browser, while the
# training runs if you like. It draws each curve twice: faint, as measured, and strong, *smoothed*
# by an exponential mean of the values so far. A slider sets how much weight the past has; at first
# it stands at 0.6. `callbacks.exponential_average` computes the same. This is S4's picture, drawn
# from your runs:


# %%
def tensorboard_view(series, *, smoothing, title, ylabel):
    """Draw curves over epochs as TensorBoard does: faint as measured, strong when smoothed."""
    look = {"title": title, "xlabel": "epoch", "ylabel": ylabel}
    epochs = {name: np.arange(1, len(values) + 1) for name, values in series.items()}
    means = {name: callbacks.exponential_average(v, smoothing) for name, v in series.items()}
    raw = dashboards.line_plot({name: (epochs[name], v) for name, v in series.items()}, **look)
    strong = dashboards.line_plot({name: (epochs[name], v) for name, v in means.items()}, **look)
    for curve in raw:
        curve.opts(alpha=0.25, backend="bokeh").opts(alpha=0.25, backend="matplotlib")
    return strong.clone([*strong, *raw])  # one picture, with the look of the strong one


# %% slideshow={"slide_type": "slide"}
tensorboard_view(
    {f"batch {size}": study[size, "kept"][0].history["loss"] for size in batch_sizes},
    smoothing=0.6,
    title="Training loss of the batch sizes, smoothing 0.6",
    ylabel="training loss",
)

# %% [markdown]
# While a curve falls, its smoothed line runs *above* it: the past was higher. So smoothing always
# comes late. That matters when you look for a lowest point. The validation loss of the long run,
# with three positions of the slider:

# %%
long_losses = long_run.history["val_loss"]
smoothed = {s: callbacks.exponential_average(long_losses, s) for s in (0.0, 0.6, 0.9)}
dashboards.line_plot(
    {f"smoothing {s}": (epochs_run, values) for s, values in smoothed.items()},
    title="The same validation loss, smoothed more and more",
    xlabel="epoch",
    ylabel="validation loss",
    height=300,
)

# %%
for s, values in smoothed.items():
    print(f"smoothing {s}: lowest point in epoch {np.argmin(values) + 1}")

# %% [markdown]
# Compare the epochs of the lowest points. Smooth to see a trend, never to read off an epoch. (The
# *centered* mean of notebook 04 does not come late, but needs values from the future.)
#
# What is in an event file? The same numbers as in the history, and TensorBoard's own reader
# finds them:

# %%
log_of_run = str(folder / "logs" / "stopped_seed0" / "validation")
events = EventAccumulator(log_of_run, size_guidance={"tensors": 0}).Reload()  # 0: all of them
logged = [tensor_util.make_ndarray(e.tensor_proto).item() for e in events.Tensors("epoch_loss")]
distance = np.abs(np.subtract(logged, stopped_run.history["val_loss"])).max()
print(f"{len(logged)} values of epoch_loss; largest distance from the history: {distance:.1e}")

# %% [markdown] slideshow={"slide_type": "slide"}
# ### TensorBoard in the notebook
#
# In JupyterLab or Colab the next cell opens TensorBoard right here, over all runs above. It is a
# program of its own, in the background; it ends with the notebook's kernel. (The usual way to write
# this cell is `%load_ext tensorboard`, then `%tensorboard --logdir …`.) Where nobody looks on, as
# when a whole notebook is executed by a command, it prints how to open it.

# %%
logs = os.path.relpath(folder / "logs")
if display.has_reader() and profile.name != "smoke":
    tensorboard_page.start(f'--logdir "{logs}"')
else:
    print(f"{len(list((folder / 'logs').iterdir()))} runs are logged. In a terminal, in the folder")
    print(f"of this notebook: tensorboard --logdir {Path(logs).as_posix()}")

# %% [markdown]
# In TensorBoard: type a part of a name (`batch`) into the filter on the left, move the slider
# `Smoothing`, and switch the `Horizontal Axis` from `Step` (here: epochs) to `Relative` (time since
# the start). It takes one click to change the axis, and with it the verdict. On Binder the page can
# stay empty, because the program's port is not open to your browser.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Do He initialization and the missing dense layer pay? (M4.4, M4.9)
#
# S4 also tried an additional dense layer of 128 units, once, and from its result concluded
# that dense layers are worse:

# %%
dense_head = training.reported("S4")["dense_head"]
print(
    f"S4 with the dense layer: {dense_head['test_accuracy']:.0%} in {dense_head['epochs']} epochs"
)
print(f"S4 without it: {s4['best_test_accuracy']:.0%}")

# %%
# NBVAL_CHECK_OUTPUT
print(f"{build_network(64, hidden=128).count_params():,} parameters with the dense layer,")
print(f"{build_network(64).count_params():,} without")

# %% [markdown]
# So many points for one layer is a surprise, and a surprise calls for a second run. The experiment:
# three variants, several seeds and (in the full profile) several rates, since a variant may need
# another one. The runs of S4's network at the usual rate exist already: their first epochs count.

# %%
variant_epochs = profile.pick(smoke=1, quick=3, full=4)
factors = profile.pick(smoke=(1,), quick=(1,), full=(1 / 3, 1, 3))
dense_network = compiled(build_network(study_width, hidden=128), keras.optimizers.SGD(momentum=0.9))
VARIANTS = {
    "S4 network": (study_network, {}),
    "Glorot start": (study_network, {"initializer": "glorot_uniform"}),
    "dense layer": (dense_network, {"hidden": 128}),
}

# %%
variants = {}
for name, (net, options) in VARIANTS.items():
    for factor in factors:
        rate, results = factor * study_rate, []
        for seed in seeds:
            if name == "S4 network" and factor == 1:
                results.append(study[small, "kept"][seed].history)
                continue
            fresh_start(net, build_network(study_width, seed=seed, **options), rate=rate)
            label = name.replace(" ", "_")
            run = study_run(small, rate, seed, epochs=variant_epochs, name=label, net=net)
            results.append(run.history)
        variants[name, f"{rate:.2g}"] = [h["val_accuracy"][variant_epochs - 1] for h in results]

# %%
scores = pd.DataFrame(variants, index=[f"seed {seed}" for seed in seeds]).T
scores["mean"] = scores.mean(axis=1)
scores.rename_axis(["variant", "rate"]).round(3)

# %%
best_rate = {name: scores.loc[name, "mean"].idxmax() for name in VARIANTS}
ours = scores.loc["S4 network", best_rate["S4 network"]].drop("mean")
for name in list(VARIANTS)[1:]:
    theirs = scores.loc[name, best_rate[name]].drop("mean")
    print(f"{name} minus S4 network, each at its best rate: {paired(theirs, ours)}")

# %% [markdown]
# Compare the rows with the spread between seeds. Where the interval holds 0, this experiment does
# not support S4's conclusion, and where it does not, it is about this width and these few epochs.
# Either way S4's difference has other candidates: chance, the place of dropout (S4 does not give
# it), a rate that suits one variant only. A single run can't choose among them.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Which number is the result? (M4.11)
#
# Now S4's recipe, with augmentation, in the full profile at the full width of 64. Two checkpoints
# watch: one keeps the epoch with the highest validation accuracy, one that with the lowest
# validation loss. The last epoch stays in memory.

# %%
headline_width = profile.pick(smoke=4, quick=16, full=64)
headline_epochs = profile.pick(smoke=2, quick=6, full=9)  # a tenth of S4's 85
kept = {
    "highest validation accuracy": (folder / "headline_accuracy.keras", "val_accuracy"),
    "lowest validation loss": (folder / "headline_loss.keras", "val_loss"),
}

# %%
headline_network = compiled(build_network(headline_width, seed=0), keras.optimizers.Adadelta(1.0))
headline_run = training.fit(
    headline_network,
    batches(split.x_train, split.y_train, transforms=AUGMENT),
    name="08_headline_seed0",
    epochs=headline_epochs,
    validation=validation,
    callbacks=[
        keras.callbacks.ModelCheckpoint(path, monitor=metric, save_best_only=True)
        for path, metric in kept.values()
    ],
)

# %% [markdown]
# Are the curves of accuracy still rising at the right edge? Then the three candidates are the same
# epoch or near it. S4 trained far beyond that. What would its training take here?

# %%
speed = headline_run.images_per_second
hours = 50_000 * s4["epochs"] / speed / 3600
print(f"{speed:,.0f} images per second, in {number_format};")
print(f"S4's {s4['epochs']} epochs would take {hours:,.1f} hours here")
print(f"for {headline_network.count_params():,} parameters;", end=" ")
print(f"S4's network has {s4_table['parameters'].sum():,}")

# %% [markdown] slideshow={"slide_type": "slide"}
# ### The test set, opened once
#
# S4's text holds four numbers for one training: one in its title, the best epoch, the last epoch,
# and a range that its author thought sober. A table with a row for each *rule* settles it. The
# rules are fixed before the test set is opened, and the choices are made on validation images. The
# headline will be the row of the highest validation accuracy: that is settled now.

# %%
candidates = {"last epoch": headline_network}
candidates |= {name: training.load_model(path) for name, (path, _) in kept.items()}
history = headline_run.history
chosen_epoch = {
    "last epoch": headline_epochs,
    "highest validation accuracy": int(np.argmax(history["val_accuracy"])) + 1,
    "lowest validation loss": int(np.argmin(history["val_loss"])) + 1,
}
on_record = {
    "last epoch": headline_run.name,
    "highest validation accuracy": "08_headline_best_accuracy",
    "lowest validation loss": "08_headline_best_loss",
}

# %% tags=["test-set"]
test = plain_batches(data.x_test, data.y_test)
headlines = {}
for name, candidate in candidates.items():
    accuracy = training.evaluate(candidate, test)["accuracy"]
    correct = round(accuracy * len(data.y_test))
    records.note_test(on_record[name], seed=0, correct=correct, images=len(data.y_test))
    low, high = training.accuracy_interval(correct, len(data.y_test))
    headlines[name] = {
        "epoch": chosen_epoch[name],
        "validation accuracy": f"{history['val_accuracy'][chosen_epoch[name] - 1]:.4f}",
        "test accuracy": f"{accuracy:.4f}",
        "95 % interval": f"{low:.3f} to {high:.3f}",
    }
headlines = pd.DataFrame(headlines).T
headlines

# %%
spread = 100 * np.ptp(headlines["test accuracy"].astype(float))
print(f"The three rules differ by {spread:.1f} points on {len(data.y_test):,} test images.")
by_rule = np.array(accuracies)[[-1, int(np.argmax(accuracies)), lowest_loss]]
print(f"On the long run above they differ by {100 * np.ptp(by_rule):.1f} points (validation).")
print(f"S4, best test accuracy (epoch {s4['best_epoch']}): {s4['best_test_accuracy']:.2%}")
print(f"S4, last epoch ({s4['epochs']}): {s4['last_test_accuracy']:.2%}")

# %%
print(records.summary({rule: records.experiment(name) for rule, name in on_record.items()}))

# %% [markdown]
# The result is the row of the rule that was fixed *before*: the highest validation accuracy. The
# others are in the table to show how much depends on the rule. S4's best epoch was chosen by the
# test images themselves: a rule like that has no row here. Its last epoch came of the patience and
# was not picked for its accuracy: it is the more honest of its numbers.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Take-aways

# %%
gain = np.subtract(last_accuracy("augmented"), last_accuracy("plain"))
print(
    f"Augmentation, {compared_epochs} epochs: {100 * gain.mean():+.1f} points on validation images,"
)
print(f"fair gap {gaps.loc['plain', 'fair gap (points)']:.1f} points without,", end=" ")
print(f"{gaps.loc['augmented', 'fair gap (points)']:.1f} with it.")
print(f"Best of {choices[-1]} epochs, judged where it was chosen: {flattered[-1]:+.1f} points.")
print(f"Weights in memory after the long run: {given_away:.1f} points below its best epoch.")

# %% [markdown]
# - Augmentation is tested by a pair of runs with equal budgets, and a gap is measured on clean
#   images.
# - Watch the loss if probabilities matter, accuracy if only the winner does; restore the best
#   weights, because memory holds the last ones.
# - Whatever chooses an epoch must not judge it.
# - A comparison of batch sizes names what is equal: epochs, steps or seconds; and what happens to
#   the rate.
# - Smoothed curves come late. Name runs by what they are.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Exercises
#
# Put your answer in the place of `...` and run the cell. It tells you what kind of mistake you made
# and gives one hint at a time; ask as often as you like.

# %% [markdown]
# **Exercise 1.** S4 trained on 50,000 images for `s4["epochs"]` epochs with batches of 64. How many
# whole epochs does a batch size of 512 need to take at least as many steps?

# %% tags=["exercise"]
needed_epochs = ...  # a whole number
exercises.check("08.1", needed_epochs)

# %% tags=["solution"]
steps_taken = s4["epochs"] * math.ceil(50_000 / 64)
needed_epochs = math.ceil(steps_taken / math.ceil(50_000 / 512))
exercises.check("08.1", needed_epochs)

# %% tags=["check"]
steps_64, steps_512 = math.ceil(50_000 / 64), math.ceil(50_000 / 512)
exact = s4["epochs"] * steps_64 / steps_512
rule = exercises.Rule(
    "08.1",
    expected=math.ceil(exact),
    wants="a whole number",
    because="An epoch has 782 steps with batches of 64 and 98 with batches of 512: the last batch "
    "of an epoch is a smaller one, and counts as a step. So a comparison at equal steps costs "
    "nearly eight times the images.",
    mistakes=[
        exercises.Mistake(
            "that counts images, and the last batch of an epoch is not full",
            example=8 * s4["epochs"],
            hints=[
                "How many steps has an epoch with each batch size? Round up: what is left over "
                "makes one more step.",
                "`math.ceil(50_000 / 512)` is the number of steps of an epoch.",
            ],
        ),
        exercises.Mistake(
            "the last epoch would be a broken one",
            example=math.floor(exact),
            when=lambda answer: math.floor(exact) <= answer < math.ceil(exact),
            hints=["Whole epochs, and *at least* as many steps: which way do you round?"],
        ),
        exercises.Mistake(
            "larger batches take fewer steps per epoch, so they need more epochs",
            example=math.ceil(s4["epochs"] * steps_512 / steps_64),
            when=lambda answer: 0 < answer < s4["epochs"],
            hints=["You divided the wrong way round."],
        ),
        exercises.Mistake(
            "that would be equal epochs",
            example=s4["epochs"],
            hints=["The number of *steps* is to be equal. An epoch of 512s has fewer of them."],
        ),
    ],
    hints=[
        "First the number of steps that S4 took in all.",
        "Divide it by the steps of one epoch with batches of 512, and round up.",
    ],
)

# %% [markdown]
# **Exercise 2.** A network answers eight images. For six of them its confidence is 0.95, and three
# of these answers are right. For the other two it is 0.65, and both are right. Compute the expected
# calibration error with pencil and paper (ten bins).

# %% tags=["exercise"]
by_hand = ...  # a number between 0 and 1
exercises.check("08.2", by_hand)

# %% tags=["solution"]
sure = np.array([0.95] * 6 + [0.65] * 2)
true_classes = [0, 0, 0, 1, 1, 1, 0, 0]  # the network always answers class 0
by_hand = calibration_error(np.column_stack([sure, 1 - sure]), true_classes)
exercises.check("08.2", by_hand)

# %% tags=["check"]
distances = [abs(3 / 6 - 0.95), abs(2 / 2 - 0.65)]
rule = exercises.Rule(
    "08.2",
    expected=(6 * distances[0] + 2 * distances[1]) / 8,
    tolerance=0.002,
    wants="a number",
    because="Six answers are off by 0.45 and two by 0.35. That one bin is too sure and the other "
    "too modest does not cancel: distances are added.",
    mistakes=[
        exercises.Mistake(
            "too sure and too modest cancel each other in that number",
            example=(6 * distances[0] - 2 * distances[1]) / 8,
            hints=[
                "That is mean confidence minus accuracy of all eight. Take the bins apart first.",
                "Each bin counts with its distance, whatever its direction.",
            ],
        ),
        exercises.Mistake(
            "both bins count alike",
            example=sum(distances) / 2,
            hints=["One bin holds three times as many answers as the other. Weight them."],
        ),
        exercises.Mistake(
            "the weights are missing",
            example=sum(distances),
            hints=["Each bin counts with its share of the eight answers."],
        ),
        exercises.Mistake(
            "that is the share of wrong answers",
            example=3 / 8,
            hints=["How sure was the network of them? Compare confidence with accuracy, by bin."],
        ),
    ],
    hints=[
        "Two bins. In each: the share of right answers, the mean confidence, their distance.",
        "Then the mean of the two distances, weighted by 6 and by 2.",
    ],
)

# %% [markdown]
# **Exercise 3.** Beat the recipe. Train `build_network(width)` on `split.x_train`, in at most as
# many steps as the runs with augmentation had, and be right on more validation images than these
# were on average; the next cell prints both numbers. Everything else is yours: optimizer, rate,
# schedule (notebook 04), augmentation, batch size. Normalize with `augmentation.scale`. You hand in
# the network and the images that trained it.

# %%
most_steps = compared_epochs * math.ceil(len(split.x_train) / batch_size)
mean_augmented = float(np.mean(last_accuracy("augmented")))
to_beat = profile.pick(smoke=0.02, quick=mean_augmented, full=mean_augmented)
print(f"Beat {to_beat:.3f} on the validation images in at most {most_steps:,} steps.")

# %% tags=["exercise"]
my_network = ...  # my_network = build_network(width), then compile and train it
my_images = ...  # the images that trained it
exercises.check("08.3", (my_network, my_images))

# %% tags=["solution"]
my_network, my_images = build_network(width), split.x_train
schedule = callbacks.OneCycle(0.003, total_steps=most_steps)
my_network.compile(
    keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy", metrics=["accuracy"]
)
training.fit(
    my_network,
    batches(my_images, split.y_train, transforms=[augmentation.flip()]),
    name="08_my_network",
    epochs=compared_epochs,
    validation=validation,
)
exercises.check("08.3", (my_network, my_images))


# %% tags=["check"]
def validation_accuracy(net):
    predicted = training.predict(net, split.x_validation, augmentation.scale).argmax(axis=-1)
    return (predicted == split.y_validation).mean()


def steps_of(net):
    return int(net.optimizer.iterations) if net.compiled else 0


def never_right(count):
    """Return a network that always answers with an eleventh class, after so many steps."""
    stack = [keras.Input((32, 32, 3)), layers.GlobalAveragePooling2D(), layers.Dense(11)]
    net = keras.Sequential(stack)
    net.set_weights([np.zeros((3, 11)), np.eye(11)[10]])
    net.compile("adam")
    net.optimizer.iterations.assign(count)
    return net


def wider():
    return compiled(build_network(2 * width), "sgd")


def is_other(net):
    return net.count_params() > network.count_params()


rule = exercises.Rule(
    "08.3",
    right=lambda answer: (
        datasets.shared_images(answer[1], split.x_validation) == 0
        and datasets.shared_images(answer[1], data.x_test) == 0
        and not is_other(answer[0])
        and 0 < steps_of(answer[0]) <= most_steps
        and validation_accuracy(answer[0]) > to_beat
    ),
    like=(keras.Model, split.x_train),
    wants="your trained network and an array of the images that trained it",
    because="The same network, the same images, no more steps. Before you believe your recipe, "
    "train it with the other seeds, too.",
    mistakes=[
        exercises.Mistake(
            "validation images are among those that trained the network",
            example=(network, split.x_validation),
            when=lambda answer: datasets.shared_images(answer[1], split.x_validation) > 0,
            hints=["Those images are the judge. Train on `split.x_train`."],
        ),
        exercises.Mistake(
            "test images are among those that trained the network",
            example=(network, data.x_test),
            when=lambda answer: datasets.shared_images(answer[1], data.x_test) > 0,
            hints=["The test set is closed again. Train on `split.x_train`."],
        ),
        exercises.Mistake(
            "that is a larger network",
            example=(wider(), split.x_train),
            when=lambda answer: is_other(answer[0]),
            hints=["The recipe is to win, not the size: begin with `build_network(width)`."],
        ),
        exercises.Mistake(
            "it took more steps than the recipe",
            example=(never_right(most_steps + 1), split.x_train),
            when=lambda answer: steps_of(answer[0]) > most_steps,
            hints=[
                "`net.optimizer.iterations` counts them. A larger batch takes fewer steps per "
                "epoch; a fresh network begins at 0.",
            ],
        ),
        exercises.Mistake(
            "the network was not trained",
            example=(never_right(0), split.x_train),
            when=lambda answer: steps_of(answer[0]) == 0,
            hints=["Train it with `training.fit`, then hand it in."],
        ),
        exercises.Mistake(
            "it is not right on more images than the recipe",
            example=(never_right(most_steps), split.x_train),
            when=lambda answer: validation_accuracy(answer[0]) <= to_beat,
            hints=[
                "S4's rate is constant. What does a rate that falls to almost nothing at the end "
                "buy (notebook 04)?",
                "With so few epochs, is strong augmentation a help?",
                "Adam with `callbacks.OneCycle`, a peak of a few thousandths, and flips only.",
            ],
        ),
    ],
    hints=["Change one ingredient at a time, beginning with the schedule of the learning rate."],
)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Quiz

# %% [markdown] tags=["quiz"]
# Against epochs, the curve of batch size 512 lies below that of 64, at the same learning rate.
# What does the picture show?
#
# - [ ] Large batches do not converge.
#   > A curve that still rises has not stopped learning. It has taken an eighth of the steps.
# - [x] That the larger batch got less far in the same number of passes over the images.
#   > Right: with fewer steps and a rate that was chosen for another size. Draw it against steps and
#   > seconds, and with the rate scaled, before you judge.
# - [ ] Large batches overfit.
#   > Overfitting is a gap between training and validation, and this is one curve for each size.
# - [ ] That 64 is faster.
#   > Faster means seconds, and the axis counts epochs.

# %% [markdown] tags=["quiz"]
# The validation loss has risen since epoch 40, and so has the validation accuracy, a little. What
# has happened?
#
# - [ ] A bug: both can't rise.
#   > They can: they measure different things.
# - [x] The network gives a few more right answers and is too sure of its wrong ones.
#   > Right: the loss punishes confident mistakes hardest. The calibration error shows it.
# - [ ] The network has forgotten part of what it learned.
#   > Then the accuracy would fall.
# - [ ] The validation set is too small.
#   > That would make both curves jump about; it does not drive them apart for many epochs.

# %% [markdown] tags=["quiz"]
# You train with `ModelCheckpoint(save_best_only=True)` and call `evaluate` after `fit`. Which
# weights are measured?
#
# - [ ] Those of the best epoch.
#   > They are in the file. Nobody has put them back into the network.
# - [x] Those of the last epoch.
#   > Right: load the file first, or use `EarlyStopping` with `restore_best_weights=True`.
# - [ ] The mean of all epochs.
#   > Nothing is averaged here.
# - [ ] Those of the starting point.
#   > `fit` changes the network in memory, epoch by epoch.

# %% [markdown] tags=["quiz"]
# With augmentation and dropout, the training accuracy runs below the validation accuracy until the
# last epoch. Does the network overfit?
#
# - [ ] No, it can't: training is worse than validation.
#   > The two are measured differently: one with everything switched on, one without.
# - [ ] Yes, always.
#   > Nothing here says so.
# - [x] These two curves can't tell; measure accuracy on clean training images.
#   > Right: same weights, nothing random, then compare.

# %%
exercises.quiz("08")

# %% [markdown]
# ## Further reading
#
# - Simonyan and Zisserman (2014), *Very deep convolutional networks for large-scale image
#   recognition*: the VGG networks, with the table that M4.8 counts from.
# - He, Zhang, Ren and Sun (2015), *Delving deep into rectifiers*: where the initialization comes
#   from, with the calculation.
# - Prechelt (1998), *Early stopping – but when?*: fourteen stopping rules and what each costs in
#   time and buys in error.
# - Guo, Pleiss, Sun and Weinberger (2017), *On calibration of modern neural networks*: why networks
#   grow too sure, and a repair with one number.
# - Goyal et al. (2017), *Accurate, large minibatch SGD*: the linear scaling rule, warm-up, and
#   where both end.
# - Masters and Luschi (2018), *Revisiting small batch training for deep neural networks*: the case
#   for batches of 32 and less.
