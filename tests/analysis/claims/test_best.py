"""The best variant of a side: chosen on seeds of its own, at every schedule, or said to be flattered."""

import random

import pytest

from scs_study.analysis.claims.missing import missing
from scs_study.analysis.claims.table import comparison_frame
from tests.analysis.claims.planted_claims import EPOCHS, RELU, attack, judged, planted, write
from tests.analysis.run_folders import cell


def test_the_best_variant_is_chosen_on_seeds_of_its_own(tmp_path):
    best = {"side": "a", "over": {"pooling": ["max", "maxabs"]}, "seeds": [10, 11], "metric": "accuracy"}
    planted(tmp_path, 6, 0.05)
    write(tmp_path, dict.fromkeys(range(6), 0.9), pooling="maxabs")
    flattered = judged(tmp_path, test={"best": best})
    assert flattered.word == "preliminary: leans yes"
    assert flattered.mean == pytest.approx(20, abs=2)
    assert "flatters" in comparison_frame([flattered])["notes"][0]
    write(tmp_path, {10: 0.8, 11: 0.8})
    write(tmp_path, {10: 0.6, 11: 0.6}, pooling="maxabs")
    chosen = judged(tmp_path, test={"best": best})
    assert chosen.word == "supported"
    assert chosen.mean == pytest.approx(5, abs=0.6), "on the seeds of the choice the other pool was better"


@pytest.mark.parametrize("first", [(), range(1)])
def test_below_the_full_schedule_too_the_choice_is_on_seeds_that_judge_nothing(tmp_path, first):
    """On the seeds that judge, max abs is 20 points better; on those of the choice max is, and max differs by 5."""
    best = {"side": "a", "over": {"pooling": ["max", "maxabs"]}, "seeds": [10, 11], "metric": "accuracy"}
    planted(tmp_path, 6, 0.05, epochs=20)
    write(tmp_path, dict.fromkeys(range(6), 0.9), epochs=20, pooling="maxabs")
    write(tmp_path, {10: 0.8, 11: 0.8}, epochs=20)
    write(tmp_path, {10: 0.8, 11: 0.8}, epochs=20, activation="none")
    one_short = judged(tmp_path, test={"best": best})
    assert "flatters" in comparison_frame([one_short])["notes"][0], "one candidate lacks the seeds of the choice"
    write(tmp_path, {10: 0.6, 11: 0.6}, epochs=20, pooling="maxabs")
    write(tmp_path, dict.fromkeys(first, 0.9), pooling="maxabs")
    write(tmp_path, dict.fromkeys(first, 0.7))
    chosen = judged(tmp_path, test={"best": best})
    assert chosen.word == "preliminary: leans yes"
    assert chosen.mean == pytest.approx(5, abs=0.6)
    assert chosen.parts[0].seeds == tuple(range(6))
    assert "seeds 10, 11 at 20 of 60 epochs: conv relu max" in comparison_frame([chosen])["notes"][0]
    assert "4 runs" not in missing(chosen)
    assert "10, 11" in missing(chosen), "at the full schedule it is still to be chosen"


@pytest.mark.parametrize(("best", "finding"), [(0.05, "no"), (0.0, "yes")])
def test_a_planted_best_at_a_short_schedule_is_found_and_none_is_made_up(tmp_path, best, finding):
    """Claim 1's rule: the best of four must not be a point better. With equal ones, noise alone must not choose."""
    draw, bound = random.Random(5), {"rule": "at_most", "bound": 1.0, "why": "w"}
    over = {"activation": ["none", "relu"], "pooling": ["max", "maxabs"]}
    seeds = [*range(6), 10, 11]
    for activation in over["activation"]:
        for pooling in over["pooling"]:
            gain = best if (activation, pooling) == ("none", "maxabs") else 0.0
            accuracies = {seed: 0.7 + gain + draw.gauss(0, 0.002) for seed in seeds}
            write(tmp_path, accuracies, epochs=20, layer="scs", activation=activation, pooling=pooling)
    write(tmp_path, {seed: 0.7 + draw.gauss(0, 0.002) for seed in range(6)}, epochs=20)
    choice = {"side": "a", "over": over, "seeds": [10, 11], "metric": "accuracy"}
    verdict = judged(tmp_path, test={**bound, "a": {"layer": "scs"}, "b": RELU, "best": choice})
    assert (verdict.finding, verdict.decided) == (finding, False)
    assert verdict.mean == pytest.approx(100 * best, abs=0.4)
    if best:
        assert verdict.parts[0].environment.a[0].words == "scs none maxabs"


def test_no_variant_is_the_best_until_it_has_been_measured(tmp_path):
    best = {"side": "a", "over": {"pooling": ["max", "maxabs"]}, "seeds": [10, 11], "metric": "pgd_accuracy"}
    planted(tmp_path, 6, 0.0)
    for seed in range(6):
        for activation, falls in (("relu", 40), ("none", 80 + seed)):
            folder = tmp_path / cell(seed=seed, activation=activation, train__epochs=EPOCHS).run_name
            attack(folder, [0] * falls + [-1] * (200 - falls), [True] * 200)
    for pooling in ("max", "maxabs"):
        write(tmp_path, {10: 0.8, 11: 0.8}, pooling=pooling)
    verdict = judged(tmp_path, test={"metric": "pgd_accuracy", "eps": 1, "best": best})
    assert verdict.word == "no runs yet"
    assert "best variant" in missing(verdict)
