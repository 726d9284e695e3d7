#!/usr/bin/env bash
# screen.sh ARCHIVE [SERVER]: submit an archive, wait for its job, save the results as results.csv, the riskiest first.
# Needs curl and python3 (for JSON). SERVER is http://127.0.0.1:8080 by default.
set -euo pipefail

archive=${1:?usage: screen.sh ARCHIVE [SERVER]}
server=${2:-${DERMQ_SERVER:-http://127.0.0.1:8080}}

get() { curl --fail --silent --show-error --retry 5 "$@"; }
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

# The same key with the same file gives the same job: a repeated run of this script does not screen twice.
key=$(sha256sum "$archive" | cut -c1-64)
job=$(get --upload-file "$archive" --header "Idempotency-Key: $key" "$server/v1/jobs/" | field id)
echo "job $job" >&2

until state=$(get "$server/v1/jobs/$job" | field state); [[ $state =~ ^(succeeded|failed|cancelled)$ ]]; do
  sleep 1
done
echo "job $job $state" >&2

get "$server/v1/jobs/$job/results.csv?sort=-risk" --output results.csv
get "$server/v1/jobs/$job/errors?limit=5" | python3 -m json.tool
[[ $state == succeeded ]]
