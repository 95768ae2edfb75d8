#!/bin/sh
set -eu
python -m venv /opt/venv
exec /opt/venv/bin/pip install --no-cache-dir --requirement=requirements.txt
