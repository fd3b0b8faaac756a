"""`SysMonitor`: what it samples, and what it does without psutil, NVML, a driver or matplotlib."""

import json
import sys
import threading
import time
import types

import pytest
from scripts import check_script

import fastaug
from fastaug.show import monitor as module

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")


class NvmlError(Exception):
    pass


class FakeNvml(types.ModuleType):
    """Two GPUs, of which the second cannot tell its load; counts what is open."""

    def __init__(self, name=b"Test GPU", init_error=None):
        super().__init__("pynvml")
        self.name, self.init_error, self.open, self.samples = name, init_error, 0, 0

    def nvmlInit(self):
        if self.init_error:
            raise self.init_error
        self.open += 1

    def nvmlShutdown(self):
        self.open -= 1

    def nvmlDeviceGetCount(self):
        return 3

    def nvmlDeviceGetHandleByIndex(self, index):
        if index == 2:
            raise NvmlError("no permission")
        return index

    def nvmlDeviceGetName(self, handle):
        return self.name

    def nvmlDeviceGetMemoryInfo(self, handle):
        return types.SimpleNamespace(total=8 << 30, used=(handle + 1) << 30)

    def nvmlDeviceGetUtilizationRates(self, handle):
        if handle == 1:
            raise NvmlError("not supported")
        self.samples += 1
        return types.SimpleNamespace(gpu=40 + self.samples, memory=5)


@pytest.fixture
def nvml(monkeypatch):
    fake = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    return fake


@pytest.fixture
def no_nvml(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)  # an import of it fails


def monitor_threads():
    return [t for t in threading.enumerate() if t.name == "fastaug-monitor"]


def sample(seconds=0.12, interval=0.02):
    with fastaug.SysMonitor(interval) as monitor:
        assert len(monitor_threads()) == 1
        time.sleep(seconds)
    return monitor


def test_processors_and_gpus(nvml):
    monitor = sample()
    found = json.loads(json.dumps(monitor.to_dict()))
    count = len(found["times"])
    assert found["interval"] == 0.02
    assert count >= 2
    assert found["times"] == sorted(found["times"])
    assert 0 < found["times"][0] < found["times"][-1] < 5
    assert len(found["cpu_percent"]) == count
    assert all(0 <= value <= 100 for value in found["cpu_percent"])
    first, second = found["gpus"]
    assert first == {
        "name": "Test GPU",
        "memory_total_bytes": 8 << 30,
        "utilization_percent": [41.0 + i for i in range(count)],
        "memory_used_bytes": [1 << 30] * count,
    }
    assert second["utilization_percent"] == [None] * count
    assert second["memory_used_bytes"] == [2 << 30] * count
    assert nvml.open == 0


def test_a_busy_processor_is_seen(no_nvml):
    with fastaug.SysMonitor(0.05) as monitor:
        end = time.monotonic() + 0.4
        while time.monotonic() < end:
            pass
    assert max(monitor.to_dict()["cpu_percent"]) > 1


def test_a_block_shorter_than_the_interval_has_one_sample(no_nvml):
    start = time.monotonic()
    monitor = sample(seconds=0.01, interval=60)
    assert time.monotonic() - start < 5
    assert len(monitor.to_dict()["times"]) == 1


@pytest.mark.parametrize("error", [NvmlError("driver not loaded"), OSError("no library")])
def test_no_driver(monkeypatch, error):
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(init_error=error))
    found = sample().to_dict()
    assert found["gpus"] == []
    assert found["times"]
    assert module.gpu_names() == []


def test_no_nvml_package(no_nvml):
    assert sample().to_dict()["gpus"] == []


def test_no_psutil(monkeypatch, nvml):
    monkeypatch.setitem(sys.modules, "psutil", None)
    monitor = sample()
    found = monitor.to_dict()
    assert set(found["cpu_percent"]) == {None}
    assert found["gpus"][0]["utilization_percent"][0] == 41
    figure = monitor.plot()
    matplotlib.pyplot.close(figure)


def test_gpu_names(nvml):
    assert module.gpu_names() == ["Test GPU", "Test GPU"]
    nvml.name = "Text GPU"  # newer packages give str
    assert module.gpu_names() == ["Text GPU", "Text GPU"]
    assert nvml.open == 0


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ZeroDivisionError])
def test_the_thread_ends_whatever_happens(no_nvml, error):
    monitor = fastaug.SysMonitor(0.02)
    with pytest.raises(error), monitor:
        time.sleep(0.05)
        raise error
    assert not monitor_threads()
    assert monitor.to_dict()["times"]


def test_entering_again_begins_anew(no_nvml):
    monitor = fastaug.SysMonitor(0.01)
    with monitor:
        time.sleep(0.1)
        with pytest.raises(RuntimeError, match="running already"), monitor:
            pass
    first = len(monitor.to_dict()["times"])
    assert first >= 2
    with monitor:
        pass
    assert len(monitor.to_dict()["times"]) < first
    assert not monitor_threads()


@pytest.mark.parametrize("interval", [0, -1, float("nan")])
def test_a_bad_interval(interval):
    with pytest.raises(ValueError, match=r"interval.*Received"):
        fastaug.SysMonitor(interval)


def test_the_samples_can_be_read_meanwhile(no_nvml):
    with fastaug.SysMonitor(0.01) as monitor:
        time.sleep(0.1)
        found = monitor.to_dict()
        assert found["times"]
        assert len(found["times"]) == len(found["cpu_percent"])


def test_plot(nvml):
    monitor = sample()
    figure = monitor.plot(title="while it sleeps")
    (axes,) = figure.axes
    found = monitor.to_dict()
    cpu, first, _ = axes.lines
    assert list(cpu.get_xdata()) == found["times"]
    assert list(cpu.get_ydata()) == found["cpu_percent"]
    assert list(first.get_ydata()) == found["gpus"][0]["utilization_percent"]
    assert axes.get_title() == "while it sleeps"
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts[0] == "CPU"
    assert "Test GPU" in texts[1]
    assert monitor.plot(axes) is figure
    assert figure.axes == [axes]
    assert len(axes.lines) == 6
    figure.canvas.draw()
    matplotlib.pyplot.close(figure)


def test_no_matplotlib(no_nvml, no_matplotlib):
    monitor = sample()
    with pytest.raises(ImportError, match="pip install matplotlib"):
        monitor.plot()
    assert monitor.to_dict()["times"]


def test_it_brings_in_nothing_heavy():
    output = check_script(
        """
        import sys
        import fastaug
        with fastaug.SysMonitor(0.01):
            pass
        print([n for n in ("keras", "tensorflow", "numpy", "matplotlib") if n in sys.modules])
        """
    )
    assert output == "[]\n"
