"""Faults that are provoked from outside the server, and a fake model hub."""
