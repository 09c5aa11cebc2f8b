"""The same training on one device and on two, in processes of their own."""

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from course_utils import augmentation, profiles, training

BACKENDS = [
    "tensorflow",
    pytest.param(
        "jax",
        marks=pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="jax is not here"),
    ),
]
TRAINING = """
import json, os, sys
from course_utils import profiles

profiles.start("02")
profiles.start("02")  # a first cell may run twice

import keras
import numpy as np
from course_utils import augmentation, datasets, training

data = datasets.load_mnist(train_images=550, test_images=101)
batches = lambda images, labels, **settings: augmentation.Batches(
    images, labels, batch_size=100, normalize=augmentation.scale, **settings
)


class Interruption(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


def train(seed, dropout=0.0, callbacks=()):
    training.seed_everything(seed)
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Conv2D(4, 3, strides=2, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dropout(dropout),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    optimizer = keras.optimizers.Adam(0.005)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    # The last batch holds 50 images, so every batch has two equal parts.
    train = batches(data.x_train, data.y_train, shuffle=True, seed=seed)
    validation = batches(data.x_test[:100], data.y_test[:100])
    run = training.fit(
        model, train, name=f"02_dropout_{dropout}", epochs=2, validation=validation, seed=seed,
        callbacks=callbacks, progress=None,
    )
    return model, run


model, run = train(0)
found = {"losses": [run.history["val_loss"][-1]], "path": run.path.name}
found["read_back"] = train(0)[1].reused
if profiles.devices() > 1:  # the second seed is interrupted, and goes on below
    try:
        train(1, callbacks=[Interruption()])
    except KeyboardInterrupt:
        pass
Interruption.on_epoch_begin = lambda self, epoch, logs=None: None
found["losses"].append(train(1, callbacks=[Interruption()])[1].history["val_loss"][-1])
found["dropout"] = train(0, 0.5)[1].history["val_loss"][-1]
found["steps"] = int(model.optimizer.iterations)
found["rate"] = float(model.optimizer.learning_rate)
found["odd"] = training.predict(model, data.x_test, augmentation.scale).tolist()
found["one"] = training.predict(model, data.x_test[:1], augmentation.scale).tolist()
found["shards"] = SHARDS(model.layers[0].kernel.value)

# One step by hand, outside of fit.
weight, optimizer = keras.Variable(1.0), keras.optimizers.SGD(0.1)
optimizer.apply([keras.ops.convert_to_tensor(2.0)], [weight])
found["by_hand"] = float(weight)

os.environ["COURSE_DEVICES"] = "3"
try:
    profiles.start("02")
except RuntimeError as error:
    found["changed"] = str(error)
print(json.dumps(found))
"""
# How many devices hold the value of a variable.
SHARDS = {
    "tensorflow": "(lambda value: len(getattr(value, 'values', [value])))",
    "jax": "(lambda value: len(value.devices()))",
}


@pytest.fixture(scope="module", params=BACKENDS)
def trained(request, tmp_path_factory):
    """What the same script finds on one device and on two."""
    found = {}
    for count in (1, 2):
        done = subprocess.run(
            [sys.executable, "-c", TRAINING.replace("SHARDS", SHARDS[request.param])],
            env={
                **os.environ,
                "KERAS_BACKEND": request.param,
                "COURSE_DEVICES": str(count),
                "COURSE_OFFLINE": "1",
                "COURSE_RUNS_DIR": str(tmp_path_factory.mktemp("runs") / "runs"),
                "CUDA_VISIBLE_DEVICES": "-1",
            },
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        lines = done.stdout.splitlines()
        found[count] = json.loads(lines[-1]) | {"start": lines[0]}
    return found


def test_two_devices_give_what_one_gives(trained):
    # With equal parts and nothing random inside, only the order of additions differs. The second
    # seed was interrupted on two devices and went on.
    one, two = trained[1], trained[2]
    assert (one["shards"], two["shards"]) == (1, 2)
    assert two["start"].endswith(" · 2 devices") and "devices" not in one["start"]
    assert np.ptp(one["losses"]) > 0.01  # the spread of seeds, so that equality means something
    np.testing.assert_allclose(two["losses"], one["losses"], rtol=1e-4)


def test_dropout_changes_less_than_the_spread_of_seeds(trained):
    # On TensorFlow both devices drop the same units of their parts; on JAX nothing changes.
    one, two = trained[1], trained[2]
    assert abs(one["dropout"] - two["dropout"]) < np.ptp(one["losses"])


def test_a_run_is_read_back_on_as_many_devices_only(trained):
    assert trained[1]["read_back"] and trained[2]["read_back"]
    assert trained[2]["path"] != trained[1]["path"]


def test_numbers_of_images_that_two_do_not_divide_are_predicted(trained):
    assert np.shape(trained[2]["odd"]) == (101, 10)
    np.testing.assert_allclose(trained[2]["odd"], trained[1]["odd"], atol=1e-4)
    np.testing.assert_allclose(trained[2]["one"], trained[2]["odd"][:1], atol=1e-5)


def test_variables_and_steps_by_hand_are_as_on_one_device(trained):
    for found in trained.values():
        assert found["steps"] == 12
        assert found["rate"] == pytest.approx(0.005)
        assert found["by_hand"] == pytest.approx(0.8)


def test_a_changed_number_asks_for_a_restart(trained):
    for found in trained.values():
        assert "restart the kernel" in found["changed"]


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "²"])
def test_a_wrong_number_of_devices_is_named(monkeypatch, text):
    monkeypatch.setenv("COURSE_DEVICES", text)
    with pytest.raises(ValueError, match=f"COURSE_DEVICES is '{text}'.*whole number from 1 on"):
        profiles.devices()


def test_one_device_is_the_default(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICES", "")
    assert profiles.devices() == 1


def test_another_backend_names_those_that_work(monkeypatch):
    monkeypatch.setattr("keras.backend.backend", lambda: "torch")
    with pytest.raises(ValueError, match="Keras runs on torch.*tensorflow and jax"):
        profiles._train_on(2)


def test_too_few_gpus_are_counted(monkeypatch):
    tf = pytest.importorskip("tensorflow")
    monkeypatch.setattr("keras.backend.backend", lambda: "tensorflow")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["GPU:0"])
    with pytest.raises(ValueError, match="COURSE_DEVICES is 2, but this machine offers 1"):
        profiles._train_on(2)


@pytest.mark.parametrize("backend, images", [("tensorflow", 101), ("jax", 103)])
def test_a_batch_that_devices_cannot_share_is_named(monkeypatch, backend, images):
    monkeypatch.setenv("COURSE_DEVICES", "2")
    monkeypatch.setattr("keras.backend.backend", lambda: backend)
    batches = augmentation.Batches(
        np.zeros((images, 4, 4, 1), np.uint8), batch_size=100, normalize=augmentation.scale
    )
    with pytest.raises(ValueError, match=f"share a batch of {images - 100} among {images} images"):
        training.evaluate(None, batches)
