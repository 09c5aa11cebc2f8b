"""Notebooks on the backends of Keras that the course does not choose by itself."""

import importlib.util
import json
import subprocess
import sys
from importlib.metadata import version

import pytest

from course_utils import profiles
from tools import pairing, versions

BACKENDS = ("jax", "torch")
NUMBERS = ("02", "03", "04", "05", "08", "09")


def beginning(source, folder, *, before):
    """Write the cells of a notebook up to a heading, and return the new file."""
    start, heading, _ = source.read_text(encoding="utf-8").partition(f"# ## {before}")
    assert heading, f"{source.name} has no section {before!r}"
    target = folder / source.name
    target.write_text(start.rpartition("# %%")[0], encoding="utf-8")
    return target


def needs(backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not in this environment: `pip install {backend}` to try it")


@pytest.mark.parametrize("backend", BACKENDS)
def test_notebooks_run_on_another_backend(backend, row, trials, monkeypatch, tmp_path):
    needs(backend)
    monkeypatch.setenv("KERAS_BACKEND", backend)
    sources = [source for source in pairing.sources() if source.stem[:2] in NUMBERS]
    # A training with a model, a loss and a schedule of its own takes a third of a minute.
    few = [beginning(sources[-1], tmp_path, before="Half the bits")]
    ran, lost = versions.run_notebooks(trials(full=sources, few=few))
    row("versions").conclude(
        f"backend_{backend}",
        f"notebooks {', '.join(NUMBERS)} in smoke on the backend {backend} {version(backend)}",
        tried=ran,
        lost=lost,
    )


RATES = """
import json
import keras, numpy as np
from course_utils import augmentation, training


class OneStep(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.steps = []

    def on_train_batch_begin(self, batch, logs=None):
        self.steps.append(int(self.model.optimizer.iterations))
        self.model.optimizer.learning_rate = 0.0 if self.steps[-1] else 0.5


def train(count):
    training.seed_everything(0)
    model = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten()])
    model.add(keras.layers.Dense(2, activation="softmax"))
    model.compile("sgd", "sparse_categorical_crossentropy")
    images = np.arange(4 * count, dtype=np.uint8).reshape(count, 2, 2, 1)
    batches = augmentation.Batches(
        images, np.arange(count) % 2, batch_size=2, normalize=augmentation.scale
    )
    follows = OneStep()
    training.fit(
        model, batches, name=f"02_{count}", epochs=1, callbacks=[follows], progress=None
    )
    return model.layers[-1].get_weights()[0], follows.steps


(one, _), (four, steps) = train(2), train(8)
print(json.dumps([steps, float(np.abs(four - one).max())]))
"""


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_a_callback_sets_before_a_step_counts_in_it(backend, monkeypatch):
    needs(backend)
    monkeypatch.setenv("KERAS_BACKEND", backend)
    done = subprocess.run(
        [sys.executable, "-c", RATES], check=True, stdout=subprocess.PIPE, text=True
    )
    steps, further = json.loads(done.stdout.splitlines()[-1])
    assert steps == [0, 1, 2, 3]
    assert further == 0


def test_the_device_has_a_name_where_keras_lists_none(monkeypatch):
    def as_on_torch(kind=None):
        raise AttributeError("'NoneType' object has no attribute 'list_devices'")

    monkeypatch.setattr("keras.distribution.list_devices", as_on_torch)
    monkeypatch.setattr("keras.backend.backend", lambda: "torch")
    assert "cpu" in profiles.first_device().lower()
