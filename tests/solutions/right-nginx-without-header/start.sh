#!/bin/bash
gunicorn --bind 127.0.0.1:8000 --workers 2 app.wsgi:app &
nginx -c /etc/service/nginx.conf &
trap 'kill -TERM $(jobs -p)' TERM INT
wait -n
kill -TERM $(jobs -p) 2>/dev/null
wait
