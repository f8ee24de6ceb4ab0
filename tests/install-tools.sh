#!/bin/sh
# The optional programs the tests use: nothing comes in, whatever can be installed here stands ready afterwards.
#
#   Chromium       the browser tests          apt, as root
#   Alertmanager   the real alerts            apt's package, unpacked into .tools: no service is set up or started
#   Azurite        storage on this machine    npm, into .tools
#   checkov        the policy scan            pip, into .tools; only with CI=true, since it weighs 270 MB
#
# Costs nothing when all is there. A tool that cannot be installed is named with what its absence means, and the tests
# that need it skip; with CI=true it is an error. tests/tools.py looks in the same places.
set -u
cd "$(dirname "$0")/.." || exit 1

AZURITE=3.35.0
CHECKOV=3.3.30
TOOLS=.tools
missing=0

has() {
    for name in "$@"; do
        command -v "$name" >/dev/null 2>&1 && return 0
    done
    return 1
}

say() { printf 'tools: %s\n' "$*" >&2; }

# A person may not wait for a mirror that does not answer.
apt() { DEBIAN_FRONTEND=noninteractive timeout 600 apt-get -qq -o Acquire::http::Timeout=20 -o Acquire::Retries=1 "$@"; }

root() { [ "$(id -u)" = 0 ]; }

# apt's lists are fetched only when they do not know the package: an image often comes without them.
known() { apt-cache show "$1" 2>/dev/null | grep -q '^Filename:' || { root && apt update && apt-cache show "$1" >/dev/null 2>&1; }; }

absent() {
    missing=1
    say "$1 is missing: $2 will skip. $3"
}

need_chromium() {
    has chromium chromium-browser google-chrome && return
    if has apt-get && root && known chromium; then
        say "installing chromium"
        apt install --yes --no-install-recommends chromium >/dev/null || true
    fi
    has chromium || absent Chromium "the browser tests" "As root: apt-get install chromium"
}

need_alertmanager() {
    unpacked=$TOOLS/alertmanager/usr/bin/prometheus-alertmanager
    templates=usr/share/prometheus/alertmanager # Debian's build reads them there and nowhere else
    [ -e /$templates/default.tmpl ] && { [ -x $unpacked ] || has prometheus-alertmanager alertmanager; } && return
    if has apt-get dpkg-deb && known prometheus-alertmanager; then
        say "unpacking prometheus-alertmanager"
        mkdir -p $TOOLS/download && (cd $TOOLS/download && apt download prometheus-alertmanager 2>/dev/null) &&
            dpkg-deb --extract $TOOLS/download/prometheus-alertmanager_*.deb $TOOLS/alertmanager
        rm -rf $TOOLS/download
        root && mkdir -p /$templates && cp -n $TOOLS/alertmanager/$templates/*.tmpl /$templates/
    fi
    [ -x $unpacked ] && [ -e /$templates/default.tmpl ] ||
        absent Alertmanager "its tests" "As root: apt-get install prometheus-alertmanager"
}

need_azurite() {
    grep -qs "\"version\": \"$AZURITE\"" $TOOLS/azurite/node_modules/azurite/package.json && return
    if has npm; then
        say "installing azurite $AZURITE"
        timeout 600 npm install --prefix $TOOLS/azurite --save-exact --no-fund --no-audit --silent --fetch-retries=1 \
            azurite@$AZURITE >/dev/null || true
    fi
    [ -e $TOOLS/azurite/node_modules/.bin/azurite ] || absent Azurite "the Azure storage tests" "npm is needed (Node.js 20)"
}

need_checkov() {
    [ "${CI:-}" = true ] || return
    [ -x $TOOLS/checkov/bin/checkov ] && return
    say "installing checkov $CHECKOV"
    "${PYTHON:-python3}" -m venv $TOOLS/checkov &&
        timeout 600 $TOOLS/checkov/bin/pip install --quiet --disable-pip-version-check checkov==$CHECKOV >/dev/null 2>&1
    [ -x $TOOLS/checkov/bin/checkov ] || absent checkov "the policy scan" "pip install checkov==$CHECKOV"
}

need_chromium
need_alertmanager
need_azurite
need_checkov

if [ $missing = 1 ] && [ "${CI:-}" = true ]; then
    say "CI=true: every tool must be there"
    exit 1
fi
exit 0
