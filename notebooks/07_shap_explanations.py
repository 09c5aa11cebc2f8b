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
# # 07 · Explain a prediction, and test the explanation
#
# At the end of this notebook you will have maps that show which pixels moved each of a network's
# scores, for digits and for photographs, and the results of the tests that you put them to.
#
# **What you'll learn**
#
# - to compute SHAP values of a convolutional network, in two ways, and to check that they add up;
# - to find out whether a map shows what the network *learned*, by taking away what it learned;
# - to turn "it looks at the gap at the top" into an experiment with a control;
# - which seven mistakes make an explanation worthless, and how to notice each.
#
# **What you'll need:** notebooks 02 (a CNN), 03 (dropout, batch normalization, training and
# inference mode) and 06 (the same digits). The set-up line below prints how long this one takes.
#
# An older write-up, called S5, explained its digit network with SHAP and read three things off the
# pictures. You will make its pictures again and put its readings to the test.

# %%
from course_utils import profiles

profile = profiles.start("07")

# %%
import tempfile
import warnings
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from keras import layers

from course_utils import (
    augmentation,
    dashboards,
    datasets,
    exercises,
    explanations,
    records,
    training,
)

dashboards.extension()

# %% [markdown] slideshow={"slide_type": "slide"}
# ## How large is this run?
#
# In the full profile the network is S5's, layer for layer. The other profiles make it narrower
# (fewer filters) and leave out some of its 3×3 convolutions, because the time of an explanation
# grows with the network, the background images, the explained images and the ten classes.

# %%
train_images = profile.pick(smoke=600, quick=20_000, full=60_000)
test_images = profile.pick(smoke=300, quick=2000, full=10_000)
epochs = profile.pick(smoke=2, quick=6, full=8)
batch_size = profile.pick(smoke=50, quick=64, full=32)  # S5: 32
width = profile.pick(smoke=4, quick=8, full=32)  # S5: 32 filters
plain_convolutions = profile.pick(smoke=0, quick=1, full=2)  # 3×3 layers per stage; S5: 2
momentum = profile.pick(smoke=0.8, quick=0.9, full=0.99)  # of batch normalization; S5: 0.99

background_size = profile.pick(smoke=10, quick=50, full=100)
shown_images = profile.pick(smoke=2, quick=10, full=10)
checked_images = profile.pick(smoke=2, quick=4, full=6)
random_seeds = range(profile.pick(smoke=2, quick=2, full=3))

# %%
data = datasets.load_mnist(train_images=train_images, test_images=test_images)
split = datasets.train_validation_split(
    data.x_train, data.y_train, validation_fraction=0.25, seed=0
)
shared = datasets.shared_images(split.x_train, split.x_validation)
assert data.stand_in or shared == 0, f"{shared} validation images are also training images"
print(f"{len(split.x_train):,} training, {len(split.x_validation):,} validation images")

# %% [markdown]
# Everything below looks at validation images. The test images stay closed until the last section.
#
# ## Which network is to be explained?
#
# S5 put two 3×3 convolutions before each 5×5 convolution, which moves two pixels at a time (a
# *stride* of 2) and so halves the picture. Its author dropped a batch normalization after the dense
# layer because the SHAP of that time could not handle it; you will see below whether yours can.


# %%
def build_cnn(shape=(28, 28, 1), *, width=32, plain_convolutions=2, momentum=0.99):
    """S5's network; narrower and shorter with other arguments."""
    training.seed_everything(0)
    net = keras.Sequential([keras.Input(shape)], name="cnn")
    for stage, filters in enumerate((width, 2 * width), start=1):
        for number in range(1, plain_convolutions + 2):
            kernel, stride = (5, 2) if number > plain_convolutions else (3, 1)
            look = {"padding": "same", "activation": "relu", "name": f"conv{stage}_{number}"}
            net.add(layers.Conv2D(filters, kernel, stride, **look))
            net.add(layers.BatchNormalization(momentum=momentum, name=f"norm{stage}_{number}"))
        net.add(layers.Dropout(0.3, name=f"dropout{stage}"))
    net.add(layers.Flatten(name="flatten"))
    net.add(layers.Dense(4 * width, activation="relu", name="dense"))
    net.add(layers.Dropout(0.4, name="dropout3"))
    net.add(layers.Dense(10, activation="softmax", name="scores"))
    return net


# %%
# NBVAL_CHECK_OUTPUT
dashboards.layer_table(build_cnn())

# %% [markdown]
# That is S5's network at full size: look for the dense layer, which holds most of the parameters.
# Now train the one of your profile. While it trains, a line shows the epoch, the batch, the seconds
# left and the metrics so far, and below it the curves of loss and accuracy grow (lighter lines,
# where there are any: a recorded full run). You may interrupt the kernel at any time and lose
# nothing: run the cell again, and it goes on after the last finished epoch.

# %%
model = build_cnn(width=width, plain_convolutions=plain_convolutions, momentum=momentum)
model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
train = augmentation.Batches(
    split.x_train,
    split.y_train,
    batch_size=batch_size,
    normalize=augmentation.scale,
    shuffle=True,
    seed=0,
)
run = training.fit(model, train, name="07_digits", epochs=epochs, seed=0)

# %%
y_true = split.y_validation
y_pred = training.predict(model, split.x_validation, augmentation.scale).argmax(axis=-1)
low, high = training.accuracy_interval(int((y_pred == y_true).sum()), len(y_true))
print(f"{model.count_params():,} parameters, {run.seconds:.0f} s for {run.epochs} epochs")
print(
    f"Validation accuracy {(y_pred == y_true).mean():.3f} "
    f"(95 % interval {low:.3f} to {high:.3f}), {(y_pred != y_true).sum()} mistakes"
)
records.note(run.name, seed=0, validation=(y_pred == y_true).mean())

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What is a SHAP value?
#
# A *Shapley value* shares out a result fairly among those who brought it about. SHAP (Lundberg and
# Lee, 2017) shares out a network's score: how much did each pixel move it away from its *expected
# value*, the mean score of some *background* images? Three rules for reading the answer:
#
# - **They add up.** Expected value plus all SHAP values (*attributions*) is the score. The largest
#   deviation is the *additivity error*; a map with a large one explains something else.
# - **They need scores worth explaining:** the *logits*, the numbers before the softmax turns them
#   into probabilities. `explanations.explain` removes the softmax for you.
# - **They are relative to the background.** A pixel that is the same in all background images as in
#   yours has no say.
#
# For a linear model you can work them out in your head: weight × (pixel − mean of the background).
# Here are two pixels, 3 and 1.5, against a background whose mean is 1 and 1. Before you run this:
# which four numbers will come out for the weights below?

# %%
# NBVAL_CHECK_OUTPUT
toy = keras.Sequential([keras.Input((1, 2, 1)), layers.Flatten(), layers.Dense(2, name="logits")])
toy.set_weights([np.array([[1.0, 0.0], [3.0, -2.0]]), np.array([0.0, 1.0])])
toy_background = np.array([[[[0.0], [0.0]]], [[[2.0], [2.0]]]])
toy_explanation = explanations.explain(toy, np.array([[[[3.0], [1.5]]]]), toy_background)
pd.DataFrame(
    toy_explanation.values[0, 0, :, 0].round(3) + 0.0,
    index=["pixel 1", "pixel 2"],
    columns=["class A", "class B"],
)

# %%
# NBVAL_CHECK_OUTPUT
for name, expected, values, logit in zip(
    "AB",
    toy_explanation.expected_values,
    toy_explanation.values[0, 0, :, 0].T,
    toy_explanation.logits[0],
    strict=True,
):
    print(f"class {name}: expected {expected:.1f} + {values.sum():.1f} = logit {logit:.1f}")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Which pixels speak for the right digit?
#
# `DeepExplainer` passes each image and each background image through the network together and
# follows the *differences* back, layer by layer, with a rule for each kind of layer (Deep SHAP).
# The background must hold every class, so draw it *stratified*: each class by its share.

# %%
background = augmentation.scale(
    explanations.stratified_background(split.x_train, split.y_train, background_size, seed=0)
)


def one_per_class(hits):
    """Find the first validation image of each class among the hits, in the order of classes."""
    firsts = [np.flatnonzero(hits & (y_true == label))[:1] for label in range(10)]
    return np.concatenate(firsts)[:shown_images]


right, wrong = one_per_class(y_pred == y_true), one_per_class(y_pred != y_true)
assert len(right) and len(wrong), "the network is always right or always wrong: change epochs"
digits = split.x_validation
print(f"{len(right)} right and {len(wrong)} wrong digits, {len(background)} background images")

# %%
deep = explanations.explain(model, augmentation.scale(digits[right]), background)
print(
    f"additivity error {deep.additivity_error:.1e}, while the logits range from "
    f"{deep.logits.min():.1f} to {deep.logits.max():.1f} ({deep.seconds:.1f} s)"
)

# %%
explanations.attribution_plot(
    deep,
    digits[right],
    y_true[right],
    y_pred[right],
    data.class_names,
    title="Digits classified correctly: red favors the class of the column",
)

# %% [markdown]
# Each row is an image, each column a question: what speaks for and against this class? The frames
# mark the true and the predicted class; here they are one in the other. Look for red *outside* the
# strokes: an empty place counts as evidence when background digits have ink there. Hover over a
# tile for its sum: expected value plus attributions is the logit.
#
# Note where you are tempted to say "it sees the loop". Write that down as a guess; the sections
# *Do the maps know what was learned?* and *Are S5's readings true?* show what to do with guesses.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## And what spoke for the wrong one?
#
# For each true class one mistake, where there is one. Both columns are printed, and a check says
# that they differ in each row: it costs one line, and M5.12 below shows what it prevents.

# %%
mistakes = pd.DataFrame({"true": y_true[wrong], "predicted": y_pred[wrong]}, index=wrong)
assert (mistakes["true"] != mistakes["predicted"]).all(), "a mistake is no mistake"
mistakes.rename_axis("validation image").T

# %%
deep_wrong = explanations.explain(model, augmentation.scale(digits[wrong]), background)
true_logits = deep_wrong.logits[np.arange(len(wrong)), y_true[wrong]]
gaps = deep_wrong.logits.max(axis=-1) - true_logits
print(f"additivity error {deep_wrong.additivity_error:.1e}")
print(f"The true class lost by {gaps.min():.1f} to {gaps.max():.1f} logits")

# %%
explanations.attribution_plot(
    deep_wrong,
    digits[wrong],
    y_true[wrong],
    y_pred[wrong],
    data.class_names,
    title="Digits classified wrongly: compare the two framed columns of a row",
)

# %% [markdown]
# Compare the black frame with the orange one: blue in the black frame is what cost the true class
# its points, red in the orange one what brought them to the other. S5 put its mistakes down to
# faded ink (0, 8) and odd proportions (5, 6, 7). Such a story fits almost any map. Where the
# gap is small, little would have been needed; more it does not say.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Does a second method say the same?
#
# *Expected gradients* (Erion et al., 2021; `GradientExplainer` in SHAP) needs no rules for layers.
# It walks from random background images towards the image and averages the *gradient*, the change
# of the score for a small change of a pixel, over random points of the way. It estimates the same
# kind of attribution, with noise, so its sums miss the logits. How fast does the miss shrink?
#
# Maps are compared by *rank correlation* (Spearman's, of the absolute values): 1 means that both
# rank the pixels alike, 0 that the two orders have nothing to do with each other. Pixels that are
# black in nearly every digit are left out: zero in any map, they would make all maps look alike.

# %%
few_samples = profile.pick(smoke=10, quick=25, full=50)
gradient = {
    samples: explanations.explain(
        model, augmentation.scale(digits[right]), background, method="gradient", samples=samples
    )
    for samples in (few_samples, 4 * few_samples)
}


def predicted_maps(explanation):
    """Pick from each image's attributions those of the predicted class, (n, h, w, c)."""
    predicted = explanation.logits.argmax(axis=-1)
    return explanation.values[np.arange(len(predicted)), :, :, :, predicted]


# %%
live = augmentation.scale(split.x_train[:2000]).std(axis=0) > 0


def similarity(one, other):
    """Rank correlation of two explanations, predicted class, pixels that ever hold ink."""
    return explanations.map_similarity(predicted_maps(one)[:, live], predicted_maps(other)[:, live])


for samples, estimate in gradient.items():
    alike = similarity(deep, estimate)
    print(
        f"{samples:3d} samples: additivity error {estimate.additivity_error:.2f}, "
        f"rank correlation with Deep SHAP {alike.min():.2f} to {alike.max():.2f}"
    )

# %% [markdown]
# The error is that of a mean of random samples: on average four times the samples halve it. Where
# the two methods agree, believe the map a little more; where they don't, the difference is the size
# of what you must not read. Don't call a correlation high yet: *Do the maps know what was learned?*
# measures how alike the maps of networks are that have learned nothing.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## How much does the background matter?
#
# Two questions: how *many* images, and *which*? For the first, compare the maps under small
# backgrounds with the map under a large one, for several random draws. S5 took 500 images.

# %%
sizes = profile.pick(smoke=[10], quick=[10, 40], full=[10, 25, 50, 100, 200])
reference_size = profile.pick(smoke=20, quick=80, full=500)
draws = range(1, 1 + profile.pick(smoke=1, quick=2, full=3))
few = right[: min(3, len(right))]


def explain_few(size, seed):
    """Explain a few correct digits against a random stratified background."""
    drawn = explanations.stratified_background(split.x_train, split.y_train, size, seed=seed)
    return explanations.explain(model, augmentation.scale(digits[few]), augmentation.scale(drawn))


reference = explain_few(reference_size, seed=0)
by_size = {
    size: [similarity(reference, explain_few(size, seed)).mean() for seed in draws]
    for size in sizes
}
for size, alike in by_size.items():
    print(
        f"{size:3d} images, {len(alike)} draw(s): rank correlation with the map of "
        f"{reference_size}: {min(alike):.3f} to {max(alike):.3f}"
    )

# %% [markdown]
# The nearer to 1, the less the map depends on the luck of the draw. At a size that stays far below,
# another draw might have told you another story about the same prediction.
#
# Now the choice. Before you run this: what will a *black* background, the obvious picture of
# "nothing", say about the empty middle of a zero?

# %%
few_images = augmentation.scale(digits[few])
ones = augmentation.scale(split.x_train[split.y_train == 1][:background_size])
chosen = {
    "stratified": reference,
    "one black image": explanations.explain(model, few_images, np.zeros_like(ones[:1])),
    "only ones": explanations.explain(model, few_images, ones),
}

# %%
empty = digits[few] == 0
rows = []
for name, explanation in chosen.items():
    size = np.abs(predicted_maps(explanation))
    row = {
        "background": name,
        "expected logit of 1": explanation.expected_values[1],
        "share of attribution on empty pixels": (size * empty).sum() / size.sum(),
        "rank correlation with stratified": similarity(reference, explanation).mean(),
    }
    rows.append(row)
pd.DataFrame(rows).round(3)

# %%
black = predicted_maps(chosen["one black image"])
assert np.all(black[empty] == 0), "a pixel that equals the background got a say"
print("Against a black background, empty pixels get exactly 0: all absences are invisible.")

# %% [markdown]
# An attribution has the factor (pixel − background), so against black an empty pixel can't say
# anything. S5's readings are all about empty places: its pictures could show them only because its
# background held digits. Against *only ones*, the maps explain what distinguishes the image from a
# one, and from nothing else; compare the expected logit of 1, where they start, with the first row.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Do the maps know what was learned?
#
# Adebayo et al. (2018) found that some celebrated methods draw nearly the same map when the network
# is replaced by one with random weights: they show edges of the *image*. The test is cheap. Give
# the layers fresh weights in a *cascade*, from the output down, and compare each map with that of
# the trained network. Before you run this: how low must the curve fall?

# %%
weighted = sum(bool(layer.weights) for layer in model.layers)
cascade = profile.pick(
    smoke=[weighted], quick=[1, weighted // 2, weighted], full=list(range(1, weighted + 1))
)
checked = right[:checked_images]
images = augmentation.scale(digits[checked])
small_background = background[: max(10, background_size // 2)]
trained_maps = explanations.explain(model, images, small_background)


def explain_random(top, seed):
    """Explain the same digits by a copy of the network with fresh weights in its top layers."""
    random_net = explanations.randomize_weights(model, seed=seed, layers=top)
    return explanations.explain(random_net, images, small_background)


random_maps = {(top, seed): explain_random(top, seed) for top in cascade for seed in random_seeds}


# %%
def same_class_similarity(one, other, *, signed=False):
    """Rank correlation for the class that the trained network predicts, per image."""
    index = np.arange(len(checked)), slice(None), slice(None), slice(None), y_pred[checked]
    maps = [each.values[index][:, live] for each in (one, other)]
    if signed:  # above zero, taking absolute values changes nothing
        maps = [each - each.min() for each in maps]
    return explanations.map_similarity(*maps)


# %%
def all_seeds(top, signed):
    """Similarities of the trained net to all random nets of one depth, seeds after one another."""
    random = [random_maps[top, seed] for seed in random_seeds]
    return np.concatenate(
        [same_class_similarity(trained_maps, each, signed=signed) for each in random]
    )


random_pair = random_maps[weighted, 0], random_maps[weighted, 1]
falling, floor = {}, {}
for kind, signed in (("size", False), ("with sign", True)):
    falling[kind] = {0: np.ones(len(checked)), **{top: all_seeds(top, signed) for top in cascade}}
    floor[kind] = same_class_similarity(*random_pair, signed=signed)

# %%
lines = {}
for kind, alike in falling.items():
    lines[kind] = list(alike), [values.mean() for values in alike.values()]
    lines[f"{kind}, two random nets"] = [0, weighted], [floor[kind].mean()] * 2
dashboards.line_plot(
    lines,
    title="Fresh weights from the output down: how alike do the maps stay?",
    xlabel="layers with fresh weights, counted from the output",
    ylabel="rank correlation with the trained net",
)

# %%
print(f"All {weighted} layers random, {len(random_seeds)} seeds, {len(checked)} digits:")
for kind, alike in falling.items():
    left, level = alike[weighted], floor[kind].mean()
    verdict = "falls to" if left.mean() <= level + 0.1 else "stays above"
    print(
        f"  {kind}: trained against random {left.mean():.2f} (highest {left.max():.2f}), "
        f"random against random {level:.2f}; it {verdict} that level (margin 0.1)"
    )

# %%
for seed in random_seeds:
    pair = trained_maps, random_maps[weighted, seed]
    size = same_class_similarity(*pair).mean()
    sign = same_class_similarity(*pair, signed=True).mean()
    records.note("07_randomized", seed=seed, size=size, sign=sign)
levels = {"size": floor["size"].mean(), "sign": floor["with sign"].mean()}
records.note("07_random_pair", seed=0, **levels)
pairs = {"trained and random net": "07_randomized", "two random nets": "07_random_pair"}
print(records.summary(pairs))

# %% [markdown]
# *Size* ranks the pixels by how much they count, *with sign* from most against to most in favor;
# Adebayo et al. looked at both. The level to compare with is that of two random nets, not zero:
# every attribution has the factor (pixel − background), which comes from the image, so networks
# that learned nothing may still agree on where something *can* count. The higher this level, the
# less a correlation in the sections before proves. Where a curve has come down to its level,
# nothing is left of what training put into the map, as it should be; a curve that stays above it
# shows something that these weights did not bring. The last lines hold the correlations of the full
# run, with all layers random.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Do the marked pixels matter?
#
# If the red pixels carry the score, it must fall when they are taken away, and faster than when
# other pixels are. *Take away* means: replace by the mean of the background. Three orders compete:
# by Deep SHAP, by expected gradients, and by the map of a random network; pixels in random order
# are the control. Which curve will fall first?

# %%
fractions = [0, 0.02, 0.05, 0.1, 0.2, 0.3]


def score_after_removal(net, images, classes, maps, filler):
    """Mean logit of the given classes after removing the pixels that favor them most."""
    order = np.argsort(-maps.reshape(len(images), -1), axis=1)
    row, means = np.arange(len(images))[:, None], []
    for fraction in fractions:
        changed = images.reshape(len(images), -1).copy()
        gone = order[:, : round(fraction * order.shape[1])]
        changed[row, gone] = filler.reshape(-1)[gone]
        logits = net(changed.reshape(images.shape), training=False)
        logits = keras.ops.convert_to_numpy(logits)
        means.append(float(logits[np.arange(len(images)), classes].mean()))
    return means


# %%
# Pixel 1 favors class A of the toy most: it goes first, and its 3 becomes the background's mean, 1.
toy_images, toy_maps = np.array([[[[3.0], [1.5]]]]), toy_explanation.values[..., 0]
toy_scores = score_after_removal(toy, toy_images, [0], toy_maps, toy_background.mean(axis=0))
print(f"logit of class A: {toy_scores[0]:.1f}, without pixel 1: {toy_scores[-1]:.1f}")
assert toy_scores[-1] == 5.5, "the pixel that favors the class most must go first"


# %%
net = explanations.logits_model(model)
generator = np.random.default_rng(0)
orders = {
    "Deep SHAP": predicted_maps(deep)[: len(checked)],
    "expected gradients": predicted_maps(gradient[4 * few_samples])[: len(checked)],
    "random network": random_maps[weighted, 0].values[
        np.arange(len(checked)), :, :, :, y_pred[checked]
    ],
    "random order": generator.random((len(checked), *digits.shape[1:])),
}

# %%
removal = {
    name: score_after_removal(net, images, y_pred[checked], maps, background.mean(axis=0))
    for name, maps in orders.items()
}
dashboards.line_plot(
    {name: (np.multiply(fractions, 100), scores) for name, scores in removal.items()},
    title="Removing the favoring pixels first: how fast does the score fall?",
    xlabel="pixels removed (%)",
    ylabel="logit of the predicted class",
)

# %%
for name, scores in removal.items():
    print(f"{name:20s} logit {scores[0]:5.1f} → {scores[3]:5.1f} without {fractions[3]:.0%}")
lowest = min(removal, key=lambda name: removal[name][3])
print(f"Lowest after {fractions[3]:.0%}: {lowest} ({len(checked)} digits)")
left = {name.replace(" ", "_"): scores[3] for name, scores in removal.items()}
records.note("07_removal", seed=0, all_pixels=removal["Deep SHAP"][0], **left)

# %% [markdown]
# A map that is right about the network makes the curve drop at once. The gap to *random order* is
# what the map knows; the gap to *random network* is what it knows because of the training.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Are S5's readings true?
#
# S5 read three things off its maps, by eye, all about places without ink:
#
# | digit | reading | rival |
# |---|---|---|
# | 0 | the empty center speaks for 0 | none named; take 8, which crosses there |
# | 4 | the missing top bar tells it from 9 | 9 |
# | 6 | the empty upper area tells it from 0 | 0 |
#
# Each is a prediction that you can test: *paint* the empty place, and the **margin** (logit of
# the digit minus logit of its rival) must fall. But any blot might harm any digit. So the control
# gets a blot of the same shape and ink at a random other empty place, and the reading holds only if
# the place matters more than the blot.


# %%
def empty_center(ink):
    """Mark a 5×5 block in the middle of the digit, where there is no ink."""
    row, column = np.argwhere(ink).mean(axis=0).round().astype(int)
    mask = np.zeros_like(ink)
    mask[row - 2 : row + 3, column - 2 : column + 3] = True
    return mask & ~ink


# %%
def top_bar(ink):
    """Mark a bar between the two strokes at the open top of a 4, two pixels high."""
    mask = np.zeros_like(ink)
    rows = np.flatnonzero(ink.any(axis=1))
    for row in rows[: len(rows) // 2]:
        columns = np.flatnonzero(ink[row])
        if np.ptp(columns) + 1 - len(columns) >= 4:  # two strokes with a gap between them
            mask[row : row + 2, columns.min() : columns.max()] = True
            break
    return mask & ~ink


def upper_right(ink):
    """Mark the right side that the upper half of a 6 lacks and a 0 has, three pixels wide."""
    mask = np.zeros_like(ink)
    rows = np.flatnonzero(ink.any(axis=1))
    middle = (rows.min() + rows.max()) // 2
    edge = np.flatnonzero(ink[middle:].any(axis=0)).max()
    loop = middle + np.flatnonzero(ink[middle:, edge - 2 : edge + 1].any(axis=1)).min()
    mask[rows.min() + 2 : loop, edge - 2 : edge + 1] = True
    return mask & ~ink


# %%
def elsewhere(mask, ink, generator):
    """Move the mask to a random other place without ink; None if there is none."""
    for _ in range(300):
        moved = np.roll(mask, generator.integers(-12, 13, size=2), axis=(0, 1))
        inside = moved[2:-2, 2:-2].sum() == mask.sum()
        if inside and not (moved & (ink | mask)).any():
            return moved
    return None


def paint(image, mask):
    return np.where(mask[..., None], image.max(), image)


# %%
painted_images = profile.pick(smoke=6, quick=60, full=300)
readings = {0: (empty_center, 8), 4: (top_bar, 9), 6: (upper_right, 0)}


def painted(label, place):
    """Paint the first images of a digit: originals, painted, controls and masks."""
    generator = np.random.default_rng(label)
    cases = []
    for image in digits[y_true == label][:painted_images]:
        ink = image[..., 0] > 60
        mask = place(ink)
        control = elsewhere(mask, ink, generator) if mask.sum() >= 6 else None
        if control is not None:
            cases.append((image, paint(image, mask), paint(image, control), mask))
    return [np.stack(each) for each in zip(*cases, strict=True)]


trials = {label: painted(label, place) for label, (place, rival) in readings.items()}
print({label: f"{len(trial[0])} images painted" for label, trial in trials.items()})

# %%
strip = [trial[part][number] for trial in trials.values() for number in (0, 1) for part in range(3)]
captions = ["original", "painted", "control"] * (len(strip) // 3)
dashboards.image_strip(
    strip, captions, title="The place that S5 read, and the same blot elsewhere", columns=6
)

# %% [markdown]
# Each row shows two images of one digit. Check that the blot lies where the reading says, and judge
# for yourself: would you still read the painted digit as before?


# %%
def margins(images, label, rival):
    """Logit of the digit minus logit of its rival, for uint8 images."""
    logits = keras.ops.convert_to_numpy(net(augmentation.scale(images), training=False))
    return logits[:, label] - logits[:, rival]


def interval(values):
    """Mean and 95 % interval of a mean, from its standard error."""
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    return values.mean(), values.mean() - half, values.mean() + half


assert np.allclose(interval(np.array([1.0, 3.0])), (2, 0.04, 3.96)), "use the standard error"


# %%
def test_reading(label, rival):
    original, at_place, at_control, _ = trials[label]
    before = margins(original, label, rival)
    change = margins(at_place, label, rival) - before
    control = margins(at_control, label, rival) - before
    mean, low, high = interval(change - control)
    records.note(f"07_painted_digit{label}", seed=0, difference=mean, low=low, high=high)
    verdict = "holds" if high < 0 else "is contradicted" if low > 0 else "stays undecided"
    return {
        "digit − rival": f"{label} − {rival}",
        "images": len(before),
        "painted": f"{change.mean():.2f}",
        "control": f"{control.mean():.2f}",
        "difference (95 % interval)": f"{mean:.2f} ({low:.2f} to {high:.2f})",
        "the reading": verdict,
    }


pd.DataFrame([test_reading(label, rival) for label, (_, rival) in readings.items()])

# %% [markdown]
# *painted* and *control* are mean changes of the margin. A reading **holds** here if painting that
# place costs clearly more than the same blot elsewhere: the whole interval of the difference lies
# below zero; it is **contradicted** if the whole interval lies above, and otherwise **stays
# undecided**. Whatever you get: it is a statement about this network. A narrower one, or another
# training, may read digits differently. And the control is no perfect twin: it may lie in a corner
# where digits have no ink, and touch a stroke less often than the painted place does.
#
# Did the maps predict the outcome? Sum the attributions of the original image over the pixels that
# were painted, digit minus rival: above zero, the emptiness of this place speaks for the digit.

# %%
per_digit = profile.pick(smoke=1, quick=4, full=20)
originals = np.concatenate([trial[0][:per_digit] for trial in trials.values()])
unpainted = explanations.explain(model, augmentation.scale(originals), small_background)
start = 0
for label, (_, rival) in readings.items():
    masks = trials[label][3][:per_digit]
    values = unpainted.values[start : start + len(masks), ..., 0, :]
    said = ((values[..., label] - values[..., rival]) * masks).sum(axis=(1, 2))
    before, after = (margins(trials[label][part][: len(masks)], label, rival) for part in (0, 1))
    print(
        f"{label} − {rival}: the empty place is worth {said.mean():+.2f} logits to SHAP, painting "
        f"it changes the margin by {(after - before).mean():+.2f} (images: {len(masks)})"
    )
    start += len(masks)

# %% [markdown]
# The two numbers answer different questions, so they need not be of equal size: SHAP compares the
# empty place with what background digits have there, which is mostly little ink, while you painted
# it completely. Their *signs* should be opposite where the map says something true.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What do the first filters look for, and what do they make of a digit?
#
# S5 wanted to show the filters of its first layer, on one training digit, through a private
# package; no result is left.

# %%
explanations.first_layer_filters(model)

# %% [markdown]
# Red weights are positive, blue ones negative. A filter with red on one side and blue on the other
# answers to an edge. What each makes of a digit is its *feature map*, in the same reading order:

# %%
one_digit = augmentation.scale(split.x_train[:1])[0]
explanations.feature_maps(model, one_digit, model.layers[0].name)

# %% [markdown]
# Look for the strokes, thickened or reduced to one side. Gray levels are stretched for each map, so
# a bright map need not have large values; hover for them. A uniformly dark map means that its
# filter found nothing here. The same for the last convolution:

# %%
explanations.feature_maps(model, one_digit, f"conv2_{plain_convolutions + 1}")

# %% [markdown]
# Later layers are harder to read: the pictures are smaller and mix everything before them. To see
# another layer, you need its name; a wrong one brings up the list.

# %%
try:
    explanations.feature_maps(model, one_digit, "conv9")
except ValueError as error:
    print(error)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Does it work for photographs?
#
# The same network with an input of 32×32 pixels in three colors, trained for a short time on
# CIFAR-10. Compare its validation accuracy with that for digits: how far can you trust the maps of
# a network that knows more, or less?

# %%
photo_epochs = profile.pick(smoke=1, quick=4, full=8)
photos = datasets.load_cifar10(
    train_images=profile.pick(smoke=300, quick=5000, full=50_000),
    test_images=profile.pick(smoke=200, quick=1000, full=10_000),
)
photo_split = datasets.train_validation_split(
    photos.x_train, photos.y_train, validation_fraction=0.2, seed=0
)

# %%
photo_model = build_cnn(
    (32, 32, 3), width=width, plain_convolutions=plain_convolutions, momentum=momentum
)
photo_model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
photo_train = augmentation.Batches(
    photo_split.x_train,
    photo_split.y_train,
    batch_size=batch_size,
    normalize=augmentation.scale,
    shuffle=True,
    seed=0,
)
photo_run = training.fit(photo_model, photo_train, name="07_photos", epochs=photo_epochs, seed=0)

# %%
photo_true = photo_split.y_validation
photo_pred = training.predict(photo_model, photo_split.x_validation, augmentation.scale)
photo_pred = photo_pred.argmax(axis=-1)
low, high = training.accuracy_interval(int((photo_pred == photo_true).sum()), len(photo_true))
print(f"Validation accuracy {(photo_pred == photo_true).mean():.3f} after {photo_epochs} epoch(s)")
print(f"(95 % interval {low:.3f} to {high:.3f}; {photo_run.seconds:.0f} s)")
records.note(photo_run.name, seed=0, validation=(photo_pred == photo_true).mean())

# %%
of_each = profile.pick(smoke=1, quick=3, full=5)
hit = photo_pred == photo_true
picked = np.concatenate([np.flatnonzero(some)[:of_each] for some in (hit, ~hit)])
photo_images = augmentation.scale(photo_split.x_validation[picked])

# %%
photo_background = augmentation.scale(
    explanations.stratified_background(
        photo_split.x_train, photo_split.y_train, background_size, seed=0
    )
)
photo_deep = explanations.explain(photo_model, photo_images, photo_background)
print(f"additivity error {photo_deep.additivity_error:.1e} ({photo_deep.seconds:.1f} s)")

# %%
explanations.attribution_plot(
    photo_deep,
    photo_split.x_validation[picked],
    photo_true[picked],
    photo_pred[picked],
    photos.class_names,
    title="Photographs: right ones first, then wrong ones",
)

# %% [markdown]
# A photograph seldom has a uniform border, so nearly every pixel takes part, and the red and blue
# often look like speckle: can you tell by eye whether there is a picture in it? Ask the two tests
# instead.

# %%
index = np.arange(len(picked)), slice(None), slice(None), slice(None), photo_pred[picked]
photo_maps = photo_deep.values[index]
photo_net, filler = explanations.logits_model(photo_model), photo_background.mean(axis=0)
noise = np.random.default_rng(0).random(photo_images.shape)
for name, maps in (("Deep SHAP", photo_maps), ("random order", noise)):
    scores = score_after_removal(photo_net, photo_images, photo_pred[picked], maps, filler)
    print(
        f"{name}: logit {scores[0]:.2f} → {scores[3]:.2f} without {fractions[3]:.0%} of the values"
    )

# %%
random_net = explanations.randomize_weights(photo_model, seed=0)
photo_random = explanations.explain(random_net, photo_images, photo_background).values[index]
bottom = min(photo_maps.min(), photo_random.min())  # with it subtracted, the sign decides the rank
for kind, shift in (("size", 0), ("with sign", bottom)):
    alike = explanations.map_similarity(photo_maps - shift, photo_random - shift)
    print(f"{kind}: trained against random net, rank correlation {alike.mean():.2f}")

# %% [markdown]
# Adding up exactly does not make a map readable, and a readable map need not be right. The evidence
# that you have is how much further the score falls than with random order, and how little the map
# has in common with that of a random network.

# %%
explanations.first_layer_filters(
    photo_model, title="First filters of the photograph network, in color"
)

# %% [markdown]
# Here a tile is the filter as a color picture, stretched to its own range. A colored tile answers
# to a contrast of colors, a gray one to brightness. After a short training, much of what you see
# may still be the random start.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What goes wrong: the explanation failed and its text stayed (M5.11)
#
# S5's SHAP cells ended in a printed "problem": a handler that catches everything had hidden the
# reason, while the text went on to interpret pictures that this run never made. Here is a network
# with a layer that Deep SHAP has no rule for, first in S5's manner.

# %%
leaky = keras.Sequential(
    [
        keras.Input((28, 28, 1)),
        layers.Conv2D(4, 5, strides=2, name="conv"),
        layers.LeakyReLU(name="leaky"),
        layers.GlobalAveragePooling2D(name="mean"),
        layers.Dense(10, activation="softmax", name="scores"),
    ]
)
one_image = augmentation.scale(digits[right[:1]])
try:
    explanations.explain(leaky, one_image, small_background)
except Exception:  # noqa: BLE001 - the mistake to be shown
    print("problem")

# %% [markdown]
# The cost: no figure, and no way to tell why. Now let the error surface, and do what it says.

# %%
# NBVAL_CHECK_OUTPUT
try:
    explanations.explain(leaky, one_image, small_background)
except ValueError as error:
    print(error)

# %%
rescued = explanations.explain(leaky, one_image, small_background, method="gradient", samples=20)
print(f"expected gradients: values of shape {rescued.values.shape}")

# %% [markdown]
# And the batch normalization after the dense layer, which S5 gave up for SHAP's sake?

# %%
training.seed_everything(0)
normalized = keras.Sequential(
    [
        keras.Input((28, 28, 1)),
        layers.Conv2D(4, 5, strides=4, activation="relu"),
        layers.Flatten(),
        layers.Dense(16, activation="relu"),
        layers.BatchNormalization(name="norm"),
        layers.Dense(10, activation="softmax"),
    ]
)
statistics = np.random.default_rng(0).uniform(0.5, 2, size=(4, 16))  # as if it had been trained
normalized.get_layer("norm").set_weights(list(statistics))
check = explanations.explain(normalized, one_image, small_background)
assert check.additivity_error < 1e-3, "Deep SHAP does not add up"
print(f"batch normalization after a dense layer: additivity error {check.additivity_error:.1e}")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What goes wrong: predictions in the caption of the truth (M5.12)
#
# S5 printed a list of "true" digits above its mistakes. They were the *predictions*; the truth was
# 0 to 9 in order. Put both side by side:

# %%
s5_list = pd.DataFrame({"true": range(10), "predicted": [5, 3, 2, 5, 9, 3, 6, 1, 2, 8]})
correct = s5_list.query("true == predicted")["true"].tolist()
print(f"{len(correct)} of {len(s5_list)} 'mistakes' are no mistakes: the digits {correct}")

# %% [markdown]
# A caption that names the wrong column hides this. The check under *And what spoke for the wrong
# one?* would have stopped the run, and `attribution_plot` compares what you pass as predictions
# with what the network answers:

# %%
try:
    explanations.attribution_plot(
        deep_wrong, digits[wrong], y_pred[wrong], y_true[wrong], data.class_names
    )
except ValueError as error:
    print(error)


# %% [markdown] slideshow={"slide_type": "slide"}
# ## What goes wrong: explaining in training mode (M5.1)
#
# How can a mistake be predicted correctly? S5 had fixed its network to training mode (notebook 06
# shows what that does to its accuracy): dropout stayed active, so a second pass gave other answers,
# and the list of mistakes and the list of predictions came from different passes. Here is the
# trained network with dropout that never sleeps.


# %%
class SleeplessDropout(layers.Dropout):
    """Dropout that stays active in inference mode, as it did in S5."""

    def call(self, inputs, training=False):
        return super().call(inputs, training=True)


def sleepless(layer):
    kind = SleeplessDropout if isinstance(layer, layers.Dropout) else type(layer)
    return kind.from_config(layer.get_config())


def sleepless_copy():
    training.seed_everything(0)  # each copy drops the same units
    copy = keras.models.clone_model(model, clone_function=sleepless)
    copy.set_weights(model.get_weights())
    return copy


# %%
stuck = sleepless_copy()
sample = augmentation.scale(digits[:1000])
passes = [keras.ops.convert_to_numpy(stuck(sample)).argmax(axis=-1) for _ in range(2)]
called_wrong = passes[0] != y_true[:1000]
really = passes[1][called_wrong] == y_true[:1000][called_wrong]
print(f"first pass: {called_wrong.sum()} mistakes; second pass: {really.sum()} of them are right")
print(f"two passes disagree on {(passes[0] != passes[1]).sum()} of {len(sample)} digits")

# %%
settings = {"method": "gradient", "samples": few_samples, "seed": 0}
pair = {
    name: [explanations.explain(each, images, small_background, **settings) for _ in range(2)]
    for name, each in (("inference mode", model), ("dropout active", sleepless_copy()))
}
for name, (first, second) in pair.items():
    alike = same_class_similarity(first, second)
    print(
        f"{name}: two calls with one seed, rank correlation {alike.min():.3f} to {alike.max():.3f}"
    )

# %% [markdown]
# In inference mode the same call gives the same map. With dropout active, every call explains
# another, randomly thinned network; what you read off such a map may be gone the next time. Does
# Deep SHAP notice?

# %%
try:
    explanations.explain(sleepless_copy(), images, small_background)
except ValueError as error:
    print(error)

# %% [markdown]
# It refuses, and names the layer. The advice in the message is for layers that behave the same in
# each pass; here the cure is inference mode.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What goes wrong: a handler that swallows everything (M5.13)
#
# S5 wrapped its plots in a bare `except`. Here is a typo in a function's name. What does the reader
# of the notebook see?

# %%
# NBVAL_CHECK_OUTPUT
try:
    explanations.atribution_plot(deep, digits[right], y_true, y_pred, data.class_names)
except:  # noqa: E722 - the mistake to be shown
    print("no figure, no reason")

# %%
# NBVAL_CHECK_OUTPUT
try:
    explanations.atribution_plot(deep, digits[right], y_true, y_pred, data.class_names)
except AttributeError as error:
    print(error)

# %% [markdown]
# The first version hides the cause for good; the second, or no handler at all, names it. Another of
# S5's handlers covered two deletions at once, of the old model and of its log of epochs. The length
# of the log served as the number of epochs trained:

# %%
# NBVAL_CHECK_OUTPUT
with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    (folder / "log.csv").write_text("epoch\n0\n1\n2\n")  # the model file is gone already
    try:
        (folder / "model.keras").unlink()
        (folder / "log.csv").unlink()
    except:  # noqa: E722 - the mistake to be shown
        print("nothing to delete")
    kept = (folder / "log.csv").read_text().count("\n") - 1
    print(f"epochs that a new training starts from: {kept}")
    for file in ("model.keras", "log.csv"):
        (folder / file).unlink(missing_ok=True)
    print(f"log there after deleting one by one: {(folder / 'log.csv').exists()}")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What goes wrong: explaining probabilities
#
# Probabilities sum to one: what a pixel gives to one class it takes from the others. `explain`
# removes a softmax at the end; an idle layer behind the softmax hides it, so that the probabilities
# themselves are explained.

# %%
hidden = keras.Sequential([keras.Input((28, 28, 1)), model, layers.Activation("linear")])
of_probabilities = explanations.explain(hidden, one_image, background).values
for name, values in (("probabilities", of_probabilities), ("logits", deep.values[:1])):
    total, size = values.sum(axis=-1), np.abs(values).sum(axis=-1)
    print(f"{name}: sum over classes is {np.abs(total).sum() / size.sum():.1%} of the attributions")

# %% [markdown]
# With probabilities, the sum over the classes vanishes, up to rounding: a map can't tell "speaks
# for this class" from "speaks against the others". Logits have no such constraint.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What goes wrong: a picture of the sum over all classes
#
# SHAP returns one array with the classes last. Its `image_plot` wants a *list* with an array for
# each class. Given the array, it raises nothing and takes the classes for color channels. Read from
# the figure what it drew:

# %%
import shap
from matplotlib import pyplot


def drawn_by_shap(values):
    """Draw with SHAP and give back the maps in its figure, without the image."""
    shap.image_plot(values, one_image, show=False)
    figure = pyplot.gcf()
    maps = [axes.images[-1].get_array() for axes in figure.axes if axes.images][1:]
    pyplot.close(figure)
    return maps


# %%
as_array = drawn_by_shap(deep.values[:1])
as_list = drawn_by_shap([deep.values[:1, ..., label] for label in range(10)])
print(f"given the array: {len(as_array)} map; given a list: {len(as_list)} maps")
summed = deep.values[0].sum(axis=(-2, -1))
print(f"largest difference to the sum over classes: {np.abs(as_array[0] - summed).max():.1e}")

# %%
own = predicted_maps(deep)[0].sum(axis=-1)
counts = own != 0
opposite = np.sign(summed[counts]) != np.sign(own[counts])
print(f"of the pixels that count for the predicted class, {opposite.mean():.0%} change their color")

# %% [markdown]
# One picture instead of ten, and it belongs to no class: red in it may be blue for the class that
# you ask about. No error and no warning, nothing but the number of maps gives it away.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What goes wrong: one failed call poisons the process
#
# To see inside, SHAP replaces a function of TensorFlow and puts it back when it is done. If the
# call fails, it does not put it back. So keep the original, let the call fail, and train something.


# %%
def raw_deep_shap(network, images, background):
    """Call SHAP as a tutorial would, without the precautions of `explanations.explain`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        explainer = shap.DeepExplainer(network, background)
        return explainer.shap_values(images)


# %%
from tensorflow.python.eager import execute

healthy = execute.record_gradient
few_digits = augmentation.scale(split.x_train[:50]), split.y_train[:50]


def try_to_train():
    training.seed_everything(0)
    fresh = keras.models.clone_model(leaky)
    fresh.compile("sgd", loss="sparse_categorical_crossentropy")
    try:
        loss = fresh.fit(*few_digits, verbose=0).history["loss"][0]
        return f"training works (loss {loss:.2f})"
    except Exception as error:  # noqa: BLE001 - the type is internal to TensorFlow
        return f"training fails: {str(error).strip().splitlines()[-1].strip()[:90]}"


# %%
try:
    raw_deep_shap(leaky, one_image, small_background)
except Exception:  # noqa: BLE001 - the type is internal to TensorFlow
    print("SHAP called directly:", try_to_train())
finally:
    execute.record_gradient = healthy  # put back what SHAP left behind

# %%
try:
    explanations.explain(leaky, one_image, small_background)
except ValueError:
    print("explanations.explain:", try_to_train())
assert execute.record_gradient is healthy, "something is still patched"

# %% [markdown]
# Without the repair, the error appears in a *later* cell that has nothing to do with SHAP. If you
# call SHAP yourself, keep the attribute and put it back in a `finally`, as `explain` does.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## How good are the two networks on the test set?
#
# No choice above looked at these images. It is one number for each network, and no explanation
# changes it: a map can be faithful to a network that is wrong.

# %% tags=["test-set"]
for name, network, test, trained in (
    ("digits", model, data, run),
    ("photographs", photo_model, photos, photo_run),
):
    answers = training.predict(network, test.x_test, augmentation.scale).argmax(axis=-1)
    correct = int((answers == test.y_test).sum())
    records.note_test(trained.name, seed=0, correct=correct, images=len(answers))
    low, high = training.accuracy_interval(correct, len(answers))
    print(
        f"{name}: test accuracy {correct / len(answers):.4f} "
        f"(95 % interval {low:.4f} to {high:.4f}, {len(answers):,} images)"
    )
s5 = training.reported("S5")["cnn"]
print(f"S5 reported {s5['test_accuracy']:.4f} for its digits, after {s5['epochs']} epochs")

# %%
print(records.summary({"digits": run.name, "photographs": photo_run.name}))

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Take-aways
#
# - An attribution is a statement about a *score* against a *background*. Print the additivity
#   error; choose a stratified background; explain logits.
# - A map is evidence only if it changes when the network does. Randomize the weights, compare with
#   the level of two random networks, in size and in sign.
# - A reading by eye is a guess. Paint the place, paint the same blot elsewhere, compare.
# - Let errors surface, explain in inference mode, and print truth beside prediction with a check
#   that they differ where they must.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Exercises
#
# Each cell below checks your answer as soon as you run it. A wrong answer gets one hint; the next
# wrong one gets the next.
#
# **Exercise 1.** Predict, without a computer: in the toy of *What is a SHAP value?* the two pixels
# are now 4 and 0.5. The background stays as it was, with a mean of 1 and 1. The weights for class A
# are 1 for the first pixel and 3 for the second. Which attributions do the pixels get for class A?

# %% tags=["exercise"]
attributions = ...  # two numbers in a list: [pixel 1, pixel 2]
exercises.check("07.1", attributions)

# %% tags=["solution"]
attributions = [1 * (4 - 1), 3 * (0.5 - 1)]
exercises.check("07.1", attributions)

# %% tags=["check"]
pixels, center, weight = np.array([4, 0.5]), toy_background.mean(axis=0).ravel(), np.array([1, 3])
rule = exercises.Rule(
    "07.1",
    expected=weight * (pixels - center),
    tolerance=0.01,
    wants="two numbers in a list, one for each pixel",
    because=(
        "Weight × (pixel − mean of the background). The second pixel is darker than the background "
        "expects, so it counts against a class that its brightness would favor."
    ),
    mistakes=[
        exercises.Mistake(
            "the background is missing",
            example=weight * pixels,
            hints=[
                "An attribution says how the image *differs* from the background.",
                "What would a pixel get that is as bright as the mean of the background?",
            ],
        ),
        exercises.Mistake(
            "the signs are turned around",
            example=weight * (center - pixels),
            hints=[
                "A pixel that is brighter than the background and has a positive weight: does it "
                "speak for or against the class?",
                "Subtract the background from the pixel, not the pixel from the background.",
            ],
        ),
        exercises.Mistake(
            "this is the difference to the background, without the weights",
            example=pixels - center,
            hints=[
                "How strongly does class A listen to each of the two pixels?",
                "A difference moves the score by as much as its weight says.",
            ],
        ),
        exercises.Mistake(
            "the second pixel is taken for larger than the background",
            example=weight * np.abs(pixels - center),
            hints=[
                "The sign of a difference matters: one of the pixels lies below its background.",
                "Work out the second pixel again: 0.5 against a mean of 1.",
            ],
        ),
    ],
    hints=[
        "For a linear model: weight × (pixel − mean of the background).",
        "Check your rule with the toy above: the pixels 3 and 1.5 gave 2.0 and 1.5 for class A.",
        "Only the pixels have changed: do the two subtractions first, then multiply.",
    ],
)

# %% [markdown]
# **Exercise 2.** *Why this digit and not the true one?* Take the first of the wrong digits, number
# 0 in `deep_wrong`; the class that the network predicted is `y_pred[wrong[0]]`, the true one is
# `y_true[wrong[0]]`. By how many logits did the *pixels* move the score of the predicted class
# further than that of the true class? The shapes of `deep_wrong.values` and of `deep_wrong.logits`
# are a good place to start.

# %% tags=["exercise"]
pushed_by_pixels = ...  # a number of logits
exercises.check("07.2", pushed_by_pixels)

# %% tags=["solution"]
predicted_class, true_class = y_pred[wrong[0]], y_true[wrong[0]]
totals = deep_wrong.values[0].sum(axis=(0, 1, 2))  # one sum for each class
pushed_by_pixels = totals[predicted_class] - totals[true_class]
exercises.check("07.2", pushed_by_pixels)

# %% tags=["check"]
by_class = deep_wrong.values[0].reshape(-1, 10)[:, [y_pred[wrong[0]], y_true[wrong[0]]]]
for_predicted, for_true = by_class.sum(axis=0).tolist()
gap = float(gaps[0])
rule = exercises.Rule(
    "07.2",
    expected=for_predicted - for_true,
    tolerance=0.001,
    wants="one number, in logits",
    because=(
        f"The predicted class won by {gap:.2f} logits. The pixels moved it by {for_predicted:+.2f} "
        f"and the true class by {for_true:+.2f}. What is left to explain was there before any "
        "pixel spoke: the two classes start from different expected values."
    ),
    mistakes=[
        exercises.Mistake(
            "this is the whole gap between the two logits",
            example=gap,
            hints=[
                "A logit is the expected value plus the attributions. Which part did pixels bring?",
                "The two classes do not start from the same expected value: leave that part out.",
            ],
        ),
        exercises.Mistake(
            "the true class is missing from it",
            example=for_predicted,
            hints=[
                "The same pixels moved the score of the true class, too.",
                "The question is how much *further* one score was moved than the other.",
            ],
        ),
        exercises.Mistake(
            "the two classes are the wrong way round",
            example=for_true - for_predicted,
            hints=["The predicted class comes first: by how much more was it moved?"],
        ),
        exercises.Mistake(
            "the sum runs over all classes",
            example=float(deep_wrong.values[0].sum()),
            hints=[
                "The last axis of the attributions is the class that is explained. Sum over pixels "
                "only.",
                "Sum over the axes of height, width and channel: ten numbers must be left.",
            ],
        ),
        exercises.Mistake(
            "the signs were dropped before summing",
            example=float(np.abs(by_class[:, 0] - by_class[:, 1]).sum()),
            hints=["Pixels speak for and against. Attributions add up only with their signs."],
        ),
    ],
    hints=[
        "`deep_wrong.values[0]` has the axes height, width, channel and class. Choose two classes.",
        "Sum the attributions of all pixels for one class, then for the other, and compare.",
        "The axes 0, 1 and 2 of `deep_wrong.values[0]` are to be summed; what is left is a total "
        "for each class.",
    ],
)

# %% [markdown]
# **Exercise 3.** Test a reading of your own: *the open left side of a 3 tells it from an 8*. Write
# a function like `top_bar` that gets the ink of a 3, a Boolean array (28, 28), and marks where an 8
# would close it: at least six empty pixels at the left of the digit, within its height, and nothing
# right of its middle. The box around the digit is where `ink.any(axis=0)` and `ink.any(axis=1)`
# are true.

# %% tags=["exercise"]
left_gap = ...  # a function: def left_gap(ink): return ...
exercises.check("07.3", left_gap)


# %% tags=["solution"]
def left_gap(ink):
    """Mark the left side that a 3 leaves open and an 8 closes, three pixels wide."""
    mask = np.zeros_like(ink)
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    mask[rows.min() + 3 : rows.max() - 2, columns.min() : columns.min() + 3] = True
    return mask & ~ink


exercises.check("07.3", left_gap)

# %% tags=["check"]
threes = [image[..., 0] > 60 for image in digits[y_true == 3][:20]]


def share_of_threes(place, condition):
    """Share of the threes for which a condition on (mask, ink) is true."""
    return np.mean([bool(condition(np.asarray(place(ink.copy())), ink)) for ink in threes])


def is_mask(mask, ink):
    """Tell whether it has the shape and the type of the ink."""
    return mask.shape == ink.shape and mask.dtype == bool


def left_of_the_middle(mask, ink):
    """Tell whether the mask lies in the left half of the box around the digit."""
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    inside = np.zeros_like(ink)
    middle = (columns.min() + columns.max()) // 2
    inside[rows.min() : rows.max() + 1, columns.min() : middle + 1] = True
    return not (mask & ~inside).any()


def marks_the_gap(place):
    """Tell whether nine of ten threes get a mask on empty pixels at the left."""
    return share_of_threes(place, is_mask) == 1 and 0.9 <= share_of_threes(
        place,
        lambda mask, ink: (
            not (mask & ink).any() and mask.sum() >= 6 and left_of_the_middle(mask, ink)
        ),
    )


rule = exercises.Rule(
    "07.3",
    right=marks_the_gap,
    wants="a function from the ink of one digit to a mask",
    because=(
        "The place is well defined. Whether the reading is true is for the network to say: run "
        "`trials[3] = painted(3, left_gap)`, then `test_reading(3, 8)`. It holds if the margin "
        "falls further than with the same blot elsewhere."
    ),
    mistakes=[
        exercises.Mistake(
            "what the function returns is no mask",
            example=lambda ink: np.argwhere(ink),
            when=lambda place: share_of_threes(place, is_mask) < 1,
            hints=[
                "A mask has the shape of the ink, (28, 28), and holds True and False.",
                "Start with `np.zeros_like(ink)`, as `top_bar` does, and return it in the end.",
            ],
        ),
        exercises.Mistake(
            "the mask covers ink",
            example=lambda ink: ink,
            when=lambda place: share_of_threes(place, lambda mask, ink: (mask & ink).any()) > 0.1,
            hints=[
                "Painting ink over ink changes nothing: mark empty pixels only.",
                "How does `top_bar` keep the ink out of its mask, in its last line?",
            ],
        ),
        exercises.Mistake(
            "too few pixels are marked",
            example=lambda ink: np.zeros_like(ink),
            when=lambda place: share_of_threes(place, lambda mask, ink: mask.sum() < 6) > 0.1,
            hints=[
                "Many threes get fewer than six pixels. Look at one: where does your mask lie?",
                "A strip two or three pixels wide along the left edge of the digit is enough.",
            ],
        ),
        exercises.Mistake(
            "it marks pixels above, below or right of the place",
            example=lambda ink: ~ink,
            when=lambda place: share_of_threes(place, left_of_the_middle) < 0.9,
            hints=[
                "An 8 has ink there only within the height of the digit, left of its middle.",
                "Columns count from the left: the digit begins at "
                "`np.flatnonzero(ink.any(axis=0)).min()`.",
            ],
        ),
    ],
    hints=[
        "Find the box around the digit, mark a strip at its left, and take the ink out again.",
        "`upper_right`, above, does the same for another side: which lines would you change?",
        "Rows from a little below the top to a little above the bottom; columns from the left edge "
        "to two or three pixels further.",
    ],
)

# %% [markdown]
# **Exercise 4.** Beat the map. In *Do the marked pixels matter?* removing a tenth of the pixels in
# the order of Deep SHAP left the logit printed below. Find an order that brings it lower. Hand in
# an array like `images`, (digits, 28, 28, 1), in which a larger value means "remove earlier". You
# may ask the network and `explanations.explain` as often as you like. A removed pixel becomes that
# of `background.mean(axis=0)`, and your order is measured by
# `score_after_removal(net, images, y_pred[checked], your_order, background.mean(axis=0))[3]`.

# %%
print(f"To beat: a mean logit of {removal['Deep SHAP'][3]:.2f} for the {len(checked)} digits")
print(f"with {fractions[3]:.0%} of their pixels removed.")

# %% tags=["exercise"]
removal_order = ...  # an array of the shape of images
exercises.check("07.4", removal_order)

# %% tags=["solution"]
thinned, removal_order = images.copy(), np.zeros_like(images)
filler = background.mean(axis=0)
for turn in (4, 3, 2, 1):  # explain again after each fortieth of the pixels
    explanation = explanations.explain(model, thinned, small_background)
    maps = explanation.values[np.arange(len(checked)), :, :, :, y_pred[checked]]
    maps[removal_order > 0] = -np.inf  # these are gone
    for digit in range(len(checked)):
        gone = np.argsort(-maps[digit].ravel())[:20]
        removal_order[digit].reshape(-1)[gone] = turn
        thinned[digit].reshape(-1)[gone] = filler.reshape(-1)[gone]
exercises.check("07.4", removal_order)

# %% tags=["check"]
mean_image, to_beat = background.mean(axis=0), removal["Deep SHAP"][3]
by_chance = removal["random order"][3]


def logit_left(maps):
    """Mean logit after removing a tenth of the pixels in this order."""
    return score_after_removal(net, images, y_pred[checked], maps, mean_image)[3]


rule = exercises.Rule(
    "07.4",
    right=lambda maps: maps.shape == images.shape and logit_left(maps) < to_beat - 1e-3,
    like=images,
    wants="an array (digits, height, width, channels), like `images`",
    because=(
        "A map describes the network at the image as it is. Once pixels are gone, others take over "
        "their part, so an order that looks again on the way can do better. And still: an order "
        "that is good at removal is not a better explanation of the *whole* digit."
    ),
    mistakes=[
        exercises.Mistake(
            "the array does not have one map for each digit in `checked`",
            example=np.zeros_like(images[:1, :14]),
            when=lambda maps: maps.shape != images.shape,
            hints=["Print `images.shape`: your array needs the same shape."],
        ),
        exercises.Mistake(
            "this is the order that you are to beat",
            example=orders["Deep SHAP"],
            hints=[
                "The ranks of its pixels are fixed before the first one is gone. Must they be?",
                "Explain the digits again once some of the pixels have been replaced.",
            ],
        ),
        exercises.Mistake(
            "the score rises: what speaks against the class is removed first",
            example=-orders["Deep SHAP"],
            when=lambda maps: logit_left(maps) > max(by_chance + 1e-3, removal["Deep SHAP"][0]),
            hints=["Larger values are removed earlier. Is the sign of your map the right one?"],
        ),
        exercises.Mistake(
            "it removes no better than a random order",
            example=orders["random order"],
            when=lambda maps: logit_left(maps) >= by_chance - 1e-3,
            hints=[
                "Start from a map of the trained network, such as `orders['Deep SHAP']`.",
                "Is there one map for each digit, in the order of `checked`, for its own class?",
            ],
        ),
    ],
    hints=[
        "Not low enough yet. What does the network look at once the first pixels are gone?",
        "Remove a few pixels, explain what is left, remove again: a few rounds are enough.",
        "Give the pixels of the first round the largest value, those of the next round a smaller "
        "one. Removed pixels must not be chosen again.",
    ],
)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Quiz

# %% [markdown] tags=["quiz"]
# The additivity error of an explanation is close to zero. What does that tell you?
#
# - [ ] The map shows what the network has learned.
#   > Maps of a network with random weights add up just as well.
# - [ ] The prediction is right.
#   > The attributions of a wrong prediction add up, too: to a wrong logit.
# - [x] The attributions add up to the logit, and no more than that.
#   > Right: it is needed, and it is not enough. Whether the places are the right ones takes other
#   > tests: fresh weights, removal, painting.
# - [ ] A second method would draw the same map.
#   > Many different maps have the same sum.

# %% [markdown] tags=["quiz"]
# Against a black background, the empty pixels of a digit get an attribution of exactly zero. Why?
#
# - [ ] The network has not learned anything from empty places.
#   > It may have: against a background of digits the same places do get attributions.
# - [x] They equal the background, and an attribution has the factor (pixel − background).
#   > Right: against black, nothing that is *missing* can be seen. Choose a background that holds
#   > what could have been there.
# - [ ] Black images are rare among the training images.
#   > The background is no training data. It is what the image is compared with.
# - [ ] The logits of a black image are zero.
#   > They are whatever the network makes of it: print them.

# %% [markdown] tags=["quiz"]
# You give all layers fresh random weights, and a map, in size, still looks much the same. What
# follows?
#
# - [ ] The network had learned nothing.
#   > Its accuracy says whether it has learned. This is a test of the map.
# - [ ] The explanation is stable, so you can trust it.
#   > Stable against losing everything that was learned: that is the opposite of a reason to trust.
# - [ ] The random weights resemble the trained ones.
#   > They were drawn afresh, and several draws give the same picture.
# - [x] Much of the map comes from the image, so its look is no evidence of what was learned.
#   > Right: compare with the level of two random networks, and look at the signs as well.

# %% [markdown] tags=["quiz"]
# You paint an empty place that a map marks in red, and the margin falls. Is the reading shown to be
# true?
#
# - [ ] Yes: the margin fell, as predicted.
#   > It might fall wherever you paint: any blot can harm any digit.
# - [x] Not yet: the same blot elsewhere must cost less.
#   > Right: only the difference to a control says that it is the place that matters.
# - [ ] No: SHAP values must not be tested on changed images.
#   > Changing the image is the test. What is unusual in it, the control shares.
# - [ ] Yes, if the prediction changes as well.
#   > A blot that is large enough changes the prediction anywhere.

# %%
exercises.quiz("07")

# %% [markdown]
# ## Further reading
#
# - Lundberg and Lee (2017), *A unified approach to interpreting model predictions*: where the sum
#   rule comes from, and why it pins the values down.
# - Erion et al. (2021), *Improving performance of deep learning models with axiomatic attribution
#   priors and expected gradients*: the second method of this notebook.
# - Adebayo et al. (2018), *Sanity checks for saliency maps*: the cascade, and who failed it.
# - Sturmfels, Lundberg and Lee (2020), *Visualizing the impact of feature attribution baselines*:
#   what the choice of the background does to photographs.
