"""The bill of materials of a release binary, as SPDX 2.3 in JSON; or the list of it that docs/dependencies.md holds.

    python3 configs/packaging/sbom.py BINARY [OUTPUT]
    python3 configs/packaging/sbom.py --table BINARY

Asks the binary which libraries it loads, and Debian's package database whose they are. What is linked in (the Swift
runtime) or comes beside it (the descriptors) is listed below. SOURCE_DATE_EPOCH makes it the same each time.
"""

import datetime
import functools
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]

#: Debian's package of a library: its licence in SPDX's words, and what weir does with it.
LIBRARIES = {
    "libc6": ("LGPL-2.1-or-later", "the C library, with the mathematics"),
    "libcurl4": ("curl", "commands that ask a running relay; traces"),
    "libev4": ("BSD-2-Clause OR GPL-2.0-or-later", "loops of the workers"),
    "libgcc-s1": ("GPL-3.0-or-later WITH GCC-exception-3.1", "the compiler's runtime"),
    "liblmdb0": ("OLDAP-2.8", "the last good state on disk"),
    "libmicrohttpd12": ("LGPL-2.1-or-later", "the debug endpoint"),
    "libnghttp2-14": ("MIT", "HTTP/2"),
    "libprotobuf32": ("BSD-3-Clause", "resources as JSON, resource files"),
    "libre2-9": ("BSD-3-Clause", "patterns of rules"),
    "libssl3": ("Apache-2.0", "TLS; encryption of the store"),
    "libstdc++6": ("GPL-3.0-or-later WITH GCC-exception-3.1", "the C++ library, for RE2 and protobuf"),
    "libxxhash0": ("BSD-2-Clause", "digests of resources"),
    "libyaml-0-2": ("MIT", "relay.yaml, resource files"),
    "zlib1g": ("Zlib", "gzip in gRPC messages"),
}
#: Not Debian's: name, where its version stands, licence, use.
OTHERS = [
    ("swift-runtime", "swift", "Apache-2.0 WITH Swift-exception", "the language's runtime and library, linked in"),
    ("xds-protos", "integration/requirements.txt", "Apache-2.0", "descriptors of the xDS messages, beside the program"),
]


def run(*arguments):
    return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout


@functools.cache
def packages(binary):
    """Debian package → version, of the libraries that the binary names itself."""
    needed = re.findall(r"\(NEEDED\).*\[(.+?)\]", run("readelf", "-d", binary))
    paths = dict(re.findall(r"^\s*(\S+) => (/\S+)", run("ldd", binary), re.M))
    libraries = {each: os.path.realpath(paths[each]) for each in needed if not each.startswith("ld-linux")}
    # A package may know the file by its name before /lib became a link to /usr/lib.
    known = {library: {paths[library], real, real.removeprefix("/usr")} for library, real in libraries.items()}
    answer = subprocess.run(
        ["dpkg-query", "-S", *sorted(set().union(*known.values()))], capture_output=True, text=True).stdout
    owners = {path: owner.split(":")[0] for owner, path in re.findall(r"^(\S+): (/.*)$", answer, re.M)}
    names = set()
    for library, candidates in known.items():
        name = next((owners[path] for path in candidates if path in owners), None)
        if name is None:
            sys.exit(f"{library}: {libraries[library]} belongs to no Debian package")
        if name not in LIBRARIES:
            sys.exit(f"{library} is of {name}, which LIBRARIES in {__file__} does not list: add its licence and its use")
        names.add(name)
    versions = run("dpkg-query", "-W", "-f", "${Package} ${Version}\n", *names)
    return dict(sorted(line.split(" ") for line in versions.splitlines()))


def other_version(place):
    if place == "swift":
        try:
            return re.search(r"Swift version (\S+)", run("swift", "--version"))[1]
        except (OSError, subprocess.CalledProcessError, TypeError):
            return None
    return re.search(r"^xds-protos==(\S+)", (ROOT / place).read_text(), re.M)[1]


def entry(name, version, licence, purl=None):
    package = {
        "SPDXID": "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", name),
        "name": name,
        **({"versionInfo": version} if version else {}),
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": licence,
        "licenseDeclared": licence,
        "copyrightText": "NOASSERTION",
    }
    if purl:
        package["externalRefs"] = [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}]
    return package


def document(binary):
    version = run(binary, "--version").split()[1]
    digest = hashlib.sha256(pathlib.Path(binary).read_bytes()).hexdigest()
    seconds = os.environ.get("SOURCE_DATE_EPOCH") or run("git", "-C", str(ROOT), "log", "-1", "--format=%ct").strip()
    created = datetime.datetime.fromtimestamp(int(seconds), datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    architecture = run("dpkg", "--print-architecture").strip()
    weir = entry("weir", version, "Apache-2.0")
    weir["checksums"] = [{"algorithm": "SHA256", "checksumValue": digest}]
    weir["primaryPackagePurpose"] = "APPLICATION"
    libraries = [
        entry(name, held, LIBRARIES[name][0],
              f"pkg:deb/debian/{name}@{urllib.parse.quote(held, safe='')}?arch={architecture}&distro=debian-12")
        for name, held in packages(binary).items()]
    others = [entry(name, other_version(place), licence) for name, place, licence, _ in OTHERS]
    relations = [("SPDXRef-DOCUMENT", "DESCRIBES", weir)]
    relations += [(weir["SPDXID"], "DYNAMIC_LINK", each) for each in libraries]
    relations += [(weir["SPDXID"], "STATIC_LINK", others[0]), (weir["SPDXID"], "CONTAINS", others[1])]
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"weir-{version}",
        "documentNamespace": f"urn:weir:sbom:{version}:{digest}",
        "creationInfo": {"created": created, "creators": ["Tool: weir-sbom"]},
        "packages": [weir, *libraries, *others],
        "relationships": [
            {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other["SPDXID"]}
            for one, kind, other in relations],
    }


def table(binary):
    """Rows of docs/dependencies.md; versions are those of a release and so in its bill, not here."""
    rows = [f"| {name} | {LIBRARIES[name][0]} | {LIBRARIES[name][1]} |" for name in packages(binary)]
    rows += [f"| {name} | {licence} | {use} |" for name, _, licence, use in OTHERS]
    return "\n".join(["| what | licence | for |", "|---|---|---|", *rows])


def main():
    arguments = sys.argv[1:]
    if arguments[:1] == ["--table"] and len(arguments) == 2:
        print(table(arguments[1]))
    elif arguments and len(arguments) <= 2 and not arguments[0].startswith("-"):
        text = json.dumps(document(os.path.abspath(arguments[0])), indent=2) + "\n"
        if len(arguments) == 2:
            pathlib.Path(arguments[1]).write_text(text)
        else:
            sys.stdout.write(text)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
