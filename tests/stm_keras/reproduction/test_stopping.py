import pytest

from stm_keras.reproduction.stopping import RULES, choose, is_nonsense, oracle


def row(epoch, **changes):
    return {
        "epoch": epoch,
        "val_l0": 3.0,
        "entropy": 2.0,
        "n_found": 20.0,
        "stable_tiling": 0.8,
        "stable_voltages": 0.8,
        "false_share": 0.1,
        "jaccard_truth": 0.4,
    } | changes


def test_the_last_epoch_is_the_last_whatever_the_others_say():
    rows = [row(1, n_found=99.0), row(2), row(3, n_found=0.0)]
    assert choose(rows, "last").epoch == 3


def test_the_rule_leaves_confident_nonsense():
    """Entropy falls to nothing while surrogates get as many detections."""
    good = [row(i, entropy=2.0) for i in (1, 2, 3)]
    bad = [row(i, entropy=0.01, false_share=1.2) for i in (4, 5, 6)]
    assert choose(good + bad, "least entropy").epoch == 5
    assert choose(good + bad).epoch <= 3


def test_the_rule_leaves_detections_that_half_of_the_voltages_do_not_show():
    rows = [row(i, stable_voltages=0.9 if i < 4 else 0.2) for i in range(1, 7)]
    assert choose(rows).epoch <= 3


def test_a_network_that_detects_next_to_nothing_is_not_kept():
    rows = [row(i, n_found=20.0 if i < 4 else 1.0) for i in range(1, 7)]
    assert choose(rows).epoch <= 3


def test_one_lucky_epoch_between_bad_ones_does_not_win():
    counts = [1.0, 30.0, 1.0, 20.0, 20.0, 20.0]
    rows = [row(i + 1, n_found=n) for i, n in enumerate(counts)]
    assert choose(rows).epoch in (5, 6)


@pytest.mark.parametrize("rule", RULES)
def test_no_rule_looks_at_the_truth(rule):
    rows = [row(i, n_found=float(i)) for i in range(1, 5)]
    blind = [
        {k: v for k, v in r.items() if not k.endswith(("truth", "em"))}
        for r in rows
    ]
    assert choose(rows, rule).epoch == choose(blind, rule).epoch


def test_no_rule_beats_the_oracle():
    rows = [row(i, jaccard_truth=0.1 * (i % 4)) for i in range(1, 9)]
    best = oracle(rows, "jaccard_truth").row["jaccard_truth"]
    assert best == pytest.approx(0.3)
    for rule in RULES:
        assert choose(rows, rule).row["jaccard_truth"] <= best


def test_the_guard_warns_where_surrogates_look_like_the_experiment():
    assert is_nonsense(row(1, false_share=0.6))
    assert not is_nonsense(row(1, false_share=0.4))
