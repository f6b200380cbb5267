"""Scripted and real peers for weir's integration tests."""
