#!/bin/sh
# Installs the Debian packages that the tests drive (a real RTSP server, ffmpeg as decoder), when it may.
set -eu
packages="ffmpeg gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-base gstreamer1.0-plugins-good \
gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav e2fsprogs iproute2 iptables mount strace \
sip-tester kamailio chromium libatomic1 nftables systemd prometheus prometheus-alertmanager"
missing=""
for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ] && ! sudo -n true 2>/dev/null; then
    echo "tests need these Debian packages, and this user may not install them:$missing" >&2
    echo "mend: sudo apt-get install$missing" >&2
    exit 1
fi
sudo=""
[ "$(id -u)" -eq 0 ] || sudo="sudo -n"
$sudo apt-get update -qq
# shellcheck disable=SC2086
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
