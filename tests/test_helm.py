"""The charts, rendered by Helm's own library over a matrix of values: every object
against Kubernetes' or its operator's schema, and against the rules of the `restricted`
level; wrong values refused; snapshots. What alerts and panels name is scraped for.
"""

import copy
import json
import os
import re
import subprocess
import urllib.request
from pathlib import Path

import helm_python
import kubernetes_validate
import pytest
import requests
import yaml

from agents import agents, served
from control_plane import PATIENCE, ROOT, control_plane, free_port
from test_interop import Echo, running

HERE = Path(__file__).parent
SNAPSHOTS = HERE / "helm" / "snapshots"
CHARTS = {name: ROOT / "helm" / name for name in ("armour", "armour-agent")}
# The oldest that the charts allow, and the latest whose schemas are at hand.
VERSIONS = ["1.29", kubernetes_validate.latest_version()]
OPERATORS = ("gateway.networking.k8s.io/", "monitoring.coreos.com/", "postgresql.cnpg.io/")

BASE = {
    "publicUrl": "https://armour.example.com",
    "database": {"existingSecret": "armour-database"},
    "migrations": {"existingSecret": "armour-database-owner"},
    "masterKeys": {"existingSecret": "armour-master-keys"},
    "platformToken": {"existingSecret": "armour-platform"},
}
AGENT = {
    "controlPlane": "https://armour.example.com",
    "tenant": "01940000-0000-7000-8000-000000000000",
    "workload": {
        "containers": [
            {
                "name": "app",
                "image": "shop:1.2.3",
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "livenessProbe": {"tcpSocket": {"port": 8080}},
                "readinessProbe": {"tcpSocket": {"port": 8080}},
                "resources": {"limits": {"memory": "64Mi"}, "requests": {"cpu": "10m"}},
            }
        ]
    },
}


def merged(base: dict, *more: dict) -> dict:
    result = copy.deepcopy(base)
    for changes in more:
        for key, value in changes.items():
            old = result.get(key)
            both = isinstance(old, dict) and isinstance(value, dict)
            result[key] = merged(old, value) if both else value
    return result


MONITORED = {
    "metrics": {
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True},
        "dashboard": {"enabled": True},
    }
}
TRACED = {"telemetry": {"otlpEndpoint": "http://collector.monitoring:4318", "traceRatio": 0.1}}
MATRIX = {
    ("armour", "plain"): BASE,
    ("armour", "one"): merged(
        BASE,
        {"replicaCount": 1, "podDisruptionBudget": {"enabled": False}},
        {"topologySpread": {"enabled": False}, "networkPolicy": {"enabled": False}},
        {"metrics": {"enabled": False}, "console": {"enabled": False}},
        {"serviceAccount": {"create": False}, "migrations": {"enabled": False}},
    ),
    ("armour", "full"): merged(
        BASE,
        MONITORED,
        TRACED,
        {
            "image": {"digest": "sha256:" + "ab" * 32},
            "imagePullSecrets": ["pull"],
            "autoscaling": {"enabled": True},
            "ingress": {
                "enabled": True,
                "className": "nginx",
                "tlsSecret": "armour-tls",
                "annotations": {"nginx.ingress.kubernetes.io/proxy-buffering": "off"},
            },
            "gateway": {"enabled": True, "parentRefs": [{"name": "web", "namespace": "infra"}]},
            "networkPolicy": {
                "ingressFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "web"}}}],
                "metricsFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
                "databaseTo": [{"ipBlock": {"cidr": "10.2.0.0/24"}}],
                "dnsTo": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}],
            },
            "priorityClassName": "system-cluster-critical",
            "nodeSelector": {"kubernetes.io/arch": "amd64"},
            "tolerations": [{"key": "dedicated", "operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
            "podAnnotations": {"a": "b"},
            "podLabels": {"team": "security"},
            "serviceAccount": {"annotations": {"c": "d"}},
            "service": {"type": "LoadBalancer", "annotations": {"e": "f"}},
            "auditRetentionDays": 400,
            "egress": {
                "allowIssuers": ["10.1.0.0/16", "fd00::/8"],
                "allowWebhooks": ["018f3e3c-0000-7000-8000-000000000001=10.3.0.0/16"],
                "caBundle": {"name": "corp-ca"},
                "proxy": "http://proxy.corp.example:3128",
                "noProxy": ["10.0.0.0/8", ".corp.example"],
            },
            "database": {"directKey": "direct", "preparedStatements": 0},
            "extraEnv": [{"name": "RUST_BACKTRACE", "value": "1"}],
        },
    ),
    ("armour", "cloudnativepg"): merged(
        BASE,
        {
            "migrations": {"existingSecret": ""},
            "cloudnativepg": {
                "enabled": True,
                "storage": {"storageClass": "fast"},
                "backup": {"volumeSnapshot": {"className": "csi"}, "retentionPolicy": "30d"},
            },
        },
    ),
    ("armour-agent", "consumer"): merged(AGENT, {"role": "consumer"}),
    ("armour-agent", "producer"): merged(
        AGENT,
        TRACED,
        {"role": "producer", "replicaCount": 2},
        {"metrics": {"podMonitor": {"enabled": True, "labels": {"release": "prometheus"}}}},
        {"tls": {"secret": "stock-tls", "caSecret": "authorities"}},
        {"producer": {"ingressFrom": [{"podSelector": {"matchLabels": {"app": "shop"}}}]}},
    ),
    ("armour-agent", "scaled"): merged(
        AGENT,
        {"role": "producer", "zone": "eu-1a", "readyWithLease": True, "holdApplication": False},
        {"autoscaling": {"enabled": True, "targetCPUUtilizationPercentage": 70}},
        {"producer": {"upstreamCheck": "/healthz", "upstreamLimit": 64, "drainForSeconds": 20,
                      "preStopSleepSeconds": 25}},
        {"podDisruptionBudget": {"maxUnavailable": "25%"}},
    ),
    ("armour-agent", "token"): merged(
        AGENT,
        {
            "role": "consumer",
            "pair": AGENT["tenant"],
            "logKey": "A" * 43 + "=",
            "name": "till",
            "refuseRestoredLog": True,
            "identity": {"enrolmentSecret": "enrolment"},
            "serviceAccount": {"create": False, "name": "shop"},
            "networkPolicy": {"enabled": False},
            "workload": {"volumes": [{"name": "cache", "emptyDir": {}}]},
        },
    ),
}
CASES = pytest.mark.parametrize("chart,name", MATRIX, ids="-".join)


def render(chart: str, values: dict) -> list[dict]:
    with helm_python.Chart.load(CHARTS[chart]) as loaded:
        loaded.validate_schema(loaded.merge_values(values))
        files = loaded.render(values, name="prod", namespace="security", revision=3)
    objects = []
    for path, text in sorted(files.items()):
        if path.endswith(".yaml"):
            objects += [found for found in yaml.safe_load_all(text) if found]
    return objects


def check(items: list) -> str:
    """What is wrong with operators' objects and PromQL expressions."""
    run = subprocess.run(
        ["node", HERE / "helm" / "check.mjs"],
        input=json.dumps(items),
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout


@CASES
def test_every_object_fits_its_schema(chart: str, name: str):
    objects = render(chart, MATRIX[chart, name])
    assert objects
    operators = [o for o in objects if o["apiVersion"].startswith(OPERATORS)]
    assert check(operators) == ""
    for found in objects:
        if found in operators:
            continue
        for version in VERSIONS:
            kubernetes_validate.validate(found, version, strict=True)
    kinds = sorted(found["kind"] for found in objects)
    print(f"\n{chart} {name}: {len(objects)} objects: {', '.join(kinds)}")


def test_a_wrong_object_is_noticed():
    [deployment] = [o for o in render("armour", BASE) if o["kind"] == "Deployment"]
    deployment["spec"]["replica"] = 3
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, VERSIONS[0], strict=True)
    [route] = [o for o in render("armour", MATRIX["armour", "full"]) if o["kind"] == "HTTPRoute"]
    route["spec"]["rules"][0]["backendRefs"][0]["port"] = "80"
    assert "port" in check([route])
    assert "not PromQL" in check(["sum(rate(x[5m])) >"])


def pods(objects: list[dict]):
    for found in objects:
        if found["kind"] in ("Deployment", "Job"):
            yield found["kind"], found["spec"]["template"]


@CASES
def test_pods_keep_to_the_restricted_level(chart: str, name: str):
    objects = render(chart, MATRIX[chart, name])
    seen = 0
    for kind, template in pods(objects):
        spec = template["spec"]
        assert not spec.get("hostNetwork") and not spec.get("hostPID")
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
        for volume in spec.get("volumes", []):
            assert "hostPath" not in volume
        for container in spec["containers"] + spec.get("initContainers", []):
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"] == {"drop": ["ALL"]}
            image = container["image"]
            assert "@sha256:" in image or re.search(r":[^/:]+$", image), image
            assert not image.endswith(":latest")
            assert container["resources"]["limits"]["memory"]
            assert container["resources"]["requests"]["cpu"]
            if kind == "Deployment":
                assert container["livenessProbe"] and container["readinessProbe"]
            for variable in container.get("env", []):
                secret = re.search("DATABASE_URL|TOKEN$|SECRET|PASSWORD", variable["name"])
                assert not (secret and "value" in variable), variable["name"]
            seen += 1
    assert seen
    # Nothing secret is made here, so nothing secret is in a release's history.
    assert not [o for o in objects if o["kind"] == "Secret"]


@CASES
def test_selectors_and_references_lead_somewhere(chart: str, name: str):
    objects = render(chart, MATRIX[chart, name])
    templates = [template["metadata"]["labels"] for _, template in pods(objects)]
    names = {(o["kind"], o["metadata"]["name"]) for o in objects}
    assert len(names) == len(objects), "two objects of one name"

    def selects(labels: dict) -> bool:
        return any(labels.items() <= template.items() for template in templates)

    for found in objects:
        assert found["metadata"]["namespace"] == "security"
        spec = found.get("spec", {})
        if found["kind"] == "Service":
            assert selects(spec["selector"])
        if found["kind"] in ("PodDisruptionBudget", "Deployment"):
            assert selects(spec["selector"]["matchLabels"])
        if found["kind"] == "NetworkPolicy":
            assert selects(spec["podSelector"]["matchLabels"])
            assert "Ingress" in spec["policyTypes"]
        if found["kind"] == "HorizontalPodAutoscaler":
            target = spec["scaleTargetRef"]
            assert (target["kind"], target["name"]) in names
        if found["kind"] == "ServiceMonitor":
            services = [o for o in objects if o["kind"] == "Service"]
            wanted = spec["selector"]["matchLabels"].items()
            chosen = [s for s in services if wanted <= s["metadata"]["labels"].items()]
            assert len(chosen) == 1
            ports = {port["name"] for port in chosen[0]["spec"]["ports"]}
            assert {endpoint["port"] for endpoint in spec["endpoints"]} <= ports
    for _, template in pods(objects):
        spec = template["spec"]
        volumes = {volume["name"] for volume in spec.get("volumes", [])}
        for container in spec["containers"] + spec.get("initContainers", []):
            mounts = {mount["name"] for mount in container.get("volumeMounts", [])}
            assert mounts <= volumes


def agent_pod(values: dict) -> tuple[dict, dict, dict]:
    """The pod of a workload, its agent, and its application."""
    [deployment] = [o for o in render("armour-agent", values) if o["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    return pod, pod["initContainers"][0], pod["containers"][0]


def test_a_producers_application_serves_on_while_its_agent_drains():
    """SIGTERM comes to a native sidecar only once the application has ended."""
    values = MATRIX["armour-agent", "producer"]
    pod, agent, application = agent_pod(values)
    assert agent["lifecycle"]["preStop"]["exec"]["command"] == ["/usr/bin/armour-agent", "drain"]
    sleep = application["lifecycle"]["preStop"]["sleep"]["seconds"]
    env = {one["name"]: one.get("value") for one in agent["env"]}
    assert int(env["ARMOUR_AGENT_DRAIN_FOR"]) < sleep < pod["terminationGracePeriodSeconds"]
    # One that the application has itself is its own.
    own = copy.deepcopy(AGENT["workload"])
    own["containers"][0]["lifecycle"] = {"preStop": {"exec": {"command": ["/stop"]}}}
    _, _, application = agent_pod(merged(values, {"workload": own}))
    assert application["lifecycle"] == own["containers"][0]["lifecycle"]
    # A consumer's agent serves until its application has ended.
    _, agent, application = agent_pod(MATRIX["armour-agent", "consumer"])
    assert "lifecycle" not in agent and "lifecycle" not in application
    with pytest.raises(Exception, match="preStopSleepSeconds"):
        render("armour-agent", merged(values, {"producer": {"preStopSleepSeconds": 60}}))


def test_probes_of_a_control_plane_wait_behind_no_calls():
    for name, port in [("full", "metrics"), ("one", "http")]:
        objects = render("armour", MATRIX["armour", name])
        [pod] = [o["spec"]["template"]["spec"] for o in objects if o["kind"] == "Deployment"]
        [container] = pod["containers"]
        probes = [container[f"{kind}Probe"]["httpGet"] for kind in ["startup", "liveness", "readiness"]]
        assert [probe["port"] for probe in probes] == [port] * 3
        assert port in {one["name"] for one in container["ports"]}


def test_an_outage_of_the_control_plane_neither_restarts_nor_unroutes_a_pod():
    for name in ["consumer", "producer"]:
        _, agent, _ = agent_pod(MATRIX["armour-agent", name])
        assert agent["livenessProbe"]["httpGet"]["path"] == "/live"
        start = agent["startupProbe"]
        assert start["httpGet"]["path"] == "/started"
        assert start["periodSeconds"] * start["failureThreshold"] >= 24 * 60 * 60
        assert "ARMOUR_AGENT_READY_WITH_LEASE" not in {one["name"] for one in agent["env"]}


def test_each_producers_pod_is_called_at_its_own_address():
    objects = render("armour-agent", MATRIX["armour-agent", "producer"])
    [service] = [o for o in objects if o["kind"] == "Service"]
    assert service["spec"]["clusterIP"] == "None"
    _, agent, _ = agent_pod(MATRIX["armour-agent", "producer"])
    env = {one["name"]: one.get("value") for one in agent["env"]}
    assert env["ARMOUR_AGENT_ADDRESS"] == "https://$(POD_IP):7202"


def test_migrations_come_first():
    def job(name: str) -> dict:
        [found] = [o for o in render("armour", MATRIX["armour", name]) if o["kind"] == "Job"]
        return found

    hook = job("plain")["metadata"]["annotations"]["helm.sh/hook"]
    assert hook == "pre-install,pre-upgrade"
    # Nothing that the release makes is there yet when a hook runs.
    assert job("plain")["spec"]["template"]["spec"]["serviceAccountName"] == "default"
    # A database that the release itself makes cannot be migrated before.
    assert "annotations" not in job("cloudnativepg")["metadata"]
    assert job("plain")["metadata"]["name"].endswith("-3")


@pytest.mark.parametrize("name", ["plain", "cloudnativepg"])
def test_m9_the_owners_url_is_the_migrations_alone(name: str):
    owners = {}
    for kind, template in pods(render("armour", MATRIX["armour", name])):
        environment = template["spec"]["containers"][0]["env"]
        secrets = {variable["name"]: variable["valueFrom"]["secretKeyRef"]["name"]
                   for variable in environment if "valueFrom" in variable
                   and "secretKeyRef" in variable["valueFrom"]}
        assert secrets["ARMOUR_DATABASE_URL"] == "armour-database"
        owners[kind] = secrets.get("ARMOUR_DATABASE_OWNER_URL")
    assert owners["Deployment"] is None
    assert owners["Job"] and owners["Job"] != "armour-database"


@CASES
def test_snapshots(chart: str, name: str):
    objects = render(chart, MATRIX[chart, name])
    for found in objects:
        # The dashboard is a file of its own.
        found.pop("data", None)
    text = yaml.safe_dump_all(objects, sort_keys=True, width=100)
    file = SNAPSHOTS / f"{chart}-{name}.yaml"
    if os.environ.get("ARMOUR_UPDATE_SNAPSHOTS"):
        file.write_text(text)
    assert file.read_text() == text, "see the difference, then: make helm-snapshots"


@pytest.mark.parametrize("chart", CHARTS)
def test_lint(chart: str):
    values = next(values for (of, _), values in MATRIX.items() if of == chart)
    report = helm_python.lint(CHARTS[chart], values, strict=True, kube_version="v1.29.0")
    # An icon is the one thing that is only recommended.
    serious = [m for m in report["messages"] if m["severity"] >= 2]
    assert not serious and not report["errors"], report


WRONG = [
    ("armour", {"replicaCount": 0}, "replicaCount"),
    ("armour", {"replicacount": 3}, "replicacount"),
    ("armour", {"publicUrl": "armour.example.com"}, "publicUrl"),
    ("armour", {"image": {"tag": "latest"}}, "tag"),
    ("armour", {"image": {"repository": "armour/control-plane:1"}}, "repository"),
    ("armour", {"masterKeys": {"existingSecret": ""}}, "masterKeys"),
    ("armour", {"masterKeys": {"key": "5a5a"}}, "key"),
    ("armour", {"database": {"existingSecret": ""}}, "database.existingSecret"),
    ("armour", {"migrations": {"existingSecret": ""}}, "migrations.existingSecret"),
    ("armour", {"gateway": {"enabled": True}}, "parentRefs"),
    ("armour", {"resources": {"limits": {"cpu": "1"}}}, None),
    ("armour", {"metrics": {"port": 7100}}, "port"),
    ("armour", {"egress": {"allowIssuers": ["everything"]}}, "allowIssuers"),
    ("armour-agent", {"role": "client"}, "role"),
    ("armour-agent", {"producer": {"upstreamCheck": "tcp"}}, "upstreamCheck"),
    ("armour-agent", {"zone": "z" * 64}, "zone"),
    ("armour-agent", {"podDisruptionBudget": {"maxUnavailable": "all"}}, "maxUnavailable"),
    ("armour-agent", {"tenant": "shop"}, "tenant"),
    ("armour-agent", {"telemetry": {"traceRatio": 2}}, "traceRatio"),
    ("armour-agent", {"workload": {"containers": []}}, "containers"),
    ("armour-agent", {"logKey": "short"}, "logKey"),
]


@pytest.mark.parametrize("chart,wrong,names", WRONG, ids=lambda value: str(value)[:40])
def test_wrong_values_are_refused_by_name(chart: str, wrong: dict, names: str | None):
    base = BASE if chart == "armour" else merged(AGENT, {"role": "consumer"})
    values = merged(base, wrong)
    if names is None:
        # A limit of memory is there by default; a wrong limit does not take it away.
        render(chart, values)
        return
    with pytest.raises(helm_python.HelmError) as refused:
        render(chart, values)
    assert names in str(refused.value)
    print(f"\n{wrong}: {str(refused.value).strip().splitlines()[-1]}")


@pytest.mark.parametrize("missing", ["publicUrl", "masterKeys", "platformToken"])
def test_what_is_needed_is_asked_for(missing: str):
    values = {key: value for key, value in BASE.items() if key != missing}
    with pytest.raises(helm_python.HelmError) as refused:
        render("armour", values)
    assert missing in str(refused.value)


def expressions(objects: list[dict]) -> list[str]:
    found = []
    for one in objects:
        if one["kind"] == "PrometheusRule":
            found += [r["expr"] for g in one["spec"]["groups"] for r in g["rules"]]
        if one["kind"] == "ConfigMap":
            boards = map(json.loads, one["data"].values())
            panels = [panel for board in boards for panel in board["panels"]]
            found += [target["expr"] for panel in panels for target in panel["targets"]]
    return found


def of_agents(made) -> set:
    """What a pair of agents exposes once they have served a call; no label has many values."""
    ports = [free_port(), free_port()]
    upstream = made.stack.enter_context(running(Echo))
    made.producer("--upstream", f"http://127.0.0.1:{upstream}", "--health-listen",
                  f"127.0.0.1:{ports[0]}")
    _, base = made.consumer("--health-listen", f"127.0.0.1:{ports[1]}")
    served(f"http://{base}/secret-path")
    # A handshake with content is refused.
    handshake = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13",
                 "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="}
    requests.post(f"http://{base}/", b"content", headers=handshake, timeout=PATIENCE)
    texts = [requests.get(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE).text for port in ports]
    outcomes = set(re.findall(r'armour_agent_calls_total{[^}]*outcome="([^"]*)"', texts[1]))
    # It may have been asked before there was a bundle.
    assert outcomes - {"disconnected"} == {"answered", "upgrade"}
    assert 'armour_agent_tickets_total{kind="next"' in texts[0].replace("otel_scope_name=\"armour\",", "")
    assert "secret-path" not in "".join(texts)
    return set(re.findall(r"^(armour_\w+)", "\n".join(texts), re.MULTILINE))


def test_alerts_and_panels_name_metrics_that_exist(tmp_path):
    objects = render("armour", MATRIX["armour", "full"])
    found = expressions(objects)
    assert len(found) > 15
    # Grafana replaces its own variables before Prometheus reads them.
    assert check([e.replace("$__rate_interval", "5m") for e in found]) == ""
    named = {name for e in found for name in re.findall(r"\barmour_\w+", e)}
    for one in render("armour-agent", MATRIX["armour-agent", "scaled"]):
        if one["kind"] == "HorizontalPodAutoscaler":
            pods = [metric["pods"] for metric in one["spec"]["metrics"] if metric["type"] == "Pods"]
            named |= {metric["metric"]["name"] for metric in pods}
    metrics = free_port()
    with control_plane(tmp_path, ARMOUR_METRICS_LISTEN=f"127.0.0.1:{metrics}") as plane:
        plane.tenant("metrics")
        url = f"http://127.0.0.1:{metrics}/metrics"
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            text = answer.read().decode()
        # They are on their own listener alone.
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"{plane.base}/metrics", timeout=PATIENCE)
        exposed = set(re.findall(r"^(armour_\w+)", text, re.MULTILINE))
        with agents(plane, tmp_path / "agents") as made:
            exposed |= of_agents(made)
        text += urllib.request.urlopen(url, timeout=PATIENCE).read().decode()
    exposed |= set(re.findall(r"^(armour_\w+)", text, re.MULTILINE))
    assert named <= exposed, named - exposed
    documented = (ROOT / "docs" / "metrics.md").read_text()
    for name in exposed:
        base = re.sub("_(bucket|sum|count)$", "", name)
        assert base in documented, f"docs/metrics.md does not name {base}"
    # No label has values that callers choose.
    for route in re.findall(r'route="([^"]*)"', text):
        assert route == "other" or "metrics" not in route


@pytest.mark.parametrize("chart", CHARTS)
def test_every_value_is_documented(chart: str):
    """Each value of the first level has a comment, or speaks for itself within one."""
    schema = json.loads((CHARTS[chart] / "values.schema.json").read_text())
    values = yaml.safe_load((CHARTS[chart] / "values.yaml").read_text())
    assert set(values) == set(schema["properties"]) - {"global"}
