"""`deploy/kubernetes` matches the application: its settings, its routes, its draining and the series it exports."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # its stubs are a package more

from app.server.granian import DRAIN_SECONDS
from config import Settings
from tests.system.test_deploy import USED, exported

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
CHECKERS = ROOT / "build" / "kubernetes"
STEPS = [FOLDER, FOLDER / "migrate", FOLDER / "serve"]
Object = Mapping[str, Any]


def parsed(path: Path) -> list[Object]:
    return [one for one in yaml.safe_load_all(path.read_text()) if one]


def objects(kind: str) -> list[Object]:
    """The objects of a kind in the files, before kustomize changes them."""
    found = [one for path in sorted(FOLDER.glob("*/*.yaml")) for one in parsed(path) if one["kind"] == kind]
    assert found
    return found


def settings() -> dict[str, str]:
    [generated] = parsed(FOLDER / "settings/kustomization.yaml")[0]["configMapGenerator"]
    return dict(line.split("=", 1) for line in generated["literals"])


def pods() -> dict[str, Object]:
    """The pod of each workload, by its name."""
    return {one["metadata"]["name"]: one["spec"]["template"] for kind in ("Deployment", "Job") for one in objects(kind)}


def probes() -> Iterator[Object]:
    for pod in pods().values():
        for container in pod["spec"]["containers"]:
            yield from (probe["httpGet"] for name, probe in container.items() if name.endswith("Probe"))


def test_the_settings_exist_and_contain_no_secrets() -> None:
    names = {f"QUARTET_{field.name.upper()}" for field in fields(Settings)}
    assert set(settings()) <= names
    assert settings()["QUARTET_ENV"] == "production"
    assert not [name for name in settings() if "SECRET" in name or name.endswith("_URL")]


@pytest.mark.parametrize("name", list(pods()))
def test_a_pod_has_only_the_privileges_that_it_needs(name: str) -> None:
    pod = pods()[name]["spec"]
    assert pod["automountServiceAccountToken"] is pod["enableServiceLinks"] is False
    assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"]) == (True, 10001)
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    [container] = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]  # noqa: S108  # the container's own
    assert container["envFrom"] == [{"configMapRef": {"name": "quartet"}}, {"secretRef": {"name": "quartet"}}]
    assert "env" not in container
    assert container["resources"]["limits"]["memory"]


def test_the_user_is_that_of_the_image() -> None:
    assert re.findall(r"^USER (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE) == ["10001"]


def test_a_server_has_the_time_to_drain() -> None:
    server = pods()["quartet-server"]["spec"]
    assert server["terminationGracePeriodSeconds"] > float(settings()["QUARTET_DRAIN_SECONDS"]) + DRAIN_SECONDS
    [deployment] = [one for one in objects("Deployment") if one["metadata"]["name"] == "quartet-server"]
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_probes_wait_for_the_boot_and_use_existing_paths() -> None:
    paths = json.loads((ROOT / "docs" / "openapi.json").read_text())["paths"]
    assert {probe["path"] for probe in probes()} <= {*paths, "/metrics"}
    for name in ("quartet-server", "quartet-relay"):
        [container] = pods()[name]["spec"]["containers"]
        probe = container["startupProbe"]
        assert probe["periodSeconds"] * probe["failureThreshold"] > float(settings()["QUARTET_BOOT_SECONDS"])
        ports = {port["name"] for port in container["ports"]}
        assert {container[f"{when}Probe"]["httpGet"]["port"] for when in ("startup", "liveness", "readiness")} <= ports


def test_selectors_find_their_pods() -> None:
    [labelled] = parsed(FOLDER / "settings/kustomization.yaml")[0]["labels"]
    labels = {name: pod["metadata"]["labels"] | labelled["pairs"] for name, pod in pods().items()}
    selectors = [one["spec"]["selector"]["matchLabels"] for one in objects("Deployment")]
    selectors += [one["spec"]["selector"]["matchLabels"] for one in objects("PodDisruptionBudget")]
    selectors += [one["spec"]["podSelector"]["matchLabels"] for one in objects("NetworkPolicy")]
    selectors += [one["spec"]["selector"] for one in objects("Service")]
    for selector in selectors:
        assert [name for name, found in labels.items() if selector.items() <= found.items()]


def test_autoscaling_uses_metrics_that_the_adapter_maps_and_we_export() -> None:
    [rules] = [parsed(FOLDER / "prometheus-adapter.yaml")[0]["rules"]]
    for rule in (*rules["custom"], *rules["external"]):
        names = [name for name, _ in USED.findall(rule["seriesQuery"] + rule["metricsQuery"])]
        assert names
        assert set(names) <= set(exported())
    known = {kind: {rule["name"]["as"] for rule in rules[kind]} for kind in ("custom", "external")}
    scaled = objects("HorizontalPodAutoscaler")
    for one in scaled:
        [metric] = one["spec"]["metrics"]
        kind = {"Pods": "custom", "External": "external"}[metric["type"]]
        assert metric[metric["type"].lower()]["metric"]["name"] in known[kind]
    targets = {one["spec"]["scaleTargetRef"]["name"]: one["spec"]["minReplicas"] for one in scaled}
    assert targets == {"quartet-server": 2, "quartet-relay": 1}
    # A number in the file would be applied again by each update.
    assert not [one for one in objects("Deployment") if "replicas" in one["spec"]]


@pytest.fixture(scope="module")
def commands() -> Mapping[str, Path]:
    names = ("kustomize", "kubeconform", "kubernetes_validate")
    if not CHECKERS.is_dir():
        pytest.skip(f"{', '.join(names)} missing: run `make check-kubernetes`")
    return {name: CHECKERS / name for name in names}


def write_schema(kind: str, schemas: Path, to: Path) -> None:
    """Write the strict schema of a kind into one file, since kubeconform does not resolve references to other files."""
    own, every = (
        json.loads((schemas / f"{name}.json").read_text().replace("/api/_definitions.json#/", "#/"))
        for name in (kind, "_definitions")
    )
    del own["$id"]
    (to / f"{kind}.json").write_text(json.dumps(own | {"$defs": every["$defs"]}))


def schema_name(one: Object) -> str:
    """The schema's name for kubeconform: `deployment-apps-v1`, `service-v1`."""
    group, _, version = one["apiVersion"].rpartition("/")
    return "-".join(filter(None, (one["kind"].lower(), group.split(".")[0], version)))


@pytest.mark.proof
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_the_output_of_kustomize_matches_the_kubernetes_schemas(
    step: Path, commands: Mapping[str, Path], tmp_path: Path
) -> None:
    made = subprocess.run([commands["kustomize"], "build", step], check=True, capture_output=True, text=True).stdout
    schemas = commands["kubernetes_validate"] / "kubernetes-json-schema" / "v1.37.0-local-strict"
    for name in {schema_name(one) for one in yaml.safe_load_all(made)}:
        write_schema(name, schemas, tmp_path)
    location = f"{tmp_path}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"
    check: list[str | Path] = [commands["kubeconform"], "-strict", "-schema-location", location, "-summary"]
    good = subprocess.run(check, input=made, capture_output=True, text=True, check=False)
    assert good.returncode == 0, good.stdout
    assert "Invalid: 0, Errors: 0, Skipped: 0" in good.stdout
    # The check works: it finds a field that Kubernetes does not know.
    bad = subprocess.run(
        check, input=made.replace("spec:", "spec:\n  unknown: 1", 1), capture_output=True, text=True, check=False
    )
    assert bad.returncode == 1
    assert "'unknown' not allowed" in bad.stdout
