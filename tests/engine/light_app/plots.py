"""Plots of the light service: without Matplotlib, there are none."""

KINDS = {"walk": None}
FORMATS = ("png",)
