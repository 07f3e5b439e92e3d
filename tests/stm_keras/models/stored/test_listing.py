from stm_keras.models.stored import find_models, list_models


def test_a_line_a_model(store, folder):
    store("certain", form=2)
    store("older", sums=False)
    heading, *lines = list_models(find_models(folder))
    columns = ["certain", "Context", "184,997", "1,2,4,8,16", "with", "or"]
    columns += ["without", "2026-11-26", "0.1.0", "0.2", "ok"]
    assert lines[0].split() == columns
    columns = ["older", "Wang2020", "39,113", "1,4,16", "without"]
    columns += ["2026-11-22", "0.0.9", "0.2", "none", "stored"]
    assert lines[1].split() == columns
    for line, state in zip(lines, ("ok", "none"), strict=True):
        assert line.index(state, 70) == heading.index("checksums")


def test_models_that_cannot_be_read(store, folder):
    store("a new one", format=99, versions={"stm-keras": "9.0"})
    store("bad", sums=False)
    (folder / "bad/model_card.json").write_text("{")
    _, newer, damaged = list_models(find_models(folder))
    assert newer.startswith("a new one  ")
    assert "was made by stm-keras 9.0" in newer
    assert damaged.startswith("bad        ")
    assert "model_card.json is damaged" in damaged


def test_a_card_that_says_little(store, folder):
    store("bare", form=2, network={}, training={}, made={}, versions={})
    (line,) = list_models(find_models(folder))[1:]
    assert line.split() == [
        *("bare", "?", "?", "?", "with", "or", "without", "?", "?"),
        *("0.2", "ok"),
    ]
    store("strange", training={"batches": [1]}, network={"parameters": "9"})
    assert len(list_models(find_models(folder))) == 3


def test_a_name_over_several_lines(store, folder):
    store("two\nlines")
    (line,) = list_models(find_models(folder))[1:]
    assert line.startswith("two?lines")
