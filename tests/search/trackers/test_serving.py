"""`gan-search tensorboard` and `dashboard`: the real servers, asked over HTTP for what people would look at."""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from chromium import Browser, find_chromium
from fabricated import KIMG, STATES, Fabricated, fabricate, picture, tell
from listeners import listening, with_children

from gan.storage.storage import Storage
from gan.terminal import run_app
from search.commands.app import app
from search.run.journal import JOURNAL
from search.run.record import SweepRecord, TrialRecord, read_record
from search.run.run_folder import SETTINGS
from search.trackers.study import FILE, StudyFile
from search.trackers.tensorboard import FOLDER, TensorBoard

PATIENCE = 120.0
ANY_STATUS = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]
OWN_TENSORBOARD = ("--host", "127.0.0.1", "--reload_interval", "1", "--samples_per_plugin", "images=100")
OWN_DASHBOARD = ("--host", "127.0.0.1", "-q", "--server", "wsgiref")
AWKWARD = "my runs, with ünïcödé & spaces"


class Server:
    """A command that serves until it is ended.

    Args:
        port: that it was told; without one it prints its address.

    Attributes:
        address: where it answers.
        err: what it has written to stderr; complete once it has ended.
    """

    def __init__(self, *command: str, scratch: Path, port: str | None = None) -> None:
        scratch.mkdir(exist_ok=True)
        self._scratch = scratch
        self._log = scratch.with_suffix(".log")
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *command],
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "TMPDIR": str(scratch)},
            )
        self._address = None if port is None else f"http://127.0.0.1:{port}/"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def err(self) -> str:
        return self._log.read_text()

    @property
    def address(self) -> str:
        if self._address is None:
            assert self._process.stdout is not None
            with selectors.DefaultSelector() as ready:
                ready.register(self._process.stdout, selectors.EVENT_READ)
                assert ready.select(PATIENCE), f"no address: {self.err}"
            line = self._process.stdout.readline()
            assert line, f"it ended: {self.err}"
            self._address = str(json.loads(line)["address"])
        return self._address

    def get(self, path: str, body: dict[str, Any] | None = None, form: str | None = None) -> Any:
        return json.loads(self.fetch(path, body, form))

    def fetch(self, path: str, body: dict[str, Any] | None = None, form: str | None = None) -> bytes:
        data = form if body is None else json.dumps(body)
        kind = "application/json" if form is None else "application/x-www-form-urlencoded"
        content = None if data is None else data.encode()
        request = urllib.request.Request(self.address + path, content, {"Content-Type": kind})
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return bytes(answer.read())

    def interrupt(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._process.poll() is None:
            self._process.send_signal(how)

    def wait(self) -> int:
        """Return its exit status, once it has ended."""
        try:
            return self._process.wait(30)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()

    def leavings(self) -> list[str]:
        """Return what is still in its folder for temporary files."""
        return [path.name for path in self._scratch.iterdir()]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so: servers read what is new every few seconds."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            if condition():
                return
        except (urllib.error.URLError, KeyError, IndexError):
            pass  # Not there yet.
        time.sleep(0.25)
    pytest.fail("it did not come to that in two minutes")


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Starts servers, and ends what is left of them."""
    servers: list[Server] = []
    folder = tmp_path_factory.mktemp("scratch")

    def start(*command: str, port: str | None = None) -> Server:
        servers.append(Server(*command, scratch=folder / f"server{len(servers)}", port=port))
        return servers[-1]

    yield start
    for server in servers:
        server.interrupt()
    for server in servers:
        server.wait()


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """A bucket on a local S3 server; its URI takes a folder at {}."""
    pytest.importorskip("moto")
    from moto.server import ThreadedMotoServer

    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
        server.start()
        try:
            _, port = server.get_host_and_port()
            urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/runs", method="PUT")).close()
            yield f"s3://runs/{{}}?endpoint_override=127.0.0.1:{port}&scheme=http"
        finally:
            server.stop()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with all that a driver leaves, in a folder of an awkward name."""
    folder = tmp_path_factory.mktemp("runs") / AWKWARD / "démo"
    run = Storage(folder)
    fabricate(run, name="démo")
    record = SweepRecord(settings={"name": "démo"}, evaluation={"features": "random-conv"})
    copy = StudyFile(run, record)
    record.trials = tell(run, TensorBoard(run, record), copy).trials
    copy.close()
    return folder


@pytest.fixture(scope="module")
def servers(local: Path, bucket: str, started: Callable[..., Server]) -> dict[str, Server]:
    """All at once, as each takes seconds to start."""
    damaged = local.with_name("damaged")
    shutil.copytree(local, damaged)
    for file in (damaged / FOLDER / "t0003").iterdir():
        file.write_bytes(b"rubbish")
    shutil.rmtree(damaged / FOLDER / "t0004")
    (damaged / FILE).write_bytes(b"rubbish")
    remote = bucket.format("remote run")
    fabricate(Storage(remote), name="remote run")
    board, dashboard = str(free_port()), str(free_port())
    return {
        # As people have it, over the files that the driver has left.
        "own": started(
            "tensorboard.main", "--logdir", str(local / FOLDER), "--port", board, *OWN_TENSORBOARD, port=board
        ),
        "damaged": started("search", "tensorboard", str(damaged), "--json"),
        "remote": started("search", "tensorboard", remote, "--json"),
        "dashboard": started("search", "dashboard", str(damaged), "--json"),
        "remote dashboard": started("search", "dashboard", remote, "--json"),
        "own dashboard": started(
            "optuna_dashboard._cli", str(local / FILE), "--port", dashboard, *OWN_DASHBOARD, port=dashboard
        ),
    }


# ---- TensorBoard


def scalars(server: Server, tag: str) -> dict[str, list[tuple[int, float]]]:
    """Return the points (step, value) of one tag in each run that has it."""
    runs = [run for run, tags in server.get("data/plugin/scalars/tags").items() if tag in tags]
    body = "&".join(["tag=" + quote(tag, safe=""), *(f"runs={quote(run)}" for run in runs)])
    found = server.get("data/plugin/scalars/scalars_multirun", form=body) if runs else {}
    return {run: [(step, value) for _, step, value in points] for run, points in found.items()}


def images(server: Server, run: str) -> dict[int, bytes]:
    found = server.get(f"data/plugin/images/images?run={quote(run)}&tag=samples&sample=0")
    return {each["step"]: server.fetch(f"data/plugin/images/individualImage?{each['query']}") for each in found}


def sessions(server: Server) -> dict[str, dict[str, Any]]:
    body = {"experimentName": "", "allowedStatuses": ANY_STATUS, "startIndex": 0, "sliceSize": 100}
    found = server.get("data/plugin/hparams/session_groups", {**body, "colParams": []})
    return {group["name"]: group for group in found["sessionGroups"]}


SCALARS = {
    "quality/fid": "fid",
    "quality/best_fid": "best_fid",
    "gradient/generator": "grad_norm_g",
    "gradient/discriminator": "grad_norm_d",
    "speed/images_per_second": "images_per_second",
    "loss/wasserstein_estimate": "wasserstein",
    "state/diverged": "diverged",
}


def reported(trial: TrialRecord, field: str) -> list[tuple[int, Any]]:
    told = [(round(1000 * report["kimg"]), report[field]) for report in trial.reports if report[field] is not None]
    return [(step, pytest.approx(value)) for step, value in told]


def losses(trial: TrialRecord, column: int) -> list[tuple[int, Any]]:
    points = [point for report in trial.reports for point in report["curve"]]
    return [(round(1000 * point[0]), pytest.approx(point[column])) for point in points]


@pytest.mark.parametrize("kind", ["own", "damaged", "remote"])
def test_tensorboard_shows_every_number_of_every_trial(kind: str, servers: dict[str, Server], local: Path) -> None:
    server = servers[kind]
    record = read_record(Storage(local)).trials
    until(lambda: set(server.get("data/runs")) == set(STATES))
    until(lambda: scalars(server, "state/diverged").keys() == {name for name in record if record[name].reports})
    wanted = {tag: {name: reported(trial, field) for name, trial in record.items()} for tag, field in SCALARS.items()}
    wanted["loss/generator"] = {name: losses(trial, 1) for name, trial in record.items()}
    wanted["loss/discriminator"] = {name: losses(trial, 2) for name, trial in record.items()}
    for tag, told in wanted.items():
        assert scalars(server, tag) == {name: points for name, points in told.items() if points}, tag
    assert scalars(server, "loss/wasserstein_estimate").keys() == {"t0002", "t0005"}


@pytest.mark.parametrize("kind", ["own", "damaged", "remote"])
def test_tensorboard_shows_the_sample_grid_of_every_evaluation(kind: str, servers: dict[str, Server]) -> None:
    evaluated = {"t0000": range(1, 7), "t0002": range(1, 3), "t0004": range(1, 3), "t0008": range(1, 4)}
    for name, kimgs in evaluated.items():
        # Pictures come one by one where they are fetched from afar.
        until(lambda: len(images(servers[kind], name)) == len(kimgs))  # noqa: B023
        assert images(servers[kind], name) == {1000 * kimg: picture(name, kimg) for kimg in kimgs}


@pytest.mark.parametrize("kind", ["own", "damaged", "remote"])
def test_hparams_has_a_row_for_every_trial_however_it_ended(kind: str, servers: dict[str, Server]) -> None:
    server = servers[kind]
    until(lambda: len(sessions(server)) == len(STATES))
    found = sessions(server)
    told = {"finished": "STATUS_SUCCESS", "stopped": "STATUS_SUCCESS", "running": "STATUS_UNKNOWN"}
    told |= {"diverged": "STATUS_FAILURE", "failed": "STATUS_FAILURE"}
    best = {}
    for name, group in found.items():
        assert group["sessions"][0].get("status", "STATUS_UNKNOWN") == told[STATES[name]], name
        values = {each["name"]["tag"]: each["value"] for each in group.get("metricValues", [])}
        best[name] = values.get("quality/best_fid")
    assert best["t0003"] == pytest.approx(60 + 100 / KIMG, rel=1e-5)
    assert best["t0002"] == pytest.approx(140 + 100 / 2, rel=1e-5)
    assert best["t0008"] == pytest.approx(120 + 100 / 3, rel=1e-5)
    assert best["t0006"] is best["t0007"] is None
    columns = {frozenset(group["hparams"]) for group in found.values()}
    assert len(columns) == 1
    assert {"recipe", "source", "lr_g", "beta1", "l2_lambda", "clip", "n_critic"} <= next(iter(columns))
    assert (found["t0005"]["hparams"]["clip"], found["t0005"]["hparams"]["beta1"]) == (0.1, -1)
    assert (found["t0003"]["hparams"]["clip"], found["t0003"]["hparams"]["beta1"]) == (-1, 0.25)
    experiment = server.get("data/plugin/hparams/experiment", {"experimentName": ""})
    assert {info["name"] for info in experiment["hparamInfos"]} == next(iter(columns))
    assert experiment["metricInfos"][0]["name"]["tag"] == "quality/best_fid"


def test_servers_follow_the_run(servers: dict[str, Server], local: Path) -> None:
    run = Storage(local.with_name("damaged"))
    made = Fabricated(run, begin=False)
    made.report("t0008", 4.0, 100.0)
    server, dashboard = servers["damaged"], servers["dashboard"]
    until(lambda: (4000, 125.0) in scalars(server, "quality/fid")["t0008"])
    until(lambda: images(server, "t0008").get(4000) == picture("t0008", 4.0))
    until(lambda: trials(dashboard)["t0008"]["intermediate_values"][-1] == {"step": 4000, "value": 125.0})
    assert server.err == servers["remote"].err == ""


@pytest.mark.skipif(find_chromium() is None, reason="no Chromium on this machine (apt install chromium)")
def test_people_see_it_in_a_browser(servers: dict[str, Server]) -> None:
    """TensorBoard's pages and Optuna's, in headless Chromium: trials by name, and nothing asked of the network."""
    until(lambda: len(sessions(servers["damaged"])) == len(STATES))
    with Browser() as browser:
        browser.open(servers["damaged"].address)
        until(lambda: set(STATES) <= set(str(browser.js("document.body.innerText")).split()))
        shown = str(browser.js("document.body.innerText"))
        assert all(group in shown for group in ("gradient", "loss", "quality", "speed"))
        assert all(tab in shown.upper() for tab in ("TIME SERIES", "IMAGES", "HPARAMS", "TEXT"))
        browser.open(servers["dashboard"].address)
        until(lambda: "démo" in str(browser.js("document.body.innerText")))
        asked = {urlsplit(address).hostname for address in browser.requests if address.startswith("http")}
        assert asked <= {"127.0.0.1", "localhost"}


# ---- Optuna's dashboard


def trials(server: Server) -> dict[str, dict[str, Any]]:
    """Return what optuna-dashboard tells of each trial, by our names."""
    (study,) = server.get("api/studies")["study_summaries"]
    found = server.get(f"api/studies/{study['study_id']}?after=0")["trials"]
    return {attributes(trial)["trial"]: trial for trial in found}


def attributes(trial: dict[str, Any]) -> dict[str, str]:
    return {each["key"]: each["value"] for each in trial["user_attrs"]}


@pytest.mark.parametrize("kind", ["dashboard", "remote dashboard", "own dashboard"])
def test_optunas_dashboard_shows_states_and_marks(kind: str, servers: dict[str, Server]) -> None:
    until(lambda: bool(trials(servers[kind])))
    found = trials(servers[kind])
    told = {"finished": "Complete", "stopped": "Pruned", "diverged": "Pruned", "failed": "Fail", "running": "Waiting"}
    assert {name: trial["state"] for name, trial in found.items()} == {name: told[s] for name, s in STATES.items()}
    for name, trial in found.items():
        if STATES[name] != "running":
            assert attributes(trial)["verdict"] == STATES[name]
            assert attributes(trial)["diverged"] == str(STATES[name] == "diverged")
        assert attributes(trial)["source"] == ("published" if name <= "t0002" else "sampled")
    assert "exploding" in attributes(found["t0002"])["reason"]
    assert found["t0003"]["values"] == [pytest.approx(60 + 100 / KIMG)]
    params = {each["name"]: each["param_external_value"] for each in found["t0005"]["params"]}
    assert params == {"recipe": "wgan", "lr_g": str(1e-4 * 7), "lr_d": "0.0003", "clip": "0.1", "n_critic": "2"}


def test_optunas_dashboard_knows_the_best_and_what_mattered(servers: dict[str, Server]) -> None:
    server = servers["dashboard"]
    (study,) = server.get("api/studies")["study_summaries"]
    assert study["study_name"] == "démo"
    detail = server.get(f"api/studies/{study['study_id']}?after=0")
    assert [attributes(trial)["trial"] for trial in detail["best_trials"]] == ["t0003"]
    assert detail["objective_names"] == ["best_fid (random-conv features)"]
    (importance,) = server.get(f"api/studies/{study['study_id']}/param_importances")["param_importances"]
    assert {"recipe", "lr_g", "clip", "beta1"} <= {each["name"] for each in importance}


# ---- both


def test_they_listen_on_the_loopback_address_alone(servers: dict[str, Server]) -> None:
    for server in servers.values():
        assert server.address.startswith(("http://127.0.0.1:", "http://localhost:"))
    for server in servers.values():
        # Other programs on this machine may listen at the same port of another address.
        assert set().union(*listening(with_children(server.pid)).values()) == {"127.0.0.1"}


def test_they_end_in_order_and_leave_nothing(servers: dict[str, Server]) -> None:
    """Last of all: no temporary files, no processes of theirs."""
    processes = {str(server.pid) for server in servers.values()}
    for server in servers.values():
        processes |= set(Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split())
    for number, server in enumerate(servers.values()):
        server.interrupt((signal.SIGTERM, signal.SIGINT)[number % 2])
    for kind, server in servers.items():
        status = server.wait()
        if not kind.startswith("own"):
            assert status == 0, server.err
            assert server.leavings() == []
    until(lambda: not any(Path(f"/proc/{process}").exists() for process in processes))


# ---- bad input


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command in this process that must be refused; return its one line."""
    status = run_app(app, arguments)
    out, err = capsys.readouterr()
    assert (status, out) == (2, ""), err
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize("command", ["tensorboard", "dashboard"])
@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "there is no run here"),
        ({"notes.txt": b"x"}, "there is no run here"),
        ({SETTINGS: b"identity: {}\nsettings: {}\nversions: {}\n"}, "gan-search resume"),
        ({SETTINGS: b"iden"}, "no trial has begun yet"),
        ({SETTINGS: b"iden", JOURNAL: b'{"event": "swe'}, "no trial has begun yet"),
    ],
)
def test_there_is_nothing_to_show(
    command: str,
    files: dict[str, bytes],
    said: str,
    tmp_path: Path,
    snapshot: Callable[[Path], Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / AWKWARD
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    before = snapshot(tmp_path)
    assert said in refused([command, str(folder)], capsys)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("command", ["tensorboard", "dashboard"])
def test_a_run_of_a_newer_version(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = Fabricated(Storage(tmp_path))
    made.begin("dcgan", "published")
    journal = tmp_path / JOURNAL
    journal.write_text(journal.read_text().replace('"format": 1', '"format": 99'))
    assert "newer gan-search" in refused([command, str(tmp_path)], capsys)


@pytest.mark.parametrize("command", ["tensorboard", "dashboard"])
def test_a_port_that_is_taken(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = Fabricated(Storage(tmp_path))
    made.begin("dcgan", "published")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"--port {port}" in refused([command, str(tmp_path), "--port", str(port)], capsys).splitlines()[-1]


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    made = Fabricated(Storage(tmp_path))
    made.begin("dcgan", "published")
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    assert "pip install 'gan-search[dashboard]'" in refused(["dashboard", str(tmp_path)], capsys)
