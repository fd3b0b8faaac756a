"""What the control groups of this process let it have: a container's quota and memory.

    /proc/self/cgroup       which group of each hierarchy this process is in
    /proc/self/mountinfo    where the hierarchies are mounted, and which group is the top there
    cpu.max                 of a group, version 2: "200000 100000", or "max 100000"
    cpu.cfs_quota_us        of a group, version 1: 200000, or -1; beside cpu.cfs_period_us
    memory.max              of a group, version 2: bytes, or "max"; beside memory.current
    memory.limit_in_bytes   of a group, version 1; beside memory.usage_in_bytes
    memory.stat             of a group: among others, bytes of files that nobody needs in the memory

A group has no more than those above it, so all are looked at, up to the top that is mounted.
"""

import pathlib
import re
from collections.abc import Iterator

_ROOT = pathlib.Path("/")


def cpu_quota(root: pathlib.Path = _ROOT) -> float | None:
    """Returns how many processors' time this process may take, or None: all that there are.

    Args:
        root: Where the file system begins.
    """
    return _least("cpu", _quota_of, root)


def free_memory(root: pathlib.Path = _ROOT) -> int | None:
    """Returns how many more bytes of memory this process may take, or None: all that there are.

    Args:
        root: Where the file system begins.
    """
    return _least("memory", _free_memory_of, root)


def _least(controller, limit_of, root):
    """Returns the least of the limits of this process's groups, or None if there is none."""
    try:
        own = _own_groups(_lines_of(root / "proc/self/cgroup"), controller)
        mounts = list(_mounts(_lines_of(root / "proc/self/mountinfo"), controller))
    except (OSError, ValueError):  # not there, or unlike what Linux has
        return None
    limits = [
        limit
        for kind, top, folder in mounts
        if kind in own
        for group in _groups_up(own[kind], top)
        if (limit := limit_of(kind, root / folder / group)) is not None
    ]
    return min(limits, default=None)


def _lines_of(file):
    # any byte may be in a path
    return filter(None, file.read_text("utf-8", "surrogateescape").split("\n"))


def _own_groups(lines, controller):
    """Returns the path of the group of each kind, cgroup or cgroup2, that has a controller."""
    own = {}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            own["cgroup2"] = path
        elif controller in controllers.split(","):
            own["cgroup"] = path
    return own


def _mounts(lines, controller) -> Iterator[tuple[str, str, str]]:
    """Yields the kind of each hierarchy, the group that is the top there, and the folder."""
    for line in lines:
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind == "cgroup2" or (kind == "cgroup" and controller in options.split(",")):
            top, folder = (_unescaped(path) for path in before.split(" ")[3:5])
            yield kind, top, folder.lstrip("/")


def _unescaped(path):
    return re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), path)


def _groups_up(path, top):
    """Returns a group and all above it, relative to the top; none if it is not below that."""
    try:
        group = pathlib.PurePosixPath(path).relative_to(top)
    except ValueError:  # somebody else's groups
        return []
    return [group, *group.parents]


def _quota_of(kind, folder):
    """Returns the quota of one group, or None."""
    try:
        if kind == "cgroup2":
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError):  # no such group or controller, or "max"
        return None


def _free_memory_of(kind, folder):
    """Returns the free bytes of one group, or None."""
    limit, usage, unneeded = (
        ("memory.max", "memory.current", "inactive_file")
        if kind == "cgroup2"
        else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    )
    try:
        free = int((folder / limit).read_text()) - int((folder / usage).read_text())
        statistics = dict(line.split() for line in _lines_of(folder / "memory.stat"))
        return max(free + int(statistics.get(unneeded, 0)), 0)
    except (OSError, ValueError):  # no such group or controller, or "max"
        return None
