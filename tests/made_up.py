"""Small made-up records, for tests of what reads records."""

import json

from tools import results

STAMPS = {
    "hardware": {"processor": "A processor", "cores": 2},
    "versions": {"python": "3.11.0", "keras": "3.15.0"},
    "recorded": "2020-01-02",
}


def runs(name, accuracies, **changes):
    """Return a run of two epochs for each seed, with these validation accuracies at its end."""
    return [
        {
            "name": f"{name}_seed{seed}",
            "seed": seed,
            "epochs": 2,
            "history": {
                "loss": [2.0, 1.0],
                "val_accuracy": [0.1, accuracy],
                "inference_accuracy": [0.2, 0.9],
            },
            "seconds": 60.0 + seed,
            "train_images": 45_000,
            "validation_images": 5_000,
            "batch_size": 100,
            "parameters": 1234,
            "optimizer": {"name": "adam", "learning_rate": 0.001},
        }
        | changes
        for seed, accuracy in enumerate(accuracies)
    ]


def judged(name, accuracies):
    """Return a test figure for each seed."""
    return [
        {
            "name": f"{name}_seed{seed}",
            "seed": seed,
            "correct": round(10_000 * accuracy),
            "images": 10_000,
            "accuracy": accuracy,
            "interval": [round(accuracy - 0.01, 4), round(accuracy + 0.01, 4)],
        }
        for seed, accuracy in enumerate(accuracies)
    ]


def notes(name, **figures):
    """Return a note for each seed; each figure is a list of its values."""
    return [
        {"name": name, "seed": seed, "figures": dict(zip(figures, values, strict=True))}
        for seed, values in enumerate(zip(*figures.values(), strict=True))
    ]


def store(folder, stem, entries=(), **changes):
    """Write a record of a full run that holds these runs, test figures and notes."""
    content = {
        "notebook": stem,
        "profile": "full",
        **STAMPS,
        "runs": [entry for entry in entries if "history" in entry],
        "tests": [entry for entry in entries if "correct" in entry],
        "notes": [entry for entry in entries if "figures" in entry],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}.json").write_text(json.dumps(content | changes), encoding="utf-8")


def store_race(folder, *, airbench94=None, **accuracies):
    """Write a race with these rows, by key, each with an accuracy for each seed.

    `airbench94` says how many times less than S4's recipe it takes in each number format, with
    either optimizer; ours take five times less.
    """
    goals = {"90": "90.0 %", "94": "94.0 %", "mnist": "99.62 %", "own": "90.0 %"}
    measurements, table = [], []
    for key, values in accuracies.items():
        key = key.removeprefix("_")
        for seed, accuracy in enumerate(values):
            measurements.append(
                STAMPS
                | {"row": key, "seed": seed, "epochs": 6, "batch_size": 1000, "seconds": 100.0}
                | {"parameters": 99, "number_format": "float32"}
                | {"correct": round(10_000 * accuracy), "test_images": 10_000}
            )
        goal = goals[key].split()[0]
        shown = f"{100 * sum(values) / len(values):.2f} (0.00 to 99.99)"
        table.append(
            {"recipe": results.RACE[key], "goal": goals[key], "seeds": len(values)}
            | {"test accuracy": shown, "six views": "", "seconds": 100, "times less than S4": 5.0}
            | {"reached": "yes" if 100 * sum(values) / len(values) >= float(goal) else "no"}
        )
    for number_format, times in (airbench94 or {}).items():
        for optimizer, factor in zip(("SGD", "Muon"), times, strict=True):
            name = f"airbench94, {optimizer}, PyTorch, {number_format}"
            timed = {"seconds": round(500 / factor), "times less than S4": factor}
            table.append({"recipe": name, "goal": "", "reached": "not tested"} | timed)
    folder.mkdir(parents=True, exist_ok=True)
    content = {"measurements": measurements, "table": table}
    (folder / "race.json").write_text(json.dumps(content), encoding="utf-8")
