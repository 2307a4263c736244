"""The cluster files: valid for Ray, and as closed as they say."""

from __future__ import annotations

import copy
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
HEALTH = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
}


def load(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return content


class Template(yaml.SafeLoader):
    """Reads CloudFormation, whose short forms (`!Ref`) are tags of its own."""


def _short_form(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
    return {suffix: node.value}


Template.add_multi_constructor("!", _short_form)


def prepared(name: str) -> dict[str, Any]:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config: dict[str, Any] = prepare_config(copy.deepcopy(load(name)))
    validate_config(config)
    return config


def starts(config: dict[str, Any]) -> Iterator[str]:
    for side in ("head", "worker"):
        yield from (line for line in config[f"{side}_start_ray_commands"] if "ray start" in line)


@pytest.mark.parametrize("name", ["cluster.yaml", "deploy/own-machines.yaml"])
def test_ray_accepts_it_and_every_process_asks_for_the_token(name: str) -> None:
    config = prepared(name)
    lines = list(starts(config))
    assert len(lines) == 2
    for line in lines:
        assert "RAY_AUTH_MODE=token" in line.split("ray start")[0]
        assert all(f"{key}={value}" in line for key, value in HEALTH.items())
        assert "0.0.0.0" not in line
    assert "--dashboard-host=127.0.0.1" in lines[0]
    setup = config["setup_commands"]
    assert any("chmod 600 ~/.ray/auth_token" in line for line in setup)
    # What people type on a node asks for the token too: a YAML comment would have cut this line.
    assert any(line.endswith("RAY_AUTH_MODE=token' >> ~/.bashrc") for line in setup)
    assert any("-c ~/gan-search/constraints.txt" in line for line in setup)
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"


@pytest.mark.parametrize("name", ["cluster.yaml", "deploy/own-machines.yaml"])
def test_its_commands_are_shell(name: str) -> None:
    config = prepared(name)
    commands = [*config["setup_commands"], *config["head_setup_commands"], *starts(config)]
    for command in commands:
        subprocess.run(["bash", "-n", "-c", command], check=True)


def test_aws_nodes_are_ours_to_close() -> None:
    """With groups and profiles of our own, Ray neither opens SSH to the world nor makes a role of full access."""
    config = prepared("cluster.yaml")
    head, worker = (config["available_node_types"][name] for name in ("head", "gpu"))
    for node in (head, worker):
        assert node["node_config"]["SecurityGroupIds"]
        assert node["node_config"]["SubnetIds"]
        assert node["node_config"]["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}
        assert all(disk["Ebs"]["Encrypted"] for disk in node["node_config"]["BlockDeviceMappings"])
    profiles = [node["node_config"]["IamInstanceProfile"]["Name"] for node in (head, worker)]
    assert profiles == ["gan-search-head", "gan-search-worker"]
    assert head["resources"] == {"CPU": 0}
    assert (worker["min_workers"], worker["max_workers"]) == (0, config["max_workers"])
    assert worker["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert config["provider"]["cache_stopped_nodes"] is False


def test_the_aws_template_opens_ssh_to_a_stated_range_and_grants_the_least() -> None:
    resources = yaml.load((ROOT / "deploy/aws.yaml").read_text(), Loader=Template)["Resources"]
    ingress = resources["SecurityGroup"]["Properties"]["SecurityGroupIngress"]
    assert len(ingress) == 1
    assert (ingress[0]["FromPort"], ingress[0]["ToPort"]) == (22, 22)
    assert ingress[0]["CidrIp"] == {"Ref": "SshFrom"}
    statements = [
        statement
        for role in ("WorkerRole", "HeadRole")
        for policy in resources[role]["Properties"]["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
    ]
    actions = [
        action
        for statement in statements
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    ]
    assert all(action.startswith("s3:") and "*" not in action for action in actions)
    scaling = resources["Autoscaler"]["Properties"]["PolicyDocument"]["Statement"]
    ending = next(s for s in scaling if "ec2:TerminateInstances" in s["Action"])
    assert ending["Condition"]["StringEquals"] == {
        "ec2:ResourceTag/ray-cluster-name": load("cluster.yaml")["cluster_name"]
    }
    making = [s for s in scaling if s["Action"] == "ec2:RunInstances"]
    assert all(statement["Resource"] != "*" for statement in making)
    made = next(s for s in making if "Condition" in s)
    tagged = made["Condition"]["StringEquals"]["aws:RequestTag/ray-cluster-name"]
    assert tagged == load("cluster.yaml")["cluster_name"]
    passed = next(s for s in scaling if s["Action"] == "iam:PassRole")
    assert passed["Resource"] == {"GetAtt": "WorkerRole.Arn"}


def test_the_kuberay_job_asks_for_a_token_and_keeps_other_pods_out() -> None:
    job, policy = yaml.safe_load_all((ROOT / "deploy/kuberay.yaml").read_text())
    cluster = job["spec"]["rayClusterSpec"]
    # The operator makes the token, hands it to all pods and shows it itself where it asks how the job stands.
    assert cluster["authOptions"] == {"mode": "token"}
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    templates = [group["template"] for group in groups]
    for template in templates:
        (container,) = template["spec"]["containers"]
        environment = {entry["name"]: entry["value"] for entry in container["env"]}
        assert {key: environment[key] for key in HEALTH} == HEALTH
    for template in [*templates, job["spec"]["submitterPodTemplate"]]:
        (container,) = template["spec"]["containers"]
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert template["metadata"]["labels"] == policy["spec"]["podSelector"]["matchLabels"]
    # The submitter and the operator are in other pods than the dashboard that they ask.
    assert "dashboard-host" not in cluster["headGroupSpec"]["rayStartParams"]
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    own, operator = policy["spec"]["ingress"]
    assert own == {"from": [{"podSelector": policy["spec"]["podSelector"]}]}
    (asks,) = operator["from"]
    assert asks["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "kuberay-operator"}
    assert asks["namespaceSelector"]["matchLabels"], "a label that any namespace could give its pods is not enough"
    assert [port["port"] for port in operator["ports"]] == [8265]
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split())
    assert cluster["rayVersion"] == pins["ray"]


def test_the_slurm_script_is_shell_and_keeps_its_token_to_itself() -> None:
    script = ROOT / "deploy/slurm.sh"
    subprocess.run(["bash", "-n", str(script)], check=True)
    text = script.read_text()
    assert text.index("umask 077") < text.index("RAY_AUTH_TOKEN_PATH=")
    assert "--dashboard-host=127.0.0.1" in text


@pytest.mark.parametrize("name", ["deploy/kuberay.yaml", "deploy/slurm.sh"])
def test_the_sweep_that_it_launches_is_one(name: str) -> None:
    """Its flags and values are those of the command line."""
    import shlex

    from search.plan.spec import make_spec

    text = (ROOT / name).read_text()
    if name.endswith(".yaml"):
        words = shlex.split(next(yaml.safe_load_all(text))["spec"]["entrypoint"])
    else:
        words = shlex.split(text.split("gan-search sweep", 1)[1].split("&", 1)[0].replace("\\\n", " "))
        words = ["gan-search", "sweep", *words]
    assert words[:2] == ["gan-search", "sweep"]
    flags = {words[i].removeprefix("--").replace("-", "_"): words[i + 1] for i in range(2, len(words), 2)}
    spec = make_spec(flags)
    assert spec.address
    assert spec.trials == 40
