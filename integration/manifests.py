"""Renders the Helm chart into the plain manifests of configs/kubernetes.

    python integration/manifests.py            tells which files are not what the chart makes
    python integration/manifests.py --write    writes them
"""

import os
import sys
from pathlib import Path

import helm_python
import yaml

ROOT = Path(__file__).resolve().parents[1]
CHART = ROOT / "configs/helm/weir"
KUBERNETES = ROOT / "configs/kubernetes"
#: File by name of the release and, if it has some, its values.
MANIFESTS = {
    KUBERNETES / "weir.yaml": ("weir", None),
    KUBERNETES / "two-tier/global.yaml": ("weir-global", KUBERNETES / "two-tier/global-values.yaml"),
    KUBERNETES / "two-tier/zone-a.yaml": ("weir-zone-a", KUBERNETES / "two-tier/zone-a-values.yaml"),
}
#: What others need comes first.
ORDER = ("account", "config", "service", "network", "disruption", "deployment", "autoscaling", "monitor")


def render(release, values, namespace="weir"):
    """The chart's files by their names without folder and ending, as Helm makes them."""
    with helm_python.Chart.load(str(CHART)) as chart:
        rendered = chart.render(values or {}, name=release, namespace=namespace)
    return {Path(name).stem: text for name, text in rendered.items() if name.endswith(".yaml") and text.strip()}


def manifest(path):
    """The whole text of one of MANIFESTS."""
    release, values_file = MANIFESTS[path]
    values = yaml.safe_load(values_file.read_text()) if values_file else {}
    parts = render(release, values)
    assert set(parts) <= set(ORDER), sorted(parts)
    options = f" -f {values_file.relative_to(ROOT)}" if values_file else ""
    head = (f"# What `helm template {release} {CHART.relative_to(ROOT)}{options}` makes; written by\n"
            "# `make manifests`. Change the chart, or copy this file and change the copy.\n")
    return head + "".join("---\n" + parts[name].strip("\n") + "\n" for name in ORDER if name in parts)


def main():
    stale = [path for path in MANIFESTS if not path.exists() or path.read_text() != manifest(path)]
    for path in stale:
        if "--write" in sys.argv[1:]:
            path.write_text(manifest(path))
        print(os.path.relpath(path))
    return 1 if stale and "--write" not in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
