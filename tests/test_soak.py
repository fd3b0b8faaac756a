"""A short run of the soak test, and that it can fail."""

import io
import sys

import pytest
import soak

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@pytest.mark.faults
def test_a_short_run():
    output = io.StringIO()
    failed = soak.main(["--runs", "14", "--seed", "4"], output)
    assert failed == 0, output.getvalue()
    assert output.getvalue().splitlines()[-1].endswith(" 0 failed")


@pytest.mark.parametrize("kind", ["pixel", "zero", "label", "lost", "thread", "memory", "orphan"])
def test_it_can_fail(kind, monkeypatch):
    """A scenario without a fault, in which one thing is wrong."""
    draw = soak.draw

    def draw_calm(seed, number, only):
        for other in range(number, number + 200):
            scenario = draw(seed, other, only)
            if not scenario["faults"] and len(scenario["walks"]) == 1:
                break
        else:
            scenario["faults"] = []
        return scenario | {"sabotage": kind}

    monkeypatch.setattr(soak, "draw", draw_calm)
    output = io.StringIO()
    assert soak.main(["--runs", "1", "--seed", "5"], output) == 1, output.getvalue()
    assert "1 wrong" in output.getvalue()
