"""Builds over time: what a change makes the builder do again."""
