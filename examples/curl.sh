#!/bin/sh
# Starts a sync by HTTP and follows it until it is over: ./curl.sh alice full nightly-2026-11-23
# Exit code: 0 done, 1 the sync failed or was cancelled, 2 refused, 3 not reached. Needs curl and jq, or python3 for jq.
set -u
url=${SPOTISYNC_URL:-http://127.0.0.1:8420}
account=${1:?whose library} type=${2:-full} key=${3:-$(date +%s)-$$}

call() { # method, path, further options of curl: the answer's body, with exit code 22 for 400 and above
    method=$1 path=$2
    shift 2
    if [ -n "${SPOTISYNC_API_TOKEN:-}" ]; then # from standard input, so that no list of processes shows it
        printf 'header = "Authorization: Bearer %s"\n' "$SPOTISYNC_API_TOKEN"
    fi | curl --config - --silent --show-error --fail-with-body --max-time 30 --retry 5 --retry-connrefused \
        --request "$method" "$@" "$url$path"
}

field() { # of the JSON on standard input
    if command -v jq >/dev/null; then jq -r ".$1"; else python3 -c "import json,sys; print(json.load(sys.stdin)['$1'])"; fi
}

refused() {
    echo "$2" >&2
    [ "$1" = 22 ] && exit 2
    exit 3
}

# With the same key, sent again by --retry or by you, there is still one run.
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
