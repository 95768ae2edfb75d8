#!/bin/sh
"$@"
echo "ended"
