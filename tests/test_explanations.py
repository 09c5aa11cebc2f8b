"""Explanations add up, leave nothing patched, and say in one sentence what they can't do."""

import holoviews as hv
import keras
import numpy as np
import pytest
from keras import layers

from course_utils import explanations

CLASSES = 3


def small_net(*extra, end="softmax"):
    """Build a net of convolution, batch normalization, dropout and whatever is passed."""
    keras.utils.set_random_seed(0)
    ends = {
        "softmax": [layers.Dense(CLASSES, activation="softmax", name="scores")],
        "layer": [layers.Dense(CLASSES, name="scores"), layers.Softmax(name="softmax")],
        "activation": [layers.Dense(CLASSES, name="scores"), layers.Activation("softmax")],
        "logits": [layers.Dense(CLASSES, name="scores")],
        "sigmoid": [layers.Dense(CLASSES, activation="sigmoid", name="scores")],
    }
    return keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            layers.Conv2D(4, 3, activation="relu", name="first"),
            layers.BatchNormalization(name="norm"),
            layers.Dropout(0.3),
            *extra,
            layers.Flatten(),
            *ends[end],
        ]
    )


def functional_net():
    inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(2, 3, padding="same", activation="relu", name="first")(inputs)
    x = layers.Add(name="join")([x, inputs])
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(x))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(size=(3, 8, 8, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def background():
    return np.random.default_rng(1).normal(size=(12, 8, 8, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def trained():
    """Train a little, so that batch normalization holds statistics of its own."""
    model = small_net()
    model.compile("sgd", loss="sparse_categorical_crossentropy")
    generator = np.random.default_rng(2)
    model.fit(
        generator.normal(2, 3, size=(60, 8, 8, 2)),
        generator.integers(0, CLASSES, 60),
        verbose=0,
        epochs=2,
    )
    return model


@pytest.fixture(scope="module")
def deep(trained, images, background):
    return explanations.explain(trained, images, background)


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("end", ["softmax", "layer", "activation"])
def test_logits_model_removes_only_the_softmax(end, images):
    model = small_net(end=end)
    logits = np.asarray(explanations.logits_model(model)(images))
    assert not np.allclose(logits.sum(axis=-1), 1)
    np.testing.assert_allclose(softmax(logits), np.asarray(model(images)), atol=1e-6)


def test_logits_model_keeps_a_functional_graph(images):
    model = functional_net()
    logits = np.asarray(explanations.logits_model(model)(images))
    np.testing.assert_allclose(softmax(logits), np.asarray(model(images)), atol=1e-6)


def test_logits_model_returns_a_model_that_gives_logits():
    model = small_net(end="logits")
    assert explanations.logits_model(model) is model


def test_logits_model_refuses_other_ends_and_subclasses():
    with pytest.raises(ValueError, match="'scores', ends in sigmoid"):
        explanations.logits_model(small_net(end="sigmoid"))
    with pytest.raises(ValueError, match="one score per class"):
        explanations.logits_model(keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(1, 3)]))
    with pytest.raises(ValueError, match="not built"):
        explanations.logits_model(keras.Sequential([layers.Dense(2)]))

    class Own(keras.Model):
        pass

    with pytest.raises(TypeError, match="Own is neither"):
        explanations.logits_model(Own())


def test_background_holds_every_class_in_its_share():
    labels = np.repeat([0, 1, 2], [1, 60, 39])
    images = labels[:, None, None, None] * np.ones((1, 2, 2, 1))
    drawn = explanations.stratified_background(images, labels, 10, seed=0)
    assert drawn.shape == (10, 2, 2, 1)
    assert np.bincount(drawn[:, 0, 0, 0].astype(int)).tolist() == [1, 6, 3]


def test_background_is_seeded_and_never_repeats_an_image():
    labels = np.arange(100) % 10
    images = np.arange(100)
    first, again, other = (
        explanations.stratified_background(images, labels, 37, seed=seed) for seed in (1, 1, 2)
    )
    assert len(np.unique(first)) == 37
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert sorted(explanations.stratified_background(images, labels, 100, seed=0)) == list(images)


@pytest.mark.parametrize("size", [9, 101])
def test_background_refuses_impossible_sizes(size):
    labels = np.arange(100) % 10
    with pytest.raises(ValueError, match=f"subset of {size} images"):
        explanations.stratified_background(labels, labels, size, seed=0)


def test_deep_attributions_add_up_to_the_logits(deep, trained, images):
    assert deep.values.shape == (3, 8, 8, 2, CLASSES)
    assert deep.values.dtype == np.float32
    assert deep.additivity_error < 1e-3
    sums = deep.values.sum(axis=(1, 2, 3)) + deep.expected_values
    np.testing.assert_allclose(sums, deep.logits, atol=1e-3)
    np.testing.assert_allclose(softmax(deep.logits), trained.predict(images, verbose=0), atol=1e-5)


def test_deep_handles_a_functional_net_with_an_addition(images, background):
    found = explanations.explain(functional_net(), images, background)
    assert found.additivity_error < 1e-3


def test_gradient_estimates_what_deep_computes(deep, trained, images, background):
    few, many = (
        explanations.explain(trained, images, background, method="gradient", samples=samples)
        for samples in (5, 400)
    )
    assert many.values.shape == deep.values.shape
    assert many.additivity_error < few.additivity_error
    assert explanations.map_similarity(many.values, deep.values).min() > 0.7


def test_gradient_is_seeded_and_leaves_numpy_alone(trained, images, background):
    np.random.seed(5)  # noqa: NPY002
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    first, again, other = (
        explanations.explain(
            trained, images[:1], background, method="gradient", samples=5, seed=seed
        ).values
        for seed in (1, 1, 2)
    )
    assert np.random.random() == expected  # noqa: NPY002
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("layer", "named"),
    [
        (layers.LeakyReLU(name="leaky"), "'leaky' (LeakyReLU)"),
        (layers.GlobalMaxPooling2D(name="pool"), "'pool' (GlobalMaxPooling2D)"),
        (layers.Conv2D(2, 3, activation="gelu", name="conv"), "'conv' (Conv2D, gelu)"),
        (layers.Activation("silu", name="swish"), "'swish' (Activation, silu)"),
    ],
)
def test_deep_names_the_layer_that_it_cannot_explain(layer, named, images, background):
    from tensorflow.python.eager import execute

    before = execute.record_gradient
    model = small_net(layer)
    with pytest.raises(ValueError) as caught:
        explanations.explain(model, images, background)
    assert named in str(caught.value)
    assert 'method="gradient"' in str(caught.value)
    assert "\n" not in str(caught.value)
    assert execute.record_gradient is before
    model.compile("sgd", loss="sparse_categorical_crossentropy")
    model.fit(images, np.array([0, 1, 2]), verbose=0)
    found = explanations.explain(model, images[:1], background, method="gradient", samples=2)
    assert np.isfinite(found.values).all()


def test_nothing_stays_patched_after_success(deep, images):
    from tensorflow.python.eager import backprop, execute

    assert execute.record_gradient is backprop.record_gradient
    model = small_net()
    model.compile("sgd", loss="sparse_categorical_crossentropy")
    model.fit(images, np.array([0, 1, 2]), verbose=0)


def test_an_active_dropout_is_refused(images, background):
    class Always(layers.Dropout):
        def call(self, inputs, training=False):
            return super().call(inputs, training=True)

    with pytest.raises(ValueError, match="'noisy'"):
        explanations.explain(small_net(Always(0.5, name="noisy")), images, background)


def test_explain_says_what_is_wrong_with_its_arguments(trained, images, background, monkeypatch):
    with pytest.raises(ValueError, match="method is 'kernel'"):
        explanations.explain(trained, images, background, method="kernel")
    with pytest.raises(ValueError, match=r"images has shape \(8, 8, 2\)"):
        explanations.explain(trained, images[0], background)
    with pytest.raises(ValueError, match="background has dtype uint8"):
        explanations.explain(trained, images, background.astype(np.uint8))
    with pytest.raises(ValueError, match="samples is 0"):
        explanations.explain(trained, images, background, method="gradient", samples=0)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(RuntimeError, match="TensorFlow backend only and Keras runs on 'jax'"):
        explanations.explain(trained, images, background)


def test_attribution_plot_has_a_row_per_image_and_a_column_per_class(deep, images):
    predicted = deep.logits.argmax(axis=-1)
    shown = np.zeros((3, 8, 8, 1), dtype=np.uint8)
    plot = explanations.attribution_plot(deep, shown, np.array([0, 1, 2]), predicted, "abc")
    picture, hover, true_frames, predicted_frames = plot.values()
    assert picture.bounds.lbrt() == (0, 0, 1 + CLASSES, 3)
    assert len(hover) == 3 * CLASSES
    sums = deep.values.sum(axis=(1, 2, 3))
    np.testing.assert_allclose(hover["sum"], sums.ravel(), atol=1e-4)
    np.testing.assert_allclose(hover["logit"] - hover["expected"], hover["sum"], atol=1e-3)
    assert np.floor(true_frames["x0"]).astype(int).tolist() == [1, 2, 3]
    assert np.floor(predicted_frames["x0"]).astype(int).tolist() == (predicted + 1).tolist()


@pytest.mark.parametrize(("rows", "tallest"), [(2, 250), (10, 700)])
def test_attribution_plot_fits_a_laptop(rows, tallest):
    values = np.zeros((rows, 28, 28, 1, 10), dtype=np.float32)
    logits = np.eye(10, dtype=np.float32)[:rows]
    found = explanations.Explanation(values, np.zeros(10), logits, 0.0, "deep", 0.0)
    shown = np.zeros((rows, 28, 28, 1), np.uint8)
    labels = np.arange(rows)
    plot = explanations.attribution_plot(found, shown, labels, labels, [str(i) for i in range(10)])
    figure = hv.render(plot, backend="bokeh")
    assert figure.height <= tallest
    assert figure.width <= 900
    assert figure.frame_width / 11 == figure.frame_height / rows >= 56  # square, twice the digit


def test_attribution_plot_is_red_where_a_pixel_favors_the_class():
    values = np.zeros((1, 14, 14, 1, 2), dtype=np.float32)
    values[0, 0, 0, 0] = [1, -1]
    logits = np.array([[1, -1]], dtype=np.float32)
    found = explanations.Explanation(values, np.zeros(2), logits, 0.0, "deep", 0.0)
    plot = explanations.attribution_plot(
        found, np.zeros((1, 14, 14, 1), np.uint8), [0], [0], ["a", "b"]
    )
    red, green, blue = (plot.RGB.I.dimension_values(i, flat=False) for i in (2, 3, 4))
    top = -2 if red[0].mean() == 255 and red[-2, 17] > 100 else 1
    assert red[top, 17] > blue[top, 17]  # second tile: class a
    assert blue[top, 33] > red[top, 33]  # third tile: class b
    assert red[top, 18] == green[top, 18] == blue[top, 18] == 255  # nothing elsewhere


def test_attribution_plot_refuses_what_does_not_belong_together(deep, images):
    shown = np.zeros((3, 8, 8, 1), dtype=np.uint8)
    predicted = deep.logits.argmax(axis=-1)
    with pytest.raises(ValueError, match="explained network predicts"):
        explanations.attribution_plot(deep, shown, predicted, (predicted + 1) % 3, "abc")
    with pytest.raises(ValueError, match="The explanation holds 3 images"):
        explanations.attribution_plot(deep, shown[:2], predicted, predicted, "abc")
    with pytest.raises(ValueError, match="3 classes are explained"):
        explanations.attribution_plot(deep, shown, predicted, predicted, "ab")


def changed_layers(a, b):
    return [
        one.name
        for one, other in zip(a.layers, b.layers, strict=True)
        if any(
            not np.array_equal(x, y)
            for x, y in zip(one.get_weights(), other.get_weights(), strict=True)
        )
    ]


def test_randomizing_goes_from_the_top_and_leaves_the_original_alone(trained):
    before = [weight.copy() for weight in trained.get_weights()]
    assert changed_layers(trained, explanations.randomize_weights(trained, seed=1, layers=0)) == []
    top = explanations.randomize_weights(trained, seed=1, layers=1)
    assert changed_layers(trained, top) == ["scores"]
    everything = explanations.randomize_weights(trained, seed=1)
    assert changed_layers(trained, everything) == ["first", "norm", "scores"]
    for weight, kept in zip(trained.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, kept)
    with pytest.raises(ValueError, match="layers is 4, but the model has 3"):
        explanations.randomize_weights(trained, seed=1, layers=4)


def test_randomizing_is_seeded_and_leaves_python_random_alone(trained):
    import random

    random.seed(3)
    expected = random.random()
    random.seed(3)
    first, again, other = (explanations.randomize_weights(trained, seed=seed) for seed in (1, 1, 2))
    assert random.random() == expected
    assert changed_layers(first, again) == []
    assert "scores" in changed_layers(first, other)


def test_map_similarity_ranks_absolute_values():
    generator = np.random.default_rng(0)
    a = generator.normal(size=(4, 30, 30, 1))
    np.testing.assert_allclose(explanations.map_similarity(a, -(a**3)), 1)
    noise = explanations.map_similarity(a, generator.normal(size=a.shape))
    assert np.abs(noise).max() < 0.2
    assert np.isnan(explanations.map_similarity(a[:1], np.zeros_like(a[:1])))[0]
    with pytest.raises(ValueError, match="equal shapes"):
        explanations.map_similarity(a, a[:2])


def test_filters_are_those_of_the_first_convolution(trained):
    plot = explanations.first_layer_filters(trained)
    kernel = trained.get_layer("first").get_weights()[0]
    np.testing.assert_allclose(plot.Rectangles.I["low"], kernel.min(axis=(0, 1, 2)), rtol=1e-6)
    dense = keras.Sequential([keras.Input((4,)), layers.Dense(2, name="only")])
    with pytest.raises(ValueError, match="no Conv2D layer.*only"):
        explanations.first_layer_filters(dense)


def test_feature_maps_are_the_outputs_of_the_layer(trained, images):
    plot = explanations.feature_maps(trained, images[0], "norm")
    first, norm = trained.layers[:2]
    outputs = np.asarray(norm(first(images[:1]), training=False))[0]
    np.testing.assert_allclose(plot.Rectangles.I["high"], outputs.max(axis=(0, 1)), rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "message"),
    [("second", "'second' is unknown: choose one of first, norm"), ("scores", "gives no maps")],
)
def test_feature_maps_list_the_layers_to_choose_from(name, message, trained, images):
    with pytest.raises(ValueError, match=message):
        explanations.feature_maps(trained, images[0], name)
