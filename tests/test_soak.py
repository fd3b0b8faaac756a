"""A short run of the soak test, and that it can fail."""

import io
import sys

import pytest
import soak

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def test_a_short_run():
    """One run for each kind of fault, which others may join."""
    output = io.StringIO()
    failed = soak.main(["--runs", str(len(soak.FAULTS)), "--seed", "4"], output)
    lines = output.getvalue().splitlines()
    assert failed == 0, output.getvalue()
    assert lines[-1].endswith(" 0 failed")
    counts = [int(line.split(" x ")[0]) for line in lines if line.startswith("  ")]
    assert len(counts) == len(soak.FAULTS) and sum(counts) >= len(soak.FAULTS)


def test_what_is_drawn():
    """A number of a run is enough to have it again, and each kind of fault has its turn."""
    scenarios = [soak.draw(1, run) for run in range(300)]
    assert scenarios == [soak.draw(1, run) for run in range(300)]
    assert scenarios[0] != soak.draw(2, 0)
    for run, scenario in enumerate(scenarios):
        kinds = [fault["kind"] for fault in scenario["faults"]]
        assert kinds[0] == soak.FAULTS[run % len(soak.FAULTS)]
        assert len(set(kinds)) == len(kinds)
        assert not any(len(set(kinds) & group) > 1 for group in soak.APART)
        for fault in scenario["faults"]:
            assert fault["kind"] in soak.describe(scenario)
    walks = [walk for scenario in scenarios for walk in scenario["walks"]]
    assert {walk["workers"] for walk in walks} >= {0, 1, 2, 4, 8, 16}
    assert {walk.get("pool") for walk in walks} == {None, *soak.POOLS}
    assert {walk["data"] for walk in walks} == {"files", "arrays"}
    assert any(walk["seed"] is None for walk in walks)
    assert any(len(walk["threads"]) > 1 for walk in walks)
    assert {len(scenario["walks"]) for scenario in scenarios} == {1, 2, 3, 4}
    only = soak.draw(1, 0, "fork")
    assert [fault["kind"] for fault in only["faults"]] == ["fork"]


CALM = {
    "seed": 0, "run": 0, "only": None, "samples": 20, "slow": [], "gc": None, "afterwards": 1,
    "limit": 60, "patience": 2, "threads": 1, "faults": [],
    "walks": [{
        "threads": [0], "data": "files", "workers": 1, "prefetch": 1, "batch_size": 4,
        "batches": 5, "shuffle": True, "seed": 1, "ask": "next", "settings": "geometry",
        "decoder": "threads", "on_error": "skip",
    }],
}  # fmt: skip
FOUND = {
    None: [],
    "pixel": ["is wrong"],
    "zero": ["is zero"],
    "label": ["labels"],
    "lost": ["is missing"],
    "error": ["names no file of ours"],
    "thread": ["left after", "fastaug-x"],
    "memory": ["left after", "file"],
    "orphan": ["orphans", "sleep 60"],
    "hang": ["it hangs"],
    "words": ["error output"],
    "death": ["it ended with -9"],
}


@pytest.mark.parametrize(("sabotage", "words"), FOUND.items(), ids=str)
def test_it_can_fail(sabotage, words):
    """A scenario without a fault, and with one thing wrong on purpose, which is named."""
    scenario = CALM | {"sabotage": sabotage, "limit": 5 if sabotage == "hang" else 60}
    found = []
    soak.play([scenario], 1, lambda *of: found.append((soak.wrong(*of)[0], of[1]["stderr"])))
    ((failures, errors),) = found
    assert len(failures) == bool(words), failures
    assert all(word in failures[0] for word in words)
    if sabotage == "hang":
        assert "most recent call first" in errors  # it says where
