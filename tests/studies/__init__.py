"""Measurements that take minutes, run by hand: each is a command that prints its figures."""
