"""Apache Beam: its options, and the same examples as without it."""

import sys
import time

import pytest

from data_builders.building import (
    build,
    cut_range,
    named_config,
    pipeline_options,
    whole_transfers,
)
from data_builders.friedel import friedel_dataset_builder as friedel
from data_builders.scattering import scattering_dataset_builder as scattering
from stm_keras.errors import InputError

TWO_PROCESSES = (
    "--runner=DirectRunner --direct_num_workers=2 "
    "--direct_running_mode=multi_processing"
)
LOCAL = "--runner=DirectRunner"


@pytest.fixture
def beam():
    return pytest.importorskip(
        "apache_beam", reason="Apache Beam, an extra, is not installed"
    )


def test_without_beam_one_line_names_the_extra(monkeypatch, tmp_path):
    for name in ("apache_beam", "apache_beam.options"):
        monkeypatch.setitem(sys.modules, name, None)
    config = named_config(friedel.Builder, "demo")
    with pytest.raises(InputError, match=r"not installed: pip .*\[beam\]"):
        build(friedel.Builder, config, tmp_path, beam_options=LOCAL)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{LOCAL} --direct_running_mode=multi_threading", "loses examples"),
        ("--direct_running_mode multi_threading", "loses examples"),
        ("--direct_running_mode=fast", "invalid choice: 'fast'"),
        ("--direct_num_workers=two", "invalid int value: 'two'"),
        ("--runner=Sparrow", "Unexpected pipeline runner: Sparrow"),
        ("", "no list of options"),
        ("DirectRunner", "no list of options"),
        ('--runner="x', "No closing quotation"),
    ],
)
@pytest.mark.usefixtures("beam")
def test_refuses_options_in_one_line(text, message):
    with pytest.raises(InputError, match=message) as caught:
        pipeline_options(text)
    assert str(caught.value).startswith("--beam-pipeline-options")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "text",
    [
        TWO_PROCESSES,
        "--runner DirectRunner",
        "--runner=FlinkRunner --flink_master=host:8081 --parallelism=64",
        "--runner=SparkRunner --spark_job_server_jar=server.jar",
    ],
)
@pytest.mark.usefixtures("beam")
def test_takes_what_beam_takes(text):
    given = pipeline_options(text).get_all_options(drop_default=True)
    assert given["runner"] in text


@pytest.mark.slow
@pytest.mark.usefixtures("beam")
@pytest.mark.parametrize("options", [LOCAL, TWO_PROCESSES])
@pytest.mark.parametrize(
    ("module", "name"), [(friedel, "demo"), (scattering, "tiny")]
)
def test_the_same_examples_as_without_beam(
    module, name, options, tmp_path, digests
):
    config = named_config(module.Builder, name).changed(n_examples=(140, 7, 5))
    plain = build(module.Builder, config, tmp_path / "plain")
    beam = build(
        module.Builder, config, tmp_path / "beam", beam_options=options
    )
    assert digests(beam) == digests(plain)
    assert len(list((tmp_path / "beam").iterdir())) == 1


@pytest.mark.usefixtures("beam")
def test_nothing_is_lost_on_the_way_to_a_slow_worker():
    from apache_beam.runners.portability.fn_api_runner import (  # pyright: ignore[reportMissingImports]
        worker_handlers,
    )
    from apache_beam.runners.worker.data_plane import (  # pyright: ignore[reportMissingImports]
        ClosableOutputStream,
    )

    arrived = []

    def slowly(data):
        time.sleep(0.3)
        arrived.append(data)

    before = worker_handlers.DATA_BUFFER_TIME_LIMIT_MS
    with whole_transfers():
        stream = ClosableOutputStream.create(
            arrived.append, slowly, worker_handlers.DATA_BUFFER_TIME_LIMIT_MS
        )
        sent = [bytes([i]) for i in range(150)]
        for piece in sent:
            stream.write(piece)
            time.sleep(0.01)  # in all longer than the buffer's second
        stream.close()
    assert b"".join(arrived) == b"".join(sent)
    assert before == worker_handlers.DATA_BUFFER_TIME_LIMIT_MS


@pytest.mark.parametrize(("count", "length"), [(0, 3), (7, 3), (6, 3), (2, 9)])
def test_a_cut_loses_nothing(count, length):
    pieces = cut_range(length, range(count))
    assert [n for piece in pieces for n in piece] == list(range(count))
    assert all(piece.start % length == 0 for piece in pieces)
    assert all(1 <= len(piece) <= length for piece in pieces)
