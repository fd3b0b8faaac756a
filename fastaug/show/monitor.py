"""`SysMonitor`: how busy the processors and the GPUs are while a block of code runs.

Owns the sampling thread and what it collects. psutil, NVML and matplotlib are optional, each for
its own part: what is not there is left out, and a program is never ended by being watched.
"""

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MEBIBYTE = 1 << 20


class SysMonitor:
    """Samples the load of all processor cores and of every GPU, in a thread of its own.

    Without psutil there are no processor loads; without NVML (the driver and `nvidia-ml-py`) there
    are no GPUs. Entering it again begins anew. Loads are those of the whole machine, whoever causes
    them.

    Args:
        interval: Seconds from one sample to the next, above 0.

    Attributes:
        interval: As given.

    Raises:
        ValueError: If `interval` is not above 0.

    Example:
        >>> with fastaug.SysMonitor(interval=0.1) as monitor:
        ...     for batch in range(10):  # or model.fit(flow)
        ...         images = generator.flow(x)[0]
        >>> sorted(monitor.to_dict())
        ['cpu_percent', 'gpus', 'interval', 'times']
    """

    def __init__(self, interval: float = 0.5) -> None:
        if not interval > 0:
            raise ValueError(f"`interval` must be seconds above 0. Received: {interval}")
        self.interval = interval
        self._clear()
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    def _clear(self):
        self._times, self._cpu, self._gpus = [], [], []

    def __enter__(self) -> Self:
        if self._thread is not None:
            raise RuntimeError("This SysMonitor is running already; use another one.")
        self._clear()
        self._ended.clear()
        thread = threading.Thread(target=self._work, name="fastaug-monitor", daemon=True)
        self._thread = thread
        try:
            thread.start()
        except BaseException:
            self._thread = None
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ended.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def to_dict(self) -> dict[str, Any]:
        """Returns what was sampled so far, of types that JSON has.

        Returns:
            A dict with `interval`; `times`, seconds since the block began; `cpu_percent`, 0 to 100
            over all cores at each time; `gpus`, a list of dicts with the GPU's `name`,
            `memory_total_bytes`, and at each time `utilization_percent` and `memory_used_bytes`.
            What could not be read is None.
        """
        count = len(self._times)  # the thread adds a sample's time last
        return {
            "interval": self.interval,
            "times": self._times[:count],
            "cpu_percent": self._cpu[:count],
            "gpus": [
                {
                    "name": gpu.name,
                    "memory_total_bytes": gpu.memory_total,
                    "utilization_percent": gpu.utilization[:count],
                    "memory_used_bytes": gpu.memory_used[:count],
                }
                for gpu in self._gpus
            ],
        }

    def plot(self, axes: "Axes | None" = None, title: str | None = None) -> "Figure":
        """Draws the loads over time, in percent.

        Args:
            axes: matplotlib axes to draw on. None: a new figure's.
            title: Title of the axes, or None.

        Returns:
            The matplotlib figure, as `plot_images` does; its axes are in `figure.axes`.

        Raises:
            ImportError: If matplotlib is not installed.

        Example:
            >>> with fastaug.SysMonitor(0.1) as monitor:
            ...     images = next(generator.flow(x))
            >>> monitor.plot(title="one batch").savefig("load.png")
        """
        if axes is None:
            axes = pyplot().subplots(figsize=(8, 3.5), layout="constrained")[1]
        draw(axes, self.to_dict(), title)
        return axes.figure.figure  # not one of its subfigures

    # ---- in the thread ----

    def _work(self):
        start = time.monotonic()
        with _gpus() as gpus:
            cpu_load = _cpu_meter()
            self._gpus = gpus
            while True:
                ended = self._ended.wait(self.interval)
                self._cpu.append(cpu_load())
                for gpu in gpus:
                    gpu.sample()
                self._times.append(time.monotonic() - start)
                if ended:
                    return


def _cpu_meter():
    """Returns a function that returns the processors' load since its last call."""
    try:
        import psutil

        before = psutil.cpu_times()
    except Exception:  # not installed, or a system that it cannot read
        return lambda: None

    def load():
        nonlocal before
        try:
            now = psutil.cpu_times()
            spent = {name: getattr(now, name) - getattr(before, name) for name in now._fields}
        except Exception:
            return None
        before = now
        # the system counts a guest's time as its host's, too
        whole = sum(spent.values()) - spent.get("guest", 0) - spent.get("guest_nice", 0)
        idle = spent["idle"] + spent.get("iowait", 0)
        return min(max(100 * (1 - idle / whole), 0.0), 100.0) if whole > 0 else 0.0

    return load


class _Gpu:
    """One GPU: what NVML says of it."""

    def __init__(self, nvml, index):
        self._nvml = nvml
        self._handle = nvml.nvmlDeviceGetHandleByIndex(index)
        name = nvml.nvmlDeviceGetName(self._handle)
        self.name = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
        self.memory_total = self._read(lambda: nvml.nvmlDeviceGetMemoryInfo(self._handle).total)
        self.utilization, self.memory_used = [], []

    def sample(self):
        nvml, handle = self._nvml, self._handle
        self.utilization.append(
            self._read(lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu, float)
        )
        self.memory_used.append(self._read(lambda: nvml.nvmlDeviceGetMemoryInfo(handle).used))

    @staticmethod
    def _read(read, kind=int):
        try:
            return kind(read())
        except Exception:  # a device may lack one reading, or be lost
            return None


@contextlib.contextmanager
def _gpus():
    """Gives the machine's GPUs; none where there is no NVML."""
    try:
        import pynvml as nvml

        nvml.nvmlInit()
    except Exception:  # not installed, no driver
        yield []
        return
    try:
        try:
            count = nvml.nvmlDeviceGetCount()
        except Exception:
            count = 0
        gpus = []
        for index in range(count):
            with contextlib.suppress(Exception):  # one that this user may not see
                gpus.append(_Gpu(nvml, index))
        yield gpus
    finally:
        with contextlib.suppress(Exception):
            nvml.nvmlShutdown()


def gpu_names():
    """Returns the names of the machine's GPUs; an empty list where NVML is missing."""
    with _gpus() as gpus:
        return [gpu.name for gpu in gpus]


# ---- drawing ----


def pyplot():
    """Imports matplotlib's pyplot.

    Raises:
        ImportError: With what to install.
    """
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            "fastaug draws with matplotlib; install it with: pip install matplotlib"
        ) from error
    return pyplot


def draw(axes, samples, title=None):
    """Draws loads over time.

    Args:
        axes: matplotlib axes.
        samples: What `SysMonitor.to_dict` returned.
        title: Title of the axes, or None.
    """
    times = samples["times"]
    lines = [("CPU", samples["cpu_percent"])]
    for number, gpu in enumerate(samples["gpus"]):
        used = [used for used in gpu["memory_used_bytes"] if used is not None]
        memory = f", {max(used) / _MEBIBYTE:,.0f} MiB" if used else ""
        lines.append((f"GPU {number}: {gpu['name']}{memory}", gpu["utilization_percent"]))
    for label, values in lines:
        # a float array of matplotlib's own making: None is a gap
        axes.plot(times, [float("nan") if v is None else v for v in values], label=label)
    axes.set_xlabel("seconds")
    axes.set_ylabel("utilisation, %")
    axes.set_ylim(0, 105)
    axes.grid(alpha=0.3)
    axes.legend(loc="best", fontsize="small")
    if title is not None:
        axes.set_title(title)
