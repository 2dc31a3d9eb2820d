#!/bin/sh
# Builds, releases and judges one version of a service. Usage: deploy.sh VERSION
#
# Set for your service: SERVICE, UNIT, RELEASES, and the two functions below.
set -eu

version=${1:?usage: deploy.sh VERSION}
service=${SERVICE:-web}
unit=${UNIT:-web.service}
releases=${RELEASES:-/srv/$service/releases}
id="$service-$version-$(date -u +%Y%m%dT%H%M%SZ)"
release="$releases/$version"

build() {
    holdfast exec --step "$service-build" -- make
    holdfast exec --step "$service-test" -- make test
}

# Puts the release in its place and starts it. Whatever it returns decides whether the deployment went well.
release() {
    mkdir -p "$release" &&
        cp -a build/. "$release/" &&
        (cd "$release" && find . -type f ! -name SHA256SUMS -exec sha256sum {} + >SHA256SUMS) &&
        ln -sfn "$release" "$releases/current" &&
        systemctl restart "$unit"
}

build

holdfast deploy start --id "$id" --service "$service" --version "$version" \
    --revision "$(git rev-parse HEAD 2>/dev/null || echo unknown)" \
    --release-dir "$release" --path "$releases" --unit "$unit"

if release; then
    holdfast deploy finish "$id"
else
    holdfast deploy finish "$id" --failed
fi

rm -f gate.xml gate.md
verdict=0
holdfast gate --deployment "$id" --wait 10m --junit gate.xml --summary gate.md || verdict=$?
case $verdict in
0) echo "$id passed" ;;
1) echo "$id failed, see gate.md" >&2 ;;
3) echo "$id: too little is known to let it pass, see gate.md" >&2 ;;
*) echo "$id was not judged (exit code $verdict)" >&2 ;;
esac
exit "$verdict"
