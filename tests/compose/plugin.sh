#!/usr/bin/env bash
# Gets docker's compose plugin out of Debian's packages: prints the folder that DOCKER_CONFIG is to name.
#
# Debian 12 has only its forerunner; so the package of Debian 13 is taken, from the mirror that this machine uses
# anyway, unpacked and not installed. It is one Go program that needs neither an engine nor anything of Debian 13.
set -euo pipefail

folder=$(mktemp -d)
mirror=$(sed -nE 's/^URIs: *([^ ]+\/debian)\/? *$/\1/p; s/^deb (\[[^]]*\] )?([^ ]+\/debian)\/? .*/\2/p' \
  /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | sed -n 1p) || true
[ -n "$mirror" ] || { echo "no Debian mirror in the machine's sources" >&2; exit 1; }
mkdir -p "$folder"/{lists,cache}/partial "$folder"/cache/archives/partial "$folder"/cli-plugins
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keyring] $mirror trixie main" >"$folder/sources.list"
options=(-qq -o "Dir::Etc::sourcelist=$folder/sources.list" -o Dir::Etc::sourceparts=-
  -o "Dir::State::lists=$folder/lists" -o "Dir::Cache=$folder/cache")
cd "$folder"
apt-get "${options[@]}" update >&2
apt-get "${options[@]}" download docker-compose >&2
dpkg -x ./docker-compose_*.deb unpacked
mv unpacked/usr/libexec/docker/cli-plugins/docker-compose cli-plugins/
rm -r unpacked lists cache ./*.deb sources.list
echo "$folder"
