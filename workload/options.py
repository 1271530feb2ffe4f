"""What commands share; nothing here loads PyTorch."""

import click

LABELS, ANSWERS = "labels", "answers"
"""What the classes of a stream are."""

classes_option = click.option(
    "--classes",
    type=click.Choice([LABELS, ANSWERS]),
    default=LABELS,
    show_default=True,
    help="What a stream's classes are: the data's labels, or the base DNN's answers.",
)
