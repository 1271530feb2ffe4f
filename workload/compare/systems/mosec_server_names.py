"""Environment variables that tell mosec's workers what to serve."""

MODEL, DEVICE, THREADS = "COMPARE_MODEL", "COMPARE_DEVICE", "COMPARE_THREADS"
