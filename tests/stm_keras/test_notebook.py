"""What maps and results show of themselves in a notebook."""

import numpy as np
import pytest

from stm_keras.errors import InputError
from stm_keras.maps import ConductanceMaps
from stm_keras.notebook import html_lines, html_table


def maps(n_maps=3, **options):
    data = np.arange(n_maps * 20, dtype=float).reshape(n_maps, 4, 5)
    data[0, 0, 0] = np.nan
    bias = 0.1 * np.arange(n_maps) - 0.1
    return ConductanceMaps(data, bias, (4.0, 5.0), **options)


def test_a_table_of_maps():
    table = maps().to_dataframe()
    assert list(table) == ["bias_v", "mean", "std", "min", "max", "measured"]
    np.testing.assert_allclose(table["bias_v"], [-0.1, 0.0, 0.1])
    np.testing.assert_allclose(table["mean"], [10.0, 29.5, 49.5])
    np.testing.assert_allclose(table["min"], [1, 20, 40])
    np.testing.assert_allclose(table["max"], [19, 39, 59])
    np.testing.assert_allclose(table["measured"], [0.95, 1, 1])
    np.testing.assert_allclose(table["std"][1], np.std(np.arange(20)))


def test_maps_show_themselves():
    shown = maps(channel="<LIX>", unit="A", provenance=("read",))._repr_html_()
    assert "3 map(s) of &lt;LIX&gt; [A] in maps" in shown
    assert "4 x 5 nm (height x width)" in shown
    assert "<br>read" in shown
    assert shown.count("<tr>") == 4
    many = maps(30)._repr_html_()
    assert "The first 20 maps follow" in many
    assert many.count("<tr>") == 21


@pytest.mark.parametrize(("n_maps", "drawn"), [(1, 1), (3, 3), (9, 6)])
def test_maps_draw_themselves(n_maps, drawn):
    axes = [one for one in maps(n_maps).plot().axes if one.get_title()]
    assert len(axes) == drawn
    titles = [one.get_title() for one in axes]
    assert titles[0] == "map, -100 mV"
    assert len(set(titles)) == drawn
    assert titles[-1] == f"map, {100 * (n_maps - 2)} mV"
    with pytest.raises(InputError, match="`most` must be at least 1"):
        maps().plot(0)


def test_figures_show_themselves_without_pyplot():
    shown = maps().plot()._repr_png_()
    assert shown.startswith(b"\x89PNG")
    width, height = np.frombuffer(shown[16:24], ">u4")
    assert 400 < width < 1200
    assert height < width


def test_maps_make_a_page(tmp_path):
    page = maps().report(tmp_path / "maps.html")
    assert (tmp_path / "maps.html").read_text("utf-8") == page.html
    assert page._repr_html_().startswith("<iframe")
    assert maps().report().html == page.html


def test_text_stays_text():
    assert html_lines(["a < b", "c"]) == "<p>a &lt; b<br>c</p>"
    table = html_table({"<x>": np.array([0.123456, np.nan, 3])}, 2)
    assert table == (
        "<table><tr><th>&lt;x&gt;</th></tr><tr><td>0.1235</td></tr>"
        "<tr><td>nan</td></tr></table>"
    )
