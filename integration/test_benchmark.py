"""The benchmark runs and gives figures; what they are is not a test's business."""

import json
import subprocess
import sys

import pytest

from weirtest.weir import ROOT


@pytest.mark.release_build
def test_every_scenario_gives_figures(tmp_path):
    output = tmp_path / "bench.json"
    subprocess.run(
        [sys.executable, ROOT / "integration" / "benchmark.py", "--streams", "50", "--rounds", "1", "--json", output,
         "fan-out-delta", "fan-out-sotw", "cold-delta", "stalled"], check=True, timeout=120)
    scenarios = json.loads(output.read_text())["scenarios"]
    assert set(scenarios) == {"fan-out-delta", "fan-out-sotw", "cold-delta", "stalled"}
    for rows in scenarios.values():
        assert all(isinstance(row["value"], float | int) for row in rows)
    cpu = scenarios["fan-out-delta"][0]
    assert cpu["unit"] == "ms" and cpu["value"] > 0
