"""Builds one FileDescriptorSet of all xDS messages from the xds-protos wheel, and of the other services that weir serves.

    python integration/descriptors.py OUTPUT

Files stand in the order of their dependencies, and the bytes are the same for the same wheel. weir reads the set to show
resources as JSON, to read resource files, and to answer gRPC's server reflection.
"""

import importlib
import pathlib
import pkgutil
import sys

from google.protobuf import descriptor_pb2

import service_protos

# Packages of the wheel; google.protobuf itself comes with the protobuf wheel.
ROOTS = ("envoy", "xds", "udpa", "validate", "google", "opencensus", "opentelemetry", "cel")


def modules():
    """The names of all generated modules that can be imported, sorted."""
    found = set()
    for root in ROOTS:
        try:
            package = importlib.import_module(root)
        except ImportError:
            continue
        for module in pkgutil.walk_packages(package.__path__, root + ".", onerror=lambda name: None):
            # google.protobuf's own files come in where others import them; some of the rest are written in editions, which
            # the libprotobuf of Debian 12 cannot read.
            if module.name.endswith("_pb2") and not module.name.startswith("google.protobuf."):
                found.add(module.name)
    return sorted(found)


def load(names):
    files = {}

    def add(file):
        if file.name in files:
            return
        files[file.name] = None
        for dependency in file.dependencies:
            add(dependency)
        proto = descriptor_pb2.FileDescriptorProto()
        file.CopyToProto(proto)
        del files[file.name]
        files[file.name] = proto

    for name in names:
        try:
            module = importlib.import_module(name)
        except Exception as error:  # a module of the wheel whose own imports are missing is of no use to anybody
            print(f"skipping {name}: {error}", file=sys.stderr)
            continue
        if hasattr(module, "DESCRIPTOR"):
            add(module.DESCRIPTOR)
    known = {f"{file.package}.{service.name}" for file in files.values() for service in file.service}
    for file in service_protos.files():
        if not {f"{file.package}.{service.name}" for service in file.service} & known:
            files.setdefault(file.name, file)
    return files


def main():
    output = pathlib.Path(sys.argv[1])
    files = load(modules())
    result = descriptor_pb2.FileDescriptorSet(file=files.values())
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(result.SerializeToString(deterministic=True))
    print(f"{output}: {len(files)} files, {output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
