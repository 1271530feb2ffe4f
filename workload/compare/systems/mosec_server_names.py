"""Environment variables that tell mosec's workers what to serve."""

STORE, DEVICE, THREADS = "COMPARE_STORE", "COMPARE_DEVICE", "COMPARE_THREADS"
