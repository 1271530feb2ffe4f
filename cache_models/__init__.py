"""The learning: loading and cutting a base DNN, learned caches, calibration and their store.

This room knows PyTorch and nothing of Ray, HTTP or the other two rooms.
"""
