#!/usr/bin/env bash
# Asks whether a known vulnerability concerns a pinned version: audit.sh PYTHON REQUIREMENTS
# Exit status: 0 none is known, 1 some are, 2 the data could not be reached, so that nothing is known.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

"$1" -m venv "$place/environment"
"$place/environment/bin/python" -m pip install --quiet --disable-pip-version-check pip-audit 2> "$place/log" || {
  echo "pip-audit could not be installed: $(tail -n 1 "$place/log")" >&2
  exit 2
}
for service in pypi osv; do
  status=0
  "$place/environment/bin/pip-audit" --strict --progress-spinner off --vulnerability-service "$service" --no-deps --disable-pip \
    --requirement "$2" --format json --output "$place/found.json" 2> "$place/log" || status=$?
  [ ! -s "$place/found.json" ] || break
done
if [ ! -s "$place/found.json" ]; then
  echo "The data on vulnerabilities cannot be reached: $(tail -n 1 "$place/log" | cut -c 1-200)" >&2
  exit 2
fi
cat "$place/log" >&2
"$1" -m json.tool "$place/found.json"
exit "$status"
