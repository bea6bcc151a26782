"""Faults that are provoked from outside, and a stand-in for the hub."""
