import torch

torch.set_num_threads(1)
"""Models this small are learned faster by one thread than by two that wait for each other."""
