"""A file of claims is checked like any config: a wrong entry is refused in one sentence that names it."""

import copy
from pathlib import Path

import pytest

from scs_study.analysis.claims.cells import choices_of, environments
from scs_study.analysis.claims.load import chosen_claims, claim_file, load_claims
from scs_study.analysis.claims.schema import METRICS, RULES
from scs_study.analysis.headtohead.verdict import DELTA
from scs_study.experiments.compose import PROJECT

CLAIM = {
    "id": 7,
    "name": "conv_needs_relu",
    "source": "paper",
    "section": "4.1",
    "sentence": "A convolution needs ReLU.",
    "paper": "+7.3 points",
    "overall": "always",
    "n": 3,
    "tests": [
        {
            "metric": "accuracy",
            "rule": "superior_by",
            "where": ["small"],
            "a": {"layer": "conv", "activation": "relu", "pooling": "max"},
            "b": {"layer": "conv", "activation": "none", "pooling": "max"},
        }
    ],
}
FILE = {
    "title": "A paper",
    "base": {"data": "digits", "train": "paper"},
    "chance": 10.0,
    "margins": {name: {"delta": delta, "why": "made up"} for name, delta in (("accuracy", 1.0), ("dead", 2.0))},
    "images": 1000,
    "attacks": {"square": 5000},
    "choices": {"init": {"uniform weights": {"init": "uniform"}}},
    "families": {"G1": "a family"},
    "environments": {"small": [{"arch": "rohrer25k"}]},
    "claims": [CLAIM],
}


def changed(path: str, value: object) -> dict:
    """FILE with one value replaced: a dotted path, numbers for places in lists."""
    values = copy.deepcopy(FILE)
    *way, last = path.split(".")
    here = values
    for step in way:
        here = here[int(step)] if isinstance(here, list) else here[step]
    if value is KeyError:
        del here[last]
    else:
        here[last] = value
    return values


def test_the_claims_of_the_paper_are_sound_and_every_cell_of_them_can_be_composed():
    file = load_claims()
    assert [claim.id for claim in file.claims] == list(range(1, 40))
    for claim in file.claims:
        for test in claim.tests:
            assert environments(file, test)
            for _, choice in choices_of(file, claim):
                environments(file, test, choice)


def test_every_claim_with_a_margin_takes_it_from_the_protocol_unless_it_says_its_own():
    deltas = {t.metric.name: t.delta for c in load_claims().claims for t in c.tests if t.rule == "superior_by"}
    assert deltas["accuracy"] == 1.0
    assert deltas["gini"] == 0.02
    assert deltas["worst_accuracy"] == 2.0


def test_enough_seeds_for_what_is_to_be_shown():
    for claim in load_claims().claims:
        if claim.gated and claim.tests:
            rules = {test.rule for test in claim.tests}
            least = 8 if rules & {"equivalent", "noninferior"} else 3 if rules == {"plateau"} else 6
            assert claim.n >= least, claim.id


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("claims.0.tests.0.metric", "acuracy", "claim 7, test 1: metric=acuracy: not known .did you mean accuracy"),
        ("claims.0.tests.0.rule", "better", "claim 7, test 1: rule=better: not known"),
        ("claims.0.tests.0.where", ["tiny"], "claim 7, test 1: where=tiny: not known"),
        ("claims.0.tests.0.where", [], "name at least one environment"),
        ("claims.0.tests.0.a", {"layr": "conv"}, "claim 7, test 1: a=layr: not known .did you mean layer"),
        ("claims.0.tests.0.a", [], "name at least one cell"),
        ("claims.0.tests.0.delta", 2.0, "claim 7, test 1: delta=2.0: say why"),
        ("claims.0.tests.0.why", "as I like", "claim 7, test 1: why=...: it gives the reason for a delta"),
        ("margins.accuracy.delta", 0, "margins.accuracy.delta=0: must be above 0"),
        ("margins.accuracy.why", " ", "margins.accuracy.why: ' ': must be a text"),
        ("margins.accuracy.why", KeyError, "margins.accuracy: why not set"),
        ("margins.accuracy", KeyError, "claim 7, test 1: margins has no accuracy: say which difference of it matters"),
        ("margins.acuracy", {"delta": 1, "why": "w"}, "margins=acuracy: not known .did you mean accuracy"),
        ("margins.dead", KeyError, "margins: dead not set: how far above chance"),
        ("claims.0.tests.0.rule", "at_least", "rule at_least needs a bound"),
        ("claims.0.tests.0.rule", "dead", "rule dead looks at a alone"),
        ("claims.0.tests.0.metric", "worst_accuracy", "eps is for pgd_accuracy and worst_accuracy, which need one"),
        ("claims.0.tests.0.metric", "map_similarity", "map_similarity is between two cells"),
        ("claims.0.overall", "often", "claim 7: overall=often: not known"),
        ("claims.0.overall", "some", "overall=some needs fresh seeds"),
        ("claims.0.n", 0, "claim 7: n=0: must be at least 1"),
        ("claims.0.family", "G9", "claim 7: family=G9: not known"),
        ("claims.0.choices", ["weather"], "claim 7: choices=weather: not known"),
        ("claims.0.sentence", " ", "claim 7: sentence: ' ': must be a text"),
        ("claims.0.sentence", KeyError, "claim 7: sentence not set"),
        ("claims.0.sentense", "x", "claim 7: key=sentense: not known"),
        ("claims.0.tests", [], "claim 7: it has no tests; say what it awaits"),
        ("claims", [CLAIM, CLAIM], "another claim has the id 7"),
        ("claims", {}, "claims: .*must be a list"),
        ("images", 0, "images=0: must be at least 1"),
    ],
)
def test_a_wrong_entry_is_refused_in_one_sentence(path, value, sentence):
    with pytest.raises(ValueError, match=sentence) as refused:
        claim_file(changed(path, value))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [({"delta": -1}, "delta=-1: must be a number of at least 0"), ({"bounds": [2, 1]}, "low must be below high")],
)
def test_a_margin_that_cannot_be_is_refused(numbers, sentence):
    values = changed("claims.0.tests.0.why", "because")
    values["claims"][0]["tests"][0] |= numbers
    with pytest.raises(ValueError, match=sentence):
        claim_file(values)


def test_every_margin_says_where_it_comes_from():
    file = load_claims()
    assert all(margin.why for margin in (*file.margins.values(), file.dead_margin))
    assert all(test.why for claim in file.claims for test in claim.tests if test.rule != "identity")
    assert file.margins["accuracy"].delta == DELTA, "head to head goes by the same one"


def test_a_cell_that_cannot_be_is_refused_when_it_is_composed():
    file = claim_file(changed("claims.0.tests.0.a", {"layer": "convolution"}))
    with pytest.raises(ValueError, match="layer=convolution: not known"):
        environments(file, file.claims[0].tests[0])


def test_scs_and_sharpened_sdp_are_judged_from_equal_starts_of_p_alone():
    sdp = {"layer": "sdp", "activation": "none", "pooling": "max"}
    values = changed("claims.0.tests.0.a", {**sdp, "layer": "scs"})
    values["claims"][0]["tests"][0]["b"] = sdp
    file = claim_file(values)
    with pytest.raises(ValueError, match=r"from different starts of p: set layer\.p_init for both"):
        environments(file, file.claims[0].tests[0])
    values["claims"][0]["tests"][0]["a"]["layer.p_init"] = [1.0, 1.0]
    file = claim_file(values)
    assert environments(file, file.claims[0].tests[0])


def test_what_is_no_yaml_is_refused_with_its_line(tmp_path: Path):
    path = tmp_path / "claims.yaml"
    path.write_text("title: x\nclaims: [\n")
    with pytest.raises(ValueError, match=r"claims.yaml, line \d+"):
        load_claims(path)
    with pytest.raises(ValueError, match="no such file"):
        load_claims(tmp_path / "none.yaml")


def test_claims_are_chosen_by_number_or_name():
    file = load_claims()
    assert [claim.id for claim in chosen_claims(file, ["more_robust", 1]).claims] == [1, 20]
    with pytest.raises(ValueError, match="only=most_robust: not known"):
        chosen_claims(file, ["most_robust"])


def test_the_page_explains_every_rule_and_metric():
    page = (PROJECT / "docs" / "claims.md").read_text()
    assert [name for name in (*RULES, *METRICS) if f"`{name}`" not in page] == []
