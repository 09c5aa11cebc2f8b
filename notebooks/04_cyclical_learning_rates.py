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
# # 04 · Find a learning rate, then let it cycle
#
# At the end of this notebook you will have measured which learning rates suit a network, trained
# it with seven schedules from the same start, and made a table that says what cycling bought.
#
# **What you'll learn**
#
# - what the learning rate does, and how to see that it is too small or too large;
# - to run a *range test* and to read bounds from it that you can defend;
# - the three cyclical policies of Smith (2015) and the one cycle of Smith and Topin (2017);
# - to compare schedules at equal cost, equal starts and the same phase of a cycle.
#
# **What you'll need:** notebooks 01 (splits) and 02 (a first CNN). The set-up line below prints how
# long the notebook takes in your profile.
#
# The experiments re-create an older write-up, called S1, that trained a CNN with a cyclical rate.

# %%
from course_utils import profiles

profile = profiles.start("04")

# %%
import holoviews as hv
import keras
import numpy as np
import pandas as pd
from IPython.display import clear_output
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
# The full profile trains S1's net on 40,000 images, as many as S1 used. The other profiles take
# fewer images and a narrower net. In the smoke profile the numbers are noise: it shows only that
# every cell runs. An *epoch* is one pass over the training images; a *step* (S1 says *iteration*)
# is one batch and one change of the weights.

# %%
train_images = profile.pick(smoke=360, quick=1650, full=50_000)
test_images = profile.pick(smoke=200, quick=1000, full=10_000)
validation_fraction = profile.pick(smoke=1 / 3, quick=1 / 3, full=0.2)
width = profile.pick(smoke=4, quick=12, full=32)  # filters in the first layers; S1: 32
batch_size = profile.pick(smoke=20, quick=20, full=100)  # S1: 500
epochs = profile.pick(smoke=2, quick=4, full=4)
test_steps = profile.pick(smoke=30, quick=300, full=400)  # batches of a range test
search_steps = profile.pick(smoke=80, quick=160, full=160)  # S1: 160
seeds = range(profile.pick(smoke=1, quick=2, full=3))

# %%
data = datasets.load_cifar10(train_images=train_images, test_images=test_images)
split = datasets.train_validation_split(
    data.x_train, data.y_train, validation_fraction=validation_fraction, seed=0
)
shared = datasets.shared_images(split.x_train, split.x_validation)
if not data.stand_in:
    assert shared == 0, f"{shared} validation images are also training images"
steps_per_epoch = -(-len(split.x_train) // batch_size)
total_steps = epochs * steps_per_epoch
print(f"{len(split.x_train):,} training images, {len(split.x_validation):,} for validation")
print(f"{steps_per_epoch} steps per epoch, {total_steps} steps in each training")

# %% [markdown]
# The validation images decide; the test images stay closed until the end. As in S1, every image is
# standardized on its own and training images are flipped at random. Validation images are not
# flipped.


# %%
def training_batches(seed=0):
    return augmentation.Batches(
        split.x_train,
        split.y_train,
        batch_size=batch_size,
        normalize=augmentation.per_image,
        transforms=[augmentation.flip()],
        shuffle=True,
        seed=seed,
    )


validation = augmentation.Batches(
    split.x_validation, split.y_validation, batch_size=500, normalize=augmentation.per_image
)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What does the learning rate do?
#
# Training changes each weight a little, against the *gradient* of the loss: the direction in which
# the loss rises. The **learning rate** says how far: `new = old - rate * gradient`. Take the
# simplest loss there is, `w² / 2` with its minimum at 0. Its gradient is `w`.
#
# **Before you run this:** you start at `w = 1` and take ten steps. Which of the four rates ends
# closest to 0, and what does the largest one do?

# %%
# NBVAL_CHECK_OUTPUT
positions = pd.DataFrame({rate: (1 - rate) ** np.arange(11) for rate in (0.1, 0.9, 1.9, 2.1)})
positions.index.name = "step"
print(positions.round(3).iloc[[0, 1, 2, 5, 10]].to_string())

# %%
dashboards.line_plot(
    {f"rate {rate}": (positions.index, positions[rate]) for rate in positions},
    title="Small rates crawl, large ones overshoot",
    xlabel="step",
    ylabel="w",
)

# %% [markdown]
# Rate 0.1 is on its way but slow. Rate 0.9 arrives. Rate 1.9 jumps over the minimum at every step
# and still closes in; 2.1 jumps farther each time: training **diverges**. The border lies at 2
# divided by the *curvature* of the loss: how fast its gradient changes with `w`, here 1. A network
# has many weights, and curvatures that change while it learns, so in practice you measure what it
# tolerates.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What did a rate of 0.001 cost? (M1.11)
#
# This is S1's net: two blocks of convolutions, then a dense layer. *Dropout* sets random values to
# zero during training (notebook 03 is about it).


# %%
def base_net(seed=0, width=width):
    training.seed_everything(seed)
    model = keras.Sequential([keras.Input((32, 32, 3))])
    for filters in (width, 2 * width):
        model.add(layers.Conv2D(filters, 3, padding="same", activation="relu"))
        model.add(layers.Conv2D(filters, 3, padding="same", activation="relu"))
        model.add(layers.MaxPooling2D())
        model.add(layers.Dropout(0.25))
    model.add(layers.Flatten())
    model.add(layers.Dense(16 * width, activation="relu"))
    model.add(layers.Dropout(0.5))
    model.add(layers.Dense(10, activation="softmax"))
    return model


# %%
# NBVAL_CHECK_OUTPUT
print(f"S1's net has {base_net(width=32).count_params():,} parameters")

# %% [markdown]
# S1 trained it with SGD (*stochastic gradient descent*, the rule above on one batch after the
# other) at rate 0.001, found the result poor and blamed the number of epochs. Train it with three
# rates, and with Adam, which adapts the step of each weight, at its usual rate. Every run begins
# with the same weights and sees the same batches.
#
# While a net trains, you see one line with the epoch, the batch, the seconds left and the metrics,
# and below it curves of loss and accuracy that grow; where a full run is on record, it is drawn in
# lighter lines. In the end only the line stays. Every finished epoch is saved: interrupt the kernel
# when you like, nothing of it is lost. Run the cell again and the training goes on.
#
# **Before you run this:** rank the four runs by validation accuracy.


# %%
def train(optimizer, name, *, seed=0):
    model = base_net(seed)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    run = training.fit(
        model,
        training_batches(seed),
        name=f"04_{name}_seed{seed}",
        epochs=epochs,
        validation=validation,
        seed=seed,
        progress="line",
    )
    return model, run.history


# %%
sgd_rates = (0.001, 0.01, 0.1)
constant = {r: train(keras.optimizers.SGD(r), f"constant_{r:g}") for r in sgd_rates}
adam, adam_history = train(keras.optimizers.Adam(0.001), "adam")

# %%
constant_histories = {f"SGD {rate:g}": history for rate, (_, history) in constant.items()}
optimizer_runs = {**constant_histories, "Adam 0.001": adam_history}
dashboards.compare_runs(
    optimizer_runs,
    metric="val_accuracy",
    title="One net, four optimizer settings, equal starts",
)

# %%
final = pd.Series({name: h["val_accuracy"][-1] for name, h in optimizer_runs.items()})
print(final.rename("validation accuracy").round(3).to_string())
order = " > ".join(final.sort_values(ascending=False).index)
reported = training.reported("S1")["base"]
print(f"\nafter {epochs} epochs, 1 seed: {order} (guessing: 0.1)")
print(
    f"S1 reported {reported['validation_accuracy']:.4f} after {reported['epochs']} epochs at "
    f"{reported['learning_rate']:g}, batches of {reported['batch_size']}"
)

# %% [markdown]
# Look at the line of SGD 0.001 first and cover the others: nothing in it says that the rate is
# wrong. Alone, a line that hardly rises suggests "not enough epochs". Only the comparison tells
# whether the rate is to blame. The printed numbers are your result, and their distances what the
# small rate costs; with few images and steps neighbors in the order may swap. S1's figure is no
# yardstick: its training and validation sets shared images (notebook 01).

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Which rates work at all? The range test
#
# So far every rate took a training of its own. A **range test** tries hundreds of rates (fewer in
# smoke) in one run: raise the rate after every batch, from much too small to much too large, and
# record the loss of each batch. Three things matter: start from **fresh weights**, record the loss
# of **each batch alone**, and **put everything back** afterwards. `LearningRateFinder` sees to the
# last two, and stops once the smoothed loss is four times its best value (the practice of fastai;
# Howard and Gugger, 2020).
#
# **Before you run this:** the four runs above have given you an idea. At which rate will the loss
# begin to fall, and where will it explode?

# %%
fresh = base_net()
fresh.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
before = [np.array(w) for w in fresh.get_weights()]
finder = callbacks.LearningRateFinder(3e-4, 10.0, steps=test_steps)
fresh_test = finder.run(fresh, training_batches())
for old, new in zip(before, fresh.get_weights(), strict=True):
    assert np.array_equal(old, new), "the test must leave the weights alone"

# %%
fresh_test.plot(title="Range test from fresh weights: look for flat, falling, rising")

# %%
print(
    f"{len(fresh_test.rates)} batches, rate {fresh_test.rates[0]:g} to {fresh_test.rates[-1]:.2g}"
)
print(f"steepest fall at {fresh_test.steepest:.2g}, valley at {fresh_test.valley:.2g}")
print(f"stopped because the loss exploded: {fresh_test.diverged}")

# %% [markdown]
# Read the left panel from left to right. As long as it is flat, the rate is too small to matter.
# Where it falls, the net learns. Where it turns up, steps overshoot: the loss explodes, or the net
# "dies": it answers the same for every image, and the loss stays at about 2.30, the logarithm of
# 10, which is that of guessing. A line that stays flat throughout (too few batches) shows nothing.
# The two marks are suggestions of common rules: *steepest* is where the smoothed loss falls
# fastest, *valley* is halfway down the longest fall. They can lie far apart, and the noise of a
# short test moves them, so look at the curve before you trust a mark. The smoothed line uses past
# values only and therefore lags a little: features are drawn too far right (more about that below).

# %% [markdown] slideshow={"slide_type": "slide"}
# ### Smith's own test: linear, read on accuracy
#
# Smith (2015) raises the rate in equal steps and reads the *accuracy*: the base is the rate where
# it begins to rise, the maximum the one where it turns ragged or falls. He adds a rule of thumb:
# the best rate is usually within a factor of two of the largest one that still converges, and the
# base is a third or a quarter of the maximum. The next cell stands in for your eye, on the first
# test: its maximum is the rate where the loss, smoothed by a *centered* mean and without the first
# tenth, is lowest. In a test that went far enough the loss turns up beyond it.

# %%
tenth = test_steps // 10
judged = dashboards.smooth(fresh_test.losses, tenth)[tenth:]
maximum = float(fresh_test.rates[tenth + judged.argmin()])
there = dashboards.smooth(fresh_test.losses, tenth)[fresh_test.rates == maximum]
assert there == judged.min(), "at another rate the loss is lower"
base = maximum / 4
print(f"loss lowest at a rate of {maximum:.2g}: maximum {maximum:.2g}, base {base:.2g}")

# %%
linear_finder = callbacks.LearningRateFinder(0.0, 2 * maximum, steps=test_steps, mode="linear")
linear_test = linear_finder.run(fresh, training_batches())
linear_test.plot(title="The same net, rate rising in equal steps")

# %% [markdown]
# In the right panel, look for the rate where the line leaves its first level, and for the one where
# it stops rising. Compare them with the printed base and maximum. Both are set two cells above: if
# your reading differs, change them and run the rest of the notebook with your own bounds.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What do the policies look like?
#
# A **schedule** fixes the rate of every step beforehand. `CyclicLR` climbs from base to maximum in
# `step_size` steps and returns in as many: one *cycle*. The three policies differ in what happens
# to the height of the triangle: it stays (*triangular*), halves with every cycle (*triangular2*),
# or shrinks with every step by a factor gamma (*exp_range*). *One cycle* climbs once and comes down
# to almost zero.
#
# Smith advises a `step_size` of several epochs. A short training has room for less: here it is one
# epoch, so that every cycle ends with an epoch.

# %%
step_size = steps_per_epoch
gamma = 0.25 ** (1 / total_steps)  # a quarter of the height is left at the end
bounds = {"base": base, "maximum": maximum, "step_size": step_size}
schedules = {
    "triangular": callbacks.CyclicLR(**bounds),
    "triangular2": callbacks.CyclicLR(**bounds, policy="triangular2"),
    "exp_range": callbacks.CyclicLR(**bounds, policy="exp_range", gamma=gamma),
    "one cycle": callbacks.OneCycle(maximum, total_steps=total_steps),
}
assert total_steps % (2 * step_size) == 0, "a training must end at the end of a cycle"
last_but_one, last = schedules["one cycle"].values(total_steps)[-2:]
assert last < last_but_one, "the one cycle must last as long as the training"


# %%
def rate_plot(rates_per_step, title):
    curves = {name: (range(len(rates)), rates) for name, rates in rates_per_step.items()}
    return dashboards.line_plot(
        curves, title=title, xlabel="step (batches)", ylabel="learning rate"
    )


rate_plot(
    {name: schedule.values(total_steps + 1) for name, schedule in schedules.items()},
    "The rate of every step: three cyclical policies and one cycle",
)

# %% [markdown]
# In the first cycle *triangular* and *triangular2* are one line; if there is a second cycle, look
# how high each policy climbs in it. *One cycle* peaks early and ends lowest. A toy shows the
# numbers:

# %%
# NBVAL_CHECK_OUTPUT
toy = {"base": 1.0, "maximum": 9.0, "step_size": 2}
policies = {
    "triangular": callbacks.CyclicLR(**toy),
    "triangular2": callbacks.CyclicLR(**toy, policy="triangular2"),
    "exp_range": callbacks.CyclicLR(**toy, policy="exp_range", gamma=0.9),
    "own: 1 / cycle": callbacks.CyclicLR(**toy, scale_function=lambda cycle: 1 / cycle),
}
table = pd.DataFrame({name: policy.values(11) for name, policy in policies.items()})
print(table.round(2).T.to_string())

# %% [markdown]
# The toy table shows the rates of eleven steps, with a cycle of four. All policies touch the base
# at steps 0, 4 and 8. At step 6, the second peak, *triangular2* rises half as high above the base
# as before; the height of *exp_range* is multiplied by 0.9 for every step passed. The last row is a
# policy of your own: any function of the cycle's number.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What happens to the loss while the rate cycles?
#
# Record one training batch by batch. `BatchHistory` keeps the loss, the accuracy and the applied
# rate of every single batch. When you run this one, its curves stay under the line.
#
# **Before you run this:** what will the validation accuracy do in epochs that end at the maximum?

# %%
cycling = base_net()
cycling.compile(
    keras.optimizers.SGD(schedules["triangular"]),
    "sparse_categorical_crossentropy",
    metrics=["accuracy"],
)
record = callbacks.BatchHistory()
cycling_history = training.fit(
    cycling,
    training_batches(),
    name="04_cycling",
    epochs=epochs,
    validation=validation,
    callbacks=[record],
).history

# %%
dashboards.rate_curves(
    record.learning_rate,
    record.loss,
    record.accuracy,
    window=max(3, total_steps // 20),
    title="Triangular policy: rate per step, then loss and accuracy against the rate",
)

# %% [markdown]
# Left: the rate that the optimizer really applied. Middle and right: time runs along the line,
# which goes to the right and back once per cycle, so every cycle is a loop. Later loops tend to lie
# below earlier ones (above them for the accuracy) because the net keeps learning. Unlike in a range
# test, you cannot read from such a plot which rate is good: rate and progress are mixed.

# %% [markdown] slideshow={"slide_type": "slide"}
# ### Why must a run end at the end of a cycle? (M1.18)
#
# Odd epochs end at the maximum, even ones at the base. S1's cyclical training ended at the base,
# its study of four optimizers in mid-slope, and S1 did not ask what that does to their numbers.

# %%
phases = pd.DataFrame(
    {
        "epoch": range(1, epochs + 1),
        "rate at its end": schedules["triangular"].values(total_steps + 1)[step_size::step_size],
        "validation loss": cycling_history["val_loss"],
        "validation accuracy": cycling_history["val_accuracy"],
    }
)
print(phases.round(4).to_string(index=False))
change = np.diff(cycling_history["val_loss"])
print(f"change of the loss while the rate climbs: {np.round(change[1::2], 3)}")
print(f"change of the loss while the rate falls:  {np.round(change[::2], 3)}")

# %% [markdown]
# Every epoch is one more epoch of training, so you would expect the loss to fall in each. Compare
# the printed lines: does it fall more in the epochs in which the rate comes down? (With two epochs
# there is no second climb to compare.) The usual explanation: high up, the steps are too large to
# settle in a valley; coming down lets the weights settle. A run that is stopped near the maximum
# shows its progress only in part, and a comparison of two runs at different phases compares the
# phases.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What does cycling buy?
#
# The rivals must be fair. S1 set a cyclical rate, on weights with several hundred epochs of earlier
# training, against its constant 0.001. Here every schedule gets the same start weights, the same
# batches and the same number of steps, and has two constant rivals: S1's 0.001 and a
# **well-chosen** constant rate, the best on validation of the SGD rates above and of the two bounds
# from the range test.

# %%
for rate in (base, maximum):
    constant[rate] = train(keras.optimizers.SGD(rate), f"constant_{rate:.2g}")
scores = {rate: history["val_accuracy"][-1] for rate, (_, history) in constant.items()}
best_rate = max(scores, key=scores.get)
print(", ".join(f"{rate:.3g}: {score:.3f}" for rate, score in scores.items()))
print(f"best constant rate: {best_rate:.3g}")
found = {"base": base, "maximum": maximum, "best_constant": best_rate, "steps": total_steps}
records.note("04_rates", seed=0, **found)
if best_rate == max(scores):
    print("It is the largest one tried: a still larger one might be better.")

# %% [markdown]
# This choice used the validation accuracy of seed 0, on which the schedules are compared below, so
# it favors the constant rate a little, if anything.
#
# A third rival separates two things that every cycle does. *Descent only* goes down in a straight
# line from the maximum to zero: it comes down at the end, like a cycle, but it never climbs.
#
# **Before you run this:** which will be larger, the step from 0.001 to a good constant rate, or the
# step from there to the best schedule?


# %%
def name_on_record(name):
    return name.replace(", ", "_").replace(" ", "_")


descent = callbacks.PiecewiseLinear([0, total_steps - 1], [maximum, 0.0])
plain = {"constant 0.001": 0.001, "constant, chosen": best_rate, "descent only": descent}
rivals = {**plain, **schedules}
models, histories = {}, {name: [] for name in rivals}
for name, rate in rivals.items():
    for seed in seeds:
        clear_output(wait=True)  # one line at a time: that of the training before gives way
        optimizer = keras.optimizers.SGD(rate)
        model, history = train(optimizer, name_on_record(name), seed=seed)
        models[name, seed] = model
        histories[name].append(history)
print(f"{len(rivals) * len(seeds)} trainings done")

# %%
dashboards.compare_runs(
    histories,
    metric="val_accuracy",
    title=f"{len(rivals)} schedules, {len(seeds)} seed(s), {total_steps} steps each",
)


# %%
def summary(metric):
    values = pd.DataFrame({name: [h[metric][-1] for h in runs] for name, runs in histories.items()})
    return pd.DataFrame({"mean": values.mean(), "lowest": values.min(), "highest": values.max()})


results = summary("val_accuracy").sort_values("mean", ascending=False)
print(f"validation accuracy after {total_steps} steps, {len(seeds)} seed(s)")
print(results.round(3).to_string())


# %%
def compare(one, other):
    gain = results["mean"][one] - results["mean"][other]
    overlap = (
        results["lowest"][one] <= results["highest"][other]
        and results["lowest"][other] <= results["highest"][one]
    )
    spread = "their ranges overlap" if overlap else "their ranges do not overlap"
    spread = spread if len(seeds) > 1 else "no spread to compare with"
    print(f"{one} - {other}: {gain:+.3f} ({len(seeds)} seed(s), {spread})")


best_cyclical = next(name for name in results.index if name in schedules)
compare("constant, chosen", "constant 0.001")
for name in plain:
    compare(best_cyclical, name)

# %%
print(records.summary({name: f"04_{name_on_record(name)}" for name in rivals}))

# %% [markdown]
# The first printed line measures what a range test or a small grid buys. The second is the
# comparison that flatters cycling. The third measures what cycling buys over a constant rate that
# was chosen with care, and the fourth what is left of that when the rival may come down, too. The
# best of four schedules (one cycle among them) was picked after the fact, which favors it. If
# ranges overlap, or there is one seed only, the run has not shown which of the two is better. Two
# or three seeds whose ranges do not overlap are a hint, not a proof.
#
# The last lines say what came out of the full run. There, too, everything leaves S1's 0.001 far
# behind; but one cycle, so often recommended, does *not* beat the well-chosen constant rate. Look
# at the brackets next: the seeds of one cycle lie close together, those of the constant rate far
# apart. A likely reason: with a high rate the last batches still push the weights about, and with
# one that comes down to nothing they settle. So the four epochs show a steadier result, not a
# better one. Mind that the steadiness was looked for after the means had been seen, and in three
# seeds: a strong hint. The page *Experiments* of the book holds both claims against the record.
#
# Smith (2015) reports, for CIFAR-10, the accuracy of a long training in about a third of its steps.
# Trainings of a few epochs can neither confirm nor refute that.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Where does the best net fail?
#
# The schedule with the best mean validation accuracy is the winner. Here is its run with seed 0 on
# the validation images, drawn like S1's dashboard.

# %%
winner = results.index[0]
winner_model = models[winner, 0]
probabilities = training.predict(winner_model, split.x_validation, augmentation.per_image)
measured = np.mean(probabilities.argmax(axis=1) == split.y_validation)
lowest, highest = results.loc[winner, ["lowest", "highest"]]
assert lowest - 0.002 < measured < highest + 0.002, "choose by validation accuracy"
dashboards.training_dashboard(
    histories[winner][0],
    split.y_validation,
    probabilities.argmax(axis=1),
    split.x_validation,
    data.class_names,
    title=f"Winner: {winner}",
)

# %% [markdown]
# Read the curves first. Validation that falls behind training would speak of overfitting; ahead of
# it, it shows that dropout acts in training only (notebook 02). If both still improve at the end,
# more steps may help. In the confusion matrix (truth in rows) look for cells off the diagonal that
# stand out; a whole column that does is a class the net falls back on. The images show what was
# taken for what.

# %%
folder = training.artifacts_folder()
path = training.save_model(winner_model, folder / "04_winner.keras")
training.save_history({"schedule": winner, "runs": histories[winner]}, folder / "04_winner.json")
again = training.predict(training.load_model(path), split.x_validation, augmentation.per_image)
assert np.allclose(again, probabilities, atol=1e-6), "the saved net must predict the same"
print(f"saved {path.name} with its optimizer and schedule, and 04_winner.json")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What goes wrong
#
# ### A range test on a net that is already trained (M1.5)
#
# S1 looked for bounds with a net that had trained for 300 epochs, and its lowest rate was the one
# of that training. Repeat the exponential test on the net that was trained with SGD 0.1 above.
#
# **Before you run this:** where will the flat part be, and how much can the loss still fall?

# %%
trained, _ = constant[0.1]
trained_test = finder.run(trained, training_batches())
tests = {"fresh weights": fresh_test, "trained weights": trained_test}
bottom = min(t.smoothed.min() for t in tests.values()) - 0.05
top = max(t.smoothed[0] for t in tests.values()) + 0.3
dashboards.line_plot(
    {name: (t.rates, t.smoothed) for name, t in tests.items()},
    title="The same range test from two starts",
    xlabel="learning rate",
    ylabel="smoothed loss of the batch",
    logx=True,
    ylim=(bottom, top),
)

# %%
for name, t in tests.items():
    rates, losses = t.rates[tenth:], t.smoothed[tenth:]  # the first smoothed values are jittery
    fall, lowest = losses[0] - losses.min(), rates[losses.argmin()]
    print(f"{name}: the loss falls by {fall:.2f}, is lowest at {lowest:.2g}, valley {t.valley:.2g}")

# %% [markdown]
# Compare where the two curves are lowest, and what they do at small rates: how far apart the
# printed rates lie is the cost. After enough training, a net can improve at rates that leave a
# fresh one where it is, for reasons that have nothing to do with a good rate: it comes from a high
# rate and settles as soon as the rate is low, like a cycle on its way down. Worse, such bounds fit
# a net that has left the difficult beginning behind, while the schedule that you build from them
# starts at the beginning.
#
# S1's first search was not a search either: 50 epochs of a ramp from 0.001 to 0.1, which is 50 more
# epochs of training. S1 saw the accuracy rise to the end, and nothing diverged. Here is a short
# ramp over the same rates, from fresh weights:

# %%
ramp = callbacks.LearningRateFinder(0.001, 0.1, steps=search_steps, mode="linear")
ramp_test = ramp.run(fresh, training_batches())
third = len(ramp_test.rates) // 3
first, last = ramp_test.accuracies[:third].mean(), ramp_test.accuracies[-third:].mean()
print(f"accuracy in the first third of the ramp {first:.3f}, in the last third {last:.3f}")
print(f"diverged: {ramp_test.diverged}; the first test ran to {fresh_test.rates[-1]:.2g}")

# %% [markdown]
# In a ramp, time and rate rise together: that the last third is better than the first would not
# tell which of the two did it. And a range that ends before the loss turns up has no upper bound to
# read.

# %% [markdown] slideshow={"slide_type": "slide"}
# ### A moving average that moves the peak (M1.6)
#
# S1's second search raised the rate from 0.001 to 0.02 in 160 batches, averaged the accuracy over
# the **last** 50 batches, and read a peak at 0.008. Try that on a made-up curve whose peak you
# know: it lies at the rate of the 60th batch.


# %%
# NBVAL_CHECK_OUTPUT
def trailing(values, window):
    return np.convolve(values, np.ones(window) / window, mode="valid")


s1_rates = np.linspace(0.001, 0.02, 160)
known = np.exp(-(((s1_rates - s1_rates[59]) / 0.003) ** 2))
print(f"true peak at {s1_rates[59]:.4f}")
rows = []
for window in (5, 20, 50):
    late, centered = trailing(known, window), dashboards.smooth(known, window)
    peak = s1_rates[window - 1 :][late.argmax()]
    rows.append((window, s1_rates[window - 1], peak, s1_rates[centered.argmax()]))
columns = ["window", "axis starts at", "peak, trailing", "peak, centered"]
print(pd.DataFrame(rows, columns=columns).round(4).to_string(index=False))

# %% [markdown]
# A trailing window of n batches shifts everything by (n - 1) / 2 batches to the right and cuts off
# the first n - 1. With 50 of 160 batches the axis begins near 0.007 and the shift is about 0.003,
# so a "peak at 0.008" sits at the left edge of the plot and is an average over rates from about
# 0.002 up. The centered window leaves the peak where it is. Now S1's rates and window, with two
# narrower ones, on the trained net:

# %%
search = callbacks.LearningRateFinder(0.001, 0.02, steps=search_steps, mode="linear")
searched = search.run(trained, training_batches())


def smoothing_plot(window):
    rates, values = searched.rates, searched.accuracies
    curves = {
        "each batch": (rates, values),
        "trailing": (rates[window - 1 :], trailing(values, window)),
        "centered": (rates, dashboards.smooth(values, window)),
    }
    axes = {"xlabel": "learning rate", "ylabel": "accuracy of the batch", "width": 295}
    plot = dashboards.line_plot(curves, title=f"window {window}", **axes)
    next(iter(plot)).opts(alpha=0.25, backend="bokeh").opts(alpha=0.25, backend="matplotlib")
    return plot


# %%
panels = hv.Layout([smoothing_plot(window) for window in (5, 20, 50)]).cols(3)
title = "One run, three windows: the trailing line starts late and lags"
panels.opts(title=title).opts(title=title, sublabel_format="", backend="matplotlib")

# %%
for window in (5, 20, 50):
    start = searched.rates[window - 1]
    late = searched.rates[window - 1 :][trailing(searched.accuracies, window).argmax()]
    inside = slice(window // 2, -(window // 2))  # where the window is complete
    centered = dashboards.smooth(searched.accuracies, window)
    middle = searched.rates[inside][centered[inside].argmax()]
    print(f"window {window:2}: axis from {start:.4f}, peak {late:.4f}, centered {middle:.4f}")

# %% [markdown]
# Compare the printed peaks. It is one run: if its "best rate" moves with the window, and between
# trailing and centered by more than the lag, then there is no peak to read, only noise, perhaps on
# a slow trend. A wide window hides this by drawing a smooth line.

# %% [markdown] slideshow={"slide_type": "slide"}
# ### A running mean taken for the loss of a batch
#
# Keras hands every callback `logs["loss"]` after each batch. It looks like the loss of that batch.
# Check it with a net that always answers 0 and batches whose true loss is 0, 1, 2 and 3:


# %%
# NBVAL_CHECK_OUTPUT
class Logs(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.losses = []

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(round(float(logs["loss"]), 3))


zero = keras.Sequential([keras.Input((1,)), layers.Dense(1, kernel_initializer="zeros")])
zero.compile(keras.optimizers.SGD(0.0), "mean_absolute_error")
logs, single = Logs(), callbacks.BatchHistory()
answers = np.array([0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0])  # the same one twice in each batch
zero.fit(np.ones((8, 1)), answers, batch_size=2, shuffle=False, verbose=0, callbacks=[logs, single])
print("logs['loss']:", logs.losses)
print("BatchHistory:", single.loss)

# %% [markdown]
# The logs hold the **mean since the beginning of the epoch**. In a range test that mean drags the
# low rates' losses along. This is what the fresh test above would have shown as one epoch:

# %%
counts = np.arange(1, len(fresh_test.losses) + 1)
running = np.cumsum(fresh_test.losses) / counts
curves = {"smoothed loss of each batch": fresh_test.smoothed, "running mean": running}
dashboards.line_plot(
    {name: (fresh_test.rates, values) for name, values in curves.items()},
    title="The running mean reacts late",
    xlabel="learning rate",
    ylabel="loss",
    logx=True,
    ylim=(bottom, top),
)


# %%
for name, values in curves.items():
    fall = values[tenth] - values[tenth:].min()
    print(f"{name}: falls by {fall:.2f} after the first tenth, ends at {values[-1]:.3g}")
print(f"loss of the last batch alone: {fresh_test.losses[-1]:.3g}")

# %% [markdown]
# The mean of all batches before holds the curve back: valleys come out shallow, and a loss that
# explodes at the end shows with a fraction of its size, so a finder built on the logs tends to stop
# late. Before you use a finder from the web, look whether it reads `logs["loss"]`.

# %% [markdown] slideshow={"slide_type": "slide"}
# ### Announced settings that were not run (M1.7)
#
# S1 announces bounds of 0.001 to 0.008 and describes a saw-tooth that jumps back to the minimum.
# Its code runs a triangle from 0.001 to 0.01, and the rate given to SGD, 0.0001, is overwritten
# before every batch. Plot both, with S1's numbers (half a cycle is 160 steps; the saw-tooth gets
# the same cycle):

# %%
steps = np.arange(1280)
described = 0.001 + (0.008 - 0.001) * (steps % 320) / 320
ran = callbacks.CyclicLR(0.001, 0.01, step_size=160)
rate_plot(
    {"described: saw-tooth to 0.008": described, "run: triangle to 0.01": ran.values(1280)},
    "Text and settings of S1, the first four cycles",
)

# %%
# NBVAL_CHECK_OUTPUT
optimizer = keras.optimizers.SGD(0.0001)
optimizer.learning_rate = 0.01  # what S1's callback did before every batch
print(f"SGD built with 0.0001 applies {float(optimizer.learning_rate):.4f}")
study = callbacks.CyclicLR(0.0005, 0.008, step_size=320)
print(f"highest rate described {described.max():.4f}, run {ran.values(1280).max():.4f}")
print(f"CLR run of S1, 300 epochs: ends at {float(ran(300 * 80)):.5f}, {300 * 80 / 320} cycles")
print(f"its study, 30 epochs: ends at {float(study(30 * 80)):.5f}, {30 * 80 / 640} cycles")

# %%
applied = np.array(record.learning_rate)
planned = schedules["triangular"].values(total_steps)
assert np.allclose(applied, planned, rtol=1e-4), "the applied rate must be the planned one"
print(f"our run: the applied and the planned rate agree in all {len(applied)} steps")

# %% [markdown]
# The jump of a saw-tooth and the slope of a triangle are different trainings, and a reader who
# repeats the text gets neither S1's bounds nor its shape. The remedy costs one line: record the
# rate at every step and plot the record, not the intention. The printed ends also show that S1's
# study of optimizers stopped in mid-slope, between its bounds of 0.0005 and 0.008.

# %% [markdown] slideshow={"slide_type": "slide"}
# ### Axes that say something else (M1.16)
#
# S1 draws curves over an axis called "Epoch" that counts steps, and draws runs that continued one
# after the other on one net as if each began at 0. Take the recorded training and pretend that its
# two halves were two runs:

# %%
half = total_steps // 2
smooth_loss = callbacks.exponential_average(record.loss, 0.95)
halves = {"first half": smooth_loss[:half], "second half": smooth_loss[half:]}


def halves_plot(starts, divisor, xlabel, title):
    curves = {
        name: ((start + np.arange(half)) / divisor, values)
        for (name, values), start in zip(halves.items(), starts, strict=True)
    }
    return dashboards.line_plot(
        curves, title=title, xlabel=xlabel, ylabel="smoothed loss of the batch", width=430
    )


# %%
wrong_axis = halves_plot((0, 0), 1, "Epoch (in truth: steps)", "As S1 drew it")
right_axis = halves_plot((0, half), steps_per_epoch, "epoch", "As it happened")
title = "One training, drawn in two ways"
(wrong_axis + right_axis).opts(title=title, shared_axes=False).opts(
    title=title, sublabel_format="", backend="matplotlib"
)

# %%
first, second = np.mean(record.loss[:step_size]), np.mean(record.loss[half : half + step_size])
print(f"'Epoch' {total_steps} on S1's axis is epoch {total_steps / steps_per_epoch:g}")
print(f"mean loss in the first epoch of each half: {first:.2f} and {second:.2f}")

# %% [markdown]
# If the second line begins lower on the left, it looks like the better run. It only starts where
# the first half stopped, and the difference of the printed losses is its head start. Whoever draws
# sequential runs from 0 credits the last one with the work of all.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The test images, once
#
# The winner was chosen on validation. This cell opens the test set for the first and only time. It
# opens the nets of the other schedules, too, for the record: they were beaten before, and stay so.

# %% tags=["test-set"]
judge, right = base_net(), {}  # one net that takes the weights of each trained one
for (name, seed), model in models.items():
    judge.set_weights(model.get_weights())
    answers = training.predict(judge, data.x_test, augmentation.per_image).argmax(axis=1)
    right[name, seed] = int((answers == data.y_test).sum())
    run_name = f"04_{name_on_record(name)}_seed{seed}"
    records.note_test(run_name, seed=seed, correct=right[name, seed], images=len(data.y_test))

# %%
correct = right[winner, 0]
low, high = training.accuracy_interval(correct, len(data.y_test))
print(f"{winner}, seed 0: test accuracy {correct / len(data.y_test):.3f}")
print(f"95 % interval {low:.3f} to {high:.3f} ({len(data.y_test):,} images)")

# %%
print(f"range test: base {base:.2g}, maximum {maximum:.2g}, from {len(fresh_test.rates)} batches")
print(f"best of the constant rates: {best_rate:.3g}; 0.001 was S1's")
print(f"best mean on validation: {winner}, {results['mean'].iloc[0]:.3f}, {len(seeds)} seed(s)")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Take-aways
#
# - The rate comes first: check it before you add epochs. The cell above holds this run's numbers.
# - A range test costs one run of some hundred batches. Begin from fresh weights, use the loss of
#   each batch alone, go on until it has clearly turned up, put everything back.
# - The marks are suggestions. Read the curve, and mind that trailing averages draw features late.
# - Compare schedules at equal steps, equal starts, at the end of a cycle, and with rivals that were
#   chosen with the same care: a good constant rate, and a descent without a cycle.
# - Plot the rate that was applied, over an axis that counts what its label says.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Exercises
#
# Put your answer in the place of `...` and run the cell. It tells you what kind of mistake you made
# and gives one hint at a time; ask as often as you like.

# %% [markdown]
# **Exercise 1.** The loss `2 * w²` has the gradient `4 * w`. You start at `w = 1`. Predict, before
# you try: from which learning rate on does training diverge?

# %% tags=["exercise"]
border = ...  # a number
exercises.check("04.1", border)

# %% tags=["solution"]
border = 2 / 4  # 2 over the curvature; at this rate, w jumps between 1 and -1 for ever
assert abs(1 - (border - 0.01) * 4) < 1 < abs(1 - (border + 0.01) * 4)
exercises.check("04.1", border)

# %% tags=["check"]
rule = exercises.Rule(
    "04.1",
    expected=2 / 4,
    tolerance=0.005,
    wants="a number",
    because="Each step multiplies w by 1 − 4 × rate. Beyond this rate that factor is below −1: "
    "every jump lands farther away than the one before. A steeper valley tolerates smaller rates.",
    mistakes=[
        exercises.Mistake(
            "that is the border for the loss `w² / 2`",
            example=2.0,
            hints=[
                "There the gradient was w, so the curvature was 1. How fast does this gradient "
                "change with w?",
                "Take two steps at your rate with pencil and paper: `new = old - rate * 4 * old`.",
            ],
        ),
        exercises.Mistake(
            "the factor before w² is taken for the curvature",
            example=1.0,
            hints=[
                "The curvature is how fast the *gradient* changes with w, and the gradient is 4w.",
                "Try one step at your rate, from w = 1: `1 - rate * 4`.",
            ],
        ),
        exercises.Mistake(
            "that is the rate that arrives in one step",
            example=0.25,
            hints=[
                "A little above that rate, w overshoots the minimum and still comes closer with "
                "each step. How far may it overshoot?",
                "Diverging begins where the jump lands as far away on the other side.",
            ],
        ),
        exercises.Mistake(
            "you multiplied by the curvature",
            example=8.0,
            hints=["Does a steeper valley allow larger steps, or does it need smaller ones?"],
        ),
    ],
    hints=[
        "One step multiplies w by a factor. Write it down: `new = (1 - rate * ...) * old`.",
        "Training diverges where that factor is below -1.",
    ],
)

# %% [markdown]
# **Exercise 2.** Which rate does `CyclicLR(0.002, 0.010, step_size=100, policy="triangular2")` give
# to step 330 (the first step is step 0)? Draw the triangles on paper first.

# %% tags=["exercise"]
rate_at_330 = ...  # a number
exercises.check("04.2", rate_at_330)

# %% tags=["solution"]
rate_at_330 = float(callbacks.CyclicLR(0.002, 0.010, step_size=100, policy="triangular2")(330))
exercises.check("04.2", rate_at_330)


# %% tags=["check"]
def rate(*, height, share):
    return 0.002 + height * share


rule = exercises.Rule(
    "04.2",
    expected=rate(height=0.004, share=0.7),
    tolerance=0.00001,
    wants="a number",
    because="Step 330 is in the second cycle, 30 steps after its peak: 70 of 100 steps are left to "
    "go down, and in the second cycle the height above the base is half of what it was.",
    mistakes=[
        exercises.Mistake(
            "the height of the first cycle is taken",
            example=rate(height=0.008, share=0.7),
            hints=[
                "How long is one cycle, and in which one is step 330?",
                "*triangular2* makes every triangle half as high as the one before.",
            ],
        ),
        exercises.Mistake(
            "the whole rate is halved, base included",
            example=rate(height=0.008, share=0.7) / 2,
            hints=[
                "All policies return to the same base. What shrinks is what lies above it.",
                "Halve the height of the triangle first, then add the base.",
            ],
        ),
        exercises.Mistake(
            "at that step the rate is falling, not climbing",
            example=rate(height=0.004, share=0.3),
            hints=[
                "The rate climbs for `step_size` steps. At which step is the second peak?",
                "Count from the end of the cycle: how many steps are left until the base?",
            ],
        ),
        exercises.Mistake(
            "base and maximum are swapped",
            example=0.010 - 0.004 * 0.7,
            hints=[
                "A cycle begins at the base, climbs to the maximum and returns.",
                "Measure the height from the base upward.",
            ],
        ),
        exercises.Mistake(
            "`step_size` is taken for a whole cycle",
            example=rate(height=0.008 / 2**3, share=0.6),
            hints=["`step_size` is half a cycle: the climb takes it once, the descent once more."],
        ),
        exercises.Mistake(
            "that is the rate of a step beside it",
            example=rate(height=0.004, share=0.69),
            when=lambda answer: any(
                abs(answer - rate(height=0.004, share=share)) < 1e-5 for share in (0.69, 0.71)
            ),
            hints=["Steps are counted from 0: step 0 is at the base, step 100 at the first peak."],
        ),
    ],
    hints=[
        "Where in its cycle of twice the `step_size` is step 330, and in which cycle?",
        "The second peak is at step 300. From there the rate falls to the base in 100 steps.",
    ],
)

# %% [markdown]
# **Exercise 3.** S1's study of four optimizers ran for 30 epochs of 80 steps with the schedule
# `study` and stopped in mid-slope. With how many epochs, 30 or a few more, would it have ended at
# the base?

# %% tags=["exercise"]
whole_cycles_epochs = ...  # a whole number
exercises.check("04.3", whole_cycles_epochs)

# %% tags=["solution"]
cycle_steps = 2 * study.step_size
cycles = -(-30 * 80 // cycle_steps)  # rounded up
whole_cycles_epochs = cycles * cycle_steps // 80
assert np.isclose(float(study(whole_cycles_epochs * 80)), study.base)
exercises.check("04.3", whole_cycles_epochs)

# %% tags=["check"]
cycle = 2 * study.step_size
total = -(-30 * 80 // cycle) * cycle
rule = exercises.Rule(
    "04.3",
    expected=total // 80,
    wants="a whole number",
    because="A cycle has 640 steps, which are 8 epochs: four of them fit. For the sake of two "
    "epochs S1 compared its optimizers in the middle of a slope.",
    mistakes=[
        exercises.Mistake(
            "those are steps, not epochs",
            example=total,
            hints=["An epoch of S1 had 80 steps."],
        ),
        exercises.Mistake(
            "those are only the epochs that are missing",
            example=total // 80 - 30,
            hints=["How many epochs are that in all, from the beginning?"],
        ),
        exercises.Mistake(
            "a run of that length ends at the maximum",
            example=total // 80 - study.step_size // 80,
            when=lambda answer: answer * 80 % cycle == study.step_size,
            hints=[
                "`step_size` is half a cycle. What does the rate do in the first half, what in the "
                "second?",
                "After an odd number of half cycles the rate is at its highest.",
            ],
        ),
        exercises.Mistake(
            "that ends at the base, but it is not the next one",
            example=total // 80 - cycle // 80,
            when=lambda answer: answer * 80 % cycle == 0,
            hints=["S1 had 30 epochs. Take the first end of a cycle that is not before them."],
        ),
        exercises.Mistake(
            "the run still ends in mid-slope",
            example=30,
            when=lambda answer: answer * 80 % study.step_size != 0,
            hints=[
                "One cycle is a climb and a descent, `step_size` steps each. How many epochs is "
                "that?",
                "The number of epochs must be a multiple of the epochs of one cycle.",
            ],
        ),
    ],
    hints=[
        "How many steps has one cycle, and how many epochs are that?",
        "Divide the steps of a cycle by 80, and take the first multiple that is not below 30.",
    ],
)

# %% [markdown]
# **Exercise 4.** Write a schedule of your own that takes the net at least as far as the chosen
# constant rate; the next cell prints how far that is. Same net, plain SGD without momentum, at most
# as many steps as the rivals had. Draw the schedule with `rate_plot` before you train with it:
# `callbacks.PiecewiseLinear` makes any line of straight pieces. You hand in your net and the images
# that trained it.

# %%
chosen_score = results["mean"]["constant, chosen"]
to_reach = profile.pick(smoke=0.02, quick=chosen_score, full=chosen_score)  # smoke: noise
print(f"Reach {to_reach:.3f} on the validation images in at most {total_steps} steps.")

# %% tags=["exercise"]
my_net = ...  # my_net, my_history = train(keras.optimizers.SGD(my_schedule), "my_schedule")
my_images = ...  # the images that trained it; `train` takes split.x_train
exercises.check("04.4", (my_net, my_images))

# %% tags=["solution"]
my_schedule = callbacks.PiecewiseLinear(
    [0, total_steps // 4, total_steps - 1], [maximum / 4, maximum, 0.0]
)
my_net, my_history = train(keras.optimizers.SGD(my_schedule), "my_schedule")
my_images = split.x_train
exercises.check("04.4", (my_net, my_images))


# %% tags=["check"]
def validation_accuracy(net):
    images, labels = split.x_validation[:1000], split.y_validation[:1000]
    predicted = training.predict(net, images, augmentation.per_image).argmax(axis=-1)
    return (predicted == labels).mean()


def plain_sgd(net):
    optimizer = net.optimizer if net.compiled else None
    return isinstance(optimizer, keras.optimizers.SGD) and optimizer.momentum == 0


def follows_schedule(net):
    return isinstance(net.optimizer.get_config()["learning_rate"], dict)


def steps_of(net):
    return int(net.optimizer.iterations) if net.compiled else 0


def never_right(steps):
    """Return a net that always answers with an eleventh class, after so many steps."""
    net = keras.Sequential([keras.Input((32, 32, 3)), layers.Flatten(), layers.Dense(11)])
    net.set_weights([np.zeros((3072, 11)), np.eye(11)[10]])
    net.compile(keras.optimizers.SGD(descent))
    net.optimizer.iterations.assign(steps)
    return net


rule = exercises.Rule(
    "04.4",
    right=lambda answer: (
        datasets.shared_images(answer[1], split.x_validation) <= shared
        and plain_sgd(answer[0])
        and follows_schedule(answer[0])
        and not any(answer[0] is model for model in models.values())
        and 0 < steps_of(answer[0]) <= total_steps
        and validation_accuracy(answer[0]) >= to_reach
    ),
    like=(keras.Model, split.x_train),
    wants="your trained net and an array of the images that trained it",
    because="Same net, same steps, only the rates differ. It is one seed: before you tell anybody, "
    "run it with the others, too.",
    mistakes=[
        exercises.Mistake(
            "validation images are among those that trained the net",
            example=(models["one cycle", 0], split.x_validation),
            when=lambda answer: datasets.shared_images(answer[1], split.x_validation) > shared,
            hints=[
                "An accuracy on images that the net has seen says what it remembers.",
                "Train on `split.x_train`, as `train` does.",
            ],
        ),
        exercises.Mistake(
            "the optimizer is not plain SGD",
            example=(adam, split.x_train),
            when=lambda answer: not plain_sgd(answer[0]),
            hints=[
                "Adam or momentum change more than the rate, and then you would not know what won.",
                "Compile with `keras.optimizers.SGD(my_schedule)`.",
            ],
        ),
        exercises.Mistake(
            "the rate is constant",
            example=(constant[0.1][0], split.x_train),
            when=lambda answer: not follows_schedule(answer[0]),
            hints=["Pass a schedule to SGD in the place of a number."],
        ),
        exercises.Mistake(
            "that is one of the nets of the notebook",
            example=(models["triangular", 0], split.x_train),
            when=lambda answer: any(answer[0] is model for model in models.values()),
            hints=["Its place is in the table already. Train one with a schedule of your own."],
        ),
        exercises.Mistake(
            "the net was trained for more steps than its rivals",
            example=(never_right(total_steps + 1), split.x_train),
            when=lambda answer: steps_of(answer[0]) > total_steps,
            hints=[
                "More steps could win with any schedule. `net.optimizer.iterations` counts them.",
                "Build the net anew for each try, as `train` does.",
            ],
        ),
        exercises.Mistake(
            "the validation accuracy is below the number to reach",
            example=(never_right(total_steps), split.x_train),
            when=lambda answer: validation_accuracy(answer[0]) < to_reach,
            hints=[
                "Which height? The range test says what the net tolerates: see `maximum`.",
                "Which end? Look in the table of rivals for what those have in common that beat "
                "the constant rate.",
                "Climb for a short while, then come down to almost nothing by the last step.",
            ],
        ),
    ],
    hints=["Train a fresh net with `train(keras.optimizers.SGD(my_schedule), ...)`."],
)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Quiz

# %% [markdown] tags=["quiz"]
# A net trained at a rate of 0.001 hardly improves from epoch to epoch. What do you check first?
#
# - [ ] More epochs: it is on its way.
#   > Perhaps, but nothing in that line can tell. A wrong rate makes the same picture, and more
#   > epochs are the dearest test.
# - [x] Other rates, with a range test or a few short runs.
#   > Right: it costs one run of some hundred batches and tells whether the rate is to blame.
# - [ ] A larger net: this one can't learn more.
#   > A net that can't even learn its training images may be too small; but first see that it is
#   > allowed to move.
# - [ ] The test set.
#   > It says how good the result is, not why; and every look at it spoils it as a judge.

# %% [markdown] tags=["quiz"]
# You write a range test of your own. Which loss do you record after each batch?
#
# - [ ] `logs["loss"]`, which Keras hands to every callback.
#   > That is the mean since the beginning of the epoch: the low rates' losses are still in it when
#   > the high rates are tried.
# - [x] The loss of that batch alone.
#   > Right: it belongs to one rate. It is noisy, so smooth it afterwards, best with a centered
#   > window.
# - [ ] The validation loss.
#   > It would do, but measuring it after each of some hundred batches costs far more than the test.
# - [ ] The lowest loss so far.
#   > It can never rise, and the rise is what you are looking for.

# %% [markdown] tags=["quiz"]
# You smooth the losses of a range test with the mean of the *last* 21 batches. Where does a dip
# appear?
#
# - [ ] At its place; it only looks smoother.
#   > A centered mean would leave it there. This one looks back only.
# - [ ] About 10 batches too early, at too low a rate.
#   > It averages what has passed, so it learns of the dip late, not early.
# - [x] About 10 batches too late, at too high a rate.
#   > Right: half the window. Where the rate rises from batch to batch, that is too high a rate.
# - [ ] 21 batches too late.
#   > The newest of the 21 batches is the current one and the oldest is 20 back: on average it is
#   > half of that.

# %% [markdown] tags=["quiz"]
# Two runs with the same cyclical schedule are stopped after 3 and after 3.5 cycles. The longer one
# has the worse validation loss. What do you conclude?
#
# - [ ] It overfits; 3 cycles are enough.
#   > Possible, but the two runs differ in more than length: look at the rates at which they
#   > stopped.
# - [ ] The maximum is too high.
#   > Then training would suffer in every cycle. This comparison can't show it.
# - [x] Nothing yet: one ends at the base, the other at the maximum.
#   > Right: compare ends of cycles. High up, steps are too large to settle.
# - [ ] Cycling does harm; a constant rate is better.
#   > For that you need a run with a constant rate, chosen with the same care.

# %%
exercises.quiz("04")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Further reading
#
# - Smith, [Cyclical Learning Rates for Training Neural Networks](https://arxiv.org/abs/1506.01186)
#   (2015): the policies and the linear range test, in ten readable pages.
# - Smith and Topin, [Super-Convergence](https://arxiv.org/abs/1708.07120) (2017): one cycle with a
#   very large rate, and why less of other regularization then helps.
# - Howard and Gugger, [fastai](https://arxiv.org/abs/2002.04688) (2020): where the exponential test
#   and its stopping rule became a habit.
# - Goodfellow, Bengio and Courville, [Deep Learning](https://www.deeplearningbook.org) (2016):
#   chapter 8 tells what makes optimizing a deep net hard, section 4.3 has the curvature argument.
