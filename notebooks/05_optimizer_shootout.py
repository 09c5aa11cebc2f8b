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
# # 05 · Race seven optimizers fairly
#
# At the end of this notebook you will have raced seven optimizers from the same start, each at a
# rate found for it, over several seeds, and you will know whether the winner won or was lucky.
#
# **What you'll learn**
#
# - what SGD, RMSprop, Adagrad, Adadelta, Adam, AdamW and Lion each do with a gradient, and what
#   their memory costs;
# - what a fair comparison needs: equal weights, own rates, equal steps, validation data, seeds;
# - to decide by computation whether a difference is larger than the spread between seeds;
# - how handing weights on, sharing a rate or stopping in mid-cycle can change a ranking.
#
# **What you'll need:** notebook 02 (a CNN, training and validation) and notebook 04 (learning-rate
# finder, cyclical and one-cycle schedules). The set-up line prints how long this one takes.
#
# The mistakes come from an older write-up, called S1, that trained one CNN on CIFAR-10 and at its
# end compared four optimizers. You do not need it.

# %%
from course_utils import profiles

profile = profiles.start("05")

# %%
from typing import NamedTuple

import keras
import numpy as np
import pandas as pd
from IPython.display import Markdown, clear_output, display
from keras import layers, optimizers
from scipy import stats

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
# The network is S1's. Seven optimizers times several *seeds* (numbers that fix every random draw of
# a run) are many trainings, so outside the full profile each layer gets fewer filters: `width` is
# the number in the first one, 32 in S1. The smoke profile only checks that everything runs: its
# accuracies are noise.

# %%
width = profile.pick(smoke=4, quick=8, full=32)
train_images = profile.pick(smoke=600, quick=2400, full=50_000)  # validation images included
test_images = profile.pick(smoke=300, quick=1000, full=10_000)
validation_fraction = profile.pick(smoke=0.5, quick=1 / 3, full=0.1)
batch_size = profile.pick(smoke=50, quick=100, full=250)
epochs = profile.pick(smoke=2, quick=4, full=3)
seeds = range(profile.pick(smoke=2, quick=3, full=3))
finder_steps = profile.pick(smoke=20, quick=60, full=100)
relay_epochs = profile.pick(smoke=1, quick=2, full=1)
relay_seeds = range(profile.pick(smoke=1, quick=1, full=3))

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What does an optimizer do with a gradient?
#
# The *gradient* $g$ says for each weight in which direction the loss rises and how steeply. An
# *optimizer* turns it into a step, scaled by the learning rate $\eta$. All of those below keep some
# memory of earlier gradients, in arrays as large as the weights (*slots*).
#
# - **SGD** with *momentum*: the step is a running sum of gradients, $v \leftarrow 0.9\,v - \eta g$,
#   $w \leftarrow w + v$ (Robbins and Monro 1951; momentum: Polyak 1964).
# - **RMSprop**: divide $g$ by the root of a running mean of $g^2$, so that steep and flat
#   directions take equal steps (Hinton 2012, a lecture).
# - **Adagrad**: divide $g$ by the root of the *sum* of all past $g^2$; the sum grows, so equal
#   gradients take ever smaller steps (Duchi, Hazan and Singer 2011).
# - **Adadelta**: RMSprop times the running size of its own past steps, which was meant to replace
#   the rate (Zeiler 2012).
# - **Adam**: RMSprop applied to a running mean of $g$ (momentum), with both means corrected for
#   their start at 0 (Kingma and Ba 2014).
# - **AdamW**: Adam that also shrinks each weight a little, outside the division: decoupled weight
#   decay (Loshchilov and Hutter 2017).
# - **Lion**: only the *sign* of a mixture of $g$ and its running mean, so that each weight moves by
#   exactly $\eta$ (Chen et al. 2023).
#
# These functions are the whole setting: everything else stays at the Keras defaults.

# %%
OPTIMIZERS = {
    "SGD": lambda: optimizers.SGD(momentum=0.9),
    "RMSprop": lambda: optimizers.RMSprop(),
    "Adagrad": lambda: optimizers.Adagrad(),
    "Adadelta": lambda: optimizers.Adadelta(),
    "Adam": lambda: optimizers.Adam(),
    "AdamW": lambda: optimizers.AdamW(),
    "Lion": lambda: optimizers.Lion(),
}

# %% [markdown]
# **Before you run this:** one weight gets a gradient of 100, of 1 and of 0.01, and all optimizers
# have the rate 0.01. Whose first step depends on the size of the gradient?


# %%
def first_step(make_optimizer, gradient, rate=0.01):
    """Return how far the first step moves one weight."""
    optimizer, weight = make_optimizer(), keras.Variable(0.0)
    optimizer.learning_rate = rate
    optimizer.apply([keras.ops.convert_to_tensor(gradient)], [weight])
    return -float(keras.ops.convert_to_numpy(weight))


# %%
# NBVAL_CHECK_OUTPUT
rows = {
    name: {f"gradient {g:g}": f"{first_step(make, g):.2g}" for g in (100.0, 1.0, 0.01)}
    for name, make in OPTIMIZERS.items()
}
print(pd.DataFrame(rows).T.to_string())

# %% [markdown]
# Read along a row: SGD's step is proportional to the gradient; the others (Adagrad for large
# gradients) take a step of nearly the same size whatever the gradient is. Read down a column: at
# *one* rate the steps differ by orders of magnitude, and Adadelta's are the smallest. So a rate
# means something else to each optimizer, and the choice of one rate for all favors some of them.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What does its memory cost?
#
# **Prediction:** Adam is the usual choice. How many bytes does it keep for each weight of 4 bytes?
#
# S1's network is built at its full width, and the optimizer's own variables are counted.
# Muon (Jordan et al. 2024) is in the table as another recent candidate.


# %%
def build_model(width, *, seed):
    """Return S1's network; width is the number of filters of its first layer (32 in S1)."""
    training.seed_everything(seed)
    stack = [keras.Input((32, 32, 3))]
    for filters in (width, 2 * width):
        for _ in range(2):
            stack += [layers.Conv2D(filters, 3, padding="same"), layers.ReLU()]
        stack += [layers.MaxPooling2D(), layers.Dropout(0.25)]
    stack += [layers.Flatten(), layers.Dense(16 * width), layers.ReLU(), layers.Dropout(0.5)]
    return keras.Sequential([*stack, layers.Dense(10, activation="softmax", name="scores")])


# %%
# NBVAL_CHECK_OUTPUT
s1_model = build_model(32, seed=0)
print(f"{s1_model.count_params():,} parameters of 4 bytes")
candidates = OPTIMIZERS | {"Muon": lambda: optimizers.Muon(exclude_layers=["scores"])}
slot_bytes = {}
for name, make in candidates.items():
    optimizer = make()
    optimizer.build(s1_model.trainable_variables)
    slots = [v for v in optimizer.variables if v.shape]  # the step counter and the rate are scalars
    total = sum(4 * int(np.prod(slot.shape)) for slot in slots)
    slot_bytes[name] = total / s1_model.count_params()
    print(f"{name:9}{slot_bytes[name]:4.1f} bytes a parameter, {total / 2**20:5.1f} MiB")

# %% [markdown]
# One slot costs as much as the weights again, two slots twice that. For a network of this size no
# computer notices; for a model that barely fits into memory it decides, and speaks for the
# optimizers with one slot.
#
# Why Lion and not Muon as the seventh? Muon turns the running mean of a whole *matrix* of gradients
# into the nearest matrix that stretches all directions alike (an orthogonal one). Keras does so for
# two-dimensional kernels only, and leaves all other weights to AdamW, which needs a second slot.

# %%
# NBVAL_CHECK_OUTPUT
for weight in s1_model.trainable_variables:
    if weight.name == "kernel":
        muon = candidates["Muon"]()
        muon.build([weight])
        slots = sum(variable.shape == weight.shape for variable in muon.variables)
        print(f"{weight.shape!s:18} {'Muon' if slots == 1 else 'AdamW'}")

# %% [markdown]
# AdamW, which is in the race already, would train all convolutions, and Muon one large dense layer:
# its place would say little about either. (In an exercise you may let Muon run after all.)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Do all start from the same line?
#
# The data: a split without repetition, normalized by channel as in notebook 02, with horizontal
# flips. Order and flips depend on the seed only, so with the same seed every optimizer sees the
# same images in the same order.

# %%
data = datasets.load_cifar10(train_images=train_images, test_images=test_images)
split = datasets.train_validation_split(
    data.x_train, data.y_train, validation_fraction=validation_fraction, seed=0
)
normalize = augmentation.fit_per_channel(split.x_train)
assert datasets.shared_images(split.x_train, split.x_validation) == 0, "the split leaks"


# %%
def train_batches(seed):
    """Return the training batches in the order of this seed."""
    return augmentation.Batches(
        split.x_train,
        split.y_train,
        batch_size=batch_size,
        normalize=normalize,
        transforms=[augmentation.flip()],
        shuffle=True,
        seed=seed,
    )


validation = augmentation.Batches(
    split.x_validation, split.y_validation, batch_size=500, normalize=normalize
)
steps_per_epoch = len(train_batches(0))
steps = epochs * steps_per_epoch
print(f"{len(split.x_train):,} training and {len(split.x_validation):,} validation images;")
print(f"{epochs} epochs of {steps_per_epoch} steps (batches) are {steps} steps for each run")

# %% [markdown]
# Each optimizer gets a network of its own, compiled once. Before each run, everything that training
# changes is put back: the weights and the state of dropout to those of the seed, the optimizer's
# memory to empty. These three are copied as arrays now.


# %%
def copy_values(variables):
    """Return the values as arrays of their own."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def put_back(variables, values):
    """Give the variables these values."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


# %%
def compile_racer(make_optimizer):
    """Return a network of its own for one optimizer."""
    model = build_model(width, seed=0)
    model.compile(make_optimizer(), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.optimizer.build(model.trainable_variables)  # creates the slots
    return model


racers = {name: compile_racer(make) for name, make in OPTIMIZERS.items()}
assert len({id(racer) for racer in racers.values()}) == len(racers), "one network, many names"
empty_memory = {name: copy_values(racer.optimizer.variables) for name, racer in racers.items()}
start_values = {seed: copy_values(build_model(width, seed=seed).variables) for seed in seeds}


# %% [markdown]
# A *checksum* is a short text computed from all weights: equal weights give equal checksums, and a
# single changed weight gives another one. Each column must hold one text only (equal starts), and
# the columns must differ (other seeds).


# %%
def go_to_start(name, seed):
    """Put weights, dropout state and optimizer memory of a racer back to the start."""
    put_back(racers[name].variables, start_values[seed])
    put_back(racers[name].optimizer.variables, empty_memory[name])


def checksum(model):
    """Return eight digits that stand for all weights."""
    weights = np.concatenate([weight.ravel() for weight in model.get_weights()])
    return datasets.array_checksum(weights)[:8]


# %%
start_line = pd.DataFrame(index=list(racers), columns=[f"seed {seed}" for seed in seeds])
for name, racer in racers.items():
    for seed in seeds:
        go_to_start(name, seed)
        start_line.loc[name, f"seed {seed}"] = checksum(racer)
assert (start_line.nunique() == 1).all(), "some optimizers start from other weights"
start_line

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Which rate suits whom?
#
# The finder of notebook 04 trains for some batches while the rate rises from tiny to huge, watches
# the loss, and puts everything back. All seven get the same batches and the same range.
#
# The rule is blind and the same for all: smooth the losses, take the rate where they are *lowest*
# (beyond it the loss grows: too large), and divide by a safety factor.

# %%
finder = callbacks.LearningRateFinder(1e-4, 10, steps=finder_steps)
safety = 3
window = max(3, finder_steps // 5)


def smoothed_test(test):
    """Return the losses of a test, averaged over a centered window."""
    return dashboards.smooth(test.losses, window)


def rate_from(test):
    """Return a share of the rate at which the smoothed loss was lowest."""
    judged = smoothed_test(test)[window // 2 :]  # the first few are not averaged enough
    return float(test.rates[window // 2 + judged.argmin()] / safety)


# %%
progress = display(Markdown("starting …"), display_id=True)
tests = {}
for name, racer in racers.items():
    progress.update(Markdown(f"range test of {name}, {len(tests) + 1} of {len(racers)}"))
    go_to_start(name, seeds[0])
    tests[name] = finder.run(racer, train_batches(seeds[0]))
progress.update(Markdown(f"{len(tests)} range tests done"))
found_rate = {name: rate_from(test) for name, test in tests.items()}


# %% slideshow={"slide_type": "slide"}
valleys = {name: (test.rates, smoothed_test(test)) for name, test in tests.items()}
lowest = min(losses.min() for _, losses in valleys.values())
dashboards.line_plot(
    valleys,
    title="Where is each optimizer's valley?",
    xlabel="learning rate",
    ylabel="smoothed loss of the batch",
    logx=True,
    ylim=(lowest - 0.05, np.log(len(data.class_names)) + 0.5),
)

# %% [markdown]
# Follow each curve from the left and look for three parts: flat (steps too small to matter), a dip,
# then a climb or a plateau near 2.3, the loss of a network that guesses among ten classes. Mark the
# lowest points: how many decades (factors of ten) lie between the first and the last? A curve that
# is lowest at an edge would need another range. The fewer the steps, the shallower the dips, so
# trust a found rate to a factor of two or three, no better.

# %%
rates = pd.DataFrame({"found": found_rate})
rates["Keras default"] = [float(make().learning_rate) for make in OPTIMIZERS.values()]
rates["found / default"] = rates["found"] / rates["Keras default"]
records.note("05_found_rates", seed=0, **found_rate)
rates.map(lambda value: f"{value:.2g}")

# %% [markdown]
# If the defaults suited all equally, the last column would hold nearly equal numbers; look how far
# it ranges (M1.12). Adadelta has a history: its paper has no rate, which means 1; Keras 2 used
# that, and Keras 3 has 0.001. You'll see the cost further down.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Who wins the race?
#
# One function runs one race: to the start line, then one cycle (a climb to the found rate, then a
# descent to almost nothing), the same shape and number of steps for all. The finder needs a plain
# rate, so the schedule's values are set from outside by a small callback, and no network has to be
# compiled twice.


# %%
class FollowRates(keras.callbacks.Callback):
    """Give the optimizer, at each step, its rate from a list."""

    def __init__(self, rates):
        super().__init__()
        self.rates = [float(rate) for rate in rates]

    def on_train_batch_begin(self, batch, logs=None):
        """Set the rate of the coming step."""
        self.model.optimizer.learning_rate = self.rates[int(self.model.optimizer.iterations)]


# %%
class Result(NamedTuple):
    """What one run leaves: epochs, single batches, final weights."""

    run: training.Run
    batches: callbacks.BatchHistory
    weights: list


# %%
def build_and_train(name, seed, rates, *, label="race", weights=None):
    """Train one racer from its start (or from given weights), one step for each rate."""
    clear_output(wait=True)  # one line at a time: that of the training before gives way
    go_to_start(name, seed)
    if weights is not None:
        racers[name].set_weights(weights)
    record = callbacks.BatchHistory()
    run = training.fit(
        racers[name],
        train_batches(seed),
        name=f"05_{label}_{name}_seed{seed}",
        epochs=len(rates) // steps_per_epoch,
        validation=validation,
        callbacks=[FollowRates(rates), record],
        seed=seed,
        progress="line",
    )
    return Result(run, record, racers[name].get_weights())


# %% [markdown]
# While a network trains, you see one line with the epoch, the batch, the seconds left and the
# metrics, and below it curves of loss and accuracy that grow; then the next one takes its place.
# Every finished epoch is saved: interrupt the kernel when you like, nothing of it is lost. Run the
# cell again and the race goes on.
#
# **Before you run this:** write down your first, second and last place.


# %%
def one_cycle(peak):
    """Return the rate of each step of a race."""
    return callbacks.OneCycle(peak, total_steps=steps).values(steps)


race = {
    name: [build_and_train(name, seed, one_cycle(found_rate[name])) for seed in seeds]
    for name in racers
}
print(f"{len(racers) * len(seeds)} trainings done, {len(seeds)} for each optimizer")

# %% slideshow={"slide_type": "slide"}
dashboards.compare_runs(
    {name: [result.run.history for result in results] for name, results in race.items()},
    metric="val_accuracy",
    title="Seven optimizers from equal weights, each at its own rate",
)

# %% [markdown]
# A line is the mean over the seeds, a band reaches from the worst to the best seed. Look at the
# right edge: lines whose bands overlap there cannot be told apart by this experiment.
#
# The same in numbers; "spread" is the standard deviation between seeds, in points of accuracy.


# %%
def last(name, metric):
    """Return the last value of a metric for each seed."""
    return np.array([result.run.history[metric][-1] for result in race[name]])


# %%
table = pd.DataFrame(
    {
        name: {
            "rate found": f"{found_rate[name]:.2g}",
            "validation accuracy": f"{last(name, 'val_accuracy').mean():.3f}",
            "spread (points)": f"{100 * last(name, 'val_accuracy').std(ddof=1):.1f}",
            "training loss": f"{last(name, 'loss').mean():.3f}",
            "seconds per epoch": f"{min(r.run.seconds for r in race[name]) / epochs:.2f}",
        }
        for name in race
    }
).T
table.sort_values("validation accuracy", ascending=False)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Won, or lucky?
#
# With the same seed all optimizers share start, batches and dropout, so compare seed by seed: luck
# that a seed brings to all of them cancels. First, who would have won with one seed only?

# %%
accuracy = pd.DataFrame(
    {name: last(name, "val_accuracy") for name in race}, index=[f"seed {s}" for s in seeds]
)
ranks = accuracy.rank(axis=1, ascending=False, method="min").astype(int).T
winners = [accuracy.loc[row].idxmax() for row in accuracy.index]
print("Winner of each seed:", ", ".join(winners))
assert list(ranks.idxmin()) == winners, "the winner of a seed must be in place 1"
largest_move = (ranks.max(axis=1) - ranks.min(axis=1)).max()
print(f"The largest change of place between two seeds: {largest_move}")
ranks

# %% [markdown]
# The winner by mean is compared with each rival by the *paired difference*: winner minus rival,
# seed by seed. Its mean gets a 95 % interval, by Student's t, which widens it for few seeds. Call a
# lead larger than the spread only where the whole interval lies above 0.

# %%
winner = accuracy.mean().idxmax()
t_value = stats.t.ppf(0.975, len(seeds) - 1)
verdicts = {}
for rival in accuracy.columns.drop(winner):
    difference = 100 * (accuracy[winner] - accuracy[rival])
    half = t_value * difference.std(ddof=1) / np.sqrt(len(seeds))
    low, high = difference.mean() - half, difference.mean() + half
    verdicts[rival] = {
        "lead in points": f"{difference.mean():.1f}",
        "95 % interval": f"{low:.1f} to {high:.1f}",
        "larger than the spread": "yes" if low > 0 else "no",
    }
verdicts = pd.DataFrame(verdicts).T
verdicts

# %%
beaten = verdicts.index[verdicts["larger than the spread"] == "yes"]
level = verdicts.index.drop(beaten)
print(f"{winner} has the best mean over {len(seeds)} seeds.")
print(f"Beaten by more than the spread: {', '.join(beaten) or 'nobody'}.")
print(f"Not told apart from it by this race: {', '.join(level) or 'nobody'}.")

# %%
print(records.summary({name: f"05_race_{name}" for name in race}))

# %% [markdown]
# This is the answer, and it is a smaller one than a ranking: a winner's *group*, for this network,
# this number of steps and this rule for the rate. Two grains of salt: a rival that does well with
# one seed and collapses with another has so wide an interval that even a large lead gets a "no";
# and six comparisons at once are six chances for a lucky "yes".
#
# Mind the printed number of epochs, too: the full profile, whose record the last lines tell of,
# trains the real network on all images, but in every profile runs are so short that the race says
# who starts fast.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Was the finder fair to those behind?
#
# The spread between seeds says nothing about the rate, which was found only once and roughly. So
# check the two verdicts that matter most: the last of all, and the closest rival that was beaten,
# run again at three times their rates (in the full profile also at a third).

# %%
loser, seed = accuracy.mean().idxmin(), seeds[0]
closest = accuracy[beaten].mean().idxmax() if len(beaten) else loser
factors = profile.pick(smoke=(3,), quick=(3,), full=(1 / 3, 3))
again = {name: {} for name in dict.fromkeys([closest, loser])}
for name, results in again.items():
    for factor in factors:
        rate = factor * found_rate[name]
        results[rate] = build_and_train(name, seed, one_cycle(rate), label=f"rate_{rate:.2g}")

# %%
print(f"Seed {seed}; the winner {winner} has {accuracy[winner].iloc[0]:.3f}.")
for name, results in again.items():
    print(f"{name} at rate {found_rate[name]:.2g} (found): {accuracy[name].iloc[0]:.3f}")
    for rate, result in results.items():
        score = result.run.history["val_accuracy"][-1]
        place = 1 + (accuracy.iloc[0].drop(name) > score).sum()
        print(f"{name} at rate {rate:.2g}: {score:.3f}, place {place}")

# %% [markdown]
# Where another rate carries a racer forward by more than the seeds spread, it was the rate that
# lost and not the optimizer, and the verdict above no longer stands. A published ranking that hangs
# on a factor of three in the rate tells you about its author's rates.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What do single batches show?
#
# S1 judged by the *training* accuracy of single batches, smoothed. Here is that view of your race,
# with a centered average, for the first seed. The x axis counts steps, and says so.

# %% slideshow={"slide_type": "slide"}
smoothing = max(3, min(20, steps // 5))
first_runs = {name: results[0].batches for name, results in race.items()}
accuracy_lines = {
    name: (np.arange(steps), dashboards.smooth(record.accuracy, smoothing))
    for name, record in first_runs.items()
}
dashboards.line_plot(
    accuracy_lines,
    title=f"Training accuracy of single batches, mean of {smoothing} steps",
    xlabel="step",
    ylabel="accuracy of the batch",
)

# %% [markdown]
# Pick the winner at the right edge, as S1 had to. Then do the same with the loss:

# %%
loss_lines = {
    name: (np.arange(steps), dashboards.smooth(record.loss, smoothing))
    for name, record in first_runs.items()
}
dashboards.line_plot(
    loss_lines,
    title=f"Training loss of single batches, mean of {smoothing} steps",
    xlabel="step",
    ylabel="loss of the batch",
)

# %% [markdown]
# Is the lowest loss yours, too? Where curves wiggle together, remember that all see the same
# batches: an easy one is easy for all. Dropout is on here and the network changes while you watch,
# so these are not the accuracies of the finished network, and they say nothing about images it has
# not seen (M1.12). Does that matter?

# %%
by_training = pd.Series({name: np.mean(r.accuracy[-smoothing:]) for name, r in first_runs.items()})
by_validation = accuracy.iloc[0]
print(f"Seed {seeds[0]}: {by_training.idxmax()} wins on training batches,")
print(f"{' ' * 8}{by_validation.idxmax()} wins on validation images;")
both = pd.DataFrame({"training": by_training, "validation": by_validation})
places = both.rank(ascending=False, method="min")
changed = (places["training"] != places["validation"]).sum()
gap = 100 * (by_validation - by_training)
print(f"{changed} of {len(places)} change places; the two accuracies differ by")
print(f"{gap.min():+.1f} to {gap.max():+.1f} points (validation minus training).")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What goes wrong: one object, many names (M1.3, M1.4)
#
# S1 stored "four models" under four names and trained each with its own optimizer. Here that is
# done again, with the smallest possible network so that it takes a moment.
#
# **Before you run this:** `b = a` for a model. How many models are there?


# %%
def build_small_model():
    """Return a single layer on flattened images."""
    training.seed_everything(0)
    return keras.Sequential(
        [keras.Input((32, 32, 3)), layers.Flatten(), layers.Dense(10, activation="softmax")]
    )


# %%
RELAY = ("RMSprop", "Adagrad", "Adadelta", "Adam")  # S1's order
model = build_small_model()
named = {name: model for name in RELAY}  # what S1 did: four names
print("one object:", named["RMSprop"] is named["Adam"])
del model, named["RMSprop"]  # removes two names; the object lives on under the others
print("names left:", ", ".join(named), "| one object:", named["Adagrad"] is named["Adam"])

# %% [markdown]
# An assignment gives an object one more name. So the loop below trains *one* network four times
# over. Watch the checksums: each optimizer starts from the weights that the one before left.

# %%
named = dict.fromkeys(RELAY, build_small_model())  # four names again
small_batches = train_batches(0)
legs = {}
for name in RELAY:
    small_batches.epoch = 0  # the same images in the same order for each
    before = checksum(named[name])
    named[name].compile(name.lower(), "sparse_categorical_crossentropy", metrics=["accuracy"])
    counter = int(named[name].optimizer.iterations)
    named[name].fit(small_batches, epochs=1, shuffle=False, verbose=0)
    legs[name] = {
        "weights before": before,
        "steps in optimizer at start": counter,
        "weights after": checksum(named[name]),
    }
pd.DataFrame(legs).T

# %% [markdown]
# Compiling again empties the optimizer (its step counter begins at 0 each time) but leaves the
# weights alone: "after" in one row is "before" in the next. S1 then saved the model named after
# Adagrad (M1.4). What is in that file?

# %%
path = training.save_model(named["Adagrad"], training.artifacts_folder() / "05_adagrad.keras")
saved = checksum(training.load_model(path))
for name in ("Adagrad", "Adam"):
    same = "equal to" if saved == legs[name]["weights after"] else "different from"
    print(f"The file named after Adagrad is {same} the weights after {name}'s training")
assert saved == legs["Adam"]["weights after"], "the file should hold the last training"

# %% [markdown]
# The file holds the state after Adam, the last in the loop; S1 published the scores of such a file
# as Adagrad's. To get four models you need four objects; and `clone_model` alone is not enough,
# because it copies the architecture and draws *new* weights:

# %%
training.seed_everything(1)
model = named["Adam"]
clone = keras.models.clone_model(model)
print("clone:                    ", checksum(clone), "another object:", clone is not model)
clone.set_weights(model.get_weights())
print("clone with copied weights:", checksum(clone))
print("original:                 ", checksum(model))
assert checksum(clone) == checksum(model), "set_weights copies all weights"

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What does the relay cost? (M1.3, M1.4, M1.12)
#
# Now with the CNN. S1 went on from a trained network (the winner's, here) with the same rates for
# everybody: cycles between 0.0005 and 0.008. Four optimizers run as a relay (each goes on from the
# last), then as a relay in reverse order, then each from its own copy of the trained weights, and
# last from such copies with cycles of the same shape up to the rate found for each.

# %%
trained = {seed: race[winner][seed].weights for seed in relay_seeds}
relay_steps = relay_epochs * steps_per_epoch


def cycle_rates(low, high, *, cycles, steps):
    """Return the rates of a triangular schedule with so many cycles, whole or broken."""
    fine = callbacks.CyclicLR(low, high, step_size=1000).values(1 + round(2000 * cycles))
    return fine[np.linspace(0, len(fine) - 1, steps).astype(int)]


def s1_cycles(maximum):
    """Return S1's cycles, up to a maximum rate."""
    return cycle_rates(maximum / 16, maximum, cycles=3.75, steps=relay_steps)


# %%
def relay(label, order, *, hand_on, maxima, seed):
    """Train one after the other; hand the weights on, or give each a copy of the same ones."""
    weights, results = trained[seed], {}
    for name in order:
        rates = s1_cycles(maxima[name])
        results[name] = build_and_train(name, seed, rates, label=label, weights=weights)
        weights = results[name].weights if hand_on else trained[seed]
    return results


def repeated(label, order=RELAY, **settings):
    return [relay(label, order, **settings, seed=seed) for seed in relay_seeds]


# %%
s1_maximum = dict.fromkeys(RELAY, 0.008)
studies = {
    "relay": repeated("relay", hand_on=True, maxima=s1_maximum),
    "relay, reversed": repeated("reversed", RELAY[::-1], hand_on=True, maxima=s1_maximum),
    "equal start": repeated("equal_start", hand_on=False, maxima=s1_maximum),
    "equal start, own rates": repeated("own_rates", hand_on=False, maxima=found_rate),
}


# %%
def last_scores(name, repetitions):
    return [results[name].run.history["val_accuracy"][-1] for results in repetitions]


scores = pd.DataFrame(
    {
        study: {name: np.mean(last_scores(name, repetitions)) for name in RELAY}
        for study, repetitions in studies.items()
    }
)
scores.round(3)

# %%
before = accuracy[winner].iloc[: len(relay_seeds)].mean()
print(
    f"Before, trained by {winner}: {before:.3f}; all scores are means of {len(relay_seeds)} seed(s)"
)
for study in scores:
    print(f"{study:23} {' > '.join(scores[study].sort_values(ascending=False).index)}")

# %%
moved = 100 * (scores["relay"] - scores["relay, reversed"]).abs()
print(f"M1.3:  reversing the order moves {moved.idxmax()} by {moved.max():.1f} points")
published, own = scores.loc["Adam", "relay"], scores.loc["Adagrad", "relay"]
print(f"M1.4:  Adagrad's leg ended at {own:.3f}; the file of its name would score {published:.3f}")
gain = 100 * (scores["equal start, own rates"] - scores["equal start"])
print(f"M1.12: own rates change the scores by {gain.min():+.1f} to {gain.max():+.1f} points")
inside = [name for name in RELAY if 0.0005 <= found_rate[name] <= 0.008]
print(f"       found rate inside S1's range: {', '.join(inside) or 'none'}")

# %% [markdown]
# Compare the first two columns: same optimizers, same rates, same images, only the order differs.
# What moves between them is no property of an optimizer: a relay measures the *place in the line*,
# too. In the third column all start from the same copy; between it and the fourth, only the rates
# differ. Where the ranking changes there, the third column ranked how well S1's range suited each.
# (Hold every change against the spread in the race's table.) The relays of the full run:

# %%
for study in ("relay", "reversed"):
    print(f"{study}:\n{records.summary({name: f'05_{study}_{name}' for name in RELAY})}\n")

# %% [markdown]
# On record, S1's own order puts RMSprop last, which is not last in the fair race. But its first leg
# depends so much on the seed that three seeds can't tell the change from chance. The reversed relay
# can: it puts Adagrad ahead of Adam with every seed, and in the fair race Adam is far ahead.
# Whoever hands weights on gets the ranking that the order makes.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## How do axes hide a relay? (M1.16)
#
# S1 drew the four curves of its relay over one another, all beginning at 0, with the x axis labeled
# "Epoch" although it counted steps. Here is your relay, drawn like that.

# %%
relay_window = max(3, relay_steps // 5)
legs_drawn = {
    name: dashboards.smooth(result.batches.accuracy, relay_window)
    for name, result in studies["relay"][0].items()
}
dashboards.line_plot(
    {name: (np.arange(relay_steps), values) for name, values in legs_drawn.items()},
    title="As drawn in S1: a race that never was",
    xlabel="“Epoch” (in truth: steps)",
    ylabel="accuracy of the batch",
    height=280,
)

# %% [markdown]
# This picture asks you to read who learns fastest, and over how many epochs. Now the same points
# where they belong: one after the other, with *epochs = steps / steps per epoch*.

# %% slideshow={"slide_type": "slide"}
dashboards.line_plot(
    {
        name: ((np.arange(relay_steps) + place * relay_steps) / steps_per_epoch, values)
        for place, (name, values) in enumerate(legs_drawn.items())
    },
    title="What happened: one network, trained four times over",
    xlabel="epochs of the one network (steps / steps per epoch)",
    ylabel="accuracy of the batch",
    height=280,
)

# %%
print(f"The first axis ends at “epoch” {relay_steps - 1}; each leg had {relay_epochs} epoch(s).")
print(f"The last leg began {(len(RELAY) - 1) * relay_epochs} epoch(s) after the first.")

# %% [markdown]
# Each line begins with the weights that the line before it ended with. Two pictures of the same
# numbers: the axis makes the claim.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What do a default rate and a wrong end cost? (M1.12)
#
# Two more of the unfair conditions, each with a price. First, Adadelta at the default of Keras 3,
# at that of its paper and Keras 2, and at the found one, all in the same one-cycle race:

# %%
adadelta = {f"found {found_rate['Adadelta']:.2g}": race["Adadelta"][0]}
for label, rate in (("Keras 3: 0.001", 0.001), ("Keras 2 and paper: 1", 1.0)):
    adadelta[label] = build_and_train("Adadelta", seeds[0], one_cycle(rate), label=f"rate_{rate:g}")
for label, result in adadelta.items():
    print(f"Adadelta, {label:22} {result.run.history['val_accuracy'][-1]:.3f}")
print(f"guessing among {len(data.class_names)} classes{1 / len(data.class_names):13.3f}")

# %% [markdown]
# Where the line of Keras 3 is near guessing and the others are not, an old recipe that says
# "Adadelta with its defaults" fails today because a default changed, and not because of the
# optimizer.
#
# Second, S1's run ended half-way down a slope (after 3.75 cycles), where the rate is still high and
# the weights still jump about. Adam, with the same number of steps and the same bounds, ending in
# mid-slope or at the bottom:

# %%
peak = found_rate["Adam"]
ended = {}
for cycles in (3.75, 4):
    cycled = cycle_rates(peak / 10, peak, cycles=cycles, steps=steps)
    result = build_and_train("Adam", seeds[0], cycled, label=f"{cycles}_cycles")
    ended[cycles] = cycled[-1], result.run.history["val_accuracy"][-1]
for cycles, (rate, score) in ended.items():
    print(f"{cycles:4} cycles, last rate {rate:.2g}: validation accuracy {score:.3f}")
print(f"spread of Adam between seeds: {accuracy['Adam'].std(ddof=1):.3f}")

# %% [markdown]
# Compare the difference of the two lines with the spread: where it is smaller, one seed cannot
# tell. But where two optimizers are stopped at different heights of their cycles, part of any
# difference between them is the height.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What does choosing on the test set cost? (M1.13)
#
# S1 looked at the test set three times on its way. You have as many candidates as races; choose the
# best of them on one part of the images and score it on the others. The real test set stays closed:
# some validation images, drawn at random many times, play its part.

# %%
judge = build_model(width, seed=0)  # one network that takes the weights of each candidate
hits = []
for result in (result for results in race.values() for result in results):
    judge.set_weights(result.weights)
    predicted = training.predict(judge, split.x_validation, normalize).argmax(axis=1)
    hits.append(predicted == split.y_validation)
hits = np.array(hits)  # one row a candidate, one column an image

# %%
generator = np.random.default_rng(0)


def flattery(count, cuts=500):
    """Return by how many points the best on `count` images is better there than on the others."""
    leads = []
    for _ in range(cuts):
        order = generator.permutation(hits.shape[1])
        seen, others = hits[:, order[:count]].mean(axis=1), hits[:, order[count:]].mean(axis=1)
        leads.append(100 * (seen.max() - others[seen.argmax()]))
    return np.mean(leads)


parts = {"twentieth": hits.shape[1] // 20, "fifth": hits.shape[1] // 5, "half": hits.shape[1] // 2}
leads = {part: flattery(count) for part, count in parts.items()}
for part, count in parts.items():
    print(f"Best of {len(hits)} on {count:5,} images: {leads[part]:+5.1f} points on average")
records.note("05_flattery", seed=0, candidates=len(hits), **leads)

# %% [markdown]
# Each line says how much higher the chosen candidate scores on the images that chose it than on
# those that did not: the price of using one set to choose and to report. The best of many is best
# partly by luck with those very images, and the fewer they are, the more luck. So the validation
# set chooses, and its score for the chosen one is not the one to publish.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What is the result? (the test set, opened once)
#
# The winner was chosen on validation images. Its networks, one for each seed, now meet the test
# images, for the first and only time. So do those of the others, for the record; the choice stands.

# %% tags=["test-set"]
right = {name: [] for name in race}
for name, results in race.items():
    for seed, result in zip(seeds, results, strict=True):
        judge.set_weights(result.weights)
        answers = training.predict(judge, data.x_test, normalize).argmax(axis=1)
        right[name].append(int((answers == data.y_test).sum()))
        images = len(data.y_test)
        records.note_test(result.run.name, seed=seed, correct=right[name][-1], images=images)

# %%
test_scores = np.array(right[winner]) / len(data.y_test)
for correct in right[winner]:
    low, high = training.accuracy_interval(correct, len(data.y_test))
    print(f"{winner}: {correct / len(data.y_test):.3f} (95 % interval {low:.3f} to {high:.3f})")

# %%
final = training.reported("S1")["final"]
gap = 100 * (accuracy[winner].mean() - np.mean(test_scores))
s1_gap = 100 * (final["validation_accuracy"] - final["test_accuracy"])
print(f"{winner}: validation {accuracy[winner].mean():.3f}, test {np.mean(test_scores):.3f}:")
print(f"validation is {gap:+.1f} points from test, after {epochs} epochs")
print(
    f"S1's “Adagrad” reported {final['validation_accuracy']:.3f} and {final['test_accuracy']:.3f}:"
)
print(f"{s1_gap:+.1f} points, after {final['epochs']} epochs in all")

# %% [markdown]
# Your gap is what choosing the best and the chance of the draw leave (in small profiles the
# intervals are wide). S1 put its own down to overfitting; its split, in which most validation
# images had a twin among the training images (notebook 01), can explain it alone.
#
# The winner is saved under its own name, with its history, and checked after loading.

# %%
folder = training.artifacts_folder()
racers[winner].set_weights(race[winner][0].weights)
path = training.save_model(racers[winner], folder / f"05_winner_{winner.lower()}.keras")
training.save_history(race[winner][0].run.history, path.with_suffix(".json"))
assert checksum(training.load_model(path)) == checksum(racers[winner]), "another model was saved"
print(f"{path.name}: the loaded weights equal those of the race")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Take-aways

# %%
spread = 100 * accuracy.std(ddof=1).mean()
lead = 100 * accuracy.mean().sort_values().diff().iloc[-1]
ratio = max(found_rate.values()) / min(found_rate.values())
print(f"The largest found rate is {ratio:,.0f} times the smallest.")
print(f"{winner} leads the second by {lead:.1f} points; seeds spread by {spread:.1f} on average.")
print(
    f"Level with the winner, as far as {len(seeds)} seeds can tell: {', '.join(level) or 'none'}."
)
lion, adam = slot_bytes["Lion"], slot_bytes["Adam"]
print(f"Memory for each parameter: {lion:.0f} bytes with Lion, {adam:.0f} with Adam.")

# %% [markdown]
# - A fair race has equal copied weights, equal batches, equal steps, a rate found for each, and a
#   judge that took no part: validation images. Show the checksums.
# - A rate shared by all ranks how well it suits each.
# - With one seed, chance may crown the winner. Compare seed by seed and ask whether the lead
#   exceeds the spread.
# - `b = a` copies no model, `clone_model` copies no weights, and compiling again resets the
#   optimizer only.
# - Default rates are conventions, not recommendations; they differ between versions.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Exercises
#
# Put your answer in the place of `...` and run the cell. It tells you what kind of mistake you made
# and gives one hint at a time; ask as often as you like.

# %% [markdown]
# **Exercise 1.** SGD with momentum (0.9) at a rate of 0.01 gets the same gradient, 1, three times
# in a row. Predict with pencil and paper: how far has the weight moved after the three steps?

# %% tags=["exercise"]
distance = ...  # a number, without its sign
exercises.check("05.1", distance)

# %% tags=["solution"]
optimizer, weight = OPTIMIZERS["SGD"](), keras.Variable(0.0)
optimizer.learning_rate = 0.01
for _ in range(3):
    optimizer.apply([keras.ops.convert_to_tensor(1.0)], [weight])
distance = abs(float(weight))
exercises.check("05.1", distance)


# %% tags=["check"]
def moved(steps, *, memory=0.9, share=1.0):
    """Return the distance after some steps along a gradient of 1."""
    velocity = distance = 0.0
    for _ in range(steps):
        velocity = memory * velocity + share * 0.01
        distance += velocity
    return distance


rule = exercises.Rule(
    "05.1",
    expected=moved(3),
    tolerance=0.0002,
    wants="a number",
    because="The steps are 0.01, 0.019 and 0.0271: each is the new gradient's step plus 0.9 of the "
    "step before. Along a steady slope, momentum ends at ten times the step of plain SGD.",
    mistakes=[
        exercises.Mistake(
            "there is no momentum in it",
            example=moved(3, memory=0.0),
            hints=[
                "Three equal steps are plain SGD. What does each step keep of the one before?",
                "Write down v after each step: `v = 0.9 * v + 0.01`, beginning with v = 0.",
            ],
        ),
        exercises.Mistake(
            "that is the third step alone",
            example=moved(3) - moved(2),
            hints=["The weight moves at each step: add up all of them."],
        ),
        exercises.Mistake(
            "the memory is counted once too few",
            example=0.01 + 2 * 0.019,
            when=lambda answer: (
                abs(answer - (0.01 + 2 * 0.019)) < 0.0002 or abs(answer - moved(2)) < 0.0002
            ),
            hints=[
                "The third step remembers the second one, which already remembered the first.",
                "Three lines: v and the sum of all v after step 1, after step 2, after step 3.",
            ],
        ),
        exercises.Mistake(
            "that takes the running mean of the gradients, and this optimizer sums them",
            example=moved(3, share=0.1),
            hints=[
                "Adam multiplies the new gradient by 0.1 before it joins the memory. Look at the "
                "formula of SGD with momentum: does it?"
            ],
        ),
    ],
    hints=[
        "Each step is `v = 0.9 * v + 0.01 * gradient`, and the weight moves by v.",
        "Write down the three values of v and add them up.",
    ],
)

# %% [markdown]
# **Exercise 2.** A model has 100 million parameters of 4 bytes. How many megabytes (millions of
# bytes) of optimizer memory do you save with Lion in the place of AdamW?

# %% tags=["exercise"]
saved_megabytes = ...  # a number
exercises.check("05.2", saved_megabytes)

# %% tags=["solution"]
saved_megabytes = 100 * (slot_bytes["AdamW"] - slot_bytes["Lion"])
exercises.check("05.2", saved_megabytes)

# %% tags=["check"]
adamw_total = 100 * slot_bytes["AdamW"]
rule = exercises.Rule(
    "05.2",
    expected=adamw_total - 100 * slot_bytes["Lion"],
    tolerance=0.5,
    wants="a number",
    because="AdamW keeps two arrays as large as the weights (running means of the gradient and of "
    "its square), Lion one. The other array is what you save: as much as the weights take.",
    mistakes=[
        exercises.Mistake(
            "that is all that AdamW keeps",
            example=adamw_total,
            hints=["Lion keeps something, too: see its line in the table of memory."],
        ),
        exercises.Mistake(
            "that is for a single parameter, in bytes",
            example=slot_bytes["AdamW"] - slot_bytes["Lion"],
            hints=["How many parameters are there? A million bytes are one megabyte."],
        ),
        exercises.Mistake(
            "numbers are counted, not bytes",
            example=100.0,
            hints=["Each number takes 4 bytes."],
        ),
        exercises.Mistake(
            "the weights are counted, too",
            example=adamw_total + 400,
            when=lambda answer: answer > adamw_total + 0.5,
            hints=[
                "The weights need the same room with both optimizers. What differs?",
                "Count the slots of each optimizer, and subtract.",
            ],
        ),
        exercises.Mistake(
            "those are MiB, of 1,048,576 bytes each",
            example=100e6 * (slot_bytes["AdamW"] - slot_bytes["Lion"]) / 2**20,
            hints=["The question asks for millions of bytes."],
        ),
    ],
    hints=[
        "How many slots does each of the two keep for a parameter?",
        "The table of memory has the bytes for one parameter: subtract, then multiply.",
    ],
)

# %% [markdown]
# **Exercise 3.** Two optimizers raced with the same four seeds. Does the lead of the first exceed
# the spread? Compute the *lower end* of the 95 % interval of the paired difference, in points, as
# in "Won, or lucky?".

# %%
first_accuracy = np.array([0.61, 0.64, 0.58, 0.63])  # one number for each seed
second_accuracy = np.array([0.59, 0.61, 0.57, 0.60])

# %% tags=["exercise"]
lower_end = ...  # a number, in points
exercises.check("05.3", lower_end)

# %% tags=["solution"]
lead_of_first = 100 * (first_accuracy - second_accuracy)
half_width = stats.t.ppf(0.975, 3) * lead_of_first.std(ddof=1) / np.sqrt(4)
lower_end = lead_of_first.mean() - half_width
exercises.check("05.3", lower_end)

# %% tags=["check"]
pairs = 100 * (np.array([0.61, 0.64, 0.58, 0.63]) - np.array([0.59, 0.61, 0.57, 0.60]))
by_t, by_normal = stats.t.ppf(0.975, 3), stats.norm.ppf(0.975)
apart = [100 * np.array([0.61, 0.64, 0.58, 0.63]), 100 * np.array([0.59, 0.61, 0.57, 0.60])]
unpaired = np.sqrt(sum(values.var(ddof=1) / 4 for values in apart))


def lower(factor, *, ddof=1, count=4):
    return pairs.mean() - factor * pairs.std(ddof=ddof) / np.sqrt(count)


rule = exercises.Rule(
    "05.3",
    expected=lower(by_t),
    tolerance=0.02,
    wants="a number",
    because="The whole interval lies above 0, so the lead exceeds the spread, although the first "
    "optimizer alone spreads by more than its lead. Good and bad seeds are the same for both, and "
    "pairing takes that out.",
    mistakes=[
        exercises.Mistake(
            "the pairs are torn apart",
            example=pairs.mean() - stats.t.ppf(0.975, 6) * unpaired,
            when=lambda answer: any(
                abs(answer - (pairs.mean() - factor * unpaired)) < 0.02
                for factor in (stats.t.ppf(0.975, 6), by_t, by_normal)
            ),
            hints=[
                "Seeds that are good for one are good for the other. Subtract seed by seed first.",
                "You need one standard deviation only, that of the four differences.",
            ],
        ),
        exercises.Mistake(
            "the normal distribution is too narrow for four seeds",
            example=lower(by_normal),
            when=lambda answer: any(abs(answer - lower(f)) < 0.02 for f in (by_normal, 2.0)),
            hints=[
                "With so few seeds the standard deviation itself is uncertain: use Student's t.",
                "`stats.t.ppf(0.975, degrees)`, with degrees = number of differences − 1.",
            ],
        ),
        exercises.Mistake(
            "the root of the number of seeds is missing",
            example=lower(by_t, count=1),
            hints=[
                "That is where single differences lie. The *mean* of several is more certain.",
                "Divide the standard deviation by `np.sqrt(4)`.",
            ],
        ),
        exercises.Mistake(
            "the standard deviation is that of a whole population",
            example=lower(by_t, ddof=0),
            hints=["NumPy divides by n unless you say `ddof=1`; four seeds are a sample."],
        ),
        exercises.Mistake(
            "that is not in points",
            example=lower(by_t) / 100,
            hints=["A point is a hundredth of accuracy."],
        ),
        exercises.Mistake(
            "that is the mean lead",
            example=pairs.mean(),
            hints=["How far below the mean does the interval reach?"],
        ),
        exercises.Mistake(
            "that is the upper end",
            example=2 * pairs.mean() - lower(by_t),
            hints=["Whether the lead exceeds the spread depends on the other end."],
        ),
    ],
    hints=[
        "Subtract seed by seed. Then you need the mean of the differences, their standard "
        "deviation, the number of seeds, and Student's t.",
        "mean − t × standard deviation ÷ root of n, with `stats.t.ppf(0.975, n - 1)` and `ddof=1`.",
    ],
)

# %% [markdown]
# **Exercise 4.** Enter an eighth racer: an optimizer of Keras that was not in the race (Nadam,
# Adamax, Lamb, Muon, ...). Find its rate, train it from the start of seed 0 in at most as many
# steps, and reach the *median* of the seven with that seed; the next cell prints it. All you need
# is above: `compile_racer`, `finder`, `rate_from`, `one_cycle`, `FollowRates` and `training.fit`.
# You hand in your net and the images that trained it.

# %%
median = accuracy.iloc[0].median()
to_reach = profile.pick(smoke=0.02, quick=median, full=median)  # smoke: too few steps to learn
print(f"Reach {to_reach:.3f} on the validation images in at most {steps} steps.")

# %% tags=["exercise"]
my_net = ...  # my_net = compile_racer(lambda: optimizers.Nadam()), then find its rate and train it
my_images = ...  # the images that trained it; `train_batches` takes split.x_train
exercises.check("05.4", (my_net, my_images))

# %% tags=["solution"]
my_net, my_images = compile_racer(lambda: optimizers.Nadam()), split.x_train
my_rate = rate_from(finder.run(my_net, train_batches(seeds[0])))
training.fit(
    my_net,
    train_batches(seeds[0]),
    name="05_eighth_racer",
    epochs=epochs,
    validation=validation,
    callbacks=[FollowRates(one_cycle(my_rate))],
)
exercises.check("05.4", (my_net, my_images))


# %% tags=["check"]
def validation_accuracy(net):
    images, labels = split.x_validation[:1000], split.y_validation[:1000]
    predicted = training.predict(net, images, normalize).argmax(axis=-1)
    return (predicted == labels).mean()


def steps_of(net):
    return int(net.optimizer.iterations) if net.compiled else 0


def raced(net):
    return net.compiled and type(net.optimizer).__name__ in OPTIMIZERS


def never_right(count):
    """Return a net that always answers with an eleventh class, after so many steps."""
    net = keras.Sequential([keras.Input((32, 32, 3)), layers.Flatten(), layers.Dense(11)])
    net.set_weights([np.zeros((3072, 11)), np.eye(11)[10]])
    net.compile(optimizers.Nadam())
    net.optimizer.iterations.assign(count)
    return net


rule = exercises.Rule(
    "05.4",
    right=lambda answer: (
        datasets.shared_images(answer[1], split.x_validation) == 0
        and not raced(answer[0])
        and 0 < steps_of(answer[0]) <= steps
        and validation_accuracy(answer[0]) >= to_reach
    ),
    like=(keras.Model, split.x_train),
    wants="your trained net and an array of the images that trained it",
    because="Your racer got there, with one seed. Whether it belongs to the winner's group, only "
    "the other seeds can tell.",
    mistakes=[
        exercises.Mistake(
            "validation images are among those that trained the net",
            example=(racers["SGD"], split.x_validation),
            when=lambda answer: datasets.shared_images(answer[1], split.x_validation) > 0,
            hints=[
                "Those images are the judge. Whoever has seen them before can't lose.",
                "Train on `split.x_train`, as `train_batches` does.",
            ],
        ),
        exercises.Mistake(
            "that optimizer was in the race already",
            example=(racers["Adam"], split.x_train),
            when=lambda answer: raced(answer[0]),
            hints=[
                "`keras.optimizers` has more than the seven: write `optimizers.` and press Tab.",
                "Those that build on Adam are good candidates: Nadam, Adamax, Lamb.",
            ],
        ),
        exercises.Mistake(
            "it took more steps than the race has",
            example=(never_right(steps + 1), split.x_train),
            when=lambda answer: steps_of(answer[0]) > steps,
            hints=[
                "Equal steps for all. `net.optimizer.iterations` counts them.",
                "Compile a fresh racer for each try. (The finder puts its own steps back.)",
            ],
        ),
        exercises.Mistake(
            "the net was not trained",
            example=(never_right(0), split.x_train),
            when=lambda answer: steps_of(answer[0]) == 0,
            hints=["Train it with `training.fit`, then hand it in."],
        ),
        exercises.Mistake(
            "the validation accuracy is below the number to reach",
            example=(never_right(steps), split.x_train),
            when=lambda answer: validation_accuracy(answer[0]) < to_reach,
            hints=[
                "Did you find its rate, or take that of another optimizer?",
                "Plot the losses of its range test. Is the lowest one at an edge, or is the dip "
                "too shallow to trust?",
                "Give `one_cycle` three times the rate, or a third of it.",
            ],
        ),
    ],
    hints=["Compile a racer, find its rate, train it with `FollowRates(one_cycle(rate))`."],
)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Quiz

# %% [markdown] tags=["quiz"]
# Five optimizers are compared at a learning rate of 0.001 each. What does the ranking show?
#
# - [ ] Which of the five is best.
#   > It would, if one rate meant the same to all. Their first steps at one rate differ by orders of
#   > magnitude.
# - [x] Mostly, whom a rate of 0.001 suits.
#   > Right: a rate must be found for each, by the same rule, before optimizers are compared.
# - [ ] Which of the five needs no tuning.
#   > It shows who does well at this rate on this problem; on another one it may be somebody else.
# - [ ] Nothing can be learned from comparing optimizers.
#   > From equal starts, with equal steps, own rates and several seeds, it can.

# %% [markdown] tags=["quiz"]
# `trained = build_model(width, seed=0)`, then `copy = trained`. You train `copy`. What happens to
# `trained`?
#
# - [ ] Nothing: it keeps its weights.
#   > That would need a second network. An assignment makes none.
# - [x] It is trained, too: both names mean one network.
#   > Right: to get a second one, build it and copy the weights with `set_weights`.
# - [ ] It loses its weights.
#   > Nothing is moved; there is one network with two names.
# - [ ] It is trained, but its optimizer isn't.
#   > The optimizer belongs to the network, so that one is shared as well.

# %% [markdown] tags=["quiz"]
# The winner leads by 1.5 points; the 95 % interval of the paired difference is −0.4 to 3.4 points.
# What may you write?
#
# - [ ] The winner is better by 1.5 points.
#   > The interval includes 0 and even a small lag: these seeds can't exclude that it is luck.
# - [ ] The two are equally good.
#   > The interval includes large leads, too. Not told apart is not the same as equal.
# - [x] These seeds do not tell the two apart.
#   > Right: and more seeds would narrow the interval.
# - [ ] The winner won with most seeds, so it is better.
#   > Few wins in a row happen to a coin, too. Ask how large the lead is beside its spread.

# %% [markdown] tags=["quiz"]
# You choose the best of twenty nets by validation accuracy. Which number do you report for it?
#
# - [ ] Its validation accuracy: the validation images were never trained on.
#   > But they chose. The best of many is best partly by luck with those very images.
# - [x] Its accuracy on test images that took no part in the choice.
#   > Right: opened once, after the choice.
# - [ ] The best test accuracy of the twenty.
#   > Then the test images choose, and flatter in their turn.
# - [ ] The mean validation accuracy of the twenty.
#   > That says how good the candidates are, and nothing of the one that you chose.

# %%
exercises.quiz("05")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Further reading
#
# - Schmidt, Schneider and Hennig 2021, *Descending through a crowded valley*: fifteen optimizers,
#   tuned and untuned, on eight problems; no single winner.
# - Choi et al. 2019, *On empirical comparisons of optimizers for deep learning*: how the ranking
#   follows from what is tuned.
# - Wilson et al. 2017, *The marginal value of adaptive gradient methods*: the case for SGD on
#   images.
# - Kingma and Ba 2014, *Adam*: short, and the source of the default that most people use.
# - Chen et al. 2023, *Symbolic discovery of optimization algorithms*: how Lion was found by a
#   search.
