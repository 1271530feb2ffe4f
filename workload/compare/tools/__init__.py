"""Measured with tools that nobody here wrote, and with this project's client beside them."""
