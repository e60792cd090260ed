"""The container files: valid by the published schemas, right for respfix, and built as far as it goes here."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from test_demo import serving

from respfix.config import Config, build
from respfix.config.sources import from_environment

DOCKER = Path(__file__).parents[1] / "docker"
MANIFESTS = sorted((DOCKER / "kubernetes").glob("*.yaml"))
KUBERNETES = ("1.29.0", "1.33.0", "1.37.0")  # the first with sidecars, and the newest that is known
SUB2API_KEYS = {  # what a first start of Sub2API needs, from its own compose file
    *(
        "AUTO_SETUP",
        "SERVER_HOST",
        "SERVER_PORT",
        "DATABASE_HOST",
        "DATABASE_PORT",
        "DATABASE_USER",
        "DATABASE_PASSWORD",
    ),
    *("DATABASE_DBNAME", "DATABASE_SSLMODE", "REDIS_HOST", "REDIS_PORT", "ADMIN_PASSWORD", "JWT_SECRET"),
    "TOTP_ENCRYPTION_KEY",
}


def tool(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a tool of the development extra, which is not everywhere."""
    path = Path(sys.executable).parent / name
    if not path.exists():
        pytest.skip(f"{name} is not installed; it comes with `pip install -e '.[dev]'`")
    return subprocess.run([path, *arguments], text=True, capture_output=True, check=False)


class Step(NamedTuple):
    """One instruction of a Dockerfile."""

    word: str
    rest: str


def steps() -> list[list[Step]]:
    """The Dockerfile's instructions, stage by stage."""
    text = re.sub(r"(?m)^#.*\n", "", (DOCKER / "Dockerfile").read_text()).replace("\\\n", "")
    stages: list[list[Step]] = []
    for line in filter(None, text.splitlines()):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            stages.append([])
        stages[-1].append(Step(word, re.sub(r"\s+", " ", rest)))
    return stages


def only(stage: list[Step], word: str) -> str:
    """What stands behind the one instruction of this kind."""
    (rest,) = [step.rest for step in stage if step.word == word]
    return rest


def environment_of(stage: list[Step]) -> dict[str, str]:
    """The variables that an image sets."""
    return dict(pair.split("=", 1) for pair in only(stage, "ENV").split())


def config_of(environment: dict[str, str]) -> Config:
    """What respfix makes of the variables; raises ConfigError if one is wrong."""
    return build(from_environment(environment))


def test_the_dockerfile_has_no_fault_that_a_linter_knows() -> None:
    """Pinned stages, no cache left behind, commands as lists, no root."""
    result = tool("hadolint", DOCKER / "Dockerfile")

    assert (result.returncode, result.stdout) == (0, "")


def test_the_compose_file_follows_its_specification() -> None:
    """As the schema that compose itself uses says it."""
    result = tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", DOCKER / "compose.yaml")

    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("version", KUBERNETES)
def test_the_manifests_follow_the_schemas_of_kubernetes(version: str) -> None:
    """Strictly: an unknown key is a fault."""
    result = tool("kubernetes-validate", "--strict", "-k", version, *MANIFESTS)

    assert result.returncode == 0, result.stdout + result.stderr


def test_a_fault_in_a_manifest_would_be_found(tmp_path: Path) -> None:
    """A misspelt key, as the check of the check."""
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(MANIFESTS[0].read_text().replace("readinessProbe:", "readynessProbe:"))

    assert tool("kubernetes-validate", "--strict", "-k", KUBERNETES[-1], wrong).returncode != 0


def test_the_image_listens_for_its_neighbours_and_shows_its_admin_side_to_nobody() -> None:
    """All interfaces, the names that containers use, and the health check's own port."""
    _, image = steps()
    config = config_of(environment_of(image))

    assert [str(listener) for listener in config.listen] == ["0.0.0.0:8081"]
    assert set(config.hosts) == {"respfix", "host.docker.internal"}
    assert [str(listener) for listener in config.admin.listen] == ["127.0.0.1:9081"]
    assert only(image, "EXPOSE") == "8081"
    assert int(only(image, "USER").split(":")[0]) > 0


def test_compose_puts_respfix_in_front_of_sub2api() -> None:
    """By its service's name, with time to drain, and reachable from this machine alone."""
    compose = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    services = compose["services"]
    respfix, sub2api = services["respfix"], services["sub2api"]
    _, image = steps()
    config = config_of(environment_of(image) | respfix["environment"])

    assert config.upstream == f"http://sub2api:{sub2api['environment']['SERVER_PORT']}"
    assert all(port.startswith("127.0.0.1:") for service in services.values() for port in service.get("ports", ()))
    assert int(respfix["stop_grace_period"][:-1]) >= 2 * config.timeouts.drain + 3 * config.timeouts.grace
    assert (DOCKER / respfix["build"]["context"] / respfix["build"]["dockerfile"]).resolve() == DOCKER / "Dockerfile"
    assert SUB2API_KEYS <= sub2api["environment"].keys()
    assert {sub2api["environment"]["DATABASE_HOST"], sub2api["environment"]["REDIS_HOST"]} < services.keys()


def documents() -> list[dict[str, Any]]:
    """Every object of the manifests."""
    return [document for path in MANIFESTS for document in yaml.safe_load_all(path.read_text())]


def pods() -> dict[str, dict[str, Any]]:
    """The pods that the manifests ask for."""
    return {
        document["metadata"]["name"]: document["spec"]["template"]["spec"]
        for document in documents()
        if document["kind"] == "Deployment"
    }


def container_of(pod: dict[str, Any]) -> dict[str, Any]:
    """The pod's respfix."""
    (found,) = [one for one in (*pod.get("initContainers", ()), *pod["containers"]) if one["name"] == "respfix"]
    return dict(found)


@pytest.mark.parametrize("name", ["respfix", "sub2api"])
def test_a_pod_tells_respfix_what_it_understands(name: str) -> None:
    """Every variable is a setting, the probes ask the admin side, and the pod waits as long as the streams may."""
    _, image = steps()
    pod = pods()[name]
    container = container_of(pod)
    given = {one["name"]: one["value"].replace("$(NAMESPACE)", "apps") for one in container["env"] if "value" in one}
    config = config_of(environment_of(image) | given)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    (admin,), (public,) = config.admin.listen, config.listen

    assert str(admin) == f"0.0.0.0:{ports['admin']}"
    assert str(public) == f"0.0.0.0:{ports['http']}"
    assert {name, f"{name}.apps", f"{name}.apps.svc", f"{name}.apps.svc.cluster.local"} <= set(config.hosts)
    probes = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    assert {kind: probe["path"] for kind, probe in probes.items()} == {
        "startup": "/healthz",
        "liveness": "/healthz",
        "readiness": "/readyz",
    }
    assert {probe["port"] for probe in probes.values()} == {"admin"}
    assert pod["terminationGracePeriodSeconds"] >= 5 + config.timeouts.drain + 3 * config.timeouts.grace
    assert pod["enableServiceLinks"] is False
    assert container["securityContext"]["runAsNonRoot"]


def test_the_names_and_labels_of_the_manifests_fit_together() -> None:
    """A selector that selects nothing is valid, and useless."""
    labels = {
        document["metadata"]["name"]: document["spec"]["template"]["metadata"]["labels"]
        for document in documents()
        if document["kind"] == "Deployment"
    }
    for document in documents():
        spec, name = document["spec"], document["metadata"]["name"]
        if document["kind"] == "Service":
            assert spec["selector"].items() <= labels[name].items()
            assert {port["targetPort"] for port in spec["ports"]} <= {
                port["name"] for port in container_of(pods()[name])["ports"]
            }
        elif document["kind"] in ("Deployment", "PodDisruptionBudget"):
            assert spec["selector"]["matchLabels"].items() <= labels[name].items()
        elif document["kind"] == "HorizontalPodAutoscaler":
            assert spec["scaleTargetRef"]["name"] in labels
            assert "cpu" in container_of(pods()[name])["resources"]["requests"]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def context(folder: Path) -> set[str]:
    """The top of what the engine is sent: what the ignore file lets through."""
    lines = (DOCKER / "Dockerfile.dockerignore").read_text().split()
    assert lines[0] == "*"
    for name in (line[1:] for line in lines if line.startswith("!")):
        source = DOCKER.parent / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    return {path.name for path in folder.iterdir()}


@pytest.mark.install
@pytest.mark.timeout(300)
def test_the_image_s_steps_give_a_respfix_that_is_healthy(tmp_path: Path) -> None:
    """Its COPY and RUN, in a folder instead of a layer; then its command and its health check, in a bare one."""
    build_stage, image = steps()
    source, root = tmp_path / "context", tmp_path / "root"
    source.mkdir()
    sent = context(source)
    copied = [name for step in build_stage if step.word == "COPY" for name in step.rest.split()[:-1]]
    assert set(copied) == sent
    script = (
        only(build_stage, "RUN")
        .replace("/opt/respfix", f"{root}/opt/respfix")
        .replace("python -m", f"{sys.executable} -m", 1)
    )
    path = os.environ["PATH"]
    made = subprocess.run(
        ["sh", "-ec", script], cwd=source, text=True, capture_output=True, check=False, env={"PATH": path}
    )
    assert made.returncode == 0, made.stdout + made.stderr

    public, admin = free_port(), free_port()
    environment = environment_of(image) | {
        "RESPFIX_LISTEN": f"0.0.0.0:{public}",
        "RESPFIX_ADMIN_LISTEN": f"127.0.0.1:{admin}",
    }
    probe = [part.replace("9081", str(admin)) for part in json.loads(only(image, "HEALTHCHECK").partition("CMD ")[2])]
    command = [*json.loads(only(image, "ENTRYPOINT")), *json.loads(only(image, "CMD"))]

    def run(parts: list[str]) -> list[str]:
        return [f"{root}{parts[0]}", *parts[1:]]

    with serving() as (_, urls):
        environment["RESPFIX_UPSTREAM"] = "http://" + urls["broken"].split("/")[2]
        assert subprocess.run(run(probe), capture_output=True, check=False).returncode != 0
        with subprocess.Popen(
            run(command), env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True
        ) as process:
            deadline = time.monotonic() + 30
            while subprocess.run(run(probe), capture_output=True, check=False).returncode != 0:
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline
            statuses = {}
            for host in ("respfix:8081", "172.18.0.3:8081", "localhost", "evil.example"):
                connection = HTTPConnection("127.0.0.1", public, timeout=10)
                connection.request("GET", "/v1/models", headers={"Host": host})
                statuses[host] = connection.getresponse().status
                connection.close()
            process.terminate()

            assert process.wait(30) == 0
    assert {host: status == 403 for host, status in statuses.items()} == {
        "respfix:8081": False, "172.18.0.3:8081": False, "localhost": False, "evil.example": True,
    }  # fmt: skip
