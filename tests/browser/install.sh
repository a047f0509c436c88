#!/usr/bin/env bash
# Installs what the browser tests need and pip does not have: Chromium, a font with Devanagari, axe-core.
# What is there already stays as it is, so that the next run needs no network.
set -euo pipefail
cd "$(dirname "$0")"
otherwise="or run the other tests: .venv/bin/python -m pytest --ignore tests/browser"
log=$(mktemp)
trap 'rm -f "$log"' EXIT

refuse() {
  echo "The browser tests need $1; $otherwise" >&2
  exit 2
}

has() { command -v "$1" > /dev/null; }

missing=()
has chromium || has chromium-browser || has google-chrome || missing+=(chromium)
[ -n "$(fc-list :lang=mr 2> /dev/null)" ] || missing+=(fontconfig fonts-noto-core)
[ node_modules -nt package-lock.json ] || has npm || missing+=(npm)

if [ ${#missing[@]} -gt 0 ]; then
  has apt-get || refuse "${missing[*]} (the names are Debian's): install what this machine has of it"
  as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo -n)
  echo "installing ${missing[*]}"
  { "${as_root[@]}" apt-get update -qq &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}"
  } > "$log" 2>&1 ||
    refuse "${missing[*]}, and apt-get could not install them ($(tail -n 1 "$log")): connect, or ask who may install"
fi

if [ ! node_modules -nt package-lock.json ]; then
  npm ci --ignore-scripts --no-audit --no-fund --fetch-retries=1 --fetch-retry-mintimeout=1000 > "$log" 2>&1 ||
    refuse "axe-core, and npm could not fetch it ($(grep -m 1 'code ' "$log")): connect once, it is kept"
  touch node_modules
fi
