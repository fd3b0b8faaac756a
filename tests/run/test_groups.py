"""Jobs that are one."""

import pytest

from fastaug.run.threads import Job, JobGroup, shared_pool


class Call:
    """Notes what becomes of it."""

    def __init__(self, does=lambda: None):
        self.does, self.runs, self.is_cancelled = does, 0, False

    def __call__(self):
        self.runs += 1
        self.does()

    def cancel(self):
        self.is_cancelled = True


def group_of(calls):
    return JobGroup([Job(calls[:2]), Job(calls[2:])])


@pytest.mark.parametrize("workers", [0, 2])
def test_all_are_run_and_waited_for(workers):
    calls = [Call() for _ in range(5)]
    group = group_of(calls)
    if workers:
        shared_pool(workers).submit(group)
    else:
        group.run()
    group.wait()
    assert [call.runs for call in calls] == [1] * 5


def test_as_many_threads_begin_as_there_are_parts():
    class Tasks(list):
        put = list.append

    tasks = Tasks()
    assert group_of([Call() for _ in range(5)]).put_into(tasks) == len(tasks) == 5


def test_an_error_of_any_is_raised():
    def fails():
        raise ValueError("of the second")

    group = group_of([Call(), Call(), Call(fails)])
    group.run()
    with pytest.raises(ValueError, match="of the second"):
        group.wait()


def test_all_are_cancelled():
    calls = [Call() for _ in range(5)]
    group = group_of(calls)
    group.cancel()
    assert all(call.is_cancelled for call in calls)
    group.run()
    assert not any(call.runs for call in calls)


def test_it_is_lost_if_one_is():
    jobs = [Job([Call()]), Job([Call()])]
    assert not JobGroup(jobs).is_lost()
    jobs[1]._process = None
    assert JobGroup(jobs).is_lost()
