"""What describes a cluster, against what Ray itself checks: launcher files, KubeRay manifests, dashboard, notices."""

import json
import os
import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import jsonschema
import pytest
import yaml
from ray._private.runtime_env.packaging import create_package
from ray.autoscaler._private.util import prepare_config, validate_config

from actors.teacher import pool_metrics as metrics
from deploy import spot_notice

ROOT = Path(__file__).parent.parent.parent
LAUNCHERS = [ROOT / "cluster.yaml", ROOT / "deploy" / "cluster-gcp.yaml"]
KUBERAY = sorted((ROOT / "deploy").glob("kuberay-*.yaml"))
CRDS = os.environ.get("V4E_KUBERAY_CRDS", "")  # ray-operator/config/crd/bases of a KubeRay checkout
PUBLIC = re.compile(r"0\.0\.0\.0|LoadBalancer|NodePort")


def load(path: Path) -> dict:
    return yaml.safe_load(path.read_text())


# Ray's launcher


@pytest.mark.parametrize("path", LAUNCHERS, ids=lambda path: path.name)
def test_a_launcher_file_is_what_rays_own_schema_takes(path):
    config = load(path)
    validate_config(prepare_config(config))
    types = config["available_node_types"]
    assert sum(kind["max_workers"] for kind in types.values()) >= config["max_workers"]
    assert all(kind["min_workers"] == 0 for kind in types.values())  # nothing is paid for while nothing runs
    spot = [name for name in types if name.endswith("_spot")]
    assert spot and all(name > name.replace("_spot", "_on_demand") for name in spot)  # Ray's choice among equals
    with pytest.raises(jsonschema.ValidationError):
        validate_config(prepare_config(config | {"max_worker": 3}))


@pytest.mark.parametrize("path", LAUNCHERS, ids=lambda path: path.name)
def test_nothing_of_a_launched_cluster_is_public_and_all_of_it_asks_for_the_token(path):
    config = load(path)
    for part in ("head_start_ray_commands", "worker_start_ray_commands"):
        [start] = [command for command in config[part] if "ray start" in command]
        assert "RAY_AUTH_MODE=token" in start and not PUBLIC.search(start)
    [head] = [command for command in config["head_start_ray_commands"] if "--head" in command]
    assert "--dashboard-host=127.0.0.1" in head
    assert config["file_mounts"] == {"/home/ray/.ray/auth_token": "~/.ray/auth_token"}


# KubeRay


def groups_of(manifest: dict) -> tuple[dict, list[dict]]:
    """The cluster of a RayCluster, RayJob or RayService, and its groups, the head's first."""
    spec = manifest["spec"]
    cluster = spec.get("rayClusterSpec") or spec.get("rayClusterConfig") or spec
    return cluster, [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


@pytest.mark.parametrize("path", KUBERAY, ids=lambda path: path.name)
def test_a_kuberay_manifest_has_the_structure_of_one(path):
    """Not the CRDs' schema, which is too large to carry: see the test below."""
    manifest = load(path)
    assert (manifest["apiVersion"], manifest["kind"]) == (
        "ray.io/v1",
        {"cluster": "RayCluster", "job": "RayJob", "service": "RayService"}[path.stem.split("-")[1]],
    )
    cluster, [head, *workers] = groups_of(manifest)
    assert cluster["rayVersion"] == "2.60.0" and cluster["authOptions"] == {"mode": "token"}
    assert head["rayStartParams"]["num-gpus"] == "0" and head["serviceType"] == "ClusterIP"
    for group in [head, *workers]:
        [container] = group["template"]["spec"]["containers"]
        assert container["resources"]["requests"] == container["resources"]["limits"]
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        mounts = {mount["name"] for mount in container.get("volumeMounts", [])}
        assert mounts == {volume["name"] for volume in group["template"]["spec"].get("volumes", [])}
    for group in workers:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


@pytest.mark.skipif(not CRDS, reason="V4E_KUBERAY_CRDS names no folder of KubeRay's CRDs")
@pytest.mark.parametrize("path", KUBERAY, ids=lambda path: path.name)
def test_a_kuberay_manifest_is_what_the_crd_takes(path):
    manifest = load(path)
    crd = load(Path(CRDS, f"ray.io_{manifest['kind'].lower()}s.yaml"))
    [version] = [v for v in crd["spec"]["versions"] if v["name"] == "v1"]
    schema = strict(version["schema"]["openAPIV3Schema"])
    jsonschema.validate(manifest, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(manifest | {"spec": manifest["spec"] | {"rayVersions": "2"}}, schema)


def strict(schema):
    """An OpenAPI schema as a JSON schema that takes no unknown keys."""
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    found = {key: strict(value) for key, value in schema.items() if key not in ("properties", "items")}
    if "properties" in schema:
        found["properties"] = {key: strict(value) for key, value in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            found["additionalProperties"] = False
        if "metadata" in found["properties"]:
            found["properties"]["metadata"] = {"type": "object"}
    if "items" in schema:
        found["items"] = strict(schema["items"])
    return found


# What a job carries


@pytest.mark.slow
def test_the_working_directory_of_a_job_is_small(tmp_path):
    checkout = tmp_path / "checkout"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(checkout)], check=True)
    (checkout / "runs" / "old").mkdir(parents=True)
    (checkout / "runs" / "old" / "weights").write_bytes(bytes(50 << 20))
    for name in (".rayignore", ".gitignore"):
        (checkout / name).write_text((ROOT / name).read_text())
    package = tmp_path / "package.zip"
    create_package(str(checkout), package, include_gitignore=True)
    assert package.stat().st_size < 40 << 20  # two tiny families are 35 MiB of it


# The dashboard


def test_every_query_of_the_dashboard_names_a_metric_that_exists():
    offered = {name for name, _ in (*metrics.STEP_GAUGES.values(), *metrics.POOL_GAUGES.values())}
    offered |= {name for name, _ in metrics.POOL_TOTALS.values()}
    offered |= set(re.findall(r'Total\("(v4e_\w+)"', Path(metrics.__file__).read_text()))
    panels = json.loads((ROOT / "deploy" / "grafana.json").read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    asked = {name for query in queries for name in re.findall(r"ray_(v4e_\w+)", query)}
    assert all("ray_v4e_" in query for query in queries)
    assert asked <= offered, asked - offered
    assert offered - asked <= {"v4e_flow", "v4e_learning_rate", "v4e_teacher_hedged_total"}
    places = [tuple(panel["gridPos"][key] for key in "xy") for panel in panels]
    assert len(set(places)) == len(places)


# Notice


@pytest.fixture
def metadata():
    """A cloud's metadata service: 404 until ``answer`` is set."""

    class Service(BaseHTTPRequestHandler):
        answer = ""

        def do_PUT(self):
            self.reply(200, "key")

        def do_GET(self):
            if "notice" in self.path and self.headers.get("X-aws-ec2-metadata-token") != "key":
                return self.reply(401, "")
            return self.reply(200 if Service.answer else 404, Service.answer)

        def reply(self, status: int, text: str) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_args) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", Service
    server.shutdown()


def test_a_notice_is_seen_when_the_cloud_gives_it_and_not_before(metadata):
    url, service = metadata
    aws = spot_notice.Cloud(url=f"{url}/notice", headers={}, token_url=f"{url}/token", gone="", seconds=120)
    gcp = spot_notice.Cloud(url=f"{url}/preempted", headers={}, token_url="", gone="TRUE", seconds=30)
    assert not spot_notice.noticed(aws) and not spot_notice.noticed(gcp)
    service.answer = "FALSE"
    assert not spot_notice.noticed(gcp)
    service.answer = "TRUE"
    assert spot_notice.noticed(gcp) and spot_notice.noticed(aws)
    nobody = spot_notice.Cloud(url="http://127.0.0.1:1/", headers={}, token_url="", gone="", seconds=30)
    assert not spot_notice.noticed(nobody)
    assert spot_notice.drain(gcp)[-1] == "20"
