#!/bin/bash
python /srv/serve.py &
nginx -c /etc/service/nginx.conf &
trap 'kill -TERM $(jobs -p)' TERM INT
wait -n
kill -TERM $(jobs -p) 2>/dev/null
wait
