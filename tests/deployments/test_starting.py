"""`gati serve` says what stands in the way before Ray starts, and else starts `serve run`."""

import os
import shlex
import socket
import subprocess
import sys

import click
import pytest
import yaml
from click.testing import CliRunner

from deployments import starting
from deployments.gati import COMMANDS, cli

CONFIG = {"http_options": {"port": 0}, "applications": [{"import_path": "deployments.app:build"}]}


@pytest.fixture
def started(monkeypatch):
    """What would have been run, and with which environment."""
    found = []
    monkeypatch.setattr(os, "execve", lambda *run: found.append(run))
    monkeypatch.setattr(starting, "HAPROXY_PORTS", {})
    return found


def write(folder, **changes):
    file = folder / "serve_config.yaml"
    file.write_text(yaml.safe_dump(CONFIG | changes))
    return file


def gati(*arguments):
    return CliRunner().invoke(cli, ["serve", *map(str, arguments)])


def test_serve_run_gets_what_must_be_set_before_ray_starts(started, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_SERVE_ENABLE_HA_PROXY", "0")  # what an operator has set stays
    monkeypatch.delenv("RAY_SERVE_THROUGHPUT_OPTIMIZED", raising=False)
    file = write(tmp_path)
    assert gati(file).exit_code == 0
    ((program, arguments, environment),) = started
    assert program == sys.executable
    assert arguments == [program, "-m", "deployments.serve_run", str(file)]
    assert environment["RAY_SERVE_THROUGHPUT_OPTIMIZED"] == "1"
    assert environment["RAY_SERVE_ENABLE_HA_PROXY"] == "0"


@pytest.mark.parametrize("kind", ["http_options", "grpc_options"])
def test_a_taken_port_is_named_with_who_has_it_and_what_to_change(started, tmp_path, kind):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        options = {"port": port, "grpc_servicer_functions": ["some.function"]}
        result = gati(write(tmp_path, **{kind: options}))
    assert result.exit_code == 1 and not started
    assert f"port {port} is taken by" in result.output and str(os.getpid()) in result.output
    assert f"set {kind}.port to another" in " ".join(result.output.split())
    assert "Traceback" not in result.output


def test_ports_of_haproxy_are_looked_at_where_it_is_used():
    environment = {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_HAPROXY_STATS_PORT": "8405"}
    assert dict(starting.ports({}, environment)) == {
        8000: "http_options.port",
        8405: "RAY_SERVE_HAPROXY_STATS_PORT",
        9101: "RAY_SERVE_HAPROXY_METRICS_PORT",
    }
    assert dict(starting.ports({}, {})) == {8000: "http_options.port"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "name the configuration"),
        ("a: [", "is no YAML"),
        ("- a", "has no applications"),
        ("model: default", "has no applications"),
    ],
)
def test_what_is_no_configuration_is_refused_in_a_line(started, tmp_path, text, says):
    file = tmp_path / "config.yaml"
    if text is not None:
        file.write_text(text)
    result = gati(file)
    assert result.exit_code == 1 and not started
    assert says in " ".join(result.output.split()) and "Traceback" not in result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name):
    result = CliRunner().invoke(cli, [name, "--help"], prog_name="gati")
    assert result.exit_code == 0 and result.output.startswith(f"Usage: gati {name}")
    assert f"Examples:\n    gati {name}" in result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_are_commands_that_there_are(name):
    command = cli.get_command(click.Context(cli), name)
    for example in COMMANDS[name][1:]:
        _, found, *arguments = shlex.split(example)
        assert found == name
        context = click.Context(command, resilient_parsing=True)
        _, left, _ = command.make_parser(context).parse_args(arguments)
        assert not left or name == "serve", left


def test_an_haproxy_whose_ray_is_gone_is_ended_and_no_other(tmp_path, capsys):
    gone = subprocess.Popen(["true"])
    gone.wait()
    program = tmp_path / "haproxy"
    program.symlink_to(sys.executable)

    def haproxy(raylet: int) -> subprocess.Popen:
        command = [str(program), "-c", "import time; print(flush=True); time.sleep(600)"]
        environment = {**os.environ, starting.RAYLET: str(raylet)}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
        process.stdout.readline()
        return process

    with haproxy(gone.pid) as left_behind, haproxy(os.getpid()) as used:
        try:
            starting.end_orphans()
            left_behind.wait(5)
            assert used.poll() is None
        finally:
            left_behind.kill()
            used.kill()
    told = (
        capsys.readouterr().out
    )  # of others, too, where a test beside this one has killed a Serve
    assert f"(process {left_behind.pid}) is ended" in told
    assert f"(process {used.pid})" not in told
