"""What weir is deployed with: chart and manifests, package, image, units, workflows. All are valid and agree, and weir takes
the configuration in them."""

import gzip
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import helm_python
import kubernetes_validate
import pytest
import yaml

import manifests
from weirtest.certs import Certificates
from weirtest.ports import free_port
from weirtest.process import Process
from weirtest.waiting import eventually
from weirtest.weir import BINARY, ROOT, command

sys.path.insert(0, str(ROOT / "configs/packaging"))
import sbom  # noqa: E402

pytestmark = pytest.mark.relay_only

NAMES = {"weir.yaml": "weir", "global.yaml": "weir-global", "zone-a.yaml": "weir-zone-a"}
#: Versions that are held up: the oldest that the chart takes, and the newest that the validator knows.
KUBERNETES = ("1.31", kubernetes_validate.latest_version())
#: No part of Kubernetes itself, so that the validator does not know it.
FOREIGN = {"ServiceMonitor"}


def objects(text):
    return [each for each in yaml.safe_load_all(text) if each]


def by_kind(text, kind, name=None):
    return next(each for each in objects(text)
                if each["kind"] == kind and (name is None or each["metadata"]["name"] == name))


@pytest.fixture(params=sorted(manifests.MANIFESTS), ids=lambda path: path.name)
def manifest(request):
    return request.param


def rendered(**values):
    return "---\n".join(manifests.render("weir", values).values())


# --- The chart and the manifests.


def test_helm_finds_nothing_wrong_with_the_chart():
    report = helm_python.lint(str(manifests.CHART), strict=True)
    findings = [each for each in report["messages"] if each["error"] != "icon is recommended"]
    assert report["errors"] == [] and findings == []


def test_the_plain_manifests_are_what_the_chart_makes(manifest):
    assert manifest.read_text() == manifests.manifest(manifest), "run `make manifests`"


@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_knows_every_object_and_every_field(manifest, version):
    for each in objects(manifest.read_text()):
        if each["kind"] in FOREIGN:
            continue
        kubernetes_validate.validate(each, version, strict=True)


def test_the_validator_would_complain():
    deployment = by_kind((manifests.KUBERNETES / "weir.yaml").read_text(), "Deployment")
    deployment["spec"]["replikas"] = 3
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, KUBERNETES[-1], strict=True)


def test_selectors_ports_and_names_fit_together(manifest):
    text, name = manifest.read_text(), NAMES[manifest.name]
    deployment = by_kind(text, "Deployment", name)
    pod = deployment["spec"]["template"]
    labels = pod["metadata"]["labels"].items()
    ports = {port["name"] for port in pod["spec"]["containers"][0]["ports"]}
    services = [each for each in objects(text) if each["kind"] == "Service"]
    assert [each["metadata"]["name"] for each in services] == [name, f"{name}-headless"]
    for each in services:
        assert each["spec"]["selector"].items() <= labels
        assert {port["targetPort"] for port in each["spec"]["ports"]} <= ports
    for kind, path in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        assert by_kind(text, kind)["spec"][path]["matchLabels"].items() <= labels
    monitor = by_kind(text, "ServiceMonitor")["spec"]
    assert monitor["selector"]["matchLabels"].items() <= services[1]["metadata"]["labels"].items()
    assert monitor["endpoints"][0]["port"] in {port["name"] for port in services[1]["spec"]["ports"]}
    mapped = pod["spec"]["volumes"][0]["projected"]["sources"][0]["configMap"]["name"]
    assert by_kind(text, "ConfigMap")["metadata"]["name"] == mapped


def test_pods_have_no_rights_and_end_after_their_drain(manifest):
    text = manifest.read_text()
    pod = by_kind(text, "Deployment")["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert pod["securityContext"]["runAsNonRoot"] and not pod["automountServiceAccountToken"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    drain = next(int(each["value"].rstrip("s")) for each in container["env"] if each["name"] == "DRAIN_TIMEOUT")
    wait = int(re.match(r"sleep (\d+);", container["lifecycle"]["preStop"]["exec"]["command"][2])[1])
    # 6 s is what weir may take beyond drain_timeout.
    assert pod["terminationGracePeriodSeconds"] > wait + drain + 6
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
    assert container["livenessProbe"]["httpGet"]["path"] == "/live"


def test_without_autoscaling_the_deployment_says_how_many():
    alone = rendered(autoscaling={"enabled": False}, replicas=2)
    assert by_kind(alone, "Deployment")["spec"]["replicas"] == 2
    assert "HorizontalPodAutoscaler" not in {each["kind"] for each in objects(alone)}
    scaler = by_kind(rendered(autoscaling={"streamsPerPod": 1234}), "HorizontalPodAutoscaler")
    assert scaler["spec"]["metrics"][0]["pods"]["target"]["averageValue"] == "1234"
    assert "replicas" not in by_kind(rendered(), "Deployment")["spec"]


def test_a_chart_without_secrets_mounts_none_and_asks_in_plaintext():
    plain = rendered(tlsSecret="", adminSecret="", adminTLS=False)
    pod = by_kind(plain, "Deployment")["spec"]["template"]["spec"]
    assert [list(each) for each in pod["volumes"][0]["projected"]["sources"]] == [["configMap"]]
    container = pod["containers"][0]
    assert container["readinessProbe"]["httpGet"]["scheme"] == "HTTP"
    assert container["lifecycle"]["preStop"]["exec"]["command"][2].endswith("weir drain --admin http://localhost:9901")
    for each in objects(plain):
        if each["kind"] not in FOREIGN:
            kubernetes_validate.validate(each, KUBERNETES[-1], strict=True)


@pytest.mark.parametrize("values", [
    {"drainSeconds": "soon"},
    {"replcas": 3},
    {"config": "aggregation: {}"},
    {"spread": {"zones": "Maybe"}},
    {"image": {"repository": "weir", "digest": "latest"}},
], ids=lambda values: next(iter(values)))
def test_the_schema_refuses_what_cannot_be(values):
    with helm_python.Chart.load(str(manifests.CHART)) as chart:
        chart.validate_schema(chart.merge_values({}))
        with pytest.raises(helm_python.HelmError):
            chart.validate_schema(chart.merge_values(values))


# --- The configuration in them.


def unpack(text, folder, certificates=None):
    """The folder /etc/weir of a manifest's pods; returns relay.yaml's path."""
    for source in by_kind(text, "Deployment")["spec"]["template"]["spec"]["volumes"][0]["projected"]["sources"]:
        for item in source.get("secret", {}).get("items", []):
            (folder / item["path"]).parent.mkdir(exist_ok=True)
            (folder / item["path"]).write_text("")
    if certificates:
        shutil.copy(certificates.ca.certificate, folder / "tls/ca.crt")
        shutil.copy(certificates.server.certificate, folder / "tls/tls.crt")
        shutil.copy(certificates.server.key, folder / "tls/tls.key")
    (folder / "admin/tokens").write_text("operator 3d5c1c7bd3f84f38a1f0\n")
    relay = folder / "relay.yaml"
    relay.write_text(by_kind(text, "ConfigMap")["data"]["relay.yaml"])
    return relay


def test_weir_takes_the_configuration_of_each_manifest(manifest, tmp_path):
    check(unpack(manifest.read_text(), tmp_path))


def check(relay):
    done = command("check", "--config", relay, environment={"DRAIN_TIMEOUT": "30s", "WORKERS": "2"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "OK\n", "")


def test_weir_takes_the_values_that_the_documents_begin_with(tmp_path):
    example = re.search(r"```yaml\n# values.yaml\n(.*?)```", (ROOT / "docs/deployment.md").read_text(), re.S)[1]
    check(unpack(rendered(**yaml.safe_load(example)), tmp_path))


def test_a_pod_becomes_ready_and_its_preStop_drains_it(tmp_path):
    manifest = manifests.KUBERNETES / "weir.yaml"
    relay = unpack(manifest.read_text(), tmp_path, Certificates(tmp_path / "certificates"))
    ports = {"18000": str(free_port()), "9901": str(free_port())}
    text = relay.read_text().replace("/var/lib/weir", str(tmp_path / "store"))
    for port, free in ports.items():
        text = text.replace(f"0.0.0.0:{port}", f"127.0.0.1:{free}")
    relay.write_text(text)
    script = by_kind(manifest.read_text(), "Deployment")["spec"]["template"]["spec"]["containers"][0][
        "lifecycle"]["preStop"]["exec"]["command"][2]
    script = script.replace("sleep 5; exec weir ", "").replace("9901", ports["9901"])
    arguments = shlex.split(script.replace("/etc/weir", str(tmp_path)))
    assert arguments[0] == "drain"
    process = Process([BINARY, "serve", "--config", relay], tmp_path / "weir.log",
                      {"SWIFT_BACKTRACE": "enable=no", "DRAIN_TIMEOUT": "1s", "WORKERS": "1"})
    try:
        ready = ["status", *arguments[1:]]
        eventually(lambda: command(*ready).returncode == 0, lambda: f"weir to be ready:\n{process.tail()}")
        drained = command(*arguments)
        assert drained.returncode == 0, drained.stderr
        assert process.running
        process.signal(signal.SIGTERM)
        assert process.wait(15) == 0, process.tail()
    finally:
        process.kill()


# --- Packages, images, the bill of materials.


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The Debian package of the binary under test, unpacked: (file, folder)."""
    folder = tmp_path_factory.mktemp("package")
    if shutil.which("dpkg-shlibdeps") is None:
        pytest.skip("no dpkg-dev here")
    made = build_package(folder)
    subprocess.run(["dpkg-deb", "-R", made, folder / "root"], check=True)
    return made, folder / "root"


def build_package(folder):
    descriptors = BINARY.parent / "xds-descriptors.binpb"
    # Packing is what takes long.
    environment = {**os.environ, "COMPRESSION": "none", "SOURCE_DATE_EPOCH": "1767225600"}
    done = subprocess.run([ROOT / "configs/packaging/deb/build.sh", BINARY, descriptors, folder],
                          env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


@pytest.mark.release_build
def test_the_package_holds_a_weir_that_runs_and_takes_the_configuration_in_it(package):
    _, root = package
    weir = root / "usr/bin/weir"
    for arguments, output in ((["--version"], command("--version").stdout),
                              (["check", "--config", root / "etc/weir/relay.yaml"], "OK\n")):
        done = subprocess.run([weir, *arguments], capture_output=True, text=True, timeout=30)
        assert (done.returncode, done.stdout, done.stderr) == (0, output, "")
    assert (root / "usr/share/weir/xds-descriptors.binpb").stat().st_size > 100_000
    assert gzip.decompress((root / "usr/share/man/man1/weir.1.gz").read_bytes()) == (ROOT / "docs/weir.1").read_bytes()
    assert "weir" in (root / "usr/share/bash-completion/completions/weir").read_text()
    assert (root / "DEBIAN/conffiles").read_text() == "/etc/weir/relay.yaml\n"


@pytest.mark.release_build
def test_the_package_depends_on_what_the_program_loads(package):
    _, root = package
    control = (root / "DEBIAN/control").read_text()
    depends = {each.split()[0] for each in re.search(r"^Depends: (.*)$", control, re.M)[1].split(", ")}
    assert set(sbom.packages(str(BINARY))) | {"adduser", "procps"} == depends


@pytest.mark.release_build
def test_the_units_in_the_package_name_its_paths_and_its_user(package):
    _, root = package
    unit = (root / "lib/systemd/system/weir.service").read_text()
    assert "/usr/local" not in unit and "DynamicUser" not in unit
    assert "User=weir\nGroup=weir\n" in unit and "ExecStart=/usr/bin/weir serve --config /etc/weir/relay.yaml" in unit


@pytest.mark.release_build
def test_a_package_is_the_same_bytes_each_time(package, tmp_path):
    assert build_package(tmp_path).read_bytes() == package[0].read_bytes()


@pytest.mark.release_build
def test_the_bill_of_materials_names_every_library_and_the_documents_do_too():
    bill = sbom.document(str(BINARY))
    ids = {each["SPDXID"] for each in bill["packages"]}
    assert len(ids) == len(bill["packages"]) and bill["spdxVersion"] == "SPDX-2.3"
    linked = {each["relatedSpdxElement"] for each in bill["relationships"]}
    assert linked == ids
    assert {"SPDXRef-libssl3", "SPDXRef-libev4", "SPDXRef-swift-runtime"} <= ids
    assert sbom.table(str(BINARY)) in (ROOT / "docs/dependencies.md").read_text()


def test_hadolint_finds_nothing_wrong_with_the_image():
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, ROOT / "configs/docker/Dockerfile"], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_the_image_is_built_from_is_a_whole_package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("image")
    ignored = (ROOT / "configs/docker/Dockerfile.dockerignore").read_text().splitlines()
    sent = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    first = (ROOT / "configs/docker/Dockerfile").read_text().split("FROM ${DEBIAN}")[0]
    copied = {source for line in re.findall(r"^COPY (.*)$", first, re.M) for source in line.split()[:-1]}
    assert copied == sent
    for path in copied - {path for path in copied if path.startswith("integration/")}:
        (folder / path).symlink_to(ROOT / path)
    done = subprocess.run(["swift", "package", "describe", "--type", "json"], cwd=folder, capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.release_build
def test_the_image_has_the_libraries_that_the_program_loads_and_the_user_of_the_pods():
    final = (ROOT / "configs/docker/Dockerfile").read_text().split("FROM ${DEBIAN}")[1]
    words = set(final.split())
    assert set(sbom.packages(str(BINARY))) - {"libc6", "libgcc-s1"} <= words
    user = by_kind((manifests.KUBERNETES / "weir.yaml").read_text(), "Deployment")[
        "spec"]["template"]["spec"]["securityContext"]["runAsUser"]
    assert f"USER {user}:{user}" in final and f"--uid {user}" in final


def test_the_systemd_units_are_valid(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    for name in ("weir.service", "weir.socket"):
        text = (ROOT / "configs/systemd" / name).read_text()
        # The program need not be installed for this.
        (tmp_path / name).write_text(text.replace("/usr/local/bin/weir", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", tmp_path / "weir.service", tmp_path / "weir.socket"],
                          capture_output=True, text=True, timeout=60)
    complaints = [line for line in done.stderr.splitlines() if str(tmp_path) in line or "weir." in line]
    assert done.returncode == 0 and complaints == [], done.stderr


def test_versions_agree():
    version = command("--version").stdout.split()[1]
    chart = yaml.safe_load((manifests.CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (version, version)
    assert f"ARG VERSION={version}\n" in (ROOT / "configs/docker/Dockerfile").read_text()


# --- Workflows.


@pytest.mark.parametrize("path", sorted((ROOT / ".github/workflows").glob("*.yaml")), ids=lambda path: path.stem)
def test_workflows_run_targets_that_exist_and_have_few_rights(path):
    text = path.read_text()
    workflow = yaml.safe_load(text)
    # YAML 1.1 reads the word `on` as true.
    assert {"name", True, "permissions", "jobs"} <= set(workflow)
    assert workflow["permissions"] == {"contents": "read"}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 360 and job["steps"]
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step), step
            # A tag can be moved to other code; a commit cannot.
            assert "uses" not in step or re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step["uses"]), step
            for target in re.findall(r"^\s*make ([a-z-]+)", step.get("run", ""), re.M):
                assert target in targets, target
            for script in re.findall(r"^\s*((?:\.ci|configs|integration)/\S+)", step.get("run", ""), re.M):
                assert os.access(ROOT / script, os.X_OK), script
            done = subprocess.run(["bash", "-n"], input=step.get("run", ""), text=True, capture_output=True, timeout=10)
            assert done.returncode == 0, done.stderr
