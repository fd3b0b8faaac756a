"""The machine and the versions that the figures belong to."""

import importlib.metadata
import math
import os
import platform
import subprocess
import sys
from pathlib import Path

PACKAGES = (
    "fastaug", "keras", "tensorflow", "torch", "jax", "albumentations", "cv2", "numpy", "scipy"
)  # fmt: skip
QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cores():
    """Returns the number of cores that this process may use, as fastaug's default counts them."""
    if (told := os.environ.get("PYTHON_CPU_COUNT", "")).isdecimal():
        return int(told)
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        cores = os.cpu_count() or 1
    quota, _, period = QUOTA.read_text().partition(" ") if QUOTA.exists() else ("max", "", "")
    return cores if quota == "max" else min(cores, math.ceil(int(quota) / int(period)))


def describe():
    """Returns the machine, the system and the versions of what is loaded, as a dict."""
    from fastaug import SysMonitor

    with SysMonitor() as monitor:
        gpus = [gpu["name"] for gpu in monitor.to_dict()["gpus"]]
    keras = sys.modules.get("keras")
    return {
        "cpu": cpu_model(),
        "cores": usable_cores(),
        "gpus": gpus,
        "keras_backend": keras and keras.config.backend(),
        "os": platform.platform(),
        "python": platform.python_version(),
        "versions": {
            name: version
            for name in PACKAGES
            if name in sys.modules and (version := _version(name)) is not None
        },
    }


def cpu_model():
    """Returns the processor's name as the system gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.stdout.strip():
            return answer.stdout.strip()
    return platform.processor() or platform.machine()


def _version(name):
    version = getattr(sys.modules[name], "__version__", None)
    if version is None:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return None
    return str(version)
