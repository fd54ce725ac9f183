#!/bin/bash
# Runs README's own commands, set-up, demo and tests, on the newest stack: in a Debian 13 root that debootstrap makes
# and that is removed at the end. Run by `make test-newest`; needs root, and 8 GB in $TMPDIR.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "$(id -u)" != 0 ] || ! PATH="$PATH:/usr/sbin" command -v debootstrap >/dev/null; then
    echo 'test-newest is skipped: it needs root and the program debootstrap (apt-get install debootstrap).'
    exit 0
fi
PATH="$PATH:/usr/sbin"

root=$(mktemp -d --tmpdir paredown-newest.XXXXXX)
mounted=()
clean() {
    for ((i = ${#mounted[@]} - 1; i >= 0; i--)); do umount "${mounted[i]}"; done
    # Never into a mount that is still there.
    rm -rf --one-file-system "$root"
}
trap clean EXIT

debootstrap --variant=minbase --include=ca-certificates trixie "$root" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}"
for folder in proc sys dev dev/pts dev/shm; do
    mount --bind "/$folder" "$root/$folder"
    mounted+=("$root/$folder")
done
cp /etc/resolv.conf "$root/etc/resolv.conf"
# The authorities that this machine trusts, of which a company's proxy may be one.
authorities=/etc/ssl/certs/ca-certificates.crt
[ ! -f $authorities ] || cp $authorities "$root$authorities"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" # packages start no server
chmod +x "$root/usr/sbin/policy-rc.d"
git clone --quiet . "$root/root/paredown"

# Debian's packages that README names, in the words of README.
install=$(grep -m 1 '^    apt-get install' README.md)
proxies=()
for name in http_proxy https_proxy no_proxy; do
    [ -z "${!name:-}" ] || proxies+=("$name=${!name}")
done
chroot "$root" /usr/bin/env -i HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin "${proxies[@]}" \
    DEBIAN_FRONTEND=noninteractive PIP_CERT=$authorities SSL_CERT_FILE=$authorities bash -euc "
        apt-get -qq update
        ${install/install/install -qq -y --no-install-recommends}
        cd /root/paredown
        make setup
        [ \$(<.venv/.stamp-stack) = py313 ]
        make demo
        make PYTEST_ARGS=$(printf '%q' "${PYTEST_ARGS:-}") test"
