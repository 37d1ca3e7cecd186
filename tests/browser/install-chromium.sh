#!/bin/sh
# Browser tests drive a real Chromium: the machine's own, else Debian's where packages may be installed.
for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null 2>&1 && exit 0
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing Chromium for the browser tests …"
    apt-get update -qq && apt-get install -y -qq chromium >/dev/null && exit 0
fi
echo "No Chromium found: the browser tests will be skipped. Install one (Debian: apt-get install chromium)." >&2
exit 0
