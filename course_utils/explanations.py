"""Explanations of a trained network that are checked: attributions by SHAP, filters, feature maps.

SHAP (Lundberg and Lee, 2017) answers "how much did each pixel push the score of each class?".
An attribution is worth reading only if it adds up to the score that it explains, if it explains
scores before the softmax, and if it goes away when the weights do. The functions here compute
the first on every call, see to the second, and give the tools to test the third.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from course_utils import dashboards, datasets

if TYPE_CHECKING:
    import holoviews as hv
    import keras

# Deep SHAP adds up to rounding. An error above this share of the largest effect is a fault.
_ADDITIVITY_TOLERANCE = 0.01
_RED = np.array([178, 24, 43]) / 255
_BLUE = np.array([33, 102, 172]) / 255
_TRUE_COLOR = "black"
_PREDICTED_COLOR = "#e69f00"
# Pixels: a laptop shows about 700, of which title, ticks and labels take some.
_TILE, _LEAST_TILE, _MAX_HEIGHT, _AROUND = 70, 40, 700, 110


def logits_model(model: keras.Model) -> keras.Model:
    """Copy a classifier without its last softmax.

    Attributions of softmax outputs sum to about zero over the classes, because the outputs always
    sum to one; the logits (the scores before the softmax) are what is worth explaining.

    Parameters
    ----------
    model : keras.Model
        Sequential or functional classifier, built, with one output of shape (n, classes). It ends
        in a softmax: an argument of the last layer, or a layer of its own.

    Returns
    -------
    keras.Model
        A copy with its own weights of equal value and outputs before the softmax; `model` itself
        if it gives logits already.

    Raises
    ------
    TypeError
        If `model` is not a Sequential or functional model.
    ValueError
        If the model is not built, has several outputs, or ends in something that is neither a
        softmax nor logits.
    """
    import keras

    _check_graph(model)
    shape = tuple(model.output_shape)
    if len(shape) != 2:
        raise ValueError(
            f"The output has shape {shape}, but an explanation needs one score per class, "
            "(None, classes): end the model in a Dense layer."
        )
    last = model.layers[-1]
    activation = getattr(last, "activation", None)
    separate = isinstance(last, keras.layers.Softmax)
    if not separate and activation in (None, keras.activations.linear):
        if isinstance(last, keras.Model):
            raise ValueError(
                f"The last layer, {last.name!r}, is a model itself, so its softmax can't be "
                "removed: build the classifier with its last Dense layer at the top level."
            )
        return model
    if not separate and activation is not keras.activations.softmax:
        found = getattr(activation, "__name__", activation)
        raise ValueError(
            f"The last layer, {last.name!r}, ends in {found}, "
            "but a softmax or plain logits (no activation) are expected: explain a model that "
            "chooses between classes."
        )

    def without_softmax(layer: keras.Layer) -> keras.Layer:
        if layer is not last:
            return layer.__class__.from_config(layer.get_config())
        if separate:
            return keras.layers.Activation("linear", name=layer.name)
        return layer.__class__.from_config({**layer.get_config(), "activation": "linear"})

    logits = keras.models.clone_model(model, clone_function=without_softmax)
    logits.set_weights(model.get_weights())
    return logits


def stratified_background(
    images: np.ndarray, labels: np.ndarray, size: int, *, seed: int
) -> np.ndarray:
    """Draw background images in which every class has its share.

    The background stands for "no information": an attribution tells how the image differs from
    it. One that lacks a class makes everything typical of that class look surprising.

    Parameters
    ----------
    images : np.ndarray
        Images to draw from, (n, height, width, channels), any dtype.
    labels : np.ndarray
        Their integer classes, (n,).
    size : int
        How many images to draw, without replacement.
    seed : int
        Seed of the draw.

    Returns
    -------
    np.ndarray
        (size, height, width, channels), dtype of `images`; at least one image of each class, and
        otherwise as many of each as its share of `labels` says, rounded. In random order.

    Raises
    ------
    ValueError
        If images and labels differ in length, or `size` is smaller than the number of classes or
        larger than the number of images.
    """
    return datasets.stratified_subset(images, labels, size, seed=seed)[0]


def explain(
    model: keras.Model,
    images: np.ndarray,
    background: np.ndarray,
    *,
    method: Literal["deep", "gradient"] = "deep",
    samples: int = 200,
    seed: int = 0,
) -> Explanation:
    """Attribute the logits of every class to the pixels of each image.

    `"deep"` is Deep SHAP (Lundberg and Lee, 2017, on the rules of DeepLIFT, Shrikumar et al.,
    2017): one pass per background image, exact sums, but only for layers that it has a rule for.
    `"gradient"` is expected gradients (Erion et al., 2021): works with every differentiable
    layer, and its sums carry the sampling error of `samples` random points. Time grows with
    images x classes x background size (or samples).

    Parameters
    ----------
    model : keras.Model
        Sequential or functional classifier; a softmax at its end is removed (`logits_model`).
        It is used in inference mode and left as it was.
    images : np.ndarray
        What to explain, (n, height, width, channels), float32 as the network wants it, thus
        already normalized.
    background : np.ndarray
        Reference images, normalized likewise, (m, height, width, channels); see
        `stratified_background`. 50 to 100 do for digits.
    method : {"deep", "gradient"}
        The algorithm.
    samples : int
        Random points per image and class of method "gradient"; unused by "deep".
    seed : int
        Seed of these points; "deep" is deterministic.

    Returns
    -------
    Explanation
        Values, logits and the additivity error.

    Raises
    ------
    RuntimeError
        If Keras runs on another backend than TensorFlow.
    TypeError
        If `model` is not a Sequential or functional model.
    ValueError
        If shapes do not fit, `method` is unknown, or a layer is not supported by "deep" (the
        sentence names it). Nothing stays patched after an error.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            f"explain works on the TensorFlow backend only and Keras runs on "
            f"{keras.backend.backend()!r}: start Python with KERAS_BACKEND=tensorflow."
        )
    if method not in ("deep", "gradient"):
        raise ValueError(f"method is {method!r}, but it must be 'deep' or 'gradient'.")
    logits_of = logits_model(model)
    images = _as_input(logits_of, images, "images")
    background = _as_input(logits_of, background, "background")

    started = time.perf_counter()
    logits = _predict(logits_of, images)
    expected = _predict(logits_of, background).mean(axis=0)
    if method == "gradient":
        values = _expected_gradients(logits_of, images, background, samples=samples, seed=seed)
    else:
        values = _checked_deep_values(logits_of, images, background, logits - expected)
    return Explanation(
        values=values,
        expected_values=expected,
        logits=logits,
        additivity_error=_additivity_error(values, logits - expected),
        method=method,
        seconds=time.perf_counter() - started,
    )


def attribution_plot(
    explanation: Explanation,
    images: np.ndarray,
    y_true: np.ndarray,
    y_pred: np.ndarray,
    class_names: Sequence[str],
    *,
    title: str = "Which pixels favor (red) or oppose (blue) each class?",
) -> hv.Overlay:
    """Draw the attributions: one row per image, the image first, then a column per class.

    Red pixels raise the logit of the column's class, blue ones lower it, against the background.
    Channels are summed. The color scale is symmetric about zero and common to a row, so columns
    of one row may be compared. A black frame marks the true class, an orange one the predicted.

    Parameters
    ----------
    explanation : Explanation
        Attributions of n images.
    images : np.ndarray
        The same images for display, (n, height, width, channels): uint8 from 0 to 255, or float
        (each stretched from its darkest to its brightest value).
    y_true, y_pred : np.ndarray
        True and predicted classes, integers (n,).
    class_names : Sequence[str]
        One name for each class.
    title : str
        Title of the figure.

    Returns
    -------
    hv.Overlay
        The montage, with true and predicted class, logit and sum of the attributions on hover.

    Raises
    ------
    ValueError
        If the numbers of images, labels or names differ from the explanation's, or `y_pred` is
        not what the explained network predicts.
    """
    values = explanation.values.sum(axis=-2)  # (n, height, width, classes)
    count, height, width, classes = values.shape
    y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
    if not len(images) == len(y_true) == len(y_pred) == count:
        raise ValueError(
            f"The explanation holds {count} images, but {len(images)} images, {len(y_true)} true "
            f"and {len(y_pred)} predicted classes were given: pass the same images in one order."
        )
    if len(class_names) != classes:
        raise ValueError(f"{classes} classes are explained, but {len(class_names)} names given.")
    answers = explanation.logits.argmax(axis=-1)
    if wrong := np.flatnonzero(answers != y_pred).tolist():
        raise ValueError(
            f"y_pred[{wrong[0]}] is {y_pred[wrong[0]]}, but the explained network predicts "
            f"{answers[wrong[0]]}: pass the predictions of this network, in the images' order."
        )

    shown = np.stack([_displayable(image) for image in images])
    tiles = np.ones((count, classes + 1, height, width, 3))
    tiles[:, 0] = shown
    faint = 1 - 0.2 * shown.mean(axis=-1, keepdims=True)
    scales = np.percentile(np.abs(values), 99.9, axis=(1, 2, 3)) + np.finfo(np.float32).tiny
    for label in range(classes):
        tiles[:, label + 1] = _diverging(values[..., label] / scales[:, None, None], faint)

    rows = [
        {
            "image": f"{row + 1} of {count}",
            "true": class_names[y_true[row]],
            "predicted": class_names[y_pred[row]],
            "class": class_names[label],
            "logit": float(explanation.logits[row, label]),
            "expected": float(explanation.expected_values[label]),
            "sum": float(values[row, ..., label].sum()),
            "scale": float(scales[row]),
        }
        for row in range(count)
        for label in range(classes)
    ]
    places = [(row, label + 1) for row in range(count) for label in range(classes)]
    tooltips = [
        ("image", "@image: true @true, predicted @predicted"),
        ("explained class", "@class"),
        ("logit", "@logit{0.00} = expected @expected{0.00} + attributions @sum{0.00}"),
        ("full color at", "±@scale{0.0000} per pixel"),
    ]
    frames = []
    for labels, color, inset in ((y_true, _TRUE_COLOR, 0.02), (y_pred, _PREDICTED_COLOR, 0.06)):
        corners = [
            (label + 1 + inset, count - row - 1 + inset, label + 2 - inset, count - row - inset)
            for row, label in enumerate(labels)
        ]
        frames.append((color, corners))
    return _montage(
        tiles,
        places,
        rows,
        tooltips,
        title=title,
        xlabel="explained class (black frame: true, orange frame: predicted)",
        ylabel="true class → predicted class",
        xticks=["image", *class_names],
        yticks=[f"{row['true']} → {row['predicted']}" for row in rows[::classes]],
        frames=frames,
    )


def randomize_weights(model: keras.Model, *, seed: int, layers: int | None = None) -> keras.Model:
    """Copy a model and put fresh random weights into its top layers.

    The cascading test of Adebayo et al. (2018), "Sanity checks for saliency maps": a map that
    stays the same while the layers lose what they learned does not show what was learned.

    Parameters
    ----------
    model : keras.Model
        Sequential or functional model; it stays untouched.
    seed : int
        Seed of the fresh weights, which come from the layers' own initializers.
    layers : int or None
        How many layers to randomize, counted from the output; layers without weights are passed
        over, BatchNormalization counts. None randomizes all of them.

    Returns
    -------
    keras.Model
        The copy.

    Raises
    ------
    TypeError
        If `model` is not a Sequential or functional model.
    ValueError
        If `layers` is negative or larger than the number of layers with weights, or the model is
        not built or has several inputs or outputs.
    """
    import random

    import keras

    _check_graph(model)
    weighted = [index for index, layer in enumerate(model.layers) if layer.weights]
    layers = len(weighted) if layers is None else layers
    if not 0 <= layers <= len(weighted):
        raise ValueError(
            f"layers is {layers}, but the model has {len(weighted)} layers with weights: "
            f"choose 0 to {len(weighted)}, or None for all."
        )
    state = random.getstate()  # Keras seeds its initializers from Python's generator
    random.seed(seed)
    try:
        fresh = keras.models.clone_model(model)
    finally:
        random.setstate(state)
    for index in weighted[: len(weighted) - layers]:
        fresh.layers[index].set_weights(model.layers[index].get_weights())
    return fresh


def map_similarity(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Compare attributions by the Spearman rank correlation of their absolute values.

    Parameters
    ----------
    a, b : np.ndarray
        Attributions of the same n images, (n, ...); all axes after the first are ranked together.

    Returns
    -------
    np.ndarray
        float64 (n,) from -1 to 1: 1 where both rank the pixels alike, about 0 where unrelated,
        not a number where a map is constant. Pixels that are zero in both maps (such as the black
        border of digits, equal in image and background) count as agreement: leave them out first.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    from scipy.stats import rankdata

    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.ndim < 2:
        raise ValueError(
            f"The maps have shapes {a.shape} and {b.shape}, but equal shapes (n, ...) are "
            "expected: compare the same images and classes."
        )
    ranks_a, ranks_b = (rankdata(np.abs(each).reshape(len(each), -1), axis=1) for each in (a, b))
    ranks_a -= ranks_a.mean(axis=1, keepdims=True)
    ranks_b -= ranks_b.mean(axis=1, keepdims=True)
    norms = np.sqrt((ranks_a**2).sum(axis=1) * (ranks_b**2).sum(axis=1))
    product = (ranks_a * ranks_b).sum(axis=1)
    return np.divide(product, norms, out=np.full(len(a), np.nan), where=norms > 0)


def first_layer_filters(
    model: keras.Model, *, title: str = "What do the filters of the first layer look for?"
) -> hv.Overlay:
    """Draw the filters of the first convolution.

    Parameters
    ----------
    model : keras.Model
        A model with a Conv2D layer.
    title : str
        Title of the figure.

    Returns
    -------
    hv.Overlay
        One tile per filter. With three input channels a tile shows the filter as a color image,
        each stretched over its own range; otherwise red weights are positive, blue ones negative
        (mean over the channels), on one common scale.

    Raises
    ------
    ValueError
        If the model has no Conv2D layer.
    """
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            break
    else:
        raise ValueError(
            f"The model {model.name!r} has no Conv2D layer, so there are no filters to draw: "
            f"its layers are {_names(model.layers)}."
        )
    kernel = np.moveaxis(np.asarray(layer.get_weights()[0]), -1, 0)  # (filters, h, w, channels)
    if kernel.shape[-1] == 3:
        tiles = np.stack([_displayable(each) for each in kernel])
    else:
        tiles = _diverging(kernel.mean(axis=-1) / (np.abs(kernel.mean(axis=-1)).max() or 1.0))
    columns = min(8, len(kernel))
    rows = [
        {"filter": index, "low": float(each.min()), "high": float(each.max())}
        for index, each in enumerate(kernel)
    ]
    tooltips = [("filter", "@filter"), ("weights", "@low{0.000} to @high{0.000}")]
    places = [divmod(index, columns) for index in range(len(kernel))]
    label = f"{layer.name}: {len(kernel)} filters of {kernel.shape[1]}×{kernel.shape[2]} pixels"
    return _montage(_in_grid(tiles, columns), places, rows, tooltips, title=title, xlabel=label)


def feature_maps(
    model: keras.Model, image: np.ndarray, layer_name: str, *, title: str | None = None
) -> hv.Overlay:
    """Draw what every channel of a layer makes of one image.

    Parameters
    ----------
    model : keras.Model
        Sequential or functional model, used in inference mode.
    image : np.ndarray
        One image as the network wants it, float32 (height, width, channels), thus normalized.
    layer_name : str
        Name of a layer whose output is (n, height, width, channels).
    title : str or None
        Title of the figure.

    Returns
    -------
    hv.Overlay
        One gray tile per channel, each from its lowest (black) to its highest (white) value.

    Raises
    ------
    TypeError
        If `model` is not a Sequential or functional model.
    ValueError
        If the layer is unknown or gives no maps (the sentence lists those that do), or the image
        has the wrong shape.
    """
    import keras

    _check_graph(model)
    valid = [layer for layer in model.layers if len(layer.output.shape) == 4]
    layer = next((layer for layer in valid if layer.name == layer_name), None)
    if layer is None:
        known = layer_name in [layer.name for layer in model.layers]
        raise ValueError(
            f"The layer {layer_name!r} {'gives no maps' if known else 'is unknown'}: "
            f"choose one of {_names(valid)}."
        )
    batch = _as_input(model, np.asarray(image)[None], "image")
    maps = _predict(keras.Model(model.inputs[0], layer.output), batch)[0]
    tiles = np.stack([_displayable(maps[..., [index]]) for index in range(maps.shape[-1])])
    columns = min(8, len(tiles))
    rows = [
        {"channel": index, "low": float(each.min()), "high": float(each.max())}
        for index, each in enumerate(np.moveaxis(maps, -1, 0))
    ]
    tooltips = [("channel", "@channel"), ("values", "@low{0.00} to @high{0.00}")]
    places = [divmod(index, columns) for index in range(len(tiles))]
    label = f"{layer_name}: {maps.shape[-1]} channels of {maps.shape[0]}×{maps.shape[1]} values"
    title = title or f"What does layer {layer_name} make of this image?"
    return _montage(_in_grid(tiles, columns), places, rows, tooltips, title=title, xlabel=label)


def _check_graph(model: keras.Model) -> None:
    """Refuse models whose graph of layers is not known."""
    import keras

    if not isinstance(model, (keras.Sequential, keras.src.models.functional.Functional)):
        raise TypeError(
            f"{type(model).__name__} is neither a Sequential nor a functional model, so its "
            "layers can't be followed: build the network with keras.Sequential or "
            "keras.Model(inputs, outputs)."
        )
    if not model.built:
        raise ValueError(
            f"The model {model.name!r} is not built: start it with keras.Input(shape) or call it "
            "once."
        )
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(
            f"The model {model.name!r} has {len(model.inputs)} inputs and {len(model.outputs)} "
            "outputs, but one of each is expected."
        )


def _as_input(model: keras.Model, images: np.ndarray, name: str) -> np.ndarray:
    """Check a batch against the model's input and give it as float32."""
    images = np.asarray(images)
    wanted = tuple(model.input_shape[1:])
    if images.ndim != len(wanted) + 1 or images.shape[1:] != wanted or len(images) == 0:
        shape = images.shape[1:] if name == "image" else images.shape
        expected = wanted if name == "image" else ("n", *wanted)
        raise ValueError(f"{name} has shape {shape}, but the model wants {expected}.")
    if not np.issubdtype(images.dtype, np.floating):
        raise ValueError(
            f"{name} has dtype {images.dtype}, but the network wants normalized float32: apply "
            "the normalization that it was trained with."
        )
    return images.astype(np.float32)


def _predict(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Run the model in inference mode, 500 images at a time."""
    import keras

    parts = [
        keras.ops.convert_to_numpy(model(images[start : start + 500], training=False))
        for start in range(0, len(images), 500)
    ]
    return np.concatenate(parts).astype(np.float32)


def _additivity_error(values: np.ndarray, effects: np.ndarray) -> float:
    """Give the largest |sum of attributions - (logit - expected value)|."""
    sums = values.sum(axis=tuple(range(1, values.ndim - 1)), dtype=np.float64)
    return float(np.abs(sums - effects).max())


def _shap_values(
    model: keras.Model,
    images: np.ndarray,
    background: np.ndarray,
    *,
    explainer: str,
    outputs: int,
    **settings: Any,
) -> np.ndarray:
    """Run an explainer of SHAP for the first outputs, (n, ..., outputs) float32, unchecked.

    SHAP builds a graph for each output, which takes longer than running it. Here a last layer with
    exchanged weights picks the output, so that one graph serves all of them.
    """
    import keras

    pick = keras.layers.Dense(1, use_bias=False)
    picked = keras.Sequential([keras.Input(model.input_shape[1:]), model, pick])
    with _unpatched_tensorflow():
        import shap

        explain_picked = getattr(shap, explainer)(picked, background).shap_values
        values = []
        for weights in np.eye(model.output_shape[-1])[:outputs]:
            pick.set_weights([weights[:, None]])
            values.append(explain_picked(images, **settings)[..., 0])
    return np.stack(values, axis=-1).astype(np.float32)


def _deep_values(
    model: keras.Model, images: np.ndarray, background: np.ndarray, *, outputs: int
) -> np.ndarray:
    return _shap_values(
        model,
        images,
        background,
        explainer="DeepExplainer",
        outputs=outputs,
        check_additivity=False,
    )


def _checked_deep_values(
    model: keras.Model, images: np.ndarray, background: np.ndarray, effects: np.ndarray
) -> np.ndarray:
    """Run Deep SHAP and refuse, with the name of the layer, what it can't do or does wrong."""
    try:
        values = _deep_values(model, images, background, outputs=effects.shape[-1])
    except Exception as error:
        culprit = _unsupported_layer(model)
        if culprit is None:
            raise
        raise ValueError(
            f"Method 'deep' has no rule for {_described(culprit)}: "
            'use method="gradient", which works with every layer.'
        ) from error
    error_size = _additivity_error(values, effects)
    if error_size > _ADDITIVITY_TOLERANCE * np.abs(effects).max() + 1e-4:
        culprit = _unsupported_layer(model)
        blamed = _described(culprit) if culprit else "this network"
        raise ValueError(
            f"Method 'deep' is wrong for {blamed}: the attributions miss the logits by up to "
            f'{error_size:.3g}. Use method="gradient", which works with every layer.'
        )
    return values


def _unsupported_layer(model: keras.Model) -> keras.Layer | None:
    """Find the first layer that Deep SHAP fails on or is wrong for, each tried by itself."""
    import keras

    generator = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer) or not hasattr(layer.input, "shape"):
            continue  # layers with several inputs (Add, Concatenate) are linear
        alone = keras.Sequential(
            [keras.Input(layer.input.shape[1:]), layer, keras.layers.Flatten()]
        )
        inputs = generator.normal(size=(4, *layer.input.shape[1:])).astype(np.float32)
        outputs = _predict(alone, inputs)
        effects = outputs[:2] - outputs[2:].mean(axis=0)
        try:
            values = _deep_values(alone, inputs[:2], inputs[2:], outputs=1)
        except Exception:  # noqa: BLE001 - whatever SHAP raises, this is the layer
            return layer
        if _additivity_error(values, effects[:, :1]) > 1e-3 * np.abs(effects).max() + 1e-5:
            return layer
    return None


def _described(layer: keras.Layer) -> str:
    activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
    kind = type(layer).__name__ + ("" if activation == "linear" else f", {activation}")
    return f"layer {layer.name!r} ({kind})"


def _expected_gradients(
    model: keras.Model, images: np.ndarray, background: np.ndarray, *, samples: int, seed: int
) -> np.ndarray:
    """Run SHAP's GradientExplainer for all classes with the same random points."""
    if samples < 1:
        raise ValueError(f"samples is {samples}, but at least 1 is needed; 200 is usual.")
    state = np.random.get_state()  # noqa: NPY002 - SHAP seeds this one: put it back
    try:
        return _shap_values(
            model,
            images,
            background,
            explainer="GradientExplainer",
            outputs=model.output_shape[-1],
            nsamples=samples,
            rseed=seed,
        )
    finally:
        np.random.set_state(state)  # noqa: NPY002


@contextlib.contextmanager
def _unpatched_tensorflow() -> Iterator[None]:
    """Put back what SHAP patches in TensorFlow, also after an error, and silence both.

    Without it, one failed DeepExplainer call makes every later `model.fit` of the process fail.
    """
    import tensorflow as tf
    from tensorflow.python.eager import execute

    record_gradient = execute.record_gradient
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")  # "5 out of the last 9 calls triggered retracing": one per class
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        execute.record_gradient = record_gradient
        logger.setLevel(level)


def _names(layers: Sequence[keras.Layer]) -> str:
    return ", ".join(layer.name for layer in layers)


def _displayable(image: np.ndarray) -> np.ndarray:
    """Give an image as (height, width, 3) from 0 to 1; floats are stretched over their range."""
    if image.dtype == np.uint8:
        scaled = image / 255
    else:
        low, high = float(image.min()), float(image.max())
        scaled = (image - low) / (high - low or 1.0)
    return np.broadcast_to(scaled, (*scaled.shape[:2], 3)) if scaled.shape[-1] == 1 else scaled


def _diverging(strength: np.ndarray, base: np.ndarray | float = 1.0) -> np.ndarray:
    """Color values from -1 (blue) over 0 (`base`) to 1 (red); adds the color axis."""
    strength = np.clip(strength, -1, 1)[..., None]
    color = np.where(strength > 0, _RED, _BLUE)
    return base * (1 - np.abs(strength)) + color * np.abs(strength)


def _in_grid(tiles: np.ndarray, columns: int) -> np.ndarray:
    """Arrange (n, height, width, 3) in rows of `columns`, white where there is nothing."""
    rows = -(-len(tiles) // columns)
    grid = np.ones((rows * columns, *tiles.shape[1:]))
    grid[: len(tiles)] = tiles
    return grid.reshape(rows, columns, *tiles.shape[1:])


def _montage(
    tiles: np.ndarray,
    places: Sequence[tuple[int, int]],
    details: Sequence[dict[str, Any]],
    tooltips: Sequence[tuple[str, str]],
    *,
    title: str,
    xlabel: str,
    ylabel: str = "",
    xticks: Sequence[str] = (),
    yticks: Sequence[str] = (),
    frames: Sequence[tuple[str, Sequence[tuple[float, ...]]]] = (),
) -> hv.Overlay:
    """Draw tiles (rows, columns, height, width, 3) in one picture, with details on hover.

    Tile (row, column) covers the unit square from column to column + 1, the first row on top;
    `places` are the (row, column) of the tiles that `details` describe, `frames` pairs of a color
    and boxes (left, bottom, right, top).
    """
    hv = dashboards._holoviews()
    rows, columns, height, width, _ = tiles.shape
    gap = max(1, height // 14)
    padded = np.ones((rows, columns, height + 2 * gap, width + 2 * gap, 3))
    padded[:, :, gap:-gap, gap:-gap] = tiles
    pixels = padded.swapaxes(1, 2).reshape(rows * padded.shape[2], columns * padded.shape[3], 3)
    picture = hv.RGB(
        np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8),
        kdims=["x", "y"],
        bounds=(0, 0, columns, rows),
    )
    boxes = [
        (column, rows - row - 1, column + 1, rows - row, *detail.values())
        for (row, column), detail in zip(places, details, strict=True)
    ]
    layers = [
        dashboards._style(picture, bokeh={}, matplotlib={"interpolation": "nearest"}),
        dashboards._style(
            hv.Rectangles(boxes, ["x0", "y0", "x1", "y1"], list(details[0])),
            bokeh={
                "fill_alpha": 0,
                "line_alpha": 0,
                "tools": ["hover"],
                "hover_tooltips": list(tooltips),
            },
            matplotlib={"facecolor": "none", "edgecolor": "none"},
        ),
    ]
    layers += [
        dashboards._style(
            hv.Rectangles(list(corners), ["x0", "y0", "x1", "y1"]),
            bokeh={"fill_alpha": 0, "line_color": color, "line_width": 2},
            matplotlib={"facecolor": "none", "edgecolor": color, "linewidth": 1.5},
        )
        for color, corners in frames
    ]
    margin = 60 + 7 * max((len(name) for name in yticks), default=0)
    fitting = max(_LEAST_TILE, (_MAX_HEIGHT - _AROUND) // rows)
    side = min(_TILE, fitting, (dashboards.MAX_WIDTH - margin) // columns)
    frame = (side * columns, side * rows)
    common = {
        "title": title,
        "xlabel": xlabel,
        "ylabel": ylabel,
        "xticks": [(column + 0.5, name) for column, name in enumerate(xticks)] or [(0, "")],
        "yticks": [(rows - row - 0.5, name) for row, name in enumerate(yticks)] or [(0, "")],
        "xrotation": 30 if max(map(len, xticks), default=0) > 7 else 0,
        "yaxis": "left" if yticks else "bare",
        "xlim": (0, columns),
        "ylim": (0, rows),
    }
    return dashboards._style(
        hv.Overlay(layers),
        bokeh={
            **common,
            "width": frame[0] + margin,
            "height": frame[1] + _AROUND,
            "hooks": [partial(dashboards._set_frame, width=frame[0], height=frame[1])],
            "default_tools": ["save", "pan", "wheel_zoom", "reset"],
            "active_tools": [],
        },
        matplotlib={
            **common,
            "fig_inches": ((frame[0] + 80) / 80, (frame[1] + 80) / 80),
            "aspect": columns / rows,
        },
    )


@dataclass(frozen=True, eq=False)
class Explanation:
    """Attributions of n images.

    Attributes
    ----------
    values : np.ndarray
        float32 (n, height, width, channels, classes): how much each pixel moves the logit of each
        class away from its expected value. `shap.image_plot` wants a list with one array per
        class, `[values[..., k] for k in range(classes)]`; given this array, it sums over the
        classes without a word. Better draw with `attribution_plot`.
    expected_values : np.ndarray
        float32 (classes,): mean logits of the background.
    logits : np.ndarray
        float32 (n, classes): the scores before the softmax.
    additivity_error : float
        Largest |sum of values + expected value - logit| over images and classes, in logits.
        Rounding for method "deep"; for "gradient" an estimate of its sampling error.
    method : str
        "deep" or "gradient".
    seconds : float
        What it took.
    """

    values: np.ndarray
    expected_values: np.ndarray
    logits: np.ndarray
    additivity_error: float
    method: str
    seconds: float
