"""A build ends with a whole data set or with none, however it ends."""

import errno
import fcntl
import os
import resource
import shutil
from concurrent.futures import BrokenExecutor

import pytest
import tensorflow as tf

from data_builders.building import _build_in_bucket, build, named_config
from data_builders.friedel.friedel_dataset_builder import Builder
from data_builders.scattering import scattering_dataset_builder as scattering
from stm_keras.errors import InputError
from stm_keras.training.datasets import load_split, reading

SMALL = named_config(Builder, "demo").changed(
    size_px=8, n_voltages=2, n_examples=(6, 2, 1)
)


def _everything(out):
    return sorted(path.relative_to(out) for path in out.rglob("*"))


def _names(directory):
    return sorted(path.name for path in directory.iterdir())


def _stop_with(monkeypatch, error):
    def stop(self, **options):
        # As TFDS does it: what happened is the cause of what is raised.
        raise RuntimeError("Failed to finalize writing") from error

    monkeypatch.setattr(Builder, "download_and_prepare", stop)


@pytest.mark.slow
def test_sets_load_where_our_package_is_not_installed(
    friedel, tiny, digests, read_without_us
):
    assert read_without_us(friedel, tiny) == [digests(friedel), digests(tiny)]


def test_only_the_data_set_is_there_at_the_end(tmp_path):
    target = build(Builder, SMALL, tmp_path)
    assert target == tmp_path / "friedel" / SMALL.name / "1.0.0"
    assert _names(tmp_path) == ["friedel"]
    assert _names(target.parents[1]) == [SMALL.name]
    assert _names(target.parent) == ["1.0.0"]
    assert not [p for p in _everything(tmp_path) if "incomplete" in str(p)]


def test_what_is_there_stays_unless_overwritten(tmp_path, digests):
    target = build(Builder, SMALL, tmp_path)
    before = digests(target)
    mark = target / "mark"
    mark.touch()
    assert build(Builder, SMALL, tmp_path) == target
    assert mark.exists()
    assert build(Builder, SMALL, tmp_path, overwrite=True) == target
    assert not mark.exists()
    assert digests(target) == before


def test_a_failed_overwrite_keeps_what_was_there(tmp_path, monkeypatch):
    build(Builder, SMALL, tmp_path)
    before = _everything(tmp_path)
    _stop_with(monkeypatch, OSError(errno.EIO, "Input/output error"))
    with pytest.raises(InputError, match="Input/output error"):
        build(Builder, SMALL, tmp_path, overwrite=True)
    assert _everything(tmp_path) == before


def test_leftovers_of_a_killed_build_are_removed(tmp_path):
    stale = tmp_path / ".stmk-1-abc.incomplete" / "friedel"
    stale.mkdir(parents=True)
    (stale / "shard").touch()
    # Of another process that is there, but not since this was made.
    os.utime(stale.parent, (0, 0))
    build(Builder, SMALL, tmp_path)
    assert _names(tmp_path) == ["friedel"]


def test_a_build_that_runs_is_left_alone(tmp_path):
    other = tmp_path / ".stmk-1-abc.incomplete"
    other.mkdir()
    held = os.open(other, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        build(Builder, SMALL, tmp_path)
        assert other.is_dir()
    finally:
        os.close(held)


def test_out_that_cannot_be_written_to(tmp_path):
    file = tmp_path / "file"
    file.touch()
    for out in (file, file / "below"):
        with pytest.raises(InputError, match="Cannot write to the directory"):
            build(Builder, SMALL, out)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left"), "is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "is full"),
        (
            tf.errors.ResourceExhaustedError(
                None, None, "/x/y; No space left on device"
            ),
            "is full.*free some space",
        ),
        (tf.errors.UnknownError(None, None, "/x/y; Stale"), "to .*: Stale"),
        (BrokenExecutor("A process was terminated"), "was terminated"),
        (InputError("Lower the density."), "^Lower the density.$"),
    ],
)
def test_one_line_says_why_it_stopped(tmp_path, monkeypatch, error, message):
    _stop_with(monkeypatch, error)
    with pytest.raises(InputError, match=message) as caught:
        build(Builder, SMALL, tmp_path)
    assert len(str(caught.value).splitlines()) == 1
    assert not _everything(tmp_path)


def test_a_fault_of_the_program_keeps_its_traceback(tmp_path, monkeypatch):
    _stop_with(monkeypatch, ZeroDivisionError())
    with pytest.raises(RuntimeError, match="Failed to finalize"):
        build(Builder, SMALL, tmp_path)
    assert not _everything(tmp_path)


def test_a_disk_that_takes_no_more(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, before[1]))
    try:
        with pytest.raises(InputError, match=os.strerror(errno.EFBIG)):
            build(Builder, SMALL, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not _everything(tmp_path)


def _lose_one(monkeypatch):
    def lose(self, split, count):
        examples = enumerate(self._make()(split, range(count), 1))
        return (e for i, e in enumerate(examples) if (split, i) != (0, 3))

    monkeypatch.setattr(Builder, "_generate_examples", lose)


def test_examples_that_were_lost_do_not_go_unseen(tmp_path, monkeypatch):
    _lose_one(monkeypatch)
    with pytest.raises(RuntimeError, match=r"lost: \(6, 2, 1\) .*'train': 5"):
        build(Builder, SMALL, tmp_path)
    assert not _everything(tmp_path)


def test_an_error_in_a_process_arrives_as_itself(tmp_path):
    crowded = named_config(scattering.Builder, "tiny").changed(
        size_px=4,
        margin_px=0.0,
        n_voltages=1,
        min_in_frame=8,
        density_per_px2=(0.125, 0.127),
    )
    with pytest.raises(InputError, match=r"^ScatteringConfig: .*draws"):
        build(scattering.Builder, crowded, tmp_path, processes=2)
    assert not _everything(tmp_path)


def test_refuses_no_process(tmp_path):
    with pytest.raises(InputError, match="--processes must be 1 or more"):
        build(Builder, SMALL, tmp_path, processes=0)


def test_a_bucket_needs_beam():
    with pytest.raises(InputError, match="gs://b/data needs --beam-pipeline"):
        build(Builder, SMALL, "gs://b/data")


def test_in_a_bucket_tfds_builds_by_itself(tmp_path, digests):
    here = build(Builder, SMALL, tmp_path / "here")

    def builder():
        return Builder(config=SMALL, data_dir=tmp_path / "bucket")

    for overwrite in (False, True):
        target = _build_in_bucket(builder(), overwrite, None)
        assert digests(target) == digests(here)
    (target / "mark").touch()
    _build_in_bucket(builder(), False, None)
    assert (target / "mark").exists()


def test_in_a_bucket_lost_examples_do_not_go_unseen(tmp_path, monkeypatch):
    _lose_one(monkeypatch)
    builder = Builder(config=SMALL, data_dir=tmp_path)
    with pytest.raises(RuntimeError, match="lost"):
        _build_in_bucket(builder, False, None)
    assert not builder.data_path.exists()


def test_an_unknown_config():
    with pytest.raises(InputError, match="Known: au111, demo, bench32"):
        named_config(Builder, "silicon")


def _truncated(content):
    return content[: len(content) // 2]


def _flipped(content):
    middle = len(content) // 2
    return (
        content[:middle]
        + bytes([content[middle] ^ 255])
        + content[middle + 1 :]
    )


@pytest.mark.parametrize("damage", [_truncated, _flipped])
def test_a_damaged_shard_is_seen_when_read(friedel, tmp_path, damage):
    copy = tmp_path / "1.0.0"
    shutil.copytree(friedel, copy)
    (shard,) = copy.glob("*train.tfrecord*")
    shard.write_bytes(damage(shard.read_bytes()))
    with pytest.raises(InputError, match="is damaged"), reading(copy):
        list(load_split(copy, "train"))
