"""What an image FROM scratch needs: Python, the packages of an application, and what both need of the system.

Runs in a build stage, where everything is installed, and writes the root of the image that ships::

    python -X no_debug_ranges -m slim /opt/venv /slim

What is left out is said by the rules in `slim.rules`. Nothing is traced, and the application itself is not looked at:
so it can be copied into the image last. The stage needs `strip` (binutils) and pyelftools.
"""
