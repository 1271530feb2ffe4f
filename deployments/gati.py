"""`gati`: every command of the three rooms by one name. A command's room is loaded when it runs."""

from pkgutil import resolve_name
from typing import Any

import click

from cache_models.errors import CacheModelsError

COMMANDS = {
    "serve": ("deployments.starting:serve", "gati serve", "gati serve my_config.yaml"),
    "demo": ("workload.demo:demo", "gati demo", "gati demo --requests 1000 --json"),
    "inspect": (
        "cache_models.commands.measuring:inspect",
        "gati inspect --picture plan.png",
        "gati inspect --model 'torchvision:resnet50?weights=DEFAULT'",
        "gati inspect --store /data/my_store --rate 200",
    ),
    "build": (
        "cache_models.commands.building:build",
        "gati build --data /data/pictures --work /data/work --out /data/my_store",
        "gati build --data /data/pictures --out /data/my_store --cut-points input,layer2.1 "
        "--variants fc-32,conv-32",
    ),
    "evaluate": (
        "cache_models.commands.measuring:evaluate",
        "gati evaluate",
        "gati evaluate --store /data/my_store --data /data/other_pictures --json",
    ),
    "run": (
        "workload.run.cli:run",
        "gati run --stream iid --requests 1000",
        "gati run --stream cameras --data 'street.avi?crops=6' --arrivals poisson --rate 20 "
        "--out run.json --picture run.png",
    ),
    "compare": (
        "workload.compare.cli:compare",
        "gati compare --systems plain,gati --minutes 6",
    ),
    "profile": ("workload.run.cli:profile", "gati profile --requests 500"),
    "stream": (
        "workload.run.cli:stream",
        "gati stream --stream locality --picture sent.png --trace sent.jsonl",
    ),
    "tune": (
        "cache_models.commands.measuring:tune",
        "gati tune --store /data/my_store",
    ),
    "measure": ("deployments.__main__:measure", "gati measure --out hop.json"),
}
"""Of each command, where it is, and examples."""


class _Lazy(click.Group):
    """Its commands are imported when they are asked for; errors that a user can mend are one
    line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        where, *examples = COMMANDS[cmd_name]
        command: click.Command = resolve_name(where)
        command.epilog = "\b\n" + "\n".join(["Examples:", *(f"  {one}" for one in examples)])
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (CacheModelsError, resolve_name("workload.errors:WorkloadError")) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Lazy)
@click.version_option(package_name="gati")
def cli() -> None:
    """Serve a classifier with learned caches.

    The first answer: `gati serve`, and in another shell `gati demo`.

    Your own model: `gati inspect`, `gati build`, `gati evaluate`, then `gati serve`.
    """
