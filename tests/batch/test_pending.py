"""Prompts that wait for their providers, of which each has a pace."""

from __future__ import annotations

from types import SimpleNamespace

from llmstream.batch.pending import MAX_WAITING, Pending


def pending(names: str, window: int = 10_000) -> Pending:
    """Makes the queue of jobs that are named by the pace of each."""
    rows = iter(
        SimpleNamespace(row=SimpleNamespace(index=index), pace=name, name=f"{name}{index}")
        for index, name in enumerate(names)
    )
    return Pending(SimpleNamespace(next=lambda: next(rows, None)), lambda index: index < window)


def round_of(jobs: Pending, *open_paces: str) -> list[str]:
    """Tries all jobs that may be tried in a round; returns those whose pace lets them start."""
    jobs.begin_round()
    started = []
    while (job := jobs.take()) is not None:
        if job.pace in open_paces:
            started.append(job.name)
        else:
            jobs.wait(job)
    return started


def test_a_pace_that_lets_jobs_wait_holds_up_no_other():
    jobs = pending("oaobao")
    assert round_of(jobs, "a") == ["a1", "a4"]
    assert jobs
    assert round_of(jobs, "b") == ["b3"]
    assert round_of(jobs, "o") == ["o0", "o2", "o5"]
    assert not jobs


def test_a_job_that_is_put_back_comes_first_again():
    jobs = pending("ooo")
    job = jobs.take()
    jobs.put_back(job)
    assert jobs.take() is job
    jobs.wait(job)
    assert round_of(jobs) == []
    jobs.begin_round()
    job = jobs.take()
    jobs.put_back(job)
    assert round_of(jobs, "o") == ["o0", "o1", "o2"]


def test_a_job_beyond_the_window_leaves_the_waiting_ones_their_turn():
    jobs = pending("oaaa", window=2)
    assert round_of(jobs) == []
    assert round_of(jobs, "o", "a") == ["o0", "a1"]
    assert jobs  # the third is read, and kept


def test_so_many_wait_at_most():
    jobs = pending("o" * (MAX_WAITING + 5) + "a")
    assert round_of(jobs, "a") == []
    assert round_of(jobs, "o", "a") == [*(f"o{n}" for n in range(MAX_WAITING + 5)), f"a{MAX_WAITING + 5}"]


def test_dropped_jobs_do_not_come():
    jobs = pending("oa")
    assert round_of(jobs) == []
    jobs.clear()
    assert not jobs
    assert jobs.take() is None
