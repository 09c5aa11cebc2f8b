"""The pieces of the race: what notebook 09 defines, and how the benchmark measures and reports."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from course_utils import records
from tools import ladder

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def racing():
    spec = importlib.util.spec_from_file_location("racing", ROOT / "benchmarks" / "racing.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def recipes(racing):
    yield racing.recipes()
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3)).astype(np.uint8)


def small(recipes, **changes):
    settings = {
        "widths": (4, 6, 8),
        "stages": ((24, 1), (32, 1)),
        "batch_size": 16,
        "number_format": "float32",
    }
    return recipes["replace"](recipes["race_to_90"](), **(settings | changes))


@pytest.mark.parametrize("shape", [(3, 3, 4, 8), (3, 3, 2, 40)])
def test_an_orthogonal_step_stretches_all_directions_nearly_alike(recipes, shape):
    gradient = np.random.default_rng(0).normal(size=shape).astype("float32")
    gradient[..., 0] *= 3
    step = keras.ops.convert_to_numpy(recipes["orthogonal"](gradient, iterations=5))
    before = np.linalg.svd(gradient.reshape(-1, shape[-1]), compute_uv=False)
    after = np.linalg.svd(step.reshape(-1, shape[-1]), compute_uv=False)
    assert step.shape == shape
    assert before.max() / before.min() > 3
    assert after.max() < 1.35 and after.min() > 0.6
    assert np.sum(step * gradient) > 0  # still down the hill


def test_muon_keeps_the_length_of_kernels_and_steps_like_sgd_elsewhere(recipes):
    kernel = keras.Variable(np.random.default_rng(0).normal(size=(3, 3, 4, 16)).astype("float32"))
    bias, bias_of_sgd = keras.Variable(np.ones(4, "float32")), keras.Variable(np.ones(4, "float32"))
    optimizer = recipes["Muon"](0.1, rest=2.0)
    optimizer.build([kernel, bias])
    sgd = keras.optimizers.SGD(0.2, momentum=0.85, nesterov=True)
    sgd.build([bias_of_sgd])
    generator = np.random.default_rng(1)
    for _ in range(4):
        gradient = generator.normal(size=4).astype("float32")
        kernel_gradient = generator.normal(size=kernel.shape).astype("float32")
        optimizer.apply([keras.ops.array(kernel_gradient), keras.ops.array(gradient)])
        sgd.apply([keras.ops.array(gradient)])
    length = np.linalg.norm(keras.ops.convert_to_numpy(kernel))
    assert 3.5 < length < 4.5  # the root of 16 filters, and one step
    assert np.allclose(bias.numpy(), bias_of_sgd.numpy(), atol=1e-6)


def test_identity_filters_hand_channels_on(recipes):
    inputs = np.random.default_rng(0).normal(size=(1, 5, 5, 3)).astype("float32")
    layer = keras.layers.Conv2D(
        5, 3, padding="same", use_bias=False, kernel_initializer=recipes["Identity"]()
    )
    outputs = keras.ops.convert_to_numpy(layer(inputs))
    assert np.allclose(outputs[..., :3], inputs, atol=1e-6)
    assert np.abs(outputs[..., 3] - outputs[..., 4]).max() > 0.01  # the others are random


def test_whitened_patches_are_uncorrelated_and_of_one_size(recipes, images):
    blurred = images.repeat(2, axis=1).repeat(2, axis=2)[:, 1:33, 1:33]  # neighbors now correlate
    recipe = small(recipes, activation="linear")
    layer = recipes["whitening"](blurred, recipe)
    normalize = recipes["normalizer"](recipe, blurred)
    white = keras.ops.convert_to_numpy(layer(normalize(blurred))).reshape(-1, 24)
    covariance = white[:, :12].T @ white[:, :12] / len(white)
    assert np.abs(covariance - np.eye(12)).max() < 0.02
    assert np.allclose(white[:, 12:], -white[:, :12], atol=1e-5)
    assert not layer.trainable_variables


def test_fused_batch_normalization_equals_that_of_keras(recipes):
    options = {"momentum": 0.6, "epsilon": 1e-5, "scale": False}
    fused = recipes["FusedBatchNormalization"](**options)
    composed = keras.layers.BatchNormalization(**options)
    generator = np.random.default_rng(0)
    for _ in range(3):
        batch = generator.normal(3, 2, (200, 4, 4, 6)).astype("float32")
        assert np.allclose(fused(batch, training=True), composed(batch, training=True), atol=1e-4)
    assert np.allclose(fused(batch), composed(batch), atol=2e-3)
    assert np.allclose(fused.moving_mean, composed.moving_mean, atol=1e-4)
    assert np.allclose(fused.moving_variance, composed.moving_variance, rtol=2e-3)


def test_smoothed_targets_leave_the_rest_to_all_classes(recipes):
    loss = recipes["SmoothedCrossEntropy"](from_logits=True, label_smoothing=0.2)
    logits = np.array([[2.0] + [0.0] * 9, [0.0] * 10], "float32")
    target = np.full((2, 10), 0.02)
    target[[0, 1], [0, 3]] += 0.8
    log_softmax = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = -(target * log_softmax).sum(axis=1).mean()
    assert float(loss(np.array([0, 3]), logits)) == pytest.approx(expected, rel=1e-5)


def test_a_recipe_trains_through_its_stages_and_learns(recipes, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_RUNS_DIR", str(tmp_path))
    labels = np.arange(64) % 2
    images = np.random.default_rng(0).integers(0, 60, (64, 32, 32, 3)).astype(np.uint8)
    images[labels == 1, :, :, 0] += 150
    recipe = small(recipes, stages=((24, 3), (32, 3)))
    trained = recipes["train"](recipe, images, labels, name="x", seed=0, progress=None)
    assert int(trained.model.optimizer.iterations) == 6 * 4
    assert trained.seconds > 0
    assert (recipes["plain_logits"](trained, images).argmax(axis=1) == labels).mean() > 0.9
    assert (recipes["averaged_logits"](trained, images).argmax(axis=1) == labels).mean() > 0.9
    assert float(trained.model.optimizer.learning_rate) == pytest.approx(0, abs=1e-6)


def test_the_schedule_lasts_as_long_as_all_stages(recipes, images):
    planned = []

    def optimizer(steps):
        planned.append(steps)
        return keras.optimizers.SGD()

    recipe = small(recipes, stages=((24, 3), (32, 2)), optimizer=optimizer)
    recipes["compiled_model"](recipe, images, seed=0)
    assert planned == [5 * 4]


def test_six_views_are_the_image_and_two_moved_ones_each_mirrored(recipes, images):
    corner = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Flatten()])
    trained = recipes["Trained"](corner, lambda batch: batch.astype("float32"), 0.0)
    seen = recipes["averaged_logits"](trained, images)[:, 0]  # the red of the upper left pixel
    red = images[..., 0].astype(float)
    still = (red[:, 0, 0] + red[:, 0, 31]) / 4
    moved = (red[:, 1, 1] + red[:, 1, 30]) / 4  # the border repeats mirrored pixels
    assert np.allclose(seen, still + moved, atol=1e-3)


def test_folding_leaves_s4s_network_with_the_same_answers(recipes, images):
    recipe = recipes["replace"](
        recipes["race_with_s4s_network"](), widths=(4, 6, 8), number_format="float32"
    )
    model = recipes["compiled_model"](recipe, images, seed=0)
    labels = np.arange(64) % 10
    normalize = recipes["normalizer"](recipe, images)
    for _ in range(3):  # the moving averages leave their first values
        model.train_on_batch(normalize(images), labels)
    trained = recipes["Trained"](model, normalize, 0.0)
    folded = recipes["folded"](trained)
    s4 = recipes["vgg"](recipes["replace"](recipes["s4_recipe"](), widths=(4, 6, 8)), images)
    assert [(type(layer), layer.count_params()) for layer in folded.model.layers] == [
        (type(layer), layer.count_params()) for layer in s4.layers
    ]
    before, after = (recipes["plain_logits"](each, images) for each in (trained, folded))
    assert np.ptp(before) > 0.1
    assert np.allclose(before, after, atol=1e-4)


@pytest.mark.parametrize(
    ("old", "new", "rows"),
    [
        ("(28, 12)", "(28, 13)", {"mnist"}),
        ("(32, 8)", "(32, 9)", {"own"}),
        ("folded(trained)", "folded(model)", {"own"}),
        ("(64, 256, 256)", "(64, 256, 128)", {"94"}),
        ("def muon(steps, peak=0.17)", "def muon(steps, peak=0.18)", {"94", "mnist"}),
        ("shifts=16.0", "shifts=8.0", {"90", "own"}),
        ("pad_and_crop(2)", "pad_and_crop(3)", {"90", "94", "own"}),
        ("Adadelta(1.0)", "Adadelta(0.5)", {"s4", "own"}),
        ("recipe.batch_size", "(recipe.batch_size + 1)", {"s4", "90", "94", "mnist", "own"}),
        ("weight / 2", "weight / 3", {"90", "94", "own"}),
        ("def vgg(recipe, images):", "def vgg(recipe, images):  # S4's", set()),
    ],
)
def test_measurements_hold_only_for_what_they_were_made_with(racing, monkeypatch, old, new, rows):
    cells = racing.recipe_cells()
    before = {key: racing.settings(key) for key in racing.ROWS}
    changed = [text.replace(old, new) for text in cells]
    assert changed != cells
    monkeypatch.setattr(racing, "recipe_cells", lambda: changed)
    after = {key: racing.settings(key) for key in racing.ROWS}
    assert {key for key in before if before[key] != after[key]} == rows


def test_the_race_on_record_is_that_of_the_notebook(racing, recipes):
    measurements = json.loads((ROOT / "results" / "race.json").read_text())["measurements"]
    here = [
        measured
        for measured in measurements
        if measured["versions"] == racing.record.versions()
        # The recipes take the number format that is fast on a machine.
        and measured["number_format"]
        == recipes[racing.ROWS[measured["row"]].recipe]().number_format
    ]
    if not here:
        pytest.skip("the race was measured with other versions, or on another kind of processor")
    old = {m["row"] for m in here if m["settings"] != racing.settings(m["row"])}
    assert not old, f"`make race` measures these rows anew: {', '.join(sorted(old))}"


HERE = {"processor": "A processor", "cores": 2}


def measurement(row, seed, seconds, **more):
    return {
        "row": row,
        "seed": seed,
        "seconds": seconds,
        "epochs": 1,
        "trained_epochs": 1,
        "hardware": HERE,
    } | more


def test_the_table_gives_means_ranges_and_ratios(racing):
    content = {
        "measurements": [
            measurement("s4", 0, 100.0, epochs=85),
            measurement("90", 0, 40.0, test_images=200, correct=180, correct_averaged=182),
            measurement("90", 1, 60.0, test_images=200, correct=178, correct_averaged=184),
            measurement("mnist", 0, 30.0, test_images=200, correct=199),
        ],
        "airbench": {
            "hardware": HERE,
            "timed": [{"optimizer": "SGD", "number_format": "float32", "seconds": 850.0}],
        },
    }
    s4, ninety, mnist, airbench = racing.table(content)
    assert s4["seconds"] == 8500 and s4["test accuracy"] == ""
    assert ninety["test accuracy"] == "89.50 (89.00 to 90.00)"
    assert ninety["six views"] == "91.50 (91.00 to 92.00)"
    assert ninety["seconds"] == 50 and ninety["times less than S4"] == 170.0
    assert mnist["test accuracy"] == "99.50"  # a single one has no range
    assert mnist["times less than S4"] == ""  # another task
    assert airbench["times less than S4"] == 10.0
    assert [s4["reached"], ninety["reached"], mnist["reached"]] == ["not tested", "yes", "no"]


def test_a_ratio_is_that_of_times_taken_beside_each_other(racing):
    tested = {"test_images": 200, "correct": 180}
    content = {
        "measurements": [
            measurement("s4", 0, 100.0, epochs=85),
            measurement("90", 0, 100.0, s4_seconds=15_000.0, **tested),  # in a slow hour
            measurement("90", 1, 60.0, s4_seconds=9_000.0, **tested),
            measurement("94", 0, 850.0, **tested),  # nothing was timed beside it
        ],
        "airbench": {
            "hardware": HERE,
            "s4_seconds": 17_000.0,
            "timed": [{"optimizer": "SGD", "number_format": "float32", "seconds": 850.0}],
        },
    }
    rows = racing.table(content)
    assert [row["S4's seconds"] for row in rows] == [8500, 12_000, 8500, 17_000]
    assert [row["times less than S4"] for row in rows] == [1.0, 150.0, 10.0, 20.0]


def test_s4s_seconds_count_all_steps_of_its_epochs(racing, recipes, images, monkeypatch):
    clock = iter([0.0, 7.0, 10.0, 13.0])  # what builds the computation does not count
    monkeypatch.setattr(racing, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    monkeypatch.setattr(racing, "REFERENCE_STEPS", 3)
    s4 = small(recipes, network=recipes["vgg"], first_layer=None, stages=((32, 5),))
    data = SimpleNamespace(x_train=images, y_train=np.arange(64) % 10)
    names = recipes | {"s4_recipe": lambda: s4}
    assert racing.s4_seconds(names, data) == pytest.approx(3.0 / 3 * 4 * 5)


def test_a_goal_is_reached_before_rounding(racing):
    missed = [measurement("94", seed, 1.0, test_images=10_000, correct=c) for seed, c in
              enumerate((9399, 9400, 9400))]  # fmt: skip
    (row,) = racing.table({"measurements": missed})
    assert row["test accuracy"].startswith("94.00") and row["reached"] == "no"


def test_times_of_two_processors_have_no_ratio(racing):
    other = {"processor": "Another"}
    content = {
        "measurements": [
            measurement("s4", 0, 100.0),
            measurement("90", 0, 50.0, hardware=other, test_images=200, correct=180),
        ]
    }
    assert [row["times less than S4"] for row in racing.table(content)] == [1.0, ""]


def test_what_is_on_record_makes_way_only_for_its_replacement(racing, monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_RESULTS_DIR", str(tmp_path))
    monkeypatch.setattr(racing.record, "hardware", lambda: HERE)
    monkeypatch.setattr(racing, "measure", lambda key, seed: new(key, seed, 5.0))

    def new(key, seed, seconds, **more):
        return measurement(key, seed, seconds, settings=racing.settings(key), **more)

    before = [
        new("s4", 0, 1.0),
        new("90", 0, 2.0) | {"settings": "of another recipe"},
        new("90", 1, 3.0, hardware={"processor": "Another"}),
        new("94", 0, 4.0) | {"settings": "of another recipe"},
        measurement("dropped", 0, 1.0, settings=""),
    ]
    (tmp_path / "race.json").write_text(json.dumps({"measurements": before}))
    assert racing.main(["--only", "s4", "90", "--seeds", "0"]) == 0
    found = json.loads((tmp_path / "race.json").read_text())["measurements"]
    assert [(m["row"], m["seconds"]) for m in found] == [("s4", 1.0), ("90", 5.0), ("94", 4.0)]


def test_the_race_is_read_from_its_record(racing, monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_RESULTS_DIR", str(tmp_path))
    assert records.race() is None
    content = {"measurements": [measurement("s4", 0, 100.0, epochs=85)]}
    (tmp_path / "race.json").write_text(json.dumps(content | {"table": racing.table(content)}))
    assert list(records.race().index) == ["S4's recipe"]


NOTEBOOK = """\
# %% [markdown]
# ## Ground
# %%
climb("ground")
# %% [markdown]
# ## Smooth labels: +9.00 points, 1.00 times as fast
# Text.
# %%
gain("smooth", over="ground")
# %% [markdown]
# ## Not measured: a colon
# %%
gain("other", over="smooth")
"""


def test_headings_carry_the_gain_on_record_and_lose_a_stale_one():
    rows = {
        "09 ground": [{"accuracy": 0.5, "seconds": 30.0}, {"accuracy": 0.52, "seconds": 30.0}],
        "09 smooth": [{"accuracy": 0.6, "seconds": 20.0}, {"accuracy": 0.6, "seconds": 20.0}],
    }
    written = ladder.headed(NOTEBOOK, lambda name: rows.get(name, []))
    assert "# ## Smooth labels: +9.00 ± 1.00 points, 1.50 times as fast\n" in written
    assert "# ## Not measured: a colon\n" in written and "# ## Ground\n" in written
    assert ladder.headed(written, lambda name: rows.get(name, [])) == written
    assert "# ## Smooth labels\n" in ladder.headed(written, lambda name: [])
