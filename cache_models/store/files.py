"""What the files beside a version's plan are called, for those who write and who read them."""

EXPLORATION = "exploration.csv"
"""The table of all variants explored, for people."""
ALTERNATIVES = "alternatives.safetensors"
"""What the plan's alternatives said of the selection and calibration samples: `answers`, and
`scores.<i>` and `familiar.<i>` of the i-th; `calibrates` says which of the samples calibrate."""
SAMPLES = "samples.safetensors"
"""The build's samples, for retraining: `inputs` as they were given, `probabilities` fp16, `roles`,
and their features at deployed cut points behind the input."""


def features_at(cut_point: str) -> str:
    """The tensor in `SAMPLES` of `(N, *feature_shape)` fp16."""
    return f"features.{cut_point}"
