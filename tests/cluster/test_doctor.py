"""The doctor finds what would stop a run: on this machine, and on nodes that differ from each other."""

import shutil
import socket
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from actors.nodes import PACKAGES, NodeFacts
from benchmarks.support.postgres import PASSWORD
from pipelines.parts import checkup
from pipelines.parts.command import main
from pipelines.stages import doctor
from tests.support.stores import change
from v4e.config import Config, parse
from v4e.faults import Fault
from v4e.files.uri import free_bytes, local_path

GIB = 2**30
NODE = NodeFacts(
    address="10.0.0.1",
    versions={"python": "3.11.2", "torch": "2.13.0"},
    ahead_s=0.3,
    shm_bytes=8 * GIB,
    store_bytes=4 * GIB,
    free_bytes=50 * GIB,
    gpus=8,
    offered_gpus=8.0,
    sees_mark=True,
)


def asked(folder: Path, family: Path, *more: str) -> Config:
    given = {
        "run.dir": folder / "run",
        "models.student": family / "tiny-wan-i2v",
        "models.teacher": family / "tiny-wan-flf2v",
    }
    given |= dict(one.split("=") for one in more)
    return parse(["recipe=tiny", *(f"{key}={value}" for key, value in given.items())])


def states(found: list[checkup.Finding]) -> dict[str, str]:
    return {one.name: one.state for one in found}


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(checkup, "PORTS", {free_port(): "nothing"})


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


def test_a_sound_machine_passes_and_keeps_nothing(tmp_path, random_family, capsys):
    doctor.run(asked(tmp_path, random_family))
    assert "none failed" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ("models.student=/nowhere/model", "models"),
        ("data.store=unknown://bucket/store", "data.store"),
        ("train.keep=2000000", "disk"),
    ],
)
def test_what_a_run_would_fail_at_is_wrong(tmp_path, random_family, more, name):
    found = states(doctor.findings(asked(tmp_path, random_family, more)))
    assert [one for one, state in found.items() if state == "wrong"] == [name]
    with pytest.raises(Fault, match=name) as caught:
        doctor.run(asked(tmp_path, random_family, more))
    assert caught.value.code == "A13"


def test_a_folder_that_cannot_be_written_is_wrong_and_the_rest_is_still_looked_at(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SystemExit):
        main("doctor", [f"run.dir={tmp_path / 'file' / 'run'}"])
    printed = capsys.readouterr()
    found = {line.split()[1]: line.split()[0] for line in printed.out.splitlines() if line[1:6].strip()}
    assert found["run.dir"] == "wrong" and found["nodes"] == found["clocks"] == "ok"
    assert "V4E-A13" in printed.err


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_folders_that_it_made_are_gone_and_the_disk_is_theirs(tmp_path, random_family, form):
    config = parse(["recipe=tiny", "run.dir=" + form.format(tmp_path / "a" / "b")])
    found = states(doctor.findings(config))
    assert found["run.dir"] == "ok" and list(tmp_path.iterdir()) == []
    place = local_path(form.format("/dev/shm/x/y"))
    assert place and free_bytes(place) == pytest.approx(shutil.disk_usage("/dev/shm").free, rel=0.01)


def test_brackets_are_printed_as_they_are(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(checkup, "requires", lambda _: ["ray[serve,train]<1"])
    with pytest.raises(Fault):
        doctor.run(parse(["recipe=tiny", f"run.dir={tmp_path / '[old] [/x]'}"]))
    printed = capsys.readouterr().out.replace(" ", "").replace("\n", "")
    assert "pipinstall'ray[serve,train]<1'" in printed and "[old][/x]" in printed


def test_code_that_is_not_installed_and_a_damaged_model_end_no_check(tmp_path, monkeypatch):
    def missing(_name):
        raise PackageNotFoundError("v4e")

    monkeypatch.setattr(checkup, "requires", missing)
    damaged = tmp_path / "model"
    (damaged / "transformer").mkdir(parents=True)
    (damaged / "model_index.json").write_text("{}")
    (damaged / "transformer/config.json").write_text("[1]")
    found = states(doctor.findings(parse(["recipe=tiny", f"run.dir={tmp_path}", f"models.student={damaged}"])))
    assert found["packages"] == found["disk"] == "look" and found["nodes"] == "ok"


def test_a_port_in_use_is_named(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(checkup, "PORTS", {port: "a test"})
        found = checkup.ports()
    assert found.state == "look" and str(port) in found.said
    assert checkup.ports().state == "ok"


def test_an_address_that_is_none_is_one_finding(tmp_path, random_family, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "nowhere")
    monkeypatch.setattr("ray.is_initialized", lambda: False)  # other tests of this process may have joined one
    last = doctor.findings(asked(tmp_path, random_family))[-1]
    assert (last.name, last.state) == ("Ray", "wrong") and "V4E-T04" in last.said


def test_a_package_of_another_version_is_named(monkeypatch):
    monkeypatch.setattr(checkup, "requires", lambda _: ["torch>=99", "no-such-package", "mlflow>=3; extra == 'x'"])
    found = checkup.packages()
    assert found.state == "wrong" and "torch" in found.said and "no-such-package" in found.said
    assert "mlflow" not in found.said


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"error": "no answer in time"}, "nodes"),
        ({"versions": {"python": "3.11.2", "torch": "2.12.0"}}, "versions"),
        ({"versions": {"python": "3.11.2"}}, "versions"),
        ({"ahead_s": -9.0}, "clocks"),
        ({"ahead_s": 3600.0}, "clocks"),
        ({"ahead_s": 20.0, "took_s": 14.0}, "clocks"),
        ({"shm_bytes": 64 << 20}, "/dev/shm"),
        ({"free_bytes": 1 << 30}, "temporary"),
        ({"offered_gpus": 4.0}, "GPUs"),
        ({"versions": {"python": "3.11.2", "torch": "2.13.0+cpu"}}, "GPUs"),
        ({"sees_mark": False}, "shared run.dir"),
    ],
)
def test_the_node_that_differs_is_named_and_no_other(change, name):
    usual = (
        NODE
        if name != "GPUs" or "versions" not in change
        else replace(NODE, versions=change["versions"], gpus=0, offered_gpus=0.0)
    )
    odd = replace(NODE, address="10.0.0.9", **change)
    nodes = [usual, replace(usual, address="10.0.0.2"), odd]
    found = list(checkup.cluster(parse(["recipe=tiny"]), nodes, shared=True))
    faulty = [one for one in found if one.state != "ok"]
    assert [one.name for one in faulty] == [name]
    assert "10.0.0.9" in faulty[0].said and "10.0.0.2" not in faulty[0].said
    assert all(one.state == "ok" for one in checkup.cluster(parse(["recipe=tiny"]), nodes[:2], shared=True))


def test_more_gpus_than_there_are_are_named():
    settings, small = parse(["recipe=wan14b_480p"]), replace(NODE, gpus=1, offered_gpus=1.0)
    found = {one.name: one for one in checkup.cluster(settings, [small], shared=False)}
    assert found["GPUs"].state == "look" and "and there are 1:" in found["GPUs"].said


@pytest.mark.parametrize(("mode", "state"), [("token", "ok"), ("", "look")])
def test_a_cluster_that_others_reach_asks_for_a_token(monkeypatch, mode, state):
    monkeypatch.setenv("RAY_AUTH_MODE", mode)
    assert checkup.token([NODE]).state == state
    assert checkup.token([replace(NODE, address="127.0.0.1")]).state == "ok"


@pytest.mark.ray
@pytest.mark.slow
def test_the_nodes_of_a_real_cluster_are_looked_at(cluster, tmp_path, random_family, monkeypatch):
    import ray

    monkeypatch.setenv("RAY_ADDRESS", ray.get_runtime_context().gcs_address)
    found = {one.name: one for one in doctor.findings(asked(tmp_path, random_family))}
    assert found["nodes"].state == found["versions"].state == found["clocks"].state == "ok"
    assert found["nodes"].said.startswith("1 ")
    from actors.nodes import look_everywhere

    [node] = look_everywhere("")
    assert set(node.versions) == {"python", *PACKAGES} and node.store_bytes > 0 and not node.error
    assert 0 < node.ahead_s <= node.took_s
    [lost] = look_everywhere("unknown://bucket/mark")
    assert "unknown" in lost.error


def test_a_servers_database_that_cannot_be_used_is_wrong(tmp_path, random_family, postgres_server, monkeypatch):
    good, newer = postgres_server.database(), postgres_server.database()
    change(newer, "CREATE TABLE state_version AS SELECT 99 AS version")
    states = {
        good: ("ok", "answers"),
        newer: ("wrong", "install a newer v4e"),
        good.replace(PASSWORD, "wr0ng"): ("wrong", "password authentication failed"),
        good.replace(f":{postgres_server.port}/", ":1/"): ("wrong", "refused"),
    }
    for state, (expected, words) in states.items():
        monkeypatch.setenv("V4E_SERVE_STATE", state)
        [one] = [one for one in doctor.findings(asked(tmp_path, random_family)) if one.name == "serve.state"]
        assert one.state == expected and words in one.said
        assert PASSWORD not in one.said and "wr0ng" not in one.said and "\n" not in one.said
