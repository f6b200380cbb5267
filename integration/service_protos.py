"""File descriptors of services that weir serves and the xds-protos wheel does not have, and their message classes.

Written by field number from the public definitions: gRPC's health checking and server reflection (v1 and v1alpha, which
are the same but for the name), and the two discovery services that newer Envoy APIs add.
"""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

STRING, INT32, BYTES, MESSAGE, ENUM = "STRING", "INT32", "BYTES", "MESSAGE", "ENUM"
DISCOVERY = "envoy/service/discovery/v3/discovery.proto"


def _field(message, number, name, kind, type_name="", repeated=False, oneof=None):
    field = message.field.add(number=number, name=name)
    field.type = getattr(descriptor_pb2.FieldDescriptorProto, f"TYPE_{kind}")
    field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
    if type_name:
        field.type_name = type_name
    if oneof is not None:
        field.oneof_index = oneof
    return field


def _method(service, name, request, response, client_streaming=False, server_streaming=False):
    service.method.add(
        name=name, input_type=request, output_type=response, client_streaming=client_streaming,
        server_streaming=server_streaming)


def health():
    package = "grpc.health.v1"
    file = descriptor_pb2.FileDescriptorProto(name="grpc/health/v1/health.proto", package=package, syntax="proto3")
    _field(file.message_type.add(name="HealthCheckRequest"), 1, "service", STRING)
    response = file.message_type.add(name="HealthCheckResponse")
    status = response.enum_type.add(name="ServingStatus")
    for number, name in enumerate(["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"]):
        status.value.add(name=name, number=number)
    _field(response, 1, "status", ENUM, f".{package}.HealthCheckResponse.ServingStatus")
    file.message_type.add(name="HealthListRequest")
    listed = file.message_type.add(name="HealthListResponse")
    entry = listed.nested_type.add(name="StatusesEntry")
    entry.options.map_entry = True
    _field(entry, 1, "key", STRING)
    _field(entry, 2, "value", MESSAGE, f".{package}.HealthCheckResponse")
    _field(listed, 1, "statuses", MESSAGE, f".{package}.HealthListResponse.StatusesEntry", repeated=True)
    service = file.service.add(name="Health")
    check, answer = f".{package}.HealthCheckRequest", f".{package}.HealthCheckResponse"
    _method(service, "Check", check, answer)
    _method(service, "Watch", check, answer, server_streaming=True)
    _method(service, "List", f".{package}.HealthListRequest", f".{package}.HealthListResponse")
    return file


def reflection(version):
    package = f"grpc.reflection.{version}"
    file = descriptor_pb2.FileDescriptorProto(
        name=f"grpc/reflection/{version}/reflection.proto", package=package, syntax="proto3")
    request = file.message_type.add(name="ServerReflectionRequest")
    request.oneof_decl.add(name="message_request")
    _field(request, 1, "host", STRING)
    _field(request, 3, "file_by_filename", STRING, oneof=0)
    _field(request, 4, "file_containing_symbol", STRING, oneof=0)
    _field(request, 5, "file_containing_extension", MESSAGE, f".{package}.ExtensionRequest", oneof=0)
    _field(request, 6, "all_extension_numbers_of_type", STRING, oneof=0)
    _field(request, 7, "list_services", STRING, oneof=0)
    extension = file.message_type.add(name="ExtensionRequest")
    _field(extension, 1, "containing_type", STRING)
    _field(extension, 2, "extension_number", INT32)
    response = file.message_type.add(name="ServerReflectionResponse")
    response.oneof_decl.add(name="message_response")
    _field(response, 1, "valid_host", STRING)
    _field(response, 2, "original_request", MESSAGE, f".{package}.ServerReflectionRequest")
    answers = ["FileDescriptorResponse", "ExtensionNumberResponse", "ListServiceResponse", "ErrorResponse"]
    names = ["file_descriptor_response", "all_extension_numbers_response", "list_services_response", "error_response"]
    for number, (name, answer) in enumerate(zip(names, answers), start=4):
        _field(response, number, name, MESSAGE, f".{package}.{answer}", oneof=0)
    _field(file.message_type.add(name="FileDescriptorResponse"), 1, "file_descriptor_proto", BYTES, repeated=True)
    numbers = file.message_type.add(name="ExtensionNumberResponse")
    _field(numbers, 1, "base_type_name", STRING)
    _field(numbers, 2, "extension_number", INT32, repeated=True)
    services = file.message_type.add(name="ListServiceResponse")
    _field(services, 1, "service", MESSAGE, f".{package}.ServiceResponse", repeated=True)
    _field(file.message_type.add(name="ServiceResponse"), 1, "name", STRING)
    error = file.message_type.add(name="ErrorResponse")
    _field(error, 1, "error_code", INT32)
    _field(error, 2, "error_message", STRING)
    _method(
        file.service.add(name="ServerReflection"), "ServerReflectionInfo", f".{package}.ServerReflectionRequest",
        f".{package}.ServerReflectionResponse", client_streaming=True, server_streaming=True)
    return file


def discovery(path, package, service, stream, delta, fetch):
    """A discovery service by the names of its methods; None for one that it does not have."""
    file = descriptor_pb2.FileDescriptorProto(name=path, package=package, syntax="proto3", dependency=[DISCOVERY])
    made = file.service.add(name=service)
    prefix = ".envoy.service.discovery.v3"
    sotw, answer = f"{prefix}.DiscoveryRequest", f"{prefix}.DiscoveryResponse"
    _method(made, stream, sotw, answer, client_streaming=True, server_streaming=True)
    if delta:
        _method(
            made, delta, f"{prefix}.DeltaDiscoveryRequest", f"{prefix}.DeltaDiscoveryResponse", client_streaming=True,
            server_streaming=True)
    _method(made, fetch, sotw, answer)
    return file


def files():
    """All of them, dependencies of other files not included."""
    return [
        health(),
        reflection("v1"),
        reflection("v1alpha"),
        discovery(
            "envoy/service/filter_chain/v3/fcds.proto", "envoy.service.filter_chain.v3", "FilterChainDiscoveryService",
            "StreamFilterChains", "DeltaFilterChains", "FetchFilterChains"),
        discovery(
            "ratelimit/service/ratelimit/v3/rls_conf_ds.proto", "ratelimit.service.ratelimit.v3",
            "RateLimitConfigDiscoveryService", "StreamRlsConfigs", None, "FetchRlsConfigs"),
    ]


def message_classes(file):
    """name → class of the messages of one of these files."""
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    made = message_factory.GetMessageClassesForFiles([file.name], pool)
    return {name.removeprefix(file.package + "."): message for name, message in made.items()}
