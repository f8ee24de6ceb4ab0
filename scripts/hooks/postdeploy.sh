#!/bin/sh
# azd runs this after each deployment: it waits until the app is ready with its configuration, and else ends with an error.
# A build that went wrong looks like a success to azd. READY_TRIES and READY_PAUSE (seconds) say for how long it waits.
set -u
uri="${AZURE_FUNCTION_URI:?azd env get-values has it after the first azd provision}/health/ready"
tries=${READY_TRIES:-20}
[ "$tries" -gt 0 ] || exit 0 # a pipeline asks for itself
echo "Waiting for $uri"
while :; do
  # The status goes to a line of its own behind the answer; 000 is no answer at all.
  answer=$(curl --silent --max-time 60 --write-out '\n%{http_code}' "$uri")
  status=$(printf '%s\n' "$answer" | tail -n 1)
  if [ "$status" = 200 ]; then
    echo "Ready."
    exit 0
  fi
  tries=$((tries - 1))
  [ "$tries" -gt 0 ] || break
  sleep "${READY_PAUSE:-15}"
done
printf '%s\n' "$answer" >&2
echo "The app was deployed and is not ready: the last line above is its answer's status. 503 names the reason, and the log the" \
  "details; 404 on every path: the host could not load the app, so look whether the build's log says Python 3.13." \
  "docs/deploy.md, \"When the first deployment fails\", goes on from here." >&2
exit 1
