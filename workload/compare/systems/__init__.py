"""The systems that `python -m workload compare` brings up, and how."""
