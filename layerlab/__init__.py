"""A hands-on lab on multi-stage Docker builds.

Notebooks begin with ``from layerlab import notebook as lab``; docs/architecture.md says what the other modules do.
"""
