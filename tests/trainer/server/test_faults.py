from tunebird_trainer.server.faults import Faults


def test_the_same_request_meets_the_same_fate():
    faults = Faults(errors=0.5, cuts=0.5, seed=7)
    assert [faults.fails("a") for _ in range(3)] == [faults.fails("a")] * 3
    assert faults.cut_after("b") == faults.cut_after("b")


def test_another_seed_hits_other_requests():
    ids = [str(number) for number in range(100)]
    hit = {seed: {one for one in ids if Faults(errors=0.3, seed=seed).fails(one)} for seed in (1, 2)}
    assert hit[1] != hit[2]


def test_the_share_of_failures_is_what_was_asked():
    failed = sum(Faults(errors=0.3).fails(str(number)) for number in range(5000))
    assert 0.27 < failed / 5000 < 0.33


def test_nothing_fails_and_nothing_is_cut_by_default():
    assert not any(Faults().fails(str(n)) or Faults().cut_after(str(n)) is not None for n in range(1000))


def test_all_fail_at_a_hundred_percent():
    assert all(Faults(errors=1.0).fails(str(number)) for number in range(1000))


def test_errors_and_cuts_are_drawn_apart():
    faults = Faults(errors=0.5, cuts=0.5)
    fates = {(faults.fails(str(n)), faults.cut_after(str(n)) is not None) for n in range(100)}
    assert len(fates) == 4
