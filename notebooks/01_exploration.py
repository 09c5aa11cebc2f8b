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
# # 01 · Look at the data, and catch a split that fools you
#
# At the end of this notebook you will have looked at CIFAR-10 from four sides, trained your first
# small convolutional network twice, on a careless and on a clean split of the same images, and
# measured how much the careless one flatters it.
#
# **What you'll learn**
#
# - to look at images, class counts and pixel statistics before any training;
# - why there are three sets of images, and how to check that they share none;
# - what standardization and augmentation do to a picture, and what they take away;
# - how uncertain an accuracy is that was measured on few images.
#
# **What you'll need:** Python and a little NumPy. No deep learning: each term is explained where it
# first comes up. The set-up line below prints how long the notebook takes in your profile.
#
# The experiments re-create an older write-up, called S1: a CIFAR-10 classifier of 2018 whose
# validation accuracy was far above its test accuracy. You need not know it. Numbers such as M1.3 in
# this course count the mistakes of the write-ups: mistake 3 of S1.

# %%
from course_utils import profiles

profile = profiles.start("01")

# %%
import keras
import numpy as np
import pandas as pd
from keras import layers

from course_utils import augmentation, dashboards, datasets, exercises, records, training

dashboards.extension()

# %% [markdown]
# The *profile* decides how much is computed. These are all the sizes that depend on it. One *epoch*
# is one pass over the training images; a *seed* fixes the random numbers of a run, so several seeds
# show how much of a result is luck.

# %%
train_images = profile.pick(smoke=900, quick=7_500, full=50_000)
test_images = profile.pick(smoke=300, quick=2_000, full=10_000)
epochs = profile.pick(smoke=2, quick=8, full=20)
epochs_with_flips = profile.pick(smoke=1, quick=5, full=20)
batch_size = profile.pick(smoke=50, quick=50, full=100)
seeds = range(profile.pick(smoke=1, quick=2, full=3))
bootstrap_rounds = profile.pick(smoke=500, quick=2_000, full=10_000)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What is in the data?
#
# An imaginary client asks for a program that tells small photographs apart. CIFAR-10 (Krizhevsky,
# 2009) is a good model of the task: ten classes of pictures of 32 by 32 pixels. An image is an
# array of whole numbers from 0 to 255: height, width and three *channels* (red, green, blue). Its
# *label* is the number of its class.

# %%
data = datasets.load_cifar10(train_images=train_images, test_images=test_images)
print(f"images {data.x_train.shape}, {data.x_train.dtype}; labels {data.y_train.shape}")
print("classes:", ", ".join(data.class_names))

# %% [markdown]
# **Before you run this:** which two classes will be hardest to tell apart?

# %%
dashboards.sample_grid(
    data.x_train,
    data.y_train,
    data.class_names,
    per_class=10,
    title="Ten random training images of each class",
)

# %% [markdown]
# Read the grid column by column. Look for what varies *within* a class (viewpoint, size,
# background, color) and for what two classes share. Hover over an image for its class and index;
# an index that looks mislabeled deserves a closer look. In photographs, animals on four legs share
# shape and background, and so do the vehicles: these are the pairs to watch in notebook 02.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Are the classes balanced?
#
# A classifier that always answers with the largest class is right as often as that class occurs.
# So count before you call an accuracy good.

# %%
counts = np.bincount(data.y_train, minlength=len(data.class_names))
print(f"always guessing the largest class scores {counts.max() / counts.sum():.1%}")
dashboards.class_balance(
    {"training": data.y_train, "test": data.y_test},
    data.class_names,
    title="Images per class, training and test",
)

# %% [markdown]
# Bars of equal height within a set mean that plain accuracy is a fair measure, and the printed
# share is the score that any network has to beat. That need not be so: one write-up on MNIST
# (handwritten digits) called its classes well distributed. Count them.

# %%
mnist = datasets.load_mnist()
digit_counts = np.bincount(mnist.y_train)
ratio = digit_counts.max() / digit_counts.min()
print(f"largest digit class: {digit_counts.max():,} images, smallest: {digit_counts.min():,}")
print(f"the largest is {ratio - 1:.0%} larger than the smallest")
dashboards.class_balance(
    mnist.y_train, mnist.class_names, title="Images per digit, training images"
)

# %% [markdown]
# "Well distributed" is a judgment; the counts are the evidence (M5.18). On the official MNIST the
# bars differ visibly. That does little harm to accuracy, but the rarest digit has the least certain
# figure of its own, which matters once you compare classes.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What do the pixel values look like?
#
# Networks learn fastest when their inputs are centered around zero and about one unit wide. So it
# pays to know mean and *standard deviation* (std: the typical distance from the mean), for each
# channel over all images, and for each image over all of its values.

# %%
per_channel = augmentation.fit_per_channel(data.x_train)
pd.DataFrame(
    {"mean": per_channel.mean, "std": per_channel.std}, index=["red", "green", "blue"]
).round(1)

# %%
# Image by image: a floating-point copy of all images at once would need far more memory.
image_mean = np.array([image.mean() for image in data.x_train])
image_std = np.array([image.std() for image in data.x_train])
print(f"brightness (mean) of single images: {image_mean.min():.0f} to {image_mean.max():.0f}")
print(f"contrast (std) of single images   : {image_std.min():.0f} to {image_std.max():.0f}")


# %%
def share_of_values(channel):
    counts = np.bincount(data.x_train[..., channel].ravel(), minlength=256)
    return counts / counts.sum() * 100


# In this order the palette gives each channel a color near its own.
channels = {"blue": 2, "red": 0, "green": 1}
dashboards.line_plot(
    {name: (np.arange(256), share_of_values(channel)) for name, channel in channels.items()},
    title="How often each pixel value occurs",
    xlabel="pixel value (0 to 255)",
    ylabel="share of values (%)",
)

# %% [markdown]
# Look at both ends: a spike at 255 (or 0) means over-exposed (or black) areas, whose detail is
# lost. Look at the three curves against each other: where one lies apart, the set has a tint. The
# printed ranges say how different single images are. Some are nearly flat, others go from black to
# white.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What does standardization remove?
#
# There are two habits. *Per channel*: subtract a mean and divide by a std that were measured once,
# on the training images. *Per image*: use the mean and std of each image itself, as S1 did.
# Dividing by 255 is the plain alternative. What is left of the differences between images?

# %%
normalizers = {
    "divide by 255": augmentation.scale,
    "per channel": per_channel,
    "per image": augmentation.per_image,
}
rows = []
for name, normalize in normalizers.items():
    standardized = normalize(data.x_train[:1000]).reshape(-1, 32 * 32 * 3)
    brightness, contrast = standardized.mean(axis=1), standardized.std(axis=1)
    rows.append(
        {
            "normalization": name,
            "brightness of images": f"{brightness.min():+.2f} to {brightness.max():+.2f}",
            "contrast of images": f"{contrast.min():.2f} to {contrast.max():.2f}",
        }
    )
pd.DataFrame(rows).set_index("normalization")

# %% [markdown]
# Dividing by 255 and per-channel *standardization* only change units: bright images stay brighter
# than dark ones. Per-image standardization makes brightness and contrast equal in all images. That
# is a *choice*: good where lighting tells nothing about the class, bad where it does. S1 justified
# it with the argument for per-channel scaling (comparable input features), which is another matter
# (M1.18). You can see the information go:

# %%
image = data.x_train[:1].astype("float32")
brightened = image * 0.6 + 90  # paler and brighter; stays below 255, so nothing is cut off
before, after = augmentation.per_image(image), augmentation.per_image(brightened)
difference = np.abs(before - after).max()
assert difference < 0.001, "per-image standardization should undo brightness and contrast"
print(f"largest difference after per-image standardization: {difference:.6f}")

# %%
shown = np.concatenate([image, brightened, before * 50 + 128, after * 50 + 128])
dashboards.image_strip(
    shown.clip(0, 255),
    ["original", "brightened", "original, standardized", "brightened, standardized"],
    title="Per-image standardization hides a change of brightness (gray = 0)",
    columns=4,
)

# %% [markdown]
# The first two pictures differ, the last two do not: a network behind this normalizer cannot know
# how bright the scene was.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Why are there three sets of images?
#
# - **Training images**: the network's weights are fitted to them. It can learn them by heart.
# - **Validation images**: you use them to decide (which network, how long, which settings). Each
#   decision fits *you* to them a little.
# - **Test images**: opened once, when everything is decided. Only this figure owes nothing to
#   either fit.
#
# In this notebook one more part is cut from the training images first: an **untouched** set. It
# plays the test set's role while you study splits, so that the real one can stay closed.

# %%
reserve = datasets.train_validation_split(
    data.x_train, data.y_train, validation_fraction=1 / 3, seed=0
)
x_pool, y_pool = reserve.x_train, reserve.y_train
x_untouched, y_untouched = reserve.x_validation, reserve.y_validation
print(f"pool for the splits: {len(x_pool):,} images; untouched: {len(x_untouched):,}")

# %% [markdown]
# The split that this course uses draws each image once (*without replacement*) and gives each class
# its share (*stratified*). The check compares content, byte by byte, not positions.

# %%
honest = datasets.train_validation_split(x_pool, y_pool, validation_fraction=0.2, seed=0)
shared = datasets.shared_images(honest.x_train, honest.x_validation)
if not data.stand_in:
    assert shared == 0, f"{shared} validation images are also training images"
print(f"{len(honest.x_train):,} training images, {len(honest.x_validation):,} validation images")
print(f"validation images with an identical copy among the training images: {shared}")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What goes wrong: a split that leaks (M1.1)
#
# S1 drew as many row numbers as there are images, **with replacement** (an image can come up again
# and again), and called the first four fifths training and the rest validation.
#
# **Before you run this:** how many validation images have a copy in the training set? One in a
# hundred? One in ten?


# %%
def split_with_replacement(images, labels, seed):
    """Split like S1: row numbers may repeat, so both parts can hold the same image."""
    rows = np.random.default_rng(seed).integers(len(images), size=len(images))
    cut = round(0.8 * len(rows))
    train, validation = rows[:cut], rows[cut:]
    return datasets.Split(images[train], labels[train], images[validation], labels[validation])


leaky = split_with_replacement(x_pool, y_pool, seed=0)

# %%
leaked_share = datasets.shared_images(leaky.x_train, leaky.x_validation) / len(leaky.x_validation)
drawn = np.concatenate([leaky.x_train, leaky.x_validation])
unused_share = 1 - datasets.shared_images(drawn, x_pool) / len(x_pool)
print(f"validation images with a copy in training: {leaked_share:.1%}")
print(f"  expected: 1 - exp(-0.8) = {1 - np.exp(-0.8):.1%}")
print(f"images of the pool that are in neither part: {unused_share:.1%}")
print(f"  expected: exp(-1) = {np.exp(-1):.1%}")
records.note("01_leaked", seed=0, leaked=leaked_share, unused=unused_share)

# %% [markdown]
# More than half of the validation images were seen in training, and more than a third of the data
# was thrown away. The expected shares follow from counting: an image escapes one draw out of n with
# probability 1 − 1/n, so it escapes 0.8·n draws with about exp(−0.8), and all n with exp(−1).
# Nothing crashed and all shapes are right. That is why it went unnoticed.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Your first convolutional network
#
# You need a network to see what the *leak* does. A **convolution** slides small filters (here 3×3
# pixels) over the picture; each filter answers strongly where its pattern occurs, and the network
# learns the patterns. **ReLU** sets negative answers to 0. **Max pooling** keeps the strongest of
# four neighboring answers, which halves height and width. A **dense** layer connects every input to
# every output; the last one has an output for each class, and **softmax** turns these into
# probabilities that add up to 1.


# %%
def small_cnn():
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


# %%
# NBVAL_CHECK_OUTPUT
dashboards.layer_table(small_cnn()).drop(columns="layer")

# %% [markdown]
# A *parameter* is a number that training adjusts. Nearly all of them sit in the first dense layer:
# there are many times more parameters than training images, enough to learn the images by heart.
# Here that is welcome, because it shows what the leak rewards.
#
# Training goes in *batches* of some dozen images. The **loss** (cross-entropy) is large where the
# right class got a small probability; the **optimizer** (Adam) changes the weights after each batch
# so that the loss falls. **Accuracy** is the share of images whose most probable class is right.


# %%
def in_order(images, labels, **settings):
    """Batches for measuring: no shuffling, no random changes."""
    normalize = augmentation.per_image  # as S1 did
    return augmentation.Batches(images, labels, batch_size=500, normalize=normalize, **settings)


def train(split, *, name, epochs, seed, transforms=(), progress="plot"):
    training.seed_everything(seed)
    model = small_cnn()
    model.compile(
        keras.optimizers.Adam(0.001), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    batches = augmentation.Batches(
        split.x_train, split.y_train, batch_size=batch_size, normalize=augmentation.per_image,
        transforms=transforms, shuffle=True, seed=seed,
    )  # fmt: skip
    validation = in_order(split.x_validation, split.y_validation)
    run = training.fit(
        model, batches, name=f"01_{name}_seed{seed}", epochs=epochs, validation=validation,
        seed=seed, progress=progress,
    )  # fmt: skip
    return model, run


# %% [markdown]
# Now train the same network on both splits, once for each seed. A seed changes the split, the
# initial weights and the order of the batches.


# %%
def make_split(kind, seed):
    if kind == "leaky":
        return split_with_replacement(x_pool, y_pool, seed)
    return datasets.train_validation_split(x_pool, y_pool, validation_fraction=0.2, seed=seed)


splits = {(kind, seed): make_split(kind, seed) for seed in seeds for kind in ("leaky", "honest")}
trained = {
    (kind, seed): train(split, name=kind, epochs=epochs, seed=seed, progress="line")
    for (kind, seed), split in splits.items()
}

# %%
histories = {
    f"{kind} split": [trained[kind, seed][1].history for seed in seeds]
    for kind in ("leaky", "honest")
}
dashboards.compare_runs(
    histories, metric="val_accuracy", title="Validation accuracy on a leaky and an honest split"
)

# %% [markdown]
# Both curves come from the same network, the same images and the same number of updates; a band
# shows the range over the seeds, where there are several. If you had only the higher curve, you
# would believe it. Which one is true? Ask the untouched images.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Which validation figure can you trust? (M1.14)


# %%
def accuracy(model, images, labels):
    return training.evaluate(model, in_order(images, labels))["accuracy"]


rows = []
for (kind, seed), (model, _) in trained.items():
    split = splits[kind, seed]
    measured = {
        "training": accuracy(model, split.x_train, split.y_train),
        "validation": accuracy(model, split.x_validation, split.y_validation),
        "untouched": accuracy(model, x_untouched, y_untouched),
    }
    records.note(f"01_{kind}", seed=seed, **measured)
    gap = measured["validation"] - measured["untouched"]
    rows.append({"split": kind, "seed": seed} | measured | {"validation − untouched": gap})
results = pd.DataFrame(rows).set_index(["split", "seed"]).sort_index()
results.round(3)

# %%
mean = results.groupby("split").mean()
flattery = mean.loc["leaky", "validation − untouched"]
remaining = mean.loc["honest", "validation − untouched"]
num_validation = len(honest.x_validation) * len(seeds)
# At most: the 95 % range of the difference of two shares of so many images.
noise = 1.96 * np.sqrt(0.25 / num_validation + 0.25 / len(x_untouched))
print(f"number of seeds: {len(seeds)}")
print(f"the leaky split's validation figure is off by  {flattery * 100:+.1f} points")
print(f"the honest split's validation figure is off by {remaining * 100:+.1f} points")
print(f"chance alone explains up to about ±{noise * 100:.1f} points")

# %% [markdown]
# A figure that is off by no more than chance explains is honest; one far outside is not. With a
# permutation (each image drawn once) the gap between validation and untouched images closes. S1 saw
# a gap of this kind at the very end, blamed *overfitting* (learning the training images instead of
# the task), and suspected the data, the training and the network, but never the split.
#
# The careless split also wastes images. Whether that cost accuracy in this run, the untouched
# column says; then follows what the full profile gave:

# %%
better = mean.loc["honest", "untouched"] - mean.loc["leaky", "untouched"]
different = 1 - np.exp(-0.8)
print(f"different images in training: about {different:.0%} of the pool instead of 80%")
print(f"untouched accuracy, honest minus leaky: {better * 100:+.1f} points (mean over the seeds)")

# %%
print(records.summary({"leaky split": "01_leaky", "honest split": "01_honest"}))

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Can the leak explain the whole gap?
#
# A leaky validation set is a mixture: a share that was seen in training (where the network is as
# good as on training images) and a rest that was not (where it is as good as on untouched ones). If
# that is all, then
#
# validation = share · training + (1 − share) · untouched,
#
# with each training image counted once, however often it was drawn.

# %%
for seed in seeds:
    split, model = splits["leaky", seed], trained["leaky", seed][0]
    once = np.unique(split.x_train, axis=0, return_index=True)[1]
    remembered = accuracy(model, split.x_train[once], split.y_train[once])
    share = datasets.shared_images(split.x_train, split.x_validation) / len(split.x_validation)
    measured, untouched = results.loc[("leaky", seed), ["validation", "untouched"]]
    predicted = share * remembered + (1 - share) * untouched
    correct = round(measured * len(split.x_validation))
    low, high = training.accuracy_interval(correct, len(split.x_validation))
    print(f"seed {seed}: predicted {predicted:.3f}, measured {measured:.3f}, ", end="")
    print("inside" if low <= predicted <= high else "outside", end="")
    print(f" its 95 % interval {low:.3f} to {high:.3f}")

# %% [markdown]
# The formula has no adjustable number. Where the prediction falls inside the *interval* (or next to
# it: the two accuracies in the formula are uncertain as well), the leak alone explains the
# flattering figure. Now turn it round and apply it to what S1 reported: which
# training accuracy would explain its gap?

# %%
final = training.reported("S1")["final"]
share = 1 - np.exp(-0.8)
implied = (final["validation_accuracy"] - (1 - share) * final["test_accuracy"]) / share
print(f"S1 reported: validation {final['validation_accuracy']}, test {final['test_accuracy']}")
print(f"training accuracy that would explain the difference: {implied:.3f}")

# %% [markdown]
# That is a plausible training accuracy after hundreds of epochs, so nothing else is needed. The
# test figure was the true one all along.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What goes wrong: the last rows as validation set (M3.8)
#
# `model.fit(validation_split=0.2)` takes the **last** fifth of the rows, without shuffling. That is
# harmless where the file is in random order. Many files are sorted by class.

# %%
by_class = np.argsort(y_pool, kind="stable")
cut = round(0.8 * len(by_class))
last_rows = y_pool[by_class[cut:]]
names = [data.class_names[label] for label in np.unique(last_rows)]
print("classes in the validation set of the sorted rows:", ", ".join(names))
dashboards.class_balance(
    {"last fifth, sorted": last_rows, "stratified": honest.y_validation},
    data.class_names,
    title="A positional split of sorted rows leaves most classes out of validation",
)

# %% [markdown]
# The positional validation set holds the last classes only, and training hardly sees them: the
# figure then measures what the network never learned. A stratified split cannot do that.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What goes wrong: a cell that eats its own input (M1.17)
#
# In S1 the split wrote its result over the array that it read, and so did the conversion of labels
# to *one-hot* form (a row per image, 1 in the column of its class). A notebook invites you to run a
# cell again. Here both cells run twice, with row numbers in place of images:

# %%
# NBVAL_CHECK_OUTPUT
images, labels = np.arange(50_000), np.zeros(50_000, dtype=int)
generator = np.random.default_rng(0)
for run in ("first run ", "second run"):
    drawn_rows = generator.integers(len(images), size=len(images))
    cut = round(0.8 * len(images))
    images, held_out = images[drawn_rows[:cut]], images[drawn_rows[cut:]]
    labels = keras.utils.to_categorical(labels, 10)
    print(
        f"{run}: train {images.shape}, validation {held_out.shape}, labels {labels.shape},", end=""
    )
    print(f" different images left: {len(np.unique(images)):,}")

# %% [markdown]
# The second run shrinks the training set, samples from the sample and bends the labels into a shape
# that no loss accepts. The cure is a habit: **give results new names**, and let no cell write to a
# name that it reads. In this notebook `x_pool` stays what it is, however often you split it.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What goes wrong: single draws "without replacement" (M1.16)
#
# S1 filled its sample grid with one draw after the other, each with `replace=False`. A single draw
# has nothing to repeat; the next one starts again with all images.

# %%
# NBVAL_CHECK_OUTPUT
generator = np.random.default_rng(0)
singles = [[generator.choice(50, 1, replace=False)[0] for _ in range(10)] for _ in range(1000)]
together = [generator.choice(50, 10, replace=False) for _ in range(1000)]
for name, columns in (("ten single draws", singles), ("one draw of ten", together)):
    repeated = np.mean([len(set(column)) < 10 for column in columns])
    print(f"{name} from 50 images: {repeated:.0%} of columns show an image twice")
print(f"expected for single draws: {1 - np.prod(1 - np.arange(10) / 50):.0%}")

# %% [markdown]
# Ask for all ten at once. `sample_grid` above did.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What does augmentation do to an image?
#
# *Augmentation* changes training images at random each time they are drawn, so that the network
# never sees quite the same picture twice. A transform has to keep the class: a mirrored horse is a
# horse, a mirrored digit is none.

# %%
transforms = {
    "flip": augmentation.flip(),
    "pad and crop": augmentation.pad_and_crop(4),
    "shift": augmentation.shift(0.125),
    "rotate": augmentation.rotate(15),
    "zoom": augmentation.zoom(0.2),
    "cutout": augmentation.cutout(10),
}
copies = np.repeat(x_pool[y_pool == 7][:1], 10, axis=0)
changed = [transform(copies, np.random.default_rng(1)) for transform in transforms.values()]
captions = [name for name in transforms for _ in range(10)]
dashboards.image_strip(
    np.concatenate(changed), captions, title="One training image, ten random changes of each kind"
)

# %% [markdown]
# Read it row by row: *flip* leaves or mirrors, *pad and crop* moves by whole pixels and fills with
# a mirror image of the border, *shift* moves by fractions of a pixel and repeats the edge, *rotate*
# turns about the center, *zoom* stretches x and y separately, *cutout* hides a square. Decide for
# each row whether you would still name the class without hesitation: that is the limit of its
# strength.
#
# `Batches` applies transforms to training images as they are drawn. Measuring batches get none.
# Next, train as S1 did, with flips, on the honest split. This network serves the next two mistakes.

# %%
flipping, _ = train(
    honest, name="flips", epochs=epochs_with_flips, seed=0, transforms=[augmentation.flip()]
)
print(f"untouched images: {accuracy(flipping, x_untouched, y_untouched):.3f}")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What goes wrong: random flips while measuring (M1.8)
#
# S1 used the same generator for training, validation and test, so the images it measured on were
# flipped at random too. **Before you run this:** evaluate the same network five times. How many
# different answers?

# %%
with_flips = in_order(x_untouched, y_untouched, transforms=[augmentation.flip()])
scores = []
for repetition in range(5):
    with_flips.epoch = repetition  # other random numbers, as in each new call of S1
    scores.append(training.evaluate(flipping, with_flips)["accuracy"])
plain = [accuracy(flipping, x_untouched, y_untouched) for _ in range(5)]
assert np.ptp(plain) == 0, "without random changes every evaluation should give the same"
print("flips while measuring:", ", ".join(f"{score:.4f}" for score in scores))
print(f"  spread (largest - smallest): {np.ptp(scores) * 100:.2f} points")
print(f"no random change     : spread {np.ptp(plain) * 100:.2f} points")
extremes = {"lowest": min(scores), "highest": max(scores)}
records.note("01_flips_while_measuring", seed=0, **extremes, without=plain[0])

# %% [markdown]
# The same weights and the same images give different figures from call to call when images are
# flipped at random, and none of these calls measures the stored images. Without random changes the
# spread is zero. Flips *can* serve at prediction time, if nothing is left to chance: average the
# probabilities for the image and its mirror image. That is **test-time augmentation**.

# %%
mirrored_images = x_untouched[:, :, ::-1]
flipped = augmentation.flip(1)(x_untouched[:100], np.random.default_rng(0))
assert np.array_equal(mirrored_images[:100], flipped), "mirror left to right, as in training"
as_stored = training.predict(flipping, x_untouched, augmentation.per_image)
as_mirrored = training.predict(flipping, mirrored_images, augmentation.per_image)
averaged = (as_stored + as_mirrored) / 2
hits = {
    name: (probabilities.argmax(axis=-1) == y_untouched)
    for name, probabilities in (("stored image", as_stored), ("average of both", averaged))
}
for name, hit in hits.items():
    low, high = training.accuracy_interval(int(hit.sum()), len(hit))
    print(f"{name:<16}: {hit.mean():.3f}  (95 % interval {low:.3f} to {high:.3f})")

# %%
gained = int((hits["average of both"] & ~hits["stored image"]).sum())
lost = int((~hits["average of both"] & hits["stored image"]).sum())
print(f"averaging corrected {gained} images and spoiled {lost}")
larger_than_luck = abs(gained - lost) > 1.96 * np.sqrt(gained + lost)
print("more than chance explains" if larger_than_luck else "not more than chance explains")

# %% [markdown]
# Both figures come from the same images, so their intervals exaggerate the doubt about the
# *difference*: what counts is how many images changed sides. Averaging makes the figure repeatable
# and, in a network that has learned something, usually a little better, for twice the computation.
# It has to be announced, because it is no longer the accuracy of one look at each image.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What goes wrong: another normalization at prediction time (M1.9)
#
# S1 trained on images that were standardized one by one. For its prediction grid it handed the
# *whole* test array to the same helper, which then took one mean and one std for all images. No
# error, no warning. The old generator class is still inside Keras, so you can check that:

# %%
from keras.src.legacy.preprocessing.image import ImageDataGenerator  # kept for old code only

old_generator = ImageDataGenerator(samplewise_center=True, samplewise_std_normalization=True)
few = x_pool[:100].astype("float64")
whole = old_generator.standardize(few.copy())
one_by_one = np.stack([old_generator.standardize(image.copy()) for image in few])
print(f"std of single images, whole array at once: {whole.std(axis=(1, 2, 3)).min():.2f}", end="")
print(f" to {whole.std(axis=(1, 2, 3)).max():.2f}")
print(
    f"std of single images, one by one         : {one_by_one.std(axis=(1, 2, 3)).min():.2f}", end=""
)
print(f" to {one_by_one.std(axis=(1, 2, 3)).max():.2f}")

# %%
all_mean, all_std = float(x_untouched.mean()), float(x_untouched.std())


def whole_array(images):
    return (images.astype("float32") - all_mean) / all_std


wrong = training.predict(flipping, x_untouched, whole_array).argmax(axis=-1) == y_untouched
right = hits["stored image"]
assert abs(right.mean() - plain[0]) < 0.002, "evaluate and predict must normalize alike"
print(f"per image, as in training : {right.mean():.3f}")
print(f"whole array               : {wrong.mean():.3f}")
print(f"cost: {(right.mean() - wrong.mean()) * 100:.1f} points")
records.note("01_whole_array", seed=0, per_image=right.mean(), whole_array=wrong.mean())


# %%
def oddness_of(image):
    """How far mean and std of an image are from those of all images."""
    return abs(image.mean() - all_mean) / all_std + abs(np.log(image.std() / all_std))


oddness = np.array([oddness_of(image) for image in x_untouched])
for name, part in (
    ("usual  ", oddness <= np.median(oddness)),
    ("unusual", oddness > np.median(oddness)),
):
    lost, gained = (right & ~wrong & part).sum(), (wrong & ~right & part).sum()
    print(f"{name} brightness and contrast: {lost} predictions turned wrong, {gained} right")

# %% [markdown]
# The two halves of the images differ in how far each image is from the common mean and std. Images
# with unusual brightness or contrast now look unlike anything seen in training; the others hardly
# change. Compare the two lines for where the cost sits. The overall figure still looks plausible,
# and that is the danger. The cure: one normalizer object, made once, used for training and
# prediction alike.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What goes wrong: a "fit" without effect (M1.18)
#
# S1 "fitted" its generator to the training images before use. Look at what a generator knows before
# and after, once with per-image options (as in S1) and once with per-channel options.

# %%
per_channel_generator = ImageDataGenerator(
    featurewise_center=True, featurewise_std_normalization=True
)
for name, generator in (("per image", old_generator), ("per channel", per_channel_generator)):
    print(f"{name:<12} before fit: mean {generator.mean}, std {generator.std}")
    generator.fit(few)
    known = {"mean": generator.mean, "std": generator.std}
    known = {key: None if value is None else value.ravel().round(1) for key, value in known.items()}
    print(f"{name:<12} after fit : mean {known['mean']}, std {known['std']}")

# %% [markdown]
# With per-image options there is nothing to measure, so `fit` measures nothing. A line of code that
# has no effect is worse than none: it tells the reader something that isn't so.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What goes wrong: a test set cut short (M5.18)
#
# A write-up on MNIST, S5, had a switch for trial runs on the first 293 (or 1,999) examples. It cut
# the *test* set as well. How uncertain is an accuracy on n images? Each image is a coin that shows
# "right" with probability p, so the *standard error* (typical distance from the truth) is
# √(p·(1 − p)/n). The **bootstrap** asks the data instead: draw n images with replacement again and
# again, and look at the std of the accuracies.

# %%
generator = np.random.default_rng(0)
rows = []
for size in (100, 293, 1_999, 10_000):
    hit = right[: min(size, len(right))]
    formula = np.sqrt(hit.mean() * (1 - hit.mean()) / len(hit))
    resampled = [generator.choice(hit, len(hit)).mean() for _ in range(bootstrap_rounds)]
    low, high = training.accuracy_interval(int(hit.sum()), len(hit))
    rows.append(
        {
            "images": len(hit), "accuracy": hit.mean(), "formula": formula,
            "bootstrap": np.std(resampled), "95 % interval": f"{low:.3f} to {high:.3f}",
        }
    )  # fmt: skip
pd.DataFrame(rows).drop_duplicates("images").set_index("images").round(4)

# %% [markdown]
# Formula and bootstrap agree closely, and both shrink with √n: four times the images halve the
# doubt. (Sizes beyond what this profile holds are left out.) Resampling with replacement is right
# *here*, where copies stand for other images that you might have drawn; it was wrong in the split,
# where copies leak. For an accuracy near 0.9, as on digits, the table of sizes reads:

# %%
# NBVAL_CHECK_OUTPUT
sizes = pd.Series([293, 1_999, 10_000], name="test images")
doubt = 100 * 1.96 * np.sqrt(0.92 * 0.08 / sizes)
pd.DataFrame({"test images": sizes, "95 % range of 0.92 (± points)": doubt.round(2)})

# %% [markdown]
# On the short test set, two networks have to differ by several points before you should believe in
# a difference. Cut the *training* set for a trial run, never the test set.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Opening the test set, once
#
# All decisions are made. S1 announced two hypotheses and never came back to them, so here are ours,
# to be judged by images that no decision has touched: the honest split's validation figure agrees
# with the test figure, the leaky split's does not. The networks of all seeds are opened on them,
# and none is chosen by what they say.

# %% tags=["test-set"]
correct = {}
for (kind, seed), (model, run) in trained.items():
    correct[kind, seed] = round(accuracy(model, data.x_test, data.y_test) * len(data.y_test))
    records.note_test(run.name, seed=seed, correct=correct[kind, seed], images=len(data.y_test))

# %%
for kind in ("honest", "leaky"):
    split = splits[kind, 0]
    low, high = training.accuracy_interval(correct[kind, 0], len(data.y_test))
    seen = results.loc[(kind, 0), "validation"]
    val_low, val_high = training.accuracy_interval(
        round(seen * len(split.y_validation)), len(split.y_validation)
    )
    agree = "overlap" if low <= val_high and val_low <= high else "do NOT overlap"
    print(f"{kind} split: test {low:.3f} to {high:.3f}, ", end="")
    print(f"validation {val_low:.3f} to {val_high:.3f} (95 % intervals; they {agree})")

# %% [markdown]
# Intervals that do not overlap contradict each other; intervals that overlap leave the claim
# standing. With a handful of images or a network that has learned little (as in the smoke profile)
# the intervals are wide and the leak has little to reveal: a network that remembers nothing gains
# nothing from a copy.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Take-aways

# %%
print(f"- A split with replacement put {leaked_share:.0%} of the validation images into training.")
print(f"- Its validation figure was off by {flattery * 100:+.1f} points, that of the honest split")
print(f"  by {remaining * 100:+.1f} points (chance explains up to about ±{noise * 100:.1f}).")
print(f"- Random flips while measuring: {np.ptp(scores) * 100:.2f} points between five calls.")
print(f"- Another normalization at prediction: {(right.mean() - wrong.mean()) * 100:.1f} points.")

# %% [markdown]
# - Look first: grid, counts, histogram, ranges. Each answers a question that accuracy can't.
# - Split by permutation, stratified, and *check* by content that the sets share no image.
# - Three sets: fit on one, decide on one, and open the last one once.
# - One normalizer for training and prediction; random changes for training only.
# - An accuracy without its number of images (or its interval) is half a result.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Exercises
#
# Replace `...` by your answer and run the cell: it says whether you are right, or what kind of
# mistake it was, with one hint. Run it again for the next hint.

# %% [markdown]
# **Exercise 1. Predict.** A colleague draws rows with replacement as S1 did, but calls the first
# *half* of them training and the rest validation. Before you count anything: which share of the
# validation images has a copy in training? Give a number between 0 and 1, to two decimal places.

# %% tags=["exercise"]
predicted_share = ...  # a number between 0 and 1
exercises.check("01.1", predicted_share)

# %% tags=["solution"]
predicted_share = 1 - np.exp(-0.5)
exercises.check("01.1", predicted_share)

# %% tags=["check"]
rule = exercises.Rule(
    "01.1",
    expected=float(1 - np.exp(-0.5)),
    tolerance=0.006,
    wants="a number between 0 and 1",
    because="An image escapes n/2 draws with probability about exp(−0.5); all others have a copy. "
    "Less training data leaks less, but still far too much.",
    mistakes=[
        exercises.Mistake(
            "this is more than all of them: a share lies between 0 and 1",
            example=39.0,
            when=lambda answer: answer > 1,
            hints=["Did you give a percentage? Divide it by 100."],
        ),
        exercises.Mistake(
            "this is the share for 80 : 20",
            example=1 - np.exp(-0.8),
            hints=[
                "How many draws does an image have to escape now, in parts of n?",
                "It has to escape n/2 draws. What takes the place of exp(−0.8)?",
            ],
        ),
        exercises.Mistake(
            "this is the share of images *without* a copy",
            example=np.exp(-0.5),
            hints=["You have the probability to escape; asked is the opposite."],
        ),
        exercises.Mistake(
            "half of the rows do not hold half of the images, since rows repeat",
            example=0.5,
            hints=[
                "Some images fill several training rows, and others fill none.",
                "With which probability does an image fill none of n/2 rows?",
            ],
        ),
    ],
    hints=[
        "The section on the leaky split has the formula for 80 : 20. What in it is the split?",
        "An image escapes one draw out of n with probability 1 − 1/n. And n/2 draws?",
    ],
)

# %% [markdown] slideshow={"slide_type": "slide"}
# **Exercise 2. Count.** These are the colleague's rows. How many of the *validation* images have an
# identical copy in training? Count with `datasets.shared_images`, then lay the share beside your
# prediction.

# %% tags=["exercise"]
drawn_rows = np.random.default_rng(1).integers(len(x_pool), size=len(x_pool))
half = len(drawn_rows) // 2  # training rows before it, validation rows from it on
leaked_images = ...  # a whole number
exercises.check("01.2", leaked_images)

# %% tags=["solution"]
training_half, validation_half = x_pool[drawn_rows[:half]], x_pool[drawn_rows[half:]]
leaked_images = datasets.shared_images(training_half, validation_half)
print(f"share: {leaked_images / len(validation_half):.1%}")
exercises.check("01.2", leaked_images)

# %% tags=["check"]
colleague = np.random.default_rng(1).integers(len(x_pool), size=len(x_pool))


def leaked_after(share, swapped=False):
    cut = int(share * len(colleague))
    sets = x_pool[colleague[:cut]], x_pool[colleague[cut:]]
    return datasets.shared_images(*(sets[::-1] if swapped else sets))


num_leaked = leaked_after(0.5)
rule = exercises.Rule(
    "01.2",
    expected=num_leaked,
    wants="a whole number",
    because="Divided by the number of validation images it is close to 1 − exp(−0.5): the formula "
    "predicts what you counted.",
    mistakes=[
        exercises.Mistake(
            "this is a share, not a number of images",
            example=num_leaked / (len(colleague) - len(colleague) // 2),
            when=lambda answer: 0 < answer < 1,
            hints=["Do not divide by the number of images."],
        ),
        exercises.Mistake(
            "these are the training images with a copy in validation",
            example=leaked_after(0.5, swapped=True),
            hints=["Which of its two arguments does `shared_images` count?"],
        ),
        exercises.Mistake(
            "this counts an image once that is in the validation set several times",
            example=len(np.intersect1d(*np.array_split(colleague, [len(colleague) // 2]))),
            hints=[
                "The accuracy is computed over all validation rows, repeated ones included.",
                "Let `shared_images` compare the images of the two halves.",
            ],
        ),
        exercises.Mistake(
            "this is S1's split, 80 : 20",
            example=leaked_after(0.8),
            hints=["The colleague cuts in the middle: at `half`."],
        ),
    ],
    hints=[
        "Take the images of each half first: `x_pool[drawn_rows[:half]]` is the training set.",
        "`shared_images(a, b)` counts the images of `b` that are also in `a`.",
    ],
)

# %% [markdown] slideshow={"slide_type": "slide"}
# **Exercise 3. Find a subtler leak.** Somebody adds the mirror images of the validation set to the
# training images ("augmentation"). `shared_images` compares byte by byte and does not notice; a
# network does. Write a function `find_leaks(train_images, validation_images)` that returns how many
# validation images have an identical *or* a mirrored (left-right) copy in training.

# %% tags=["exercise"]
find_leaks = ...  # in place of this line: def find_leaks(train_images, validation_images):
exercises.check("01.3", find_leaks)


# %% tags=["solution"]
def find_leaks(train_images, validation_images):
    mirrored = train_images[:, :, ::-1]
    return datasets.shared_images(np.concatenate([train_images, mirrored]), validation_images)


exercises.check("01.3", find_leaks)

# %% tags=["check"]
from collections.abc import Callable

# Two identical copies (of one there is a mirrored copy, too), two mirrored, four upside down.
random_images = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype="uint8")
known_images = np.concatenate([random_images[:6], random_images[2:3, :, ::-1]])
mirrored, upside_down = random_images[:, :, ::-1], random_images[:, ::-1]
judged_images = np.concatenate(
    [random_images[[0, 2]], mirrored[[1, 4]], upside_down[[1, 3, 4, 5]], random_images[6:]]
)


def found_by(function):
    return exercises.comparable(function(known_images.copy(), judged_images.copy()), 0)


def shared_with(change):
    return lambda train, validation: datasets.shared_images(change(train), validation)


rule = exercises.Rule(
    "01.3",
    like=Callable,
    right=lambda function: found_by(function) == 4,
    wants="a function of training and validation images that returns a whole number",
    because="A copy is whatever lets the network recognize the image. Turned, cropped and "
    "recompressed copies remain undetected: Barz and Denzler (below) found such in CIFAR itself.",
    mistakes=[
        exercises.Mistake(
            "it finds identical copies only",
            example=shared_with(lambda images: images),
            when=lambda function: found_by(function) == 2,
            hints=[
                "An image is an array of height, width, channels: which axis runs left to right?",
                "`images[:, :, ::-1]` mirrors a whole set. Compare with that one too.",
            ],
        ),
        exercises.Mistake(
            "it finds mirrored copies only",
            example=shared_with(lambda images: images[:, :, ::-1]),
            when=lambda function: found_by(function) == 3,
            hints=["Compare with both sets at once: `np.concatenate` joins them."],
        ),
        exercises.Mistake(
            "it turns images upside down instead of mirroring them",
            example=shared_with(lambda images: np.concatenate([images, images[:, ::-1]])),
            when=lambda function: found_by(function) == 6,
            hints=["Axis 1 is the height. Which one is the width?"],
        ),
        exercises.Mistake(
            "an image with both kinds of copy is counted twice",
            example=lambda known, judged: (
                datasets.shared_images(known, judged)
                + datasets.shared_images(known[:, :, ::-1], judged)
            ),
            when=lambda function: found_by(function) == 5,
            hints=["Join the training images and their mirror images first, then count once."],
        ),
    ],
    hints=[
        "Begin with `shared_images` itself: it finds the identical copies.",
        "Which set of training images would contain *every* image that counts as leaked?",
    ],
)

# %% [markdown] slideshow={"slide_type": "slide"}
# **Exercise 4. Beat this number, without a network.** Write a function `guess(images)` that takes
# uint8 images (n, 32, 32, 3) and returns n class numbers, right for more than `target` of the
# images in `honest.x_validation`. It may use `honest.x_train` and `honest.y_train` as it likes. The
# check looks at untouched images as well: what works only where you have looked does not count.

# %% tags=["exercise"]
target = 0.2
guess = ...  # in place of this line: def guess(images):
exercises.check("01.4", guess)


# %% tags=["solution"]
def thumbnails(images):
    """Mean color of each 4 by 4 square, a row for each image."""
    squares = images.reshape(-1, 8, 4, 8, 4, 3)
    return squares.mean(axis=(2, 4)).reshape(len(images), -1)


mean_thumbnails = np.stack(
    [thumbnails(honest.x_train[honest.y_train == label]).mean(axis=0) for label in range(10)]
)


def guess(images):
    """The class whose mean picture is nearest."""
    distances = np.linalg.norm(thumbnails(images)[:, None] - mean_thumbnails, axis=-1)
    return distances.argmin(axis=1)


exercises.check("01.4", guess)

# %% tags=["check"]
from collections.abc import Callable

part = slice(0, 500)
chance_gap = 3 * np.sqrt(
    0.25 / len(honest.x_validation[part]) + 0.25 / len(x_untouched[part])
)  # three standard errors of the difference, at most


def hits_of(function, images, labels):
    answers = exercises.comparable(function(images[part].copy()), [0])
    if answers.shape != labels[part].shape:
        raise exercises.UnusableAnswerError(answers)
    return np.mean(answers == labels[part])


def on_validation(function):
    return hits_of(function, honest.x_validation, honest.y_validation)


def gap_of(function):
    return on_validation(function) - hits_of(function, x_untouched, y_untouched)


def nearest_in_pool(images):
    pool, asked = (
        pixels.reshape(len(pixels), -1)[:, ::16].astype("float32") for pixels in (x_pool, images)
    )
    return y_pool[((pool**2).sum(axis=1) - 2 * asked @ pool.T).argmin(axis=1)]


rule = exercises.Rule(
    "01.4",
    like=Callable,
    right=lambda function: on_validation(function) > 0.2 and gap_of(function) < chance_gap,
    wants="a function of images that returns one class number for each",
    because="It beats guessing on images that it never saw, and holds on untouched ones. Remember "
    "how far colors alone get you: a network has to do better than that to have seen shapes.",
    mistakes=[
        exercises.Mistake(
            "it knows the validation images by heart, and fails on untouched ones",
            example=nearest_in_pool,
            when=lambda function: gap_of(function) >= chance_gap,
            hints=[
                "Which images does it compare with? `x_pool` holds the validation images.",
                "Use nothing but `honest.x_train` and `honest.y_train`.",
            ],
        ),
        exercises.Mistake(
            "it does not beat guessing",
            example=lambda images: np.zeros(len(images), int),
            when=lambda function: on_validation(function) < 0.12,
            hints=[
                "How do the mean pictures of two classes differ? One of them is "
                "`honest.x_train[honest.y_train == 8].mean(axis=0)`.",
                "Answer with the class whose mean training picture is nearest to the image.",
            ],
        ),
    ],
    hints=[
        "Colors tell more than single pixels: shrink each image to a few mean colors first.",
        "Compare each shrunken image with the mean of each class, or with all training images.",
    ],
)

# %% [markdown]
# One more, without a check: write down, before you look, what you expect for class balance,
# brightness range and duplicates in an image set of your own. Then load it as uint8 and see.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Quiz

# %% [markdown] tags=["quiz"]
# Why can you not trust a validation set that was drawn with replacement?
#
# - [ ] It holds fewer images than one drawn without replacement.
#   > It has as many rows; what matters is which images they hold.
# - [ ] Its classes are no longer balanced.
#   > A random draw keeps the shares of the classes, but for chance.
# - [x] Many of its images were trained on.
#   > The network is judged on images that it may know by heart, so the figure flatters it.
# - [ ] The network sees fewer different images in training.
#   > True, and it may cost accuracy. But that would make the figure lower, not too high.

# %% [markdown] tags=["quiz"]
# A write-up reports an accuracy of 0.92 on 293 test images. Your network reaches 0.94 on the same
# number of other images. What do you conclude?
#
# - [ ] Yours is better by two points.
#   > Look at the table of sizes: on 293 images, each figure is uncertain by more than that.
# - [x] Nothing yet: chance alone explains such a difference.
#   > On so few images, each figure has a 95 % range of about ± 3 points.
# - [ ] Yours overfits less.
#   > Overfitting is a gap between seen and unseen images; neither figure speaks of seen ones.

# %% [markdown] tags=["quiz"]
# Each image is standardized by its own mean and standard deviation. What can a network behind it
# no longer know?
#
# - [ ] Where in the image the edges are.
#   > Edges are differences between neighbors; all of them are scaled alike and stay in place.
# - [ ] Which of two pixels of an image is the brighter one.
#   > All values of an image are shifted and scaled together, so their order stays.
# - [x] How bright the scene was.
#   > Every image gets the mean 0: brightness and contrast of the whole image are gone.

# %% [markdown] tags=["quiz"]
# Where do random flips belong?
#
# - [x] In the training images only.
#   > They make training harder to learn by heart; what measures must not depend on chance.
# - [ ] In training and validation images, so that both are measured alike.
#   > Then the same network gets another figure at each call, and none is that of your images.
# - [ ] Nowhere: a mirrored image is not a real one.
#   > As long as the class survives the mirror, the image could have been taken. Digits do not.

# %%
exercises.quiz("01")

# %% [markdown]
# ## Further reading
#
# - Krizhevsky (2009), *Learning multiple layers of features from tiny images*: how CIFAR-10 was
#   collected and labeled, which explains its odd pictures.
# - Recht et al. (2018), *Do CIFAR-10 classifiers generalize to CIFAR-10?*, arXiv 1806.00451: what
#   happens to published accuracies on a newly collected test set.
# - Barz and Denzler (2020), *Do we train on test data? Purging CIFAR of near-duplicates*: copies
#   that a comparison byte by byte does not find.
# - Kapoor and Narayanan (2023), *Leakage and the reproducibility crisis in machine-learning-based
#   science*: how common such splits are in published work.
