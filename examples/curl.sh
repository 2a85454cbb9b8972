#!/bin/sh
# Starts a sync over HTTP and polls it until it is over: ./curl.sh alice full nightly-2026-11-23
# Exit code: 0 done, 1 the sync failed or was cancelled, 2 refused, 3 server not reached. Needs curl, and jq or python3.
set -u
url=${SPOTISYNC_URL:-http://127.0.0.1:8420}
account=${1:?account missing} type=${2:-full} key=${3:-$(date +%s)-$$}

call() { # METHOD PATH [CURL OPTION...]: prints the response body; exit code 22 for status 400 and above
    method=$1 path=$2
    shift 2
    if [ -n "${SPOTISYNC_API_TOKEN:-}" ]; then # on standard input, so that the list of processes does not show it
        printf 'header = "Authorization: Bearer %s"\n' "$SPOTISYNC_API_TOKEN"
    fi | curl --config - --silent --show-error --fail-with-body --max-time 30 --retry 5 --retry-connrefused \
        --request "$method" "$@" "$url$path"
}

field() { # NAME: prints this field of the JSON on standard input
    if command -v jq >/dev/null; then jq -r ".$1"; else python3 -c "import json,sys; print(json.load(sys.stdin)['$1'])"; fi
}

refused() {
    echo "$2" >&2
    [ "$1" = 22 ] && exit 2
    exit 3
}

# The idempotency key ensures that a repeated request, such as by --retry, starts one run.
run=$(call POST /api/sync -H "Content-Type: application/json" -H "Idempotency-Key: $key" \
    --data "{\"sync_type\": \"$type\", \"account\": \"$account\"}") || refused $? "$run"
id=$(echo "$run" | field sync_id)
while :; do
    run=$(call GET "/api/sync/$id") || refused $? "$run"
    status=$(echo "$run" | field status)
    echo "run $id: $status, $(echo "$run" | field items_processed) items"
    case $status in
    success) exit 0 ;;
    failed | cancelled) echo "$run" | field last_error >&2; exit 1 ;;
    esac
    sleep "${SPOTISYNC_POLL:-2}"
done
