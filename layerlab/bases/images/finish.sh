#!/bin/sh
# Makes roots of images out of a minimal Debian, like Debian's own.
# usage: finish.sh ROOT FULL SLIM: the folder that mmdebstrap has made, and the tars to write
# The same packages make the same bytes: no file is newer than $SOURCE_DATE_EPOCH.
set -eu
cd "$1"

pack() {
    tar --create --file "$1" --format=pax --pax-option=delete=atime,delete=ctime --xattrs --numeric-owner \
        --sort=name --clamp-mtime --mtime="@$SOURCE_DATE_EPOCH" .
}

# Of the machine that made it, and what was right for making it. (The engine makes devices of its own.)
rm -rf dev/* etc/hostname etc/resolv.conf etc/machine-id etc/apt/apt.conf.d/99mmdebstrap \
    etc/dpkg/dpkg.cfg.d/99mmdebstrap var/cache/apt/archives/lock var/cache/debconf/*-old var/cache/ldconfig/* \
    var/lib/apt/lists/lock var/lib/dpkg/*-old var/log/*.log var/log/apt/*

# Package sources, as trixie's images give them.
sed -nE 's|^deb (\[[^]]*\] )?([^ ]+) ([^ ]+) (.*)$|Types: deb\nURIs: \2\nSuites: \3\nComponents: \4\nSigned-By: /usr/share/keyrings/debian-archive-keyring.pgp\n|p' \
    etc/apt/sources.list > etc/apt/sources.list.d/debian.sources
rm etc/apt/sources.list

# No service starts while packages are installed.
printf '#!/bin/sh\nexit 101\n' > usr/sbin/policy-rc.d
chmod 755 usr/sbin/policy-rc.d
# An image that is half made is thrown away, so nothing need be synced to the disk.
echo force-unsafe-io > etc/dpkg/dpkg.cfg.d/docker-apt-speedup
# A package that is only suggested by another does not stay for that.
echo 'Apt::AutoRemove::SuggestsImportant "false";' > etc/apt/apt.conf.d/docker-autoremove-suggests
# No package archives and no caches stay in a layer.
cat > etc/apt/apt.conf.d/docker-clean <<'END'
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true"; };
APT::Update::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
END
echo 'Acquire::GzipIndexes "true";' > etc/apt/apt.conf.d/docker-gzip-indexes
echo 'Acquire::Languages "none";' > etc/apt/apt.conf.d/docker-no-languages

# What this machine trusts beyond Debian: behind a proxy that inspects TLS, it has certificates of its own
# (update-ca-certificates(8)). Debian's ca-certificates takes them up when it is installed, with which pip, curl and git
# are served; uv brings its own, and has to be told to use the system's (all its versions know this name of the setting).
find "${OWN_CERTIFICATES:-/usr/local/share/ca-certificates}" -name '*.crt' | while read -r certificate; do
    mkdir -p usr/local/share/ca-certificates etc/uv
    cp "$certificate" "usr/local/share/ca-certificates/layerlab-$(basename "$certificate")"
    echo 'native-tls = true' > etc/uv/uv.toml
done
pack "$2"

# The slim image has of documentation only copyright files and the links that lead to them, whatever is installed.
for thinned in doc groff info linda lintian/overrides locale man; do
    echo "path-exclude /usr/share/$thinned/*"
done > etc/dpkg/dpkg.cfg.d/docker
echo 'path-include /usr/share/doc/*/copyright' >> etc/dpkg/dpkg.cfg.d/docker
rm -rf usr/share/groff/* usr/share/info/* usr/share/linda/* usr/share/lintian/overrides/* usr/share/locale/* \
    usr/share/man/*
find usr/share/doc -type f ! -path 'usr/share/doc/*/copyright' -delete
find usr/share/doc -mindepth 1 \( -xtype l -o -type d -empty \) -delete
pack "$3"
