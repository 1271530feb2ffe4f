"""The command line: quick help, and errors that a user can mend in one line."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from cache_models.errors import DataError
from workload.__main__ import cli
from workload.errors import ParameterError, ServerError, StartError
from workload.options import OneLineErrors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ParameterError("stream 'zopf' is none of iid"), 2),
        (DataError("data 'x' is not there"), 2),
        (ServerError("nobody answers"), 1),
        (StartError("port 8404 is taken"), 1),
    ],
)
def test_what_a_user_can_mend_is_said_in_one_line(error, code):
    @click.group(cls=OneLineErrors)
    def group():
        pass

    @group.command()
    def fail():
        raise error

    done = CliRunner().invoke(group, ["fail"])
    assert (done.exit_code, done.output) == (code, f"Error: {error}\n")


def test_a_server_that_is_not_there_is_named_with_what_to_do():
    arguments = ["rounds", "--url", "http://127.0.0.1:9", "--requests", "1"]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 1
    assert "nobody answers at http://127.0.0.1:9: start a server with `serve run" in done.output


def test_help_waits_for_no_heavy_library():
    heavy = "{'torch', 'ray', 'scipy', 'matplotlib', 'aiohttp'}"
    program = f"import sys, workload.__main__; sys.exit(str({heavy} & sys.modules.keys() or ''))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr.strip() == ""
