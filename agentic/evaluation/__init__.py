"""Policies measured: contexts of several episodes under stated conditions, and their protocols."""
