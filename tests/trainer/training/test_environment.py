"""The process around the recipe."""

import gc

import pytest

from tunebird_trainer.training import environment


@pytest.fixture(autouse=True)
def as_before():
    yield
    gc.unfreeze()


def test_what_is_imported_at_the_start_is_never_looked_through_for_garbage():
    before = gc.get_freeze_count()
    with environment.importing():
        assert not gc.isenabled()
        kept = [[] for _ in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= before + len(kept)


def test_a_library_that_fails_leaves_the_collector_on():
    with pytest.raises(ImportError), environment.importing():
        raise ImportError("libcuda.so.1")
    assert gc.isenabled()
