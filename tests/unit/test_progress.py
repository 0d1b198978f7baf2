"""The ambient reporter: who sees which updates."""

import threading

import pytest

from training.progress import RecordedProgress, part, shown_by, stage, update


def test_updates_reach_the_innermost_reporter_only() -> None:
    with shown_by(RecordedProgress()) as outer:
        stage("fitting")
        update(1, 3)
        with shown_by(RecordedProgress()) as inner:
            update(2, 3, "inside")
        update(3, 3, "loss 1.0")
    update(4, 4)

    assert outer.stages == ["fitting"]
    assert outer.updates == [(1, 3, ""), (3, 3, "loss 1.0")]
    assert inner.updates == [(2, 3, "inside")]


def test_a_part_maps_its_steps_onto_the_stage() -> None:
    """By hand, parts of parts too; what counts beyond its total ends at the end, and no steps at all are the start."""
    with shown_by(RecordedProgress()) as shown:
        with part(400, 900, of=1000):
            for done, total in ((0, 10), (1, 10), (10, 10), (11, 10), (0, 0)):
                update(done, total, "epoch 1")
            with part(1, 2, of=4):
                stage("not a stage of its own")
                update(1, 2)
        update(1000, 1000)

    assert [done for done, _, _ in shown.updates] == [400, 450, 900, 900, 400, 525, 1000]
    assert {total for _, total, _ in shown.updates} == {1000}
    assert [note for _, _, note in shown.updates] == ["epoch 1"] * 5 + ["", ""]
    assert shown.stages == []


def test_an_error_ends_what_a_reporter_sees() -> None:
    with shown_by(RecordedProgress()) as shown:
        with pytest.raises(KeyError), shown_by(RecordedProgress()), part(0, 1, of=2):
            raise KeyError
        update(1, 1)
    assert shown.updates == [(1, 1, "")]


def test_another_thread_has_no_reporter() -> None:
    with shown_by(RecordedProgress()) as shown:
        other = threading.Thread(target=update, args=(1, 1))
        other.start()
        other.join()
    assert shown.updates == []
