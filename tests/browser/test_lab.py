"""The course in JupyterLab, driven as a learner would."""

import ast
import re
import time

import jlab
import nbformat
import pages
import plots
import pytest
from playwright.sync_api import expect

from tools import pairing

SOURCES = {source.stem[:2]: source for source in pairing.sources()}
SET_UP = """
from course_utils import profiles
profile = profiles.start("02")
import pathlib, time
import keras
from keras import layers
from course_utils import augmentation, dashboards, datasets, training
dashboards.extension()
"""
# Small, but as slow as a large training: each batch waits a moment, until a file tells it to hurry.
# So the tests need not know how fast the computer is. Each epoch that ends is noted in a file. A
# file can also hold the training in the middle of its fourth epoch, and another tells that it is
# there: so an interrupt never comes while an epoch ends.
TRAINING = """
data = datasets.load_cifar10(train_images=200, test_images=20)
split = datasets.train_validation_split(
    data.x_train, data.y_train, validation_fraction=0.5, seed=0
)

class Unhurried(keras.callbacks.Callback):
    def __init__(self, name):
        super().__init__()
        self.name = name

    def on_train_batch_end(self, batch, logs=None):
        if not pathlib.Path(f"{self.name}.hurry").exists():
            time.sleep(0.2)
        hold = pathlib.Path(f"{self.name}.hold")
        while (self.epoch, batch) == (3, 4) and hold.exists():
            pathlib.Path(f"{self.name}.held").touch()
            time.sleep(0.1)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        with open(f"{self.name}.epochs", "a") as file:
            print(epoch + 1, file=file)

def train(name, *, epochs):
    training.seed_everything(0)
    network = [keras.Input((32, 32, 3)), layers.Flatten(), layers.Dropout(0.2)]
    model = keras.Sequential([*network, layers.Dense(10, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    scaled = {"batch_size": 10, "normalize": augmentation.scale}
    return training.fit(
        model,
        augmentation.Batches(split.x_train, split.y_train, shuffle=True, **scaled),
        name=name,
        epochs=epochs,
        validation=augmentation.Batches(split.x_validation, split.y_validation, **scaled),
        callbacks=[Unhurried(name)],
    )
"""


# One with grids of images and SHAP's own pictures stands for all, but for once a week.
@pytest.mark.parametrize("stem", pages.of_all("07"))
def test_a_notebook_runs_and_draws_every_plot(stem, lab, visit, shoot):
    with lab.notebook(visit.page, f"{stem}.ipynb") as notebook:
        notebook.run_all()
        cells = notebook.cells()
        assert jlab.errors(cells) == []
        unrun = [
            index
            for index, cell in enumerate(cells)
            if cell["cell_type"] == "code" and cell["source"] and not cell["execution_count"]
        ]
        assert unrun == []

        promised = [(i, name) for i, cell in enumerate(cells) for name in jlab.plot_names(cell)]
        assert promised, "the notebook shows no plot at all"
        for number, (index, name) in enumerate(promised, start=1):
            notebook.scroll_to(index)
            place = visit.page.locator(f"#{name}")
            figures = plots.wait_until_drawn(place)
            shoot(f"lab {stem} plot {number:02d} {figures[0].title}")
            too_wide = place.evaluate(
                "(e) => { const output = e.closest('.jp-OutputArea-output'); "
                "return output.scrollWidth - output.clientWidth; }"
            )
            assert too_wide <= 0, f"{figures[0].title!r} is cut by {too_wide} pixels on a laptop"
    visit.assert_undisturbed()


def test_a_training_updates_its_plot_and_leaves_one(lab, visit, shoot):
    epochs = 60  # more than anybody waits for; the test ends the waiting
    name = lab.write("live", [SET_UP, TRAINING, f'run = train("live", epochs={epochs})'])
    with lab.notebook(visit.page, name) as notebook:
        notebook.run_cell(0)
        notebook.run_cell(1)
        notebook.watch_pictures(2)
        notebook.start_cell(2)
        visit.page.wait_for_function("window.coursePictures.size >= 2", timeout=120_000)
        shoot("lab live training second picture")
        visit.page.wait_for_function("window.coursePictures.size >= 5", timeout=120_000)
        shoot("lab live training fifth picture")
        assert notebook.busy(), "the training had ended before its plot changed five times"
        # A picture of the end of an epoch names no batch, so one such moment proves nothing.
        title = re.compile(r"epoch \d+/60 · batch \d+/10 .* about \d+ s left")
        outputs = notebook.cell(2).locator(".jp-OutputArea")
        expect(outputs).to_contain_text(title, timeout=60_000, use_inner_text=True)

        (lab.folder / "live.hurry").touch()
        notebook.wait()
        cells = notebook.cells()
        assert jlab.errors(cells) == []
        assert len(cells[2]["outputs"]) == 1, "more than one display is left"
        (place,) = jlab.plot_names(cells[2])
        plots.wait_until_drawn(visit.page.locator(f"#{place}"))
        shoot("lab live training final plot")
        assert notebook.seen(2).count(f"epoch {epochs}/{epochs}") == 1
        assert notebook.cell(2).locator(".jp-OutputArea img").count() == 0
    visit.assert_undisturbed()


def test_an_interrupted_training_goes_on_where_it_stopped(lab, visit, shoot):
    epochs = 8
    cells = [
        SET_UP,
        TRAINING,
        f'run = train("stopped", epochs={epochs})',
        f'pathlib.Path("whole.hurry").touch(); whole = train("whole", epochs={epochs})',
        "print(run.history == whole.history, len(run.history['loss']))",
    ]
    noted, hold, held = (lab.folder / f"stopped.{name}" for name in ("epochs", "hold", "held"))
    hold.touch()
    with lab.notebook(visit.page, lab.write("interrupted", cells)) as notebook:
        notebook.run_cell(0)
        notebook.run_cell(1)
        notebook.start_cell(2)
        deadline = time.monotonic() + 120
        while not held.exists():
            assert time.monotonic() < deadline, "no three epochs in two minutes"
            visit.page.wait_for_timeout(100)
        assert notebook.busy()
        notebook.interrupt()
        notebook.wait()
        hold.unlink()
        assert [line.split(": ")[1] for line in jlab.errors(notebook.cells())] == [
            "KeyboardInterrupt"
        ]
        assert (
            f"Interrupted in epoch 4 of {epochs}: 3 epochs are kept; run this cell again to go on."
            in notebook.text(2)
        )
        shoot("lab interrupted training says what is kept")

        notebook.run_cell(2)
        assert jlab.errors(notebook.cells()) == []
        # Nothing that was finished is trained again, and nothing is left out.
        assert noted.read_text().split() == [str(epoch) for epoch in range(1, epochs + 1)]
        shoot("lab interrupted training has gone on")

        notebook.run_cell(3)
        notebook.run_cell(4)
        assert notebook.text(4).split() == ["True", str(epochs)]
    visit.assert_undisturbed()


def test_an_exercise_is_answered_wrong_hinted_and_answered_right(lab, visit, shoot):
    written = [
        cell.source
        for cell in nbformat.read(lab.folder / "02_baseline.ipynb", as_version=4).cells
        if cell.cell_type == "code"
    ]
    table = next(i for i, source in enumerate(written) if "simple_table = " in source)
    asked = next(i for i, source in enumerate(written) if 'exercises.check("02.1"' in source)
    cells = [*written[: table + 1], written[asked]]
    last = len(cells) - 1
    exercise = pairing.exercise_data(SOURCES["02"])["exercises"]["02.1"]
    with lab.notebook(visit.page, lab.write("exercise", cells)) as notebook:
        notebook.run_all()
        assert jlab.errors(notebook.cells()) == []
        assert "Not answered yet" in notebook.seen(last)

        # The network without padding, as the notebook has it: a typical mistake.
        wrong = cells[last].replace("...", 'int(simple_table["parameters"].sum())')
        said = []
        for attempt in ("first", "second"):
            notebook.type_into(last, wrong)
            notebook.run_cell(last)
            assert "Exercise 02.1: Not yet." in notebook.seen(last)
            said.append(re.search("Hint: (.+)", notebook.text(last))[1])
            shoot(f"lab exercise {attempt} wrong answer and hint")
        texts = {
            node.value for node in ast.walk(ast.parse(exercise["rule"]))
            if isinstance(node, ast.Constant)
        }  # fmt: skip
        assert said[0] != said[1]
        assert set(said) <= texts, "a hint that is not in the rule"
        kind = re.search(r"Not yet\. (.+?)\.", notebook.text(last))[1]
        assert kind[0].lower() + kind[1:] in texts, "the kind of mistake is not named"

        notebook.type_into(last, exercise["solution"])
        notebook.run_cell(last)
        assert "Exercise 02.1: Right." in notebook.seen(last)
        shoot("lab exercise right answer")
    visit.assert_undisturbed()


def test_the_quiz_is_answered_by_clicks(lab, visit, shoot):
    cells = ["from course_utils import exercises", 'exercises.quiz("02")']
    with lab.notebook(visit.page, lab.write("quiz", cells)) as notebook:
        notebook.run_all()
        pages.answer_quiz(notebook.cell(1).locator(".course-quiz"), "02")
        shoot("lab quiz answered right")
    visit.assert_undisturbed()
