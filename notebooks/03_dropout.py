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
# # 03 · Close the gap: dropout, depth and batch normalization
#
# At the end of this notebook you will have trained seven related networks, measured how far each
# is ahead on images it has seen, and made tables that say which change closed that gap, and at
# whose expense.
#
# **What you'll learn**
#
# - what dropout and batch normalization compute, in training and afterwards;
# - to measure the gap between training and validation so that it means something;
# - to tell a gap that closed because validation *rose* from one where training only *fell*;
# - to compare two networks at the same start, the same budget and with a spread.
#
# **What you'll need:** notebooks 01 (splits) and 02 (a first CNN, overfitting, confusion matrix).
# The set-up line below prints how long the notebook takes in your profile.
#
# The experiments re-create two older write-ups, called S2 (dropout and a "more complex" net) and S3
# (dropout and a batch normalization that was never there). You need neither.

# %%
from course_utils import profiles

profile = profiles.start("03")

# %%
import ast

import holoviews as hv
import keras
import numpy as np
import pandas as pd
from keras import layers

from course_utils import (
    augmentation,
    callbacks,
    dashboards,
    datasets,
    exercises,
    records,
    training,
)

dashboards.extension()

# %% [markdown] slideshow={"slide_type": "slide"}
# ## How large is this run?
#
# The nets of S2 run at their real size. The study on S3's net has more runs, so it gets fewer
# images, and outside the full profile a narrower net (fewer filters). Small data gets small
# batches, so that the weights get some hundred updates in the quick profile too. As in notebook 02,
# several *seeds* would show how much of a difference is luck; see how many your profile has.

# %%
train_images = profile.pick(smoke=500, quick=1800, full=50_000)
test_images = profile.pick(smoke=300, quick=1000, full=10_000)
validation_fraction = profile.pick(smoke=0.4, quick=1 / 3, full=0.1)
epochs = profile.pick(smoke=2, quick=7, full=8)
batch_size = profile.pick(smoke=50, quick=24, full=128)
seeds = range(profile.pick(smoke=1, quick=1, full=3))

study_images = profile.pick(smoke=300, quick=1000, full=8_000)
study_width = profile.pick(smoke=4, quick=8, full=32)  # S3's net has 32 filters in its first layer
study_batch_size = profile.pick(smoke=50, quick=20, full=64)
study_seeds = range(profile.pick(smoke=1, quick=1, full=3))
dip_seeds = range(profile.pick(smoke=2, quick=3, full=3))

# %%
data = datasets.load_cifar10(train_images=train_images, test_images=test_images)
split = datasets.train_validation_split(
    data.x_train, data.y_train, validation_fraction=validation_fraction, seed=0
)
shared = datasets.shared_images(split.x_train, split.x_validation)
if not data.stand_in:
    assert shared == 0, f"{shared} validation images are also training images"
print(f"{len(split.x_train):,} training, {len(split.x_validation):,} validation images")

# %% [markdown]
# The test images stay closed until the last section.
#
# `Batches` draws batches and divides the pixel values by 255, which is all that S2 did.
# Besides the shuffled training batches you need two sets to *measure* on: the validation images,
# and as many images of the training set.

# %%
x_study, y_study = datasets.stratified_subset(
    split.x_train, split.y_train, min(study_images, len(split.x_train)), seed=0
)


def shuffled(images, labels, size, seed, transforms=()):
    return augmentation.Batches(
        images,
        labels,
        batch_size=size,
        normalize=augmentation.scale,
        transforms=transforms,
        shuffle=True,
        seed=seed,
    )


def in_order(images, labels):
    return augmentation.Batches(images, labels, batch_size=500, normalize=augmentation.scale)


validation = in_order(split.x_validation, split.y_validation)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What does dropout do to a layer's output?
#
# *Dropout* (Srivastava et al., 2014) sets a random part of a layer's outputs to zero while the
# network trains, and does nothing afterwards. The *rate* p is the chance that a value is dropped.
# The two ways of running a network have names: **training mode** (dropout on) and **inference
# mode** (dropout off, used for predictions).
#
# S2 said that the dropped set changes with each batch, and did not mention any scaling (M2.7).
#
# **Before you run this:** a layer gets six rows of ones, p is one half. How many different rows
# come out, and which values?

# %%
dropout = layers.Dropout(0.5, seed=0)
ones = np.ones((6, 10), dtype="float32")
dropped = keras.ops.convert_to_numpy(dropout(ones, training=True))
print(dropped)
print(f"different rows: {len(np.unique(dropped, axis=0))} of {len(dropped)}")

# %%
# NBVAL_CHECK_OUTPUT
many = keras.ops.convert_to_numpy(dropout(np.ones((1000, 100), "float32"), training=True))
print("values in training mode :", np.unique(many))
print("mean in training mode   :", round(float(many.mean()), 1))
print("values in inference mode:", np.unique(dropout(ones, training=False)))

# %% [markdown]
# Each *sample* (row) gets its own mask, also within one batch. The values that stay are divided by
# 1 − p, so that the mean is unchanged: without that scaling the next layer would see larger sums
# in inference mode than it ever saw in training.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## How do you measure a gap fairly?
#
# The accuracy that `fit` reports for the training images is an average over the epoch (one pass
# over the training images), collected in training mode while the weights still change. Validation
# is measured afterwards, in inference mode. Subtracting one from the other mixes three effects.
#
# This callback (an object that `fit` calls at fixed moments) does what `TrainingAccuracy` did in
# notebook 02, for the loss too: it measures training images exactly the way validation images are
# measured. The **gap** of this notebook is `inference_accuracy` minus `val_accuracy`.


# %%
class MeasureAfterEpoch(keras.callbacks.Callback):
    """Add loss and accuracy on fixed batches, in inference mode, to each epoch's record."""

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def on_epoch_end(self, epoch, logs=None):
        for metric, value in training.evaluate(self.model, self.batches).items():
            logs[f"inference_{metric}"] = value


# %% [markdown] slideshow={"slide_type": "slide"}
# ## Does dropout close the gap of a simple net?
#
# This is S2's simple net from notebook 02, with two dropout layers. With `rates=(0, 0)` they do
# nothing: that is the baseline. With `(0.25, 0.5)` it is S2's second model.


# %%
def simple_net(rates=(0.0, 0.0)):
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Dropout(rates[0]),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(rates[1]),
            layers.Dense(10, activation="softmax"),
        ]
    )


dashboards.layer_table(simple_net()).drop(columns="layer")

# %% [markdown]
# Nearly all parameters sit in the first dense layer, most multiply-adds in the second convolution.
# (A *multiply-add* is one product added to a sum, the unit of work of a network.)
#
# Two nets are compared fairly when they differ in one thing only. So the second net starts with the
# *weights* (the parameters) of the first: the same seed alone does not do that, as you will see
# under M3.3.


# %%
def copy_start(source, target):
    """Give `target` the initial convolution and dense weights of `source`."""
    with_weights = (layers.Conv2D, layers.Dense)
    pairs = zip(
        [layer for layer in source.layers if isinstance(layer, with_weights)],
        [layer for layer in target.layers if isinstance(layer, with_weights)],
        strict=True,
    )
    for original, copy in pairs:
        copy.set_weights(original.get_weights())


# %% [markdown]
# S2 trained with Adadelta (Zeiler, 2012) at the defaults of its time. Keras 3 has another default
# rate, a thousand times smaller, so the old one is written out. The loss, cross-entropy, is the
# negative logarithm of the probability that the net gives to the true class.


# %%
def compile_net(model, optimizer):
    loss = "sparse_categorical_crossentropy"
    model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"])


# %%
def train_s2(model, name, seed, *more_callbacks):
    compile_net(model, keras.optimizers.Adadelta(learning_rate=1.0, rho=0.95))
    count = validation.num_images
    measured = in_order(split.x_train[:count], split.y_train[:count])
    run = training.fit(
        model,
        shuffled(split.x_train, split.y_train, batch_size, seed),
        name=f"03_{name}_seed{seed}",
        epochs=epochs,
        validation=validation,
        callbacks=[MeasureAfterEpoch(measured), *more_callbacks],
        seed=seed,
        progress="line",
    )
    trained_nets[run.name] = model, seed
    return run


models, runs = {}, {}  # by the net's name: the trained net of the first seed, the runs of all seeds
trained_nets = {}  # by the run's name: every net and its seed, for the end

# %% [markdown]
# While a net trains, you see one line with the epoch, the batch, the seconds left and the metrics,
# and below it curves of loss and accuracy that grow; where a full run is on record, it is drawn in
# lighter lines. In the end only the line stays. Every finished epoch is saved: interrupt the kernel
# when you like, nothing of it is lost. Run the cell again and the training goes on.
#
# **Before you run this:** after the last epoch, which of the two nets will be better on training
# images, and which on validation images?

# %%
runs |= {"simple": [], "simple + dropout": []}
for seed in seeds:
    training.seed_everything(seed)
    plain, dropped_out = simple_net(), simple_net(rates=(0.25, 0.5))
    copy_start(plain, dropped_out)
    runs["simple"].append(train_s2(plain, "simple", seed))
    runs["simple + dropout"].append(train_s2(dropped_out, "simple_dropout", seed))
    if seed == seeds[0]:
        models |= {"simple": plain, "simple + dropout": dropped_out}


# %%
def in_inference_mode(history):
    return {
        f"{prefix}{metric}": history[f"{prefix or 'inference_'}{metric}"]
        for prefix in ("", "val_")
        for metric in ("loss", "accuracy")
    }


dashboards.learning_curves(
    in_inference_mode(runs["simple"][0].history), title="The simple net without dropout"
)

# %% [markdown]
# In each panel, read the distance between the solid line (training) and the dashed one
# (validation), and whether it grows. Training that goes on improving after validation has leveled
# off, or after the validation loss has turned upward, is overfitting. Lines that still run side by
# side say that the net has not begun to memorize.

# %%
curves = {}
for name in ("simple", "simple + dropout"):
    history = runs[name][0].history
    curves[f"{name}: training"] = {"accuracy": history["inference_accuracy"]}
    curves[f"{name}: validation"] = {"accuracy": history["val_accuracy"]}
dashboards.compare_runs(
    curves, metric="accuracy", title="Training and validation, both in inference mode"
)


# %% [markdown]
# Compare the two training curves first, then the two validation curves. Dropout can narrow the
# distance from above, from below, or both. The next cells say which it was.


# %%
def final(name, metric):
    """Return the last epoch's value of each seed."""
    return np.array([run.history[metric][-1] for run in runs[name]])


def change_of(name, baseline, metric):
    return 100 * (final(name, metric) - final(baseline, metric)).mean()


# %%
def read_gap(name, baseline):
    train = change_of(name, baseline, "inference_accuracy")
    valid = change_of(name, baseline, "val_accuracy")
    print(f"{name} against {baseline}, {len(runs[name])} seed(s), in points: ", end="")
    print(f"training {train:+z.1f}, validation {valid:+z.1f}, so the gap {train - valid:+z.1f}")
    gap = (final(baseline, "inference_accuracy") - final(baseline, "val_accuracy")).mean()
    if gap <= 0:
        print(f"  -> there was no gap to close: {baseline!r} is not ahead on training images.")
    elif train - valid > -0.1:
        print("  -> the gap did not shrink.")
    else:
        rise = min(max(valid, 0) / (valid - train), 1)
        print(f"  -> it shrank: {rise:.0%} of that is better validation,", end=" ")
        print(f"{1 - rise:.0%} training accuracy given up.")


read_gap("simple + dropout", "simple")

# %% [markdown]
# A gap that closes only because training accuracy falls is no gain: a net that guesses has no gap
# at all. Look for a *rise* in validation, and keep in mind how coarse the ruler is:

# %%
correct = round(final("simple", "val_accuracy")[0] * validation.num_images)
low, high = training.accuracy_interval(correct, validation.num_images)
print(f"95 % interval of one validation accuracy here: {low:.3f} to {high:.3f}")

# %% [markdown] slideshow={"slide_type": "slide"}
# ### What goes wrong: the training curve is measured with dropout on (M2.8)
#
# S2 drew the training accuracy as `fit` reports it. In its dropout run validation starts *above*
# training, which looks as if the net were better on images it never saw.

# %%
measured = runs["simple + dropout"][0].history
three = {
    "training, during the epoch, dropout on": measured["accuracy"],
    "training, after the epoch, dropout off": measured["inference_accuracy"],
    "validation, after the epoch, dropout off": measured["val_accuracy"],
}
dashboards.compare_runs(
    {name: {"accuracy": values} for name, values in three.items()},
    metric="accuracy",
    title="One run with dropout, measured in three ways",
)

# %%
old = training.reported("S2")["dropout"]
above = sum(v > t for v, t in zip(old["val_accuracy"], old["accuracy"], strict=True))
here = sum(v > t for v, t in zip(measured["val_accuracy"], measured["accuracy"], strict=True))
print(f"S2's dropout run: validation above reported training in {above} of {old['epochs']} epochs")
print(f"here            : {here} of {epochs} epochs")
hidden = 100 * (measured["inference_accuracy"][-1] - measured["accuracy"][-1])
print(f"last epoch here : measuring afterwards changes training accuracy by {hidden:+z.1f} points")

# %% [markdown]
# The first two lines are the same net on training images; what lies between them is how and when
# (and on how many of them) it was measured. The gap is the distance of the second line from the
# third.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Is a deeper net better?
#
# S2's third model repeats "two convolutions, pooling, dropout" and has a wider dense layer. It was
# called more complex. The first convolution of each pair pads the image with zeros (`same`), so
# that its output is not smaller than its input.


# %%
def deeper_net():
    model = keras.Sequential([keras.Input((32, 32, 3))])
    for filters in (32, 64):
        model.add(layers.Conv2D(filters, 3, padding="same", activation="relu"))
        model.add(layers.Conv2D(filters, 3, activation="relu"))
        model.add(layers.MaxPooling2D())
        model.add(layers.Dropout(0.25))
    model.add(layers.Flatten())
    model.add(layers.Dense(512, activation="relu"))
    model.add(layers.Dropout(0.5))
    model.add(layers.Dense(10, activation="softmax"))
    return model


# %%
# NBVAL_CHECK_OUTPUT
dashboards.layer_table(deeper_net()).drop(columns="layer")

# %% [markdown]
# ### What goes wrong: "more complex" is smaller (M2.5)
#
# **Before you run this:** which net has more parameters?

# %%
# NBVAL_CHECK_OUTPUT
sizes = {"simple": simple_net().count_params(), "deeper": deeper_net().count_params()}
print(sizes)
print(f"the deeper net has {sizes['deeper'] - sizes['simple']:+,} parameters")

# %% [markdown]
# Depth is not size. The second pooling step leaves fewer values for the dense layer to connect to,
# and that layer was where the parameters were. What grew is the number of layers between pixel and
# answer.
#
# The deeper net gets the same number of updates (one *update* of the weights per batch) as the
# other two. A second callback keeps the weights of its best epoch on validation, for later.


# %%
class KeepBest(keras.callbacks.Callback):
    """Remember the weights of the epoch with the highest validation accuracy."""

    def __init__(self):
        super().__init__()
        self.best, self.weights = -1.0, []

    def on_epoch_end(self, epoch, logs=None):
        if logs["val_accuracy"] > self.best:
            self.best, self.weights = logs["val_accuracy"], self.model.get_weights()


# %%
runs["deeper + dropout"], best_net = [], deeper_net()
for seed in seeds:
    training.seed_everything(seed)
    deeper, keep_best = deeper_net(), KeepBest()
    run = train_s2(deeper, "deeper_dropout", seed, keep_best)
    runs["deeper + dropout"].append(run)
    if not run.reused:  # a finished run is read back without calling its callbacks
        best_net.set_weights(keep_best.weights)
        best_net.save_weights(run.path / "best.weights.h5")
    if seed == seeds[0]:
        models["deeper + dropout"] = deeper

# %%
deeper_history = runs["deeper + dropout"][0].history
curves = {
    "simple + dropout: validation": runs["simple + dropout"][0].history["val_accuracy"],
    "deeper + dropout: validation": deeper_history["val_accuracy"],
    "deeper + dropout: training": deeper_history["inference_accuracy"],
}
dashboards.compare_runs(
    {name: {"accuracy": values} for name, values in curves.items()},
    metric="accuracy",
    title="A deeper net with the same dropout, at equal updates",
)

# %%
read_gap("deeper + dropout", "simple")
read_gap("deeper + dropout", "simple + dropout")

# %% [markdown]
# The plot S2 drew had these three curves too, at unequal lengths. Here they end at the same
# update, so the heights at the right edge can be compared. A deeper net with much dropout may need
# more updates to get going: check whether its curves still rise at the right edge before you judge
# it.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## How do the three gaps compare?


# %%
def with_gap(run):
    pairs = zip(run.history["inference_accuracy"], run.history["val_accuracy"], strict=True)
    return {"gap": [train - valid for train, valid in pairs]}


s2_names = ["simple", "simple + dropout", "deeper + dropout"]
dashboards.compare_runs(
    {name: [with_gap(run) for run in runs[name]] for name in s2_names},
    metric="gap",
    title="Gap between training and validation accuracy, S2's nets",
)

# %% [markdown]
# A line that climbs shows a net that gets further ahead on images it has seen. A line that wavers
# around zero shows no gap, which is no praise as long as the net has learned little.


# %%
def gap_row(name):
    train, valid = final(name, "inference_accuracy"), final(name, "val_accuracy")
    return {
        "net": name,
        "training": train.mean(),
        "validation": valid.mean(),
        "gap": (train - valid).mean(),
        "gap, sd": (train - valid).std(ddof=1) if len(valid) > 1 else np.nan,
        "seeds": len(valid),
        "parameters": models[name].count_params(),
        "multiply-adds": dashboards.layer_table(models[name])["multiply-adds"].sum(),
    }


def gap_table(names):
    return pd.DataFrame([gap_row(name) for name in names]).set_index("net").round(3)


gap_table(s2_names)

# %% [markdown]
# Read a row from left to right: accuracy on seen images, on unseen ones, the difference, and what
# the net costs. A spread (sd, standard deviation over seeds) needs at least two seeds; where it is
# NaN, one run is all you have, and a small difference decides nothing.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What does batch normalization compute?
#
# *Batch normalization* (Ioffe and Szegedy, 2015) takes each channel of a batch (all answers of one
# filter), subtracts their mean and divides by their standard deviation. S3 described it as forcing
# mean 0 and standard deviation 1 and left out two halves (M3.6): what comes next is multiplied by a
# learned **gamma** and shifted by a learned **beta**; and in inference mode there is no batch to
# lean on, so moving averages from training are used.

# %%
activations = np.random.default_rng(0).normal(5, 3, size=(2000, 1)).astype("float32")


def new_normalization(gamma=1.0, beta=0.0):
    normalization = layers.BatchNormalization(momentum=0.9)
    normalization.build(activations.shape)
    normalization.gamma.assign([gamma])
    normalization.beta.assign([beta])
    return normalization


def mean_and_sd(normalization, training_mode):
    output = keras.ops.convert_to_numpy(normalization(activations, training=training_mode))
    return f"mean {output.mean():z.1f}, sd {output.std():.1f}"


# %%
# NBVAL_CHECK_OUTPUT
print(
    f"input                            : mean {activations.mean():.1f}, sd {activations.std():.1f}"
)
normalization = new_normalization()
print("training mode, gamma 1, beta 0   :", mean_and_sd(normalization, True))
normalization = new_normalization(gamma=2.0, beta=3.0)
print("inference mode, before any batch :", mean_and_sd(normalization, False))
print("training mode, gamma 2, beta 3   :", mean_and_sd(normalization, True))
print("inference mode, after one batch  :", mean_and_sd(normalization, False))
for _ in range(50):
    normalization(activations, training=True)
print("inference mode, after 51 batches :", mean_and_sd(normalization, False))

# %% [markdown]
# In training mode the output has the mean and the spread that beta and gamma say. In inference mode
# the same input comes out differently until the moving averages have caught up. `momentum` says how
# slowly they move: Keras's default of 0.99 needs several hundred batches. On a small subset that
# can make a well-trained net look broken in validation, which is why the nets below use 0.9.
#
# *Why* it helps is still argued about. S3 gives "internal covariate shift" (the inputs of a layer
# drifting during training) as the settled cause. Santurkar et al. (2018) added such a drift on
# purpose, after the normalization, and the net trained about as well. They credit a smoother loss:
# its slope changes less from step to step.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Dropout, batch normalization, or both?
#
# A *regularizer* is anything that keeps a net from memorizing. S3's net has three blocks of two
# convolutions; `dropout` and `batch_norm` are its two switches, so one function builds all four
# nets of a 2×2 study. `width` is the number of filters in the first layer; the other layers grow
# in proportion.


# %%
def block_net(width=32, *, dropout=True, batch_norm=False):
    model = keras.Sequential([keras.Input((32, 32, 3))])
    for filters in (width, 2 * width, 4 * width):
        for _ in range(2):
            model.add(layers.Conv2D(filters, 3, padding="same"))
            if batch_norm:
                model.add(layers.BatchNormalization(momentum=0.9))
            model.add(layers.ReLU())
        model.add(layers.MaxPooling2D())
        model.add(layers.Dropout(0.2 if dropout else 0.0))
    model.add(layers.Flatten())
    model.add(layers.Dense(16 * width, activation="relu"))
    model.add(layers.Dropout(0.5 if dropout else 0.0))
    model.add(layers.Dense(10, activation="softmax"))
    return model


dashboards.layer_table(block_net(32, dropout=True, batch_norm=False)).drop(columns="layer")

# %% [markdown]
# ### What goes wrong: batch normalization that isn't there (M3.1), parameters that stay (M3.6)
#
# S3 announced dropout *and* batch normalization, and said that dropout reduces the number of
# parameters. The table above is its net as published (with ReLU as a layer of its own). Text can
# claim anything; the list of layer types can't:

# %%
switches = {
    "none": {"dropout": False, "batch_norm": False},
    "dropout": {"dropout": True, "batch_norm": False},
    "batch norm": {"dropout": False, "batch_norm": True},
    "both": {"dropout": True, "batch_norm": True},
}


def what_is_inside(net):
    dropouts = [layer for layer in net.layers if isinstance(layer, layers.Dropout)]
    return {
        "active dropout layers": sum(layer.rate > 0 for layer in dropouts),
        "batch normalizations": sum(isinstance(x, layers.BatchNormalization) for x in net.layers),
        "parameters": net.count_params(),
        "not trained": sum(int(np.prod(weight.shape)) for weight in net.non_trainable_weights),
    }


# %%
# NBVAL_CHECK_OUTPUT
pd.DataFrame({name: what_is_inside(block_net(32, **switches[name])) for name in switches}).T

# %% [markdown]
# S3 published the second row and explained the fourth. Dropout leaves the number of parameters
# alone: it trains random sub-networks that share them. Batch normalization *adds* four values for
# each channel: gamma and beta, which are trained, and the two moving averages, which are not.
#
# Now the study S3 would have needed: four nets, equal starts, equal epochs, and S3's optimizer,
# Adam.


# %%
def train_s3(model, name, seed):
    compile_net(model, keras.optimizers.Adam(learning_rate=0.001))
    count = validation.num_images
    measured = in_order(x_study[:count], y_study[:count])
    run = training.fit(
        model,
        shuffled(x_study, y_study, study_batch_size, seed),
        name=f"03_study_{name}_seed{seed}",
        epochs=epochs,
        validation=validation,
        callbacks=[MeasureAfterEpoch(measured)],
        seed=seed,
        progress="line",
    )
    trained_nets[run.name] = model, seed
    return run


# %%
def start_study(name, seed):
    """Build one net of the study with the initial weights that all four share."""
    training.seed_everything(seed)
    template = block_net(study_width, **switches["none"])
    model = block_net(study_width, **switches[name])
    copy_start(template, model)
    return model


# %% [markdown]
# **Before you run this:** rank the four nets by gap and, separately, by validation accuracy.

# %%
for name in switches:
    runs[name] = []
    for seed in study_seeds:
        model = start_study(name, seed)
        runs[name].append(train_s3(model, name.replace(" ", "_"), seed))
        if seed == study_seeds[0]:
            models[name] = model

# %%
dashboards.compare_runs(
    {name: [run.history for run in runs[name]] for name in switches},
    metric="val_accuracy",
    title="Validation accuracy in the 2×2 study",
)

# %% [markdown]
# The height at the right edge says who predicts new images best; the slope there, who might still
# improve with more epochs.

# %%
dashboards.compare_runs(
    {name: [with_gap(run) for run in runs[name]] for name in switches},
    metric="gap",
    title="Gap between training and validation accuracy in the 2×2 study",
)

# %%
gap_table(switches)

# %%
for name in ("dropout", "batch norm", "both"):
    read_gap(name, "none")
best_gap = gap_table(switches)["gap"].idxmin()
best_validation = max(switches, key=lambda name: final(name, "val_accuracy").mean())
print(f"smallest gap: {best_gap}; highest validation accuracy: {best_validation}")

# %%
for name in runs:
    gaps = final(name, "inference_accuracy") - final(name, "val_accuracy")
    for seed, gap in enumerate(gaps):
        records.note(records.experiment(runs[name][seed].name), seed=seed, gap=gap)
print(records.summary({name: records.experiment(runs[name][0].name) for name in runs}))

# %% [markdown]
# The last lines tell of the full run: S2's nets on all training images, the study on more of them.
#
# Dropout can only help a net that overfits, so look at the gap of "none" first. Where it is small,
# or the validation curves still rise at the right edge, the run is too short for dropout to pay: it
# tends to slow learning now and to prevent memorizing later.
#
# The two rankings need not agree: the gap says how much of what was learned is memory, not how
# much was learned. Batch normalization mostly speeds training up, so it may reach a higher
# validation accuracy *and* a larger gap, fitting the training images sooner as well. It
# regularizes a little too, since each image is normalized with the chance company of its batch.
#
# S3 names slow convergence as the source of dropout's gain and praises batch normalization for
# speed (M3.6). How fast was each?

# %%
level = min(max(runs[name][0].history["val_accuracy"]) for name in switches)
for name in switches:
    reached = np.array(runs[name][0].history["val_accuracy"]) >= level
    print(f"{name:11s}reaches validation accuracy {level:.3f} in epoch {np.argmax(reached) + 1}")

# %% [markdown]
# That level is the best that the weakest of the four reached. An early epoch there means fast
# learning and does not say where the net will end.
#
# Last, the two modes on a *trained* net: one batch of validation images through a copy of the net
# with batch normalization. (A copy, because calling a net in training mode moves its averages.)

# %%
trained = keras.models.clone_model(models["batch norm"])
trained.set_weights(models["batch norm"].get_weights())
images, _ = validation[0]
modes = {mode: keras.ops.argmax(trained(images, training=mode), axis=-1) for mode in (False, True)}
different = float(keras.ops.mean(modes[False] != modes[True]))
print(f"{different:.1%} of {len(images)} predictions depend on the mode")

# %%
last = [layer for layer in trained.layers if isinstance(layer, layers.BatchNormalization)][-1]
gamma, beta = (keras.ops.convert_to_numpy(value) for value in (last.gamma, last.beta))
print(f"last such layer: gamma {gamma.min():.2f} to {gamma.max():.2f}, ", end="")
print(f"beta {beta.min():.2f} to {beta.max():.2f}")

# %% [markdown]
# The first number shows that "the prediction of a net" is incomplete without the mode. It is
# large while the moving averages lag behind. The second line shows what training made of
# gamma and beta, which started at 1 and 0 in each channel: the further they went, the less is left
# of "mean 0, standard deviation 1".

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What goes wrong: reading a dip (M3.5)
#
# S3 saw a dip in a validation curve and concluded: more epochs, or regularization. These are
# opposite remedies, and the dip may be nothing. Train the net with dropout from several seeds and
# look where each curve falls most (or, if it never falls, rises least).

# %%
dips = {}
for seed in dip_seeds:
    if seed in study_seeds:
        dips[seed] = runs["dropout"][seed].history
    else:
        dips[seed] = train_s3(start_study("dropout", seed), "dropout", seed).history

# %%
numbers = np.arange(1, epochs + 1)
lines = {f"seed {seed}": (numbers, record["val_accuracy"]) for seed, record in dips.items()}
mean = np.mean([record["val_accuracy"] for record in dips.values()], axis=0)
lines["mean of the seeds, smoothed"] = (numbers, dashboards.smooth(mean, 3))
dashboards.line_plot(
    lines,
    title="Do the dips of one net with several seeds agree?",
    xlabel="epoch",
    ylabel="validation accuracy",
)

# %% [markdown]
# Look for dips: does one seed's dip have company in the same epoch? The smoothed line averages over
# the seeds and over three neighboring epochs. What it still shows is more likely to be the net.

# %%
rows = []
for seed, record in dips.items():
    steps = np.diff(record["val_accuracy"])
    rows.append(
        {
            "seed": seed,
            "lowest step in epoch": int(np.argmin(steps)) + 2,
            "step, points": 100 * steps.min(),
            "lowest validation loss in epoch": int(np.argmin(record["val_loss"])) + 1,
        }
    )
table = pd.DataFrame(rows).set_index("seed").round(1)
places = table["lowest step in epoch"].nunique()
print(f"{len(table)} seeds, lowest step in {places} different epoch(s)")
table

# %% [markdown]
# A lowest step that moves from seed to seed belongs to the seed and not to the net. What does carry
# a decision is the smoothed curve and the epoch of the lowest validation *loss*: the last epoch
# says "train longer", an early one followed by a rise says "regularize or stop".

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What goes wrong: unequal budgets (M2.4) and the last epoch (M2.6)
#
# S2 trained its three nets for different numbers of epochs and compared the last values, one run
# each. Here are its own numbers (its "validation" was the test set), at three moments: the last
# epoch, the best, and the last epoch that all three share.

# %%
s2, s3 = training.reported("S2"), training.reported("S3")
shared_epochs = min(s2[name]["epochs"] for name in s2)
pd.DataFrame.from_dict(
    {
        name: {
            "epochs": s2[name]["epochs"],
            "last": s2[name]["val_accuracy"][-1],
            "best": max(s2[name]["val_accuracy"]),
            "best in epoch": int(np.argmax(s2[name]["val_accuracy"])) + 1,
            f"at epoch {shared_epochs}": s2[name]["val_accuracy"][shared_epochs - 1],
        }
        for name in ("simple", "dropout", "complex")
    },
    orient="index",
)

# %%
for name in ("dropout", "complex"):
    values, base = s2[name]["val_accuracy"], s2["simple"]["val_accuracy"]
    equal = 100 * (values[shared_epochs - 1] - base[shared_epochs - 1])
    print(f"{name} minus simple: {100 * (values[-1] - base[-1]):.2f} points as published, ", end="")
    print(f"{equal:.2f} at epoch {shared_epochs}")
drop = 100 * (max(s2["complex"]["val_accuracy"]) - s2["complex"]["val_accuracy"][-1])
print(f"one epoch of difference at the end of the third run: {drop:.2f} points")

# %% [markdown]
# Most of the published gain came with the extra epochs, and a single step at the end of the third
# run is as large as the published gain of dropout. The remedies: equal updates (as above), or each
# net to its own best epoch *on validation*; and several seeds. Here is the kept best epoch of the
# deeper net, next to its last:

# %%
values = deeper_history["val_accuracy"]
best_net.load_weights(runs["deeper + dropout"][0].path / "best.weights.h5")
best_net.compile(optimizer=None, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
restored = training.evaluate(best_net, validation)["accuracy"]
print(f"last epoch {values[-1]:.3f}; best, epoch {np.argmax(values) + 1}: {max(values):.3f}")
assert abs(restored - max(values)) < 0.002, "the restored weights are not those of the best epoch"
models["deeper + dropout, best epoch"] = best_net

# %%
for name in [*s2_names, *switches]:
    values = final(name, "val_accuracy")
    spread = f"± {values.std(ddof=1):.3f}" if len(values) > 1 else "(no spread)"
    print(f"{name:18s}validation {values.mean():.3f} {spread}, {len(values)} seed(s)")
ends = [record["val_accuracy"][-1] for record in dips.values()]
print(f"S3's net with dropout, {len(ends)} seeds: sd {100 * np.std(ends, ddof=1):.1f} points")

# %% [markdown]
# The sd is the standard deviation between seeds. Use the last line as a ruler, a rough one from so
# few seeds: two single runs that differ by less than about three times that number are not ranked
# (each of the two has its own luck). And the best of all epochs looks a little too good on the data
# that chose it; only data that had no say in the choice can tell by how much.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## How good are these nets at their authors' length?
#
# A comparison needs equal updates. To see what one net *can* do, give it all the epochs that its
# author gave it. Two things change here, both for the good of the net: half of the training images
# are mirrored, at random and anew in each epoch (notebook 08 measures what that brings), and the
# rate of Adam climbs first and then descends to almost nothing (*one cycle*, notebook 04). The full
# profile trains all four published nets, the others only the first one, and not as long.

# %%
as_published = {
    "simple": (simple_net, s2["simple"]),
    "simple + dropout": (lambda: simple_net(rates=(0.25, 0.5)), s2["dropout"]),
    "deeper + dropout": (deeper_net, s2["complex"]),
    "three blocks + dropout": (block_net, s3["dropout"]),
}
number_trained = profile.pick(smoke=1, quick=1, full=len(as_published))
longest = profile.pick(smoke=1, quick=6, full=s3["dropout"]["epochs"])  # S3 trained the longest


# %%
def train_to_the_end(name):
    build, source = as_published[name]
    training.seed_everything(0)
    model, length = build(), min(source["epochs"], longest)
    batches = shuffled(
        split.x_train, split.y_train, batch_size, seed=0, transforms=[augmentation.flip()]
    )
    one_cycle = callbacks.OneCycle(peak=0.002, total_steps=length * len(batches))
    compile_net(model, keras.optimizers.Adam(one_cycle))
    run = training.fit(
        model,
        batches,
        name=f"03_to_the_end_{name.replace(' + ', '_').replace(' ', '_')}_seed0",
        epochs=length,
        validation=validation,
        seed=0,
        progress="line",
    )
    trained_nets[run.name] = model, 0
    return run


# %%
to_the_end = {name: train_to_the_end(name) for name in list(as_published)[:number_trained]}

# %%
dashboards.compare_runs(
    {name: run.history for name, run in to_the_end.items()},
    metric="val_accuracy",
    title="Validation accuracy with mirrored images and a rate in one cycle",
)

# %% [markdown]
# Look at the right end. A rate that descends to nothing makes the last steps tiny, so a curve
# should come to rest there, in place of jumping from epoch to epoch. Do not rank the nets by this
# picture, since each has its own length; what their authors reported stands beside them below, once
# the test set is open.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What goes wrong: no before and after (M2.10)
#
# S2 drew a confusion matrix of its worst net only, with the diagonal outshining the rest. What did
# the deeper net *change*? Subtract: deeper minus simple, on the same validation images, diagonal
# removed.

# %%
counts = {
    name: dashboards.confusion_counts(
        split.y_validation,
        training.predict(models[name], split.x_validation, augmentation.scale).argmax(axis=-1),
        10,
    )
    for name in ("simple", "deeper + dropout")
}
difference = (counts["deeper + dropout"] - counts["simple"]).astype(float)
last_epoch = [final(name, "val_accuracy")[0] for name in ("simple", "deeper + dropout")]
more_right = np.trace(difference) / validation.num_images
assert abs(more_right - np.diff(last_epoch)[0]) < 0.002, "matrix and history must agree"
gained = dict(zip(data.class_names, np.diag(difference).astype(int).tolist(), strict=True))
np.fill_diagonal(difference, np.nan)
pd.DataFrame(gained, index=["more correct with the deeper net"])

# %%
limit = max(1.0, float(np.nanmax(np.abs(difference))))
cells = [
    (predicted, true, difference[row, column])
    for row, true in enumerate(data.class_names)
    for column, predicted in enumerate(data.class_names)
]
look = {
    "cmap": "RdBu_r",  # diverging: white is "no change"
    "clim": (-limit, limit),
    "colorbar": True,
    "invert_yaxis": True,
    "xrotation": 45,
    "title": "Errors of the deeper net minus errors of the simple net",
}
heat_map = hv.HeatMap(cells, ["predicted", "true"], "change in count")
heat_map.opts(**look, fig_inches=(7, 5), aspect="auto", backend="matplotlib")  # the static picture
heat_map.opts(**look, tools=["hover"], width=620, height=480)

# %%
pairs = [cell for cell in cells if not np.isnan(cell[2])]
for label, pick in (("lowest", min), ("highest", max)):
    predicted, true, change = pick(pairs, key=lambda cell: cell[2])
    print(f"{label} change: {true} taken for {predicted}, {change:+.0f} images")
print(f"all errors together: {np.nansum(difference):+.0f} of {validation.num_images} images")

# %% [markdown]
# Red: the deeper net makes this error more often; blue: less often. A whole red column means that
# it now favors that class. A few images up or down in one cell may be chance; look for rows and
# columns of one color.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What goes wrong: a comparison without a baseline (M3.3)
#
# S3 compared its net with a different net of an earlier article: depth, epochs and learning rate
# all unknown. The baseline it needed is the same net with rates 0, which the study above has. But
# does the same seed give it the same start?


# %%
def first_and_last_kernels(rate, seed=0):
    training.seed_everything(seed)
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(3), layers.Dropout(rate), layers.Dense(2)]
    )
    return [layer.get_weights()[0] for layer in model.layers if layer.weights]


# %%
without, with_dropout = first_and_last_kernels(0.0), first_and_last_kernels(0.5)
print("weights before the dropout layer equal:", np.array_equal(without[0], with_dropout[0]))
print("weights after the dropout layer equal :", np.array_equal(without[1], with_dropout[1]))

# %%
started = [start_study(name, seed=0) for name in ("none", "both")]
kernels = [[w for w in model.get_weights() if w.ndim > 1] for model in started]
equal = all(map(np.array_equal, *kernels))
print("all kernels of 'none' and 'both' equal at the start of the study:", equal)
assert equal, "the nets of the study do not start with the same weights"

# %% [markdown]
# A dropout layer with a rate above 0 draws a seed for its own masks, and every layer after it
# starts elsewhere. The "same seed" is then a different start; copying the *kernels* (the weights
# that multiply inputs) makes it equal. What S3 could not say, this study can:

# %%
paired = 100 * (final("dropout", "val_accuracy") - final("none", "val_accuracy"))
print("dropout minus none, same start, validation points for each seed:", np.round(paired, 1))
claimed = 100 * (s3["dropout"]["accuracy"] - s3["predecessor"]["accuracy"])
print(f"S3's claim, against another net: about {claimed:.0f} points")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What goes wrong: sentences typed by hand (M3.4)
#
# A typo in S3 announces a number of epochs as an accuracy in percent. A sentence that is made from
# the record of the run cannot say that:


# %%
def describe(name, run):
    last = {metric: values[-1] for metric, values in run.history.items()}
    return (
        f"{name}: after {run.epochs} epochs {last['inference_accuracy']:.1%} of the training and "
        f"{last['val_accuracy']:.1%} of the validation images are right."
    )


print(f"S3 promised training 'for {s3['dropout']['epochs']} % accuracy'; it meant epochs.")
for name in switches:
    print(describe(name, runs[name][0]))

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What goes wrong: a notebook nobody can repeat (M3.9)
#
# S3 sets no seed. Four short trainings of a one-layer net, the same images in the same order:


# %%
def short_training(images, labels, seed=None):
    if seed is not None:
        training.seed_everything(seed)
    model = keras.Sequential([keras.Input((32, 32, 3)), layers.Flatten(), layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="sgd", loss=loss, run_eagerly=True)  # quick to start for few steps
    return [float(model.train_on_batch(images, labels)) for _ in range(3)][-1]


# %%
few = [part[:100] for part in validation[0]]
unseeded = [short_training(*few), short_training(*few)]
seeded = [short_training(*few, seed=7), short_training(*few, seed=7)]
print(f"two unseeded runs: loss {unseeded[0]:.4f} and {unseeded[1]:.4f}")
print(f"two seeded runs  : loss {seeded[0]:.4f} and {seeded[1]:.4f}")
assert seeded[0] == seeded[1], "seeded runs differ"
assert seeded[0] < 2 * np.log(10), "the loss must know that it gets logits"

# %% [markdown]
# S3's code also imports five things that it never uses, among them the very batch normalization it
# talks about, and ends layer additions with commas. Python accepts both. A linter (a program that
# reads code without running it, such as ruff) can report them. Here are lines like S3's, and the
# two checks in small:

# %%
source = """
from keras.callbacks import LearningRateScheduler
from keras.layers import BatchNormalization, Conv2D, RandomFlip
from keras.models import Sequential
from keras.optimizers import SGD
from keras.regularizers import l2
model = Sequential()
model.add(Conv2D(32, 3)),
model.add(Conv2D(64, 3))
"""

# %%
# NBVAL_CHECK_OUTPUT
nodes = list(ast.walk(ast.parse(source)))
imports = [node for node in nodes if isinstance(node, ast.ImportFrom)]
imported = {alias.name for node in imports for alias in node.names}
used = {node.id for node in nodes if isinstance(node, ast.Name)}
print("imported and never used:", ", ".join(sorted(imported - used)))
statements = [node for node in nodes if isinstance(node, ast.Expr)]
tuples = [node.lineno for node in statements if isinstance(node.value, ast.Tuple)]
print("a comma makes a throw-away tuple in line:", *tuples)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The test set, opened once
#
# S3 reported one accuracy and not on which images (M3.2), and took accuracy on a test set for
# accuracy in the world (M3.7). So: training, validation and test side by side; and the test images
# once more with noise, blur and less light. The net is chosen *before*, on validation; then all are
# opened, those of the other seeds too, since the test images choose nothing any more.

# %%
candidates = [*s2_names, *switches]
chosen = max(candidates, key=lambda name: final(name, "val_accuracy").mean())
print(f"chosen on validation: {chosen}")


# %%
def noisy(images):
    generator = np.random.default_rng(0)
    noise = generator.standard_normal(images.shape, dtype="float32")
    return np.clip(images + 25 * noise, 0, 255).astype("uint8")


def blurred(images):
    """Average each pixel with its eight neighbors."""
    shifts = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    total = sum(np.roll(images, shift, axis=(1, 2)).astype("uint16") for shift in shifts)
    return (total // 9).astype("uint8")


def darker(images):
    return images // 2


# %% tags=["test-set"]
def accuracy(net, images):
    return training.evaluate(net, in_order(images, data.y_test))["accuracy"]


tested, total = {}, len(data.y_test)
for run_name, (net, seed) in trained_nets.items():
    tested[run_name] = accuracy(net, data.x_test)
    records.note_test(run_name, seed=seed, correct=round(tested[run_name] * total), images=total)
for seed in reversed(seeds):  # the first seed comes last, so that its weights stay
    best_net.load_weights(runs["deeper + dropout"][seed].path / "best.weights.h5")
    best = accuracy(best_net, data.x_test)
    name = f"03_deeper_dropout_best_seed{seed}"
    records.note_test(name, seed=seed, correct=round(best * total), images=total)

# %% tags=["test-set"]
test_accuracy = {name: tested[runs[name][0].name] for name in runs}
test_accuracy["deeper + dropout, best epoch"] = best
robust = {"as they are": test_accuracy[chosen]}
for how, corrupt in (("noise", noisy), ("blur", blurred), ("half the light", darker)):
    robust[how] = accuracy(models[chosen], corrupt(data.x_test))
records.note("03_corrupted", seed=0, **{how.replace(" ", "_"): v for how, v in robust.items()})

# %%
rows = {}
for name, value in test_accuracy.items():
    low, high = training.accuracy_interval(round(value * total), total)
    history = runs[name][0].history if name in runs else {}
    rows[name] = {
        "training": history.get("inference_accuracy", [np.nan])[-1],
        "validation": history.get("val_accuracy", [restored])[-1],
        "test": value,
        "test, 95 % interval": f"{low:.3f} to {high:.3f}",
    }
pd.DataFrame.from_dict(rows, orient="index").round(3)

# %%
for how, value in robust.items():
    change = 100 * (value - robust["as they are"])
    print(f"{chosen}, test images {how:15s}{value:.3f}  ({change:+z.1f} points)")

# %%
for name, run in to_the_end.items():
    source = as_published[name][1]
    best = max(source.get("val_accuracy", [source.get("accuracy")]))
    low, high = training.accuracy_interval(round(tested[run.name] * total), total)
    print(f"{name}, {run.epochs} epochs: test {tested[run.name]:.3f} ({low:.3f} to {high:.3f});")
    print(f"    its author's highest figure in {source['epochs']} epochs is {best:.3f}")

# %% [markdown]
# Three columns, three meanings: training says what was memorized, validation what the choices were
# made on, test what you may report (all for the first seed). Rows whose intervals overlap widely
# are not ranked by this test set. The authors' figures in the last lines are not of that kind: S2
# looked at the test images after every epoch, and S3 does not say which images it used. The list
# shows how far "test accuracy" reaches: it was measured on images from the same collection as the
# training images. The three changes hardly bother your eyes; see which of them, if any, costs the
# net most.

# %% [markdown]
# ## Take-aways

# %%
gaps = 100 * gap_table(switches)["gap"]
print(f"Dropout changed the gap of S3's net by {gaps['dropout'] - gaps['none']:+z.1f} points here;")
print(f"the best validation accuracy of the study came from {best_validation!r}.")

# %% [markdown]
# - A gap is a difference of two numbers: say which of them moved.
# - Measure both in the same mode, after the epoch; `fit`'s training accuracy is neither.
# - Dropout adds no parameters and tends to slow learning; batch normalization adds a few parameters
#   and tends to need fewer updates. They answer different questions.
# - Depth and size are different things. Count parameters and multiply-adds.
# - Equal start, equal updates, several seeds, one change at a time. Otherwise it is an anecdote.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Exercises
#
# Put your answer in the place of `...` and run the cell. It tells you what kind of mistake you made
# and gives one hint at a time; ask as often as you like.

# %% [markdown]
# **Exercise 1.** A layer `Dropout(0.2)` gets a row of many values, all of them 3. Predict, without
# running it: which value comes out for those that it keeps in training mode?

# %% tags=["exercise"]
kept_value = ...  # a number
exercises.check("03.1", kept_value)

# %% tags=["solution"]
row_of_threes = np.full((1, 1000), 3.0, dtype="float32")
kept_value = float(keras.ops.max(layers.Dropout(0.2, seed=0)(row_of_threes, training=True)))
exercises.check("03.1", kept_value)

# %% tags=["check"]
rule = exercises.Rule(
    "03.1",
    expected=3 / (1 - 0.2),
    tolerance=0.005,
    wants="a number",
    because="A fifth becomes 0, and the others are divided by the share that is kept, 1 − 0.2: "
    "the mean of the row stays 3, in both modes.",
    mistakes=[
        exercises.Mistake(
            "the scaling is missing",
            example=3.0,
            hints=[
                "Look at the first printed table of this notebook: a row of ones went in, but no "
                "1 came out.",
                "In inference mode the mean of the row is 3. What do the kept values need, so "
                "that it is 3 in training mode, too, with a fifth of the values at 0?",
            ],
        ),
        exercises.Mistake(
            "you divided by the share that is dropped",
            example=3 / 0.2,
            hints=[
                "With that rule, dropping very few values would make all others huge.",
                "Which share of the values has to carry the whole sum?",
            ],
        ),
        exercises.Mistake(
            "you multiplied by the share that is kept",
            example=3 * (1 - 0.2),
            hints=[
                "Some values become 0 and the mean must not change: do the others have to grow or "
                "to shrink?",
                "That scaling belongs to inference mode in the paper of 2014; Keras scales while "
                "it trains, so it does the reverse.",
            ],
        ),
        exercises.Mistake(
            "you added the dropped fifth of the value",
            example=3 * (1 + 0.2),
            hints=[
                "Try it on five values of which one is dropped: which sum do the other four have?",
                "Four values have to carry what five carried before.",
            ],
        ),
    ],
    hints=[
        "The mean of the row must be the same in training mode and in inference mode.",
        "Take five values: one becomes 0, and the sum of the other four must be 5 times 3.",
    ],
)

# %% [markdown]
# **Exercise 2.** You switch batch normalization on in a narrow `block_net`, with 10 filters in the
# first layer. By how much does the number of parameters *that are trained* grow? Work it out on
# paper first.

# %% tags=["exercise"]
more_trained = ...  # a whole number
exercises.check("03.2", more_trained)


# %% tags=["solution"]
def trained_parameters(net):
    return sum(int(np.prod(weight.shape)) for weight in net.trainable_weights)


more_trained = trained_parameters(block_net(10, batch_norm=True))
more_trained -= trained_parameters(block_net(10, batch_norm=False))
exercises.check("03.2", more_trained)

# %% tags=["check"]
channels = sum(2 * filters for filters in (10, 20, 40))  # two convolutions in each block
rule = exercises.Rule(
    "03.2",
    expected=2 * channels,
    wants="a whole number",
    because="Each of the six convolutions is followed by a normalization, and each of its channels "
    "has a gamma and a beta. The two moving averages of a channel aren't trained.",
    mistakes=[
        exercises.Mistake(
            "the moving averages are counted",
            example=4 * channels,
            hints=[
                "Batch normalization adds four numbers for each channel. Which of them does the "
                "optimizer change?",
                "In the table of the four nets there is a row *not trained*: what is in it?",
            ],
        ),
        exercises.Mistake(
            "half of them is missing",
            example=channels,
            hints=[
                "There are two numbers to learn for each channel; did you count both?",
                "Each block has two convolutions, and each of them gets a normalization.",
            ],
        ),
        exercises.Mistake(
            "that belongs to the net with 32 filters in the first layer",
            example=896,
            when=lambda answer: answer in (896, 1792),
            hints=[
                "The table of the four nets shows S3's net. Yours is narrower.",
                "How many channels do the six convolutions of your net have together?",
            ],
        ),
        exercises.Mistake(
            "the whole net is counted, not the growth",
            example=100_000,
            when=lambda answer: answer > 20 * channels,
            hints=[
                "Subtract the same net without batch normalization.",
                "Only the normalizations differ between the two nets, so count their numbers only.",
            ],
        ),
    ],
    hints=[
        "Which numbers does batch normalization keep for a channel, and which of them are learned?",
        "The blocks have 10, 20 and 40 channels, each block has two normalizations, and each "
        "channel two learned numbers.",
    ],
)

# %% [markdown]
# **Exercise 3.** Read S2 as it should have been read. The curves of its simple net and its dropout
# net are in `s2["simple"]` and `s2["dropout"]`. At the last epoch that the two share, the dropout
# net has the smaller gap (`accuracy` minus `val_accuracy`). Which share of what the gap lost is
# *better validation*? (The rest is training accuracy given up; `read_gap` shows the arithmetic.)

# %% tags=["exercise"]
share_of_validation = ...  # a number: 0 for nothing, 1 for all of it
exercises.check("03.3", share_of_validation)

# %% tags=["solution"]
before, after = (
    {metric: s2[net][metric][shared_epochs - 1] for metric in ("accuracy", "val_accuracy")}
    for net in ("simple", "dropout")
)
rise = after["val_accuracy"] - before["val_accuracy"]
given_up = before["accuracy"] - after["accuracy"]
share_of_validation = rise / (rise + given_up)
exercises.check("03.3", share_of_validation)


# %% tags=["check"]
def rise_and_fall(simple_epoch, dropout_epoch):
    before, after = s2["simple"], s2["dropout"]
    rise = after["val_accuracy"][dropout_epoch - 1] - before["val_accuracy"][simple_epoch - 1]
    fall = before["accuracy"][simple_epoch - 1] - after["accuracy"][dropout_epoch - 1]
    return rise, fall


def share(simple_epoch, dropout_epoch):
    rise, fall = rise_and_fall(simple_epoch, dropout_epoch)
    return rise / (rise + fall)


last = min(s2["simple"]["epochs"], s2["dropout"]["epochs"])
rule = exercises.Rule(
    "03.3",
    expected=share(last, last),
    tolerance=0.001,
    wants="a number",
    because="At equal epochs nearly all of it is training accuracy given up (and S2 measured that "
    "with dropout on, which makes the gap look smaller still). On new images the dropout net got "
    "ahead in the epochs that only it had.",
    mistakes=[
        exercises.Mistake(
            "you compared the last epochs, and these are not the same",
            example=share(last, s2["dropout"]["epochs"]),
            hints=[
                "One net was trained for more epochs than the other. `shared_epochs` says how "
                "many both have.",
                "Take the same place of both lists, that of epoch `shared_epochs`.",
            ],
        ),
        exercises.Mistake(
            "that is one epoch too early",
            example=share(last - 1, last - 1),
            hints=[
                "Epochs are counted from 1 and places in a list from 0.",
                "The value of epoch n is at place n − 1.",
            ],
        ),
        exercises.Mistake(
            "that is the other share, the training accuracy given up",
            example=1 - share(last, last),
            hints=[
                "A gap shrinks when validation rises and when training falls. Which of the two is "
                "asked for?"
            ],
        ),
        exercises.Mistake(
            "that is how much validation rose, not its share of the difference of the gaps",
            example=rise_and_fall(last, last)[0],
            when=lambda answer: (
                abs(answer - rise_and_fall(last, last)[0]) < 0.0005
                or abs(answer - 100 * rise_and_fall(last, last)[0]) < 0.02
            ),
            hints=[
                "By how much does the gap shrink in all? Your number is a part of that.",
                "Divide the rise of validation by that rise plus the fall of training accuracy.",
            ],
        ),
        exercises.Mistake(
            "that is in percent",
            example=100 * share(last, last),
            when=lambda answer: abs(answer / 100 - share(last, last)) < 0.001,
            hints=["A share lies between 0 and 1."],
        ),
    ],
    hints=[
        "You need four numbers: `accuracy` and `val_accuracy` of both nets at the same epoch.",
        "The gap shrinks by the rise of validation plus the fall of training. Divide the rise by "
        "this sum.",
    ],
)

# %% [markdown]
# **Exercise 4.** Beat the study. Its four nets had equally many updates. With half of them, reach
# what the weakest of the four reached at its best: the next cell prints both numbers. Layers,
# optimizer, rate and batch size are yours to choose, but only images of `split.x_train` may train
# (`shuffled` makes batches of them, with pixel values divided by 255). You hand in your net and the
# images that trained it.

# %%
update_budget = epochs * -(-len(x_study) // study_batch_size) // 2
to_reach = profile.pick(smoke=0.02, quick=level, full=level)  # smoke: too few updates to learn
print(f"Reach {to_reach:.3f} on the validation images in at most {update_budget} updates.")

# %% tags=["exercise"]
my_net = ...  # build it, compile it, train it: see train_s3 for a pattern
my_images = ...  # the images that trained it
exercises.check("03.4", (my_net, my_images))

# %% tags=["solution"]
training.seed_everything(0)
my_net, my_images = block_net(study_width, dropout=False, batch_norm=True), split.x_train
my_net.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
larger_batches = shuffled(my_images, split.y_train, 4 * study_batch_size, 0)
training.fit(
    my_net,
    larger_batches,
    name="03_my_net",
    epochs=update_budget // len(larger_batches),
    validation=validation,
)
exercises.check("03.4", (my_net, my_images))


# %% tags=["check"]
def validation_accuracy(net):
    images, labels = split.x_validation[:1000], split.y_validation[:1000]
    predicted = training.predict(net, images, augmentation.scale).argmax(axis=-1)
    return (predicted == labels).mean()


def updates(net):
    return int(net.optimizer.iterations) if net.compiled else 0


def never_right(count):
    """Return a net that always answers with an eleventh class, after so many updates."""
    net = keras.Sequential([keras.Input((32, 32, 3)), layers.Flatten(), layers.Dense(11)])
    net.set_weights([np.zeros((3072, 11)), np.eye(11)[10]])
    net.compile("sgd")
    net.optimizer.iterations.assign(count)
    return net


rule = exercises.Rule(
    "03.4",
    right=lambda answer: (
        datasets.shared_images(answer[1], split.x_validation) <= shared
        and 0 < updates(answer[0]) <= update_budget
        and validation_accuracy(answer[0]) >= to_reach
    ),
    like=(keras.Model, split.x_train),
    wants="your trained net and an array of the images that trained it",
    because="Your net got there with at most half the updates, on images that it may see. When you "
    "tell others, say what you changed and how many tries it took: each try used the validation "
    "images once more.",
    mistakes=[
        exercises.Mistake(
            "validation images are among those that trained the net",
            example=(models["none"], split.x_validation),
            when=lambda answer: datasets.shared_images(answer[1], split.x_validation) > shared,
            hints=[
                "A judge must not be on the team: an accuracy on images that the net has seen "
                "says what it remembers.",
                "Train on `split.x_train`, or on a part of it.",
            ],
        ),
        exercises.Mistake(
            "the net was updated too often",
            example=(models["none"], x_study),
            when=lambda answer: updates(answer[0]) > update_budget,
            hints=[
                "`net.optimizer.iterations` counts the updates; an epoch makes `len(batches)`.",
                "Build the net anew for each try: a second `fit` on the same net adds its updates "
                "to those of the first.",
            ],
        ),
        exercises.Mistake(
            "the net was not trained",
            example=(never_right(0), x_study),
            when=lambda answer: updates(answer[0]) == 0,
            hints=["Compile the net, train it with `training.fit`, then hand it in."],
        ),
        exercises.Mistake(
            "the validation accuracy is below the number to reach",
            example=(never_right(1), x_study),
            when=lambda answer: validation_accuracy(answer[0]) < to_reach,
            hints=[
                "Look at the plots of the study: which of the four rises fastest in the first "
                "epochs?",
                "Dropout slows learning down, and in so few updates there is hardly anything to "
                "memorize.",
                "The budget counts updates, not images: what does a larger batch do for an update?",
            ],
        ),
    ],
    hints=["Start from the fastest net of the study, and count its updates."],
)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Quiz

# %% [markdown] tags=["quiz"]
# In the first epochs of a net with dropout, validation accuracy lies above the training accuracy
# that `fit` reports. What is the most likely reason?
#
# - [ ] The net is better on images that it has never seen.
#   > A net learns from its training images; measured in the same way, it is rarely better on
#   > others.
# - [x] The training accuracy is an average over the epoch, measured with dropout on.
#   > Right: other mode, earlier weights. Measured after the epoch with dropout off, the training
#   > accuracy is higher.
# - [ ] The validation images happen to be easier.
#   > They come from the same draw. That can move the accuracy a little, but in either direction and
#   > not in particular with dropout.
# - [ ] The net overfits.
#   > Overfitting shows the other way round: ahead on training images.

# %% [markdown] tags=["quiz"]
# Net A has a gap of 20 points between training and validation accuracy, net B one of 2 points.
# Which is better on new images?
#
# - [ ] B: it memorizes less.
#   > It may also have learned less: a net that guesses has no gap at all.
# - [ ] A: it has learned more.
#   > It has learned its training images better. Whether that helps on others, the gap doesn't say.
# - [x] The gaps can't tell; compare the validation accuracies.
#   > Right: a gap is a difference. It says how much is memory, not how much was learned.
# - [ ] Neither: a gap shows that something went wrong.
#   > Nearly every net that has learned something is a little ahead on the images it has seen.

# %% [markdown] tags=["quiz"]
# A net with batch normalization, trained for a few batches only, is good in training mode and near
# guessing in inference mode. Why?
#
# - [ ] Gamma and beta have not been trained yet.
#   > They are used in both modes, so they can't make the difference.
# - [x] The moving averages have not caught up with the batches.
#   > Right: inference mode normalizes with averages collected in training, and after few batches
#   > they still hold much of their start values. A lower `momentum` lets them move faster.
# - [ ] Inference mode switches batch normalization off.
#   > It stays on, but with the moving averages in the place of the batch's own mean and spread.
# - [ ] The net overfits its batches.
#   > That would show on other images, in both modes. Here the images are the same and the mode
#   > differs.

# %% [markdown] tags=["quiz"]
# You build a net twice with the same seed, the second time with a dropout layer (rate 0.5) in its
# middle. Do both start with the same weights?
#
# - [ ] Yes: dropout has no parameters, and the seed is the same.
#   > It has no parameters, but it draws a seed for its masks, and every draw moves the ones after
#   > it.
# - [ ] No: dropout scales the weights.
#   > It scales outputs, and in training mode only. Weights are left alone.
# - [x] Only up to the dropout layer; copy the weights if the starts must be equal.
#   > Right: the layers behind it draw from another place of the random sequence.
# - [ ] It can't be known: weights are random.
#   > With a seed the draws are always the same ones; that is what the seed is for.

# %%
exercises.quiz("03")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Further reading
#
# - Srivastava et al. (2014), *Dropout: A Simple Way to Prevent Neural Networks from Overfitting*,
#   JMLR 15: the original, with the sub-network view and advice on rates.
# - Ioffe and Szegedy (2015), *Batch Normalization*, arXiv 1502.03167: the method, and the covariate
#   shift hypothesis.
# - Santurkar et al. (2018), *How Does Batch Normalization Help Optimization?*, arXiv 1805.11604:
#   the experiment that puts that hypothesis in doubt.
# - Li et al. (2019), *Understanding the Disharmony between Dropout and Batch Normalization by
#   Variance Shift*, arXiv 1801.05134: why "both" can be worse than either.
# - Hendrycks and Dietterich (2019), *Benchmarking Neural Network Robustness to Common Corruptions
#   and Perturbations*, arXiv 1903.12261: noise, blur and light, done systematically.
