"""How many cores there are to use: the affinity, a container's quota, what the user says.

And how much memory, by the same groups.
"""

import contextlib
import itertools
import os
import pathlib
import sys

import numpy as np
import pytest
from reference import images
from scripts import check_script

import fastaug
from fastaug.keras_api import fitting
from fastaug.run import threads
from fastaug.run.cgroups import cpu_quota, free_memory

V2 = "30 23 0:26 {top} {folder} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"
V1 = "33 31 0:29 {top} {folder} rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct"
OTHERS = (
    "22 1 254:0 / / rw,relatime - ext4 /dev/root rw",
    "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
    "34 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset",
)


def mount(line, folder="/sys/fs/cgroup", top="/"):
    return line.format(folder=folder, top=top)


def system(root, groups, mounts, files):
    """Writes what Linux shows of control groups; `files` are below /sys/fs/cgroup."""
    proc = root / "proc/self"
    proc.mkdir(parents=True)
    (proc / "cgroup").write_text("".join(f"{line}\n" for line in groups))
    (proc / "mountinfo").write_text("".join(f"{line}\n" for line in (*OTHERS, *mounts)))
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


def v2(quota, *names):
    return {f"{name}cpu.max": quota for name in names or ("",)}


def v1(quota, period, *names):
    return {
        f"{name}{file}": value
        for name in names or ("",)
        for file, value in (("cpu.cfs_quota_us", quota), ("cpu.cfs_period_us", period))
    }


# In docker with version 2 or a group namespace, a process is in "/".
ONE, NO_LIMIT = "100000 100000", "max 100000"
SYSTEMS = {
    "v2": (["0::/"], [mount(V2)], v2("200000 100000"), 2),
    "v2, part of a core": (["0::/"], [mount(V2)], v2("150000 100000"), 1.5),
    "v2, another period": (["0::/"], [mount(V2)], v2("20000 10000"), 2),
    "v2, no quota": (["0::/"], [mount(V2)], v2(NO_LIMIT), None),
    "v2, the top of a machine has no file": (["0::/"], [mount(V2)], {}, None),
    "v2, its own": (["0::/a/b"], [mount(V2)], v2(NO_LIMIT, "a/") | v2("300000 100000", "a/b/"), 3),
    "v2, above it": (["0::/a/b"], [mount(V2)], v2(ONE, "a/") | v2(NO_LIMIT, "a/b/"), 1),
    "v2, the least": (["0::/a/b"], [mount(V2)], v2("200 100", "a/") | v2("500 100", "a/b/"), 2),
    "v2, beside it": (["0::/a/b"], [mount(V2)], v2(ONE, "a/c/", "b/"), None),
    "v2, only a part is mounted": (["0::/a/b"], [mount(V2, top="/a")], v2(ONE, "b/"), 1),
    "v2, others are mounted": (["0::/a/b"], [mount(V2, top="/x")], v2(ONE, "", "b/"), None),
    "v2, outside of its namespace": (["0::/../c"], [mount(V2)], v2(ONE), 1),
    "v2, removed": (["0::/a/b (deleted)"], [mount(V2)], v2(ONE, "a/"), 1),
    "v1": (["4:cpu,cpuacct:/"], [mount(V1, "/sys/fs/cgroup/cpu")], v1(250000, 100000, "cpu/"), 2.5),
    "v1, in another hierarchy": (
        ["5:memory:/", "4:cpu,cpuacct:/"],
        [mount(V1, "/sys/fs/cgroup/cpu")],
        v1(100000, 100000, "memory/") | v1(200000, 100000, "cpu/"),
        2,
    ),
    "v1, no quota": (["4:cpu:/"], [mount(V1, "/sys/fs/cgroup/cpu")], v1(-1, 100000, "cpu/"), None),
    "v1, docker": (
        ["5:cpuset:/docker/x", "4:cpuacct,cpu:/docker/x"],
        [mount(V1, "/sys/fs/cgroup/cpu", "/docker/x")],
        v1(200000, 100000, "cpu/"),
        2,
    ),
    "v1, above it": (
        ["4:cpu:/a/b"],
        [mount(V1, "/sys/fs/cgroup/cpu")],
        v1(50000, 100000, "cpu/a/") | v1(-1, 100000, "cpu/", "cpu/a/b/"),
        0.5,
    ),
    "v1, only cpuset": (["5:cpuset:/"], [], v1(200000, 100000, "cpuset/"), None),
    "both, of which v1 has the processors": (
        ["4:cpu:/a", "1:name=systemd:/s", "0::/b"],
        [mount(V1, "/sys/fs/cgroup/cpu"), mount(V2, "/sys/fs/cgroup/unified")],
        v1(100000, 100000, "cpu/a/", "cpu/b/", "unified/a/"),
        1,
    ),
    "a folder with a space": (
        ["0::/a b"],
        [mount(V2, r"/sys/fs/cgroup/my\040groups")],
        v2(ONE, "my groups/a b/"),
        1,
    ),
    "unlike anything": (["nonsense"], [mount(V2)], v2(ONE), None),
    "a file unlike anything": (["0::/"], [mount(V2)], v2("nonsense"), None),
}  # fmt: skip


@pytest.mark.parametrize("name", SYSTEMS)
def test_quota(name, tmp_path):
    groups, mounts, files, expected = SYSTEMS[name]
    assert cpu_quota(system(tmp_path, groups, mounts, files)) == expected


def test_no_quota_where_there_is_no_proc(tmp_path):
    assert cpu_quota(tmp_path) is None


def can_limit():
    """Whether the tests may make a group of version 1 with a quota."""
    return os.access("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", os.W_OK) and cpu_quota() is None


@pytest.mark.skipif(not can_limit(), reason="no right to make a group")
def test_the_quota_of_a_real_group():
    outer = pathlib.Path(f"/sys/fs/cgroup/cpu/fastaug-test-{os.getpid()}")
    inner = outer / "inner"
    code = """
    import sys
    open(sys.argv[1] + "/cgroup.procs", "w").write("0")
    from fastaug.run.cgroups import cpu_quota
    print(cpu_quota())
    """
    try:
        for folder in (outer, inner):
            folder.mkdir()
        (outer / "cpu.cfs_quota_us").write_text("150000")
        assert [check_script(code, arguments=[group]) for group in (outer, inner)] == ["1.5\n"] * 2
        (inner / "cpu.cfs_quota_us").write_text("50000")
        assert check_script(code, arguments=[inner]) == "0.5\n"
    finally:
        for folder in (inner, outer):
            with contextlib.suppress(FileNotFoundError):
                folder.rmdir()


# --- Memory. ------------------------------------------------------------------------------------


def v2_memory(limit, usage, unneeded=0, name=""):
    stat = f"anon 7\ninactive_file {unneeded}\nactive_file 9"
    values = {"memory.max": limit, "memory.current": usage, "memory.stat": stat}
    return {f"{name}{file}": value for file, value in values.items()}


def v1_memory(limit, usage, unneeded=0, name=""):
    stat = f"inactive_file 3\ntotal_inactive_file {unneeded}"
    values = {"limit_in_bytes": limit, "usage_in_bytes": usage, "stat": stat}
    return {f"memory/{name}memory.{file}": value for file, value in values.items()}


UNLIMITED = 9223372036854771712  # of version 1
MEMORIES = {
    "v2": (["0::/"], [mount(V2)], v2_memory(1000, 400), 600),
    "v2, with files that nobody needs": (["0::/"], [mount(V2)], v2_memory(1000, 400, 300), 900),
    "v2, no limit": (["0::/"], [mount(V2)], v2_memory("max", 400), None),
    "v2, above it": (
        ["0::/a/b"], [mount(V2)],
        v2_memory(1000, 900, 0, "a/") | v2_memory(500, 10, 0, "a/b/"), 100,
    ),
    "v2, beside it": (["0::/a/b"], [mount(V2)], v2_memory(1000, 900, 0, "a/c/"), None),
    "v2, more than it may": (["0::/"], [mount(V2)], v2_memory(1000, 1001), 0),
    "v2, only processors": (["0::/"], [mount(V2)], v2("200000 100000"), None),
    "v1": (["5:memory:/"], [], v1_memory(1000, 400), 600),
    "v1, with files that nobody needs": (["5:memory:/"], [], v1_memory(1000, 400, 300), 900),
    "v1, no limit": (["5:memory:/"], [], v1_memory(UNLIMITED, 12), UNLIMITED - 12),
    "v1, above it": (
        ["5:memory:/a/b"], [],
        v1_memory(1000, 900, 0, "a/") | v1_memory(UNLIMITED, 10, 0, "a/b/"), 100,
    ),
    "v1, beside other hierarchies": (
        ["5:memory:/a", "4:cpu,cpuacct:/b", "0::/c"],
        [mount(V1, "/sys/fs/cgroup/cpu"), mount(V2, "/sys/fs/cgroup/unified")],
        v1_memory(1000, 400, 0, "a/") | v1_memory(50, 40, 0, "b/"),
        600,
    ),
    "unlike anything": (["0::/"], [mount(V2)], v2_memory("nonsense", 5), None),
}  # fmt: skip


@pytest.mark.parametrize("name", MEMORIES)
def test_free_memory(name, tmp_path):
    groups, mounts, files, expected = MEMORIES[name]
    assert free_memory(system(tmp_path, groups, mounts, files)) == expected


def test_free_memory_where_there_is_no_proc(tmp_path):
    assert free_memory(tmp_path) is None


def test_whitening_heeds_the_memory_of_a_container(monkeypatch):
    generator = fastaug.ImageDataGenerator(zca_whitening=True, featurewise_center=True)
    flow = generator.flow(images())
    monkeypatch.setattr(fitting, "free_memory", lambda: 10**6)
    with pytest.raises(MemoryError, match=r"0\.0 GB are free"):
        generator.fit(flow)
    monkeypatch.setattr(fitting, "free_memory", lambda: 1 << 62)  # the machine has less
    assert fitting._available_memory() < 1 << 50
    generator.fit(flow)
    assert generator.zca_whitening_matrix.shape == (351, 351)


def can_limit_memory():
    """Whether the tests may make a group of version 1 with a limit."""
    return os.access("/sys/fs/cgroup/memory/memory.limit_in_bytes", os.W_OK)


@pytest.mark.skipif(not can_limit_memory(), reason="no right to make a group")
def test_the_memory_of_a_real_group():
    groups = pathlib.Path("/proc/self/cgroup").read_text().splitlines()
    (own,) = (line.split(":")[2] for line in groups if ":memory:" in line)
    outer = pathlib.Path(f"/sys/fs/cgroup/memory{own}/fastaug-test-{os.getpid()}")
    inner = outer / "inner"
    code = """
    import sys
    open(sys.argv[1] + "/cgroup.procs", "w").write("0")
    from fastaug.run.cgroups import free_memory
    print(free_memory())
    """
    try:
        for folder in (outer, inner):
            folder.mkdir()
        (outer / "memory.limit_in_bytes").write_text(str(1 << 30))
        for group in (outer, inner):
            assert 1 << 28 < int(check_script(code, arguments=[group])) <= 1 << 30
    finally:
        for folder in (inner, outer):
            with contextlib.suppress(FileNotFoundError):
                folder.rmdir()


# --- Cores. -------------------------------------------------------------------------------------


@pytest.fixture
def cores(monkeypatch):
    """Sets the affinity, the quota and what the user says."""
    monkeypatch.setattr(threads, "_quota_seen", threads._quota_seen)

    def set_(affinity=8, quota=None, told=None, option=None):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(affinity)), raising=False)
        monkeypatch.setattr(threads, "cpu_quota", lambda: quota)
        monkeypatch.setattr(threads, "_quota_seen", (-np.inf, None))
        monkeypatch.setattr(sys, "_xoptions", {} if option is None else {"cpu_count": option})
        monkeypatch.delenv("PYTHON_CPU_COUNT", raising=False)
        if told is not None:
            monkeypatch.setenv("PYTHON_CPU_COUNT", told)

    set_()
    return set_


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 8),
        ({"quota": 2.0}, 2),
        ({"quota": 1.5}, 2),
        ({"quota": 0.1}, 1),
        ({"quota": 16.0}, 8),
        ({"told": "3"}, 3),
        ({"told": "12", "quota": 2.0}, 12),
        ({"told": "default", "quota": 2.0}, 2),
        ({"told": ""}, 8),
        ({"told": "0"}, 8),
        ({"told": "many"}, 8),
        ({"told": "3", "option": "5"}, 5),
        ({"told": "3", "option": "default"}, 8),
    ],
)
def test_usable(settings, expected, cores):
    cores(**settings)
    assert threads.usable_cores() == expected


def test_usable_where_there_is_no_affinity(cores, monkeypatch):
    cores(quota=3.0)
    monkeypatch.delattr(os, "sched_getaffinity")
    for count, expected in ((16, 3), (2, 2), (None, 1)):
        monkeypatch.setattr(os, "cpu_count", lambda count=count: count)
        assert threads.usable_cores() == expected


def test_the_quota_is_not_read_for_each_iterator(cores, monkeypatch):
    quotas = itertools.count(1)
    now = [100.0]
    monkeypatch.setattr(threads, "cpu_quota", lambda: next(quotas))
    monkeypatch.setattr(threads.time, "monotonic", lambda: now[0])
    assert [threads.usable_cores() for _ in range(3)] == [1, 1, 1]
    now[0] += 1.5
    assert [threads.usable_cores() for _ in range(3)] == [2, 2, 2]


def test_workers(cores):
    """The default follows the quota; more are taken if somebody wants them."""
    cores(quota=3.0)
    for workers, expected in ((None, 3), (5, 5), (16, 16), (1, 1), (0, 0)):
        generator = fastaug.ImageDataGenerator(rotation_range=20, workers=workers)
        with generator.flow(images(), seed=1) as iterator:
            assert f"workers={expected}" in repr(iterator)
            next(iterator)
