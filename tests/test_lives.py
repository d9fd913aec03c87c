"""How agents start, leave and come back: a port that says what is waited for, a drain ahead of
SIGTERM, an endpoint that was revoked, and producers behind a gateway by names of their own.
"""

import json
import re
import subprocess

import pytest
import requests

from agents import AGENT, Agent, agents, served
from control_plane import PATIENCE, control_plane, free_port, until
from test_interop import Echo, nginx, running


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with control_plane(tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane


@pytest.fixture(scope="module")
def upstream():
    with running(Echo) as port:
        yield f"http://127.0.0.1:{port}"


class Health:
    """What a supervisor is told by an agent."""

    def __init__(self):
        self.port = free_port()
        self.flags = ["--health-listen", f"127.0.0.1:{self.port}"]

    def ask(self, path: str) -> tuple[int, str]:
        try:
            answer = requests.get(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE)
        except requests.ConnectionError:
            return 0, ""
        return answer.status_code, answer.text


def problem(answer: requests.Response) -> str:
    return answer.json()["type"].removeprefix("urn:armour:problem:")


@pytest.mark.parametrize("role", ["consumer", "producer"])
def test_an_agent_whose_control_plane_is_away_listens_and_says_so(tmp_path, role):
    health, port = Health(), free_port()
    upstream = ["--upstream", "http://127.0.0.1:9"] if role == "producer" else []
    agent = Agent(tmp_path / role, role, "token", f"http://127.0.0.1:{free_port()}", "--listen",
                  f"127.0.0.1:{port}", *upstream, *health.flags)
    try:
        until("its port", lambda: health.ask("/live")[0] == 200)
        until("what it waits for", lambda: "enrolment" in health.ask("/ready")[1])
        assert health.ask("/ready")[0] == health.ask("/started")[0] == 503
        answer = said(f"http://127.0.0.1:{port}/")
        assert answer.status_code == 503 and problem(answer) == "starting"
        document = answer.json()
        assert "enrolment" in document["detail"] and document["ran"] == "no"
        assert agent.process.poll() is None
        agent.process.terminate()
        assert agent.process.wait(PATIENCE) == 0
    finally:
        agent.stop()


def said(url: str) -> requests.Response:
    """What a port answers, also if that is a refusal, which `requests` takes for false."""

    def ask():
        try:
            return [requests.get(url, timeout=PATIENCE)]
        except requests.ConnectionError:
            return None

    [answer] = until(url, ask)
    return answer


def test_a_consumer_is_ready_once_it_has_a_bundle(plane, tmp_path, upstream):
    """A rollout that goes on before that would have its first calls wait."""
    with agents(plane, tmp_path) as made:
        health = Health()
        made.consumer("--ready-after", "600", *health.flags)
        until("it to be an endpoint", lambda: health.ask("/started")[0] == 200)
        assert health.ask("/ready") == (503, "no bundle has been assigned to this agent yet\n")
        made.producer("--upstream", upstream)
        until("it to be ready", lambda: health.ask("/ready")[0] == 200)
        assert made.tenant.get("/v1/bundles")["items"]


def test_a_consumer_that_is_granted_nothing_is_ready_after_a_while(plane, tmp_path):
    """Two services that call each other would wait for each other for ever."""
    with agents(plane, tmp_path) as made:
        health = Health()
        _, base = made.consumer("--ready-after", "1", "--retry-for", "1", *health.flags)
        until("it to be ready", lambda: health.ask("/ready")[0] == 200)
        assert problem(said(f"http://{base}/")) == "no-bundle"


def test_a_producer_leaves_when_it_is_asked_ahead_of_sigterm(plane, tmp_path, upstream):
    with agents(plane, tmp_path) as made:
        health = Health()
        producer, _ = made.producer("--upstream", upstream, *health.flags)
        consumer, base = made.consumer("--retry-for", "2")
        served(f"http://{base}/before", consumer)
        until("it to be ready", lambda: health.ask("/ready")[0] == 200)
        (bundle,) = made.tenant.get("/v1/bundles")["items"]
        drain = [AGENT, "drain", "--data-dir", producer.folder / "data"]
        asked = subprocess.run(drain, capture_output=True, text=True, timeout=PATIENCE)
        assert asked.returncode == 0, asked
        assert asked.stdout.splitlines()[-1].startswith("done: "), asked
        assert health.ask("/ready") == (503, "leaving\n")
        assert health.ask("/live")[0] == 200 and producer.process.poll() is None
        refused = requests.post(f"http://{base}/after", timeout=PATIENCE)
        assert refused.status_code == 503 and refused.json()["ran"] == "no", refused.text
        producer.process.terminate()
        assert producer.process.wait(PATIENCE) == 0
        assert made.tenant.get(f"/v1/bundles/{bundle['id']}")["state"] == "retired"
        assert made.tenant.get("/v1/collisions")["items"] == []
        gone = subprocess.run(drain, capture_output=True, text=True, timeout=PATIENCE)
        assert gone.returncode != 0 and "no agent runs" in gone.stderr, gone


@pytest.mark.parametrize("role", ["consumer", "producer"])
def test_a_revoked_endpoint_stays_out_until_there_is_another_token(plane, tmp_path, upstream, role):
    with agents(plane, tmp_path) as made:
        health = {"producer": Health(), "consumer": Health()}
        producer, port = made.producer("--upstream", upstream, *health["producer"].flags)
        consumer, base = made.consumer("--retry-for", "5", *health["consumer"].flags)
        served(f"http://{base}/before", consumer)
        agent, party, address = {
            "producer": (producer, made.tenant.producers[0], f"127.0.0.1:{port}"),
            "consumer": (consumer, made.tenant.consumer, base),
        }[role]
        (own,) = [one for one in made.tenant.get("/v1/endpoints")["items"] if one["role"] == role]
        made.tenant.post(f"/v1/endpoints/{own['id']}/revoke", {"reason": "test"})
        until("it to stay out", lambda: "STAYS OUT" in agent.log())
        assert agent.process.poll() is None, "a supervisor would start it again and again"
        ready, live = health[role].ask("/ready"), health[role].ask("/live")
        assert ready[0] == 503 and "revoked" in ready[1] and live[0] == 200
        answer = said(f"http://{address}/")
        assert answer.status_code == 503 and problem(answer) == "endpoint-ended", answer.text
        assert "revoked" in answer.json()["detail"]
        (agent.folder / "enrolment").write_text(made.tenant.enrolment(role, party))
        served(f"http://{base}/after", consumer)
        assert agent.process.poll() is None
        ids = {one["id"] for one in made.tenant.get("/v1/endpoints")["items"] if one["role"] == role}
        assert len(ids) == 2, "it is another endpoint"


def test_a_gateway_leads_to_each_producers_agent_by_its_own_name(plane, tmp_path, upstream):
    """As docs/agent.md has it. All of 127.0.0.0/8 is this machine, so addresses are names here."""
    gateway = free_port()
    with agents(plane, tmp_path / "a") as made:
        ports = {}
        for name in ["127.0.0.2", "127.0.0.3"]:
            ports[name] = free_port()
            made.start(name, "producer", made.tenant.producers[0], "--upstream", upstream,
                       "--listen", f"127.0.0.1:{ports[name]}", "--address",
                       f"http://{name}:{gateway}")
        places = "\n".join(f"{name} 127.0.0.1:{port};" for name, port in ports.items())
        http = f"""
            log_format bundles '$http_armour_bundle';
            map $host $producer {{ {places} }}
            server {{
                listen {gateway};
                access_log {tmp_path}/gateway.log bundles;
                location /armour/v2/ {{
                    proxy_pass http://$producer;
                    proxy_http_version 1.1;
                    proxy_buffering off;
                    proxy_request_buffering off;
                    proxy_next_upstream off;
                    client_max_body_size 0;
                }}
            }}"""
        with nginx(tmp_path / "nginx", http):
            consumer, base = made.consumer()
            served(f"http://{base}/first", consumer)
            for _ in range(20):
                assert requests.get(f"http://{base}/x", timeout=PATIENCE).status_code == 200
            bundles = {one["id"] for one in made.tenant.get("/v1/bundles")["items"]}
            named = set((tmp_path / "gateway.log").read_text().split())
            assert named and named <= bundles, json.dumps([sorted(named), sorted(bundles)])
            assert all(re.fullmatch(r"[0-9a-f-]{36}", one) for one in named)
