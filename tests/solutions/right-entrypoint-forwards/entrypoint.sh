#!/bin/sh
# The shell stays: it says how the service ended.
gunicorn --config app/gunicorn.conf.py app.wsgi:app &
server=$!
trap 'kill -TERM "$server"' TERM INT
wait "$server"
trap - TERM INT
wait "$server"
echo "the service has ended"
