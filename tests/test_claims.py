"""Claims: made-up records turn each verdict around; the real ones must bear out what is said."""

import json
from functools import partial

import pytest
from made_up import judged, notes, runs, store, store_race

from tools import claims, results

NAMES = {claim.name: claim for claim in claims.CLAIMS}
LOW, HIGH = [0.60, 0.61, 0.62], [0.70, 0.71, 0.725]


def of_two(first, second):
    """Records in which the first experiment is above the second, or below."""
    return lambda holds: [*runs(first, HIGH if holds else LOW), *runs(second, [0.65] * 3)]


def leak(holds):
    leaky = judged("01_leaky", LOW if holds else HIGH)
    honest = runs("01_honest", LOW) + judged("01_honest", [0.59, 0.62, 0.62])
    return [*runs("01_leaky", [0.65] * 3), *leaky, *honest]


def gap(holds):
    # A lower validation accuracy is a larger gap: training images have 0.9 in both.
    return of_two("03_simple_dropout", "03_simple")(holds)


def relay(holds, name="relay"):
    """All four are ranked alike, unless the last two swap places."""
    ranked = dict(zip(claims.FOUR, (0.8, 0.7, 0.6, 0.5), strict=True))
    swapped = ranked | {"Adagrad": 0.7, "Adadelta": 0.7, "Adam": 0.9} if holds else ranked
    return [
        run
        for study, values in (("race", ranked), (name, swapped))
        for optimizer, value in values.items()
        for run in runs(f"05_{study}_{optimizer}", [value, value + 0.01, value + 0.02])
    ]


def ranking(holds):
    return [
        *judged("06_hinge_L1", [0.90, 0.90, 0.90]),
        *judged("06_logistic_L2", [0.92, 0.92, 0.92]),
        *judged("06_dense", [0.97, 0.98, 0.98] if holds else [0.91, 0.91, 0.91]),
        *judged("06_CNN", [0.993, 0.994, 0.995]),
    ]


def dense_dropout(holds):
    above = of_two("06_dense+dropout", "06_dense")(holds)
    return (
        above + judged("06_dense+dropout", HIGH if holds else LOW) + judged("06_dense", [0.65] * 3)
    )


def lucky(holds):
    highest = [0.988, 0.989, 0.990] if holds else [0.980, 0.980, 0.980]
    common = {"inference": [0.992] * 3, "passes": [10.0] * 3}
    return notes("06_lucky", mean=[0.980, 0.980, 0.980], highest=highest, **common)


def spreads(holds):
    wide, narrow = [0.60, 0.65, 0.70], [0.649, 0.650, 0.651]
    one_cycle, constant = (narrow, wide) if holds else (wide, narrow)
    return [*runs("04_one_cycle", one_cycle), *runs("04_constant_chosen", constant)]


def maps(holds):
    sign = [0.05, 0.06, 0.07] if holds else [0.25, 0.26, 0.27]
    return [
        *notes("07_randomized", size=[0.40, 0.41, 0.42], sign=sign),
        *notes("07_random_pair", size=[0.38], sign=[0.02]),
    ]


# What to put on record, so that a claim holds or does not.
MADE_UP = {
    "leak": leak,
    "gap": gap,
    "dropout": of_two("03_simple_dropout", "03_simple"),
    "batch_norm": of_two("03_study_batch_norm", "03_study_none"),
    "one_cycle": of_two("04_one_cycle", "04_constant_0.001"),
    "one_cycle_chosen": of_two("04_one_cycle", "04_constant_chosen"),
    "steadier": spreads,
    "climbing": of_two("04_one_cycle", "04_descent_only"),
    "relay": relay,
    "relay_reversed": partial(relay, name="reversed"),
    "ranking": ranking,
    "dense_dropout": dense_dropout,
    "lucky": lucky,
    "maps": maps,
    "augmentation": of_two("08_augmented", "08_plain"),
}


def judged_now(claim):
    return claim.judge(results.on_record())


def page():
    return claims.claims_list(results.on_record())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_RESULTS_DIR", str(tmp_path))
    return tmp_path


# --- The real records -----------------------------------------------------------------------------


@pytest.mark.parametrize("claim", claims.CLAIMS, ids=NAMES)
def test_the_records_bear_out_what_the_course_says(claim):
    verdict = judged_now(claim)
    if verdict is None:
        pytest.skip(claims.why_open(claim))
    heading = claims.HOLDS if verdict.holds else claims.FAILS
    (section,) = (part for part in page().split("### ") if claim.statement in part)
    assert section.startswith(f"{heading}\n")
    assert verdict.numbers in section
    assert claim.expected in (None, verdict.holds), (
        f"notebook {claim.notebook} takes for granted that {claim.expected} is the answer to "
        f"“{claim.statement}”, but: {verdict.numbers}. Change its words, and `expected`."
    )


# --- Made-up records ------------------------------------------------------------------------------


def test_every_claim_has_made_up_records_for_both_verdicts():
    assert MADE_UP.keys() == {claim.name for claim in claims.CLAIMS if claim.notebook != "race"}
    assert len(NAMES) == len(claims.CLAIMS)


@pytest.mark.parametrize("holds", [True, False])
@pytest.mark.parametrize("name", MADE_UP)
def test_the_numbers_decide(name, holds, folder):
    claim = NAMES[name]
    store(folder, f"{claim.notebook}_topic", MADE_UP[name](holds))
    assert judged_now(claim).holds == holds
    (said,) = (line for line in page().splitlines() if judged_now(claim).numbers in line)
    assert claim.statement in said
    assert page().startswith(f"### {claims.HOLDS if holds else claims.FAILS}\n")


@pytest.mark.parametrize("name", MADE_UP)
def test_without_records_nothing_is_judged(name, folder):
    claim = NAMES[name]
    assert judged_now(claim) is None
    assert claims.why_open(claim) == f"not recorded yet: `make record NB={claim.notebook}`"
    store(folder, f"{claim.notebook}_topic", MADE_UP[name](True), stale="changed")
    assert judged_now(claim) is None
    assert "before its experiments changed: `make record" in claims.why_open(claim)
    store(folder, f"{claim.notebook}_topic", MADE_UP[name](True)[:1])
    assert judged_now(claim) is None
    assert "too little of it: `make record" in claims.why_open(claim)


def test_a_difference_that_seeds_contradict_does_not_hold(folder):
    entries = [*runs("08_augmented", [0.5, 0.9, 0.7]), *runs("08_plain", [0.7, 0.6, 0.65])]
    store(folder, "08_topic", entries)
    verdict = judged_now(NAMES["augmentation"])
    assert not verdict.holds
    assert "+5.00 points (95 % interval -5" in verdict.numbers


def test_other_lengths_are_no_evidence(folder):
    entries = [*runs("04_one_cycle", HIGH, epochs=3), *runs("04_constant_0.001", LOW)]
    store(folder, "04_topic", entries)
    verdict = judged_now(NAMES["one_cycle"])
    assert not verdict.holds
    assert "after [1350] and [900] steps" in verdict.numbers


def test_a_paired_difference_has_students_interval():
    difference = claims.paired({0: 0.51, 1: 0.52, 2: 0.53, 7: 0.0}, {0: 0.5, 1: 0.5, 2: 0.5})
    assert (difference.mean, difference.seeds) == (pytest.approx(2.0), 3)
    assert difference.high - 2.0 == pytest.approx(4.3027 / 3**0.5, abs=1e-3)
    assert difference.low + difference.high == pytest.approx(4.0)


def test_a_relay_within_the_spread_swaps_nobody(folder):
    noisy = {"Adagrad": [0.7, 0.6, 0.59], "Adadelta": [0.6, 0.7, 0.61]}
    entries = [
        run
        for run in relay(False)
        if run["name"][:-6] not in ("05_relay_Adagrad", "05_relay_Adadelta")
    ]
    entries += [run for name, values in noisy.items() for run in runs(f"05_relay_{name}", values)]
    store(folder, "05_topic", entries)
    assert not judged_now(NAMES["relay"]).holds


def test_the_race_reaches_its_goals_as_its_table_says(folder):
    store_race(folder, _90=[0.9025, 0.9010], mnist=[0.9970, 0.9950])
    verdicts = {
        title: judged_now(NAMES[title.replace(" ", "_")]) for title in results.RACE.values()
    }
    assert verdicts["race to 90 %"].holds
    assert verdicts["race on MNIST"] == (
        False, "goal 99.62 %; test accuracy 99.60 (0.00 to 99.99), seeds: 2",
    )  # fmt: skip
    assert verdicts["race to 94 %"] is None
    assert "make race" in claims.why_open(NAMES["race_to_94_%"])


@pytest.mark.parametrize(
    ("accuracy", "theirs", "holds"),
    [
        (0.941, (4.0, 4.9), True),
        (0.941, (5.0, 4.0), False),  # no slower is not faster, and one of theirs is enough
        (0.939, (4.0, 4.9), False),  # fast, but the goal is not reached
    ],
)
def test_a_race_against_airbench94_needs_the_goal_and_both_of_its_times(
    accuracy, theirs, holds, folder
):
    store_race(folder, _94=[accuracy] * 3, airbench94={"float32": theirs})
    verdict = judged_now(NAMES["airbench94_float32"])
    assert verdict.holds == holds
    faster = "SGD" if theirs[0] > theirs[1] else "Muon"
    assert verdict.numbers.startswith(
        f"race to 94 % (in float32): 100 s, 5.0 times less than S4's; airbench94, {faster}"
    )
    assert judged_now(NAMES["airbench94_bfloat16"]) is None  # nobody timed it


def test_times_without_s4s_beside_them_are_not_compared(folder):
    store_race(folder, _94=[0.941], airbench94={"float32": (4.0, 4.9)})
    content = json.loads((folder / "race.json").read_text(encoding="utf-8"))
    for row in content["table"]:
        row["times less than S4"] = ""
    (folder / "race.json").write_text(json.dumps(content), encoding="utf-8")
    assert judged_now(NAMES["airbench94_float32"]) is None
