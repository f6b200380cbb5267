#include "CWeirProtobuf.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/stubs/logging.h>
#include <google/protobuf/unknown_field_set.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/type_resolver.h>
#include <google/protobuf/util/type_resolver_util.h>

#include <climits>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace pb = google::protobuf;

namespace {

const char kPrefix[] = "type.googleapis.com";
// udpa.annotations.sensitive, an extension of FieldOptions.
const int kSensitiveOption = 76569463;
// Sensitive whatever the descriptors say: the fields of a secret, as a descriptor set may come without options,
// and credentials that the API leaves unmarked.
const char *const kSensitiveAlways[] = {
    "envoy.extensions.transport_sockets.tls.v3.GenericSecret.secret",
    "envoy.extensions.transport_sockets.tls.v3.GenericSecret.secrets",
    "envoy.extensions.transport_sockets.tls.v3.PrivateKeyProvider.typed_config",
    "envoy.extensions.transport_sockets.tls.v3.TlsCertificate.password",
    "envoy.extensions.transport_sockets.tls.v3.TlsCertificate.pkcs12",
    "envoy.extensions.transport_sockets.tls.v3.TlsCertificate.private_key",
    "envoy.extensions.transport_sockets.tls.v3.TlsSessionTicketKeys.keys",
    "envoy.config.core.v3.GrpcService.GoogleGrpc.SslCredentials.private_key",
    "envoy.config.core.v3.GrpcService.GoogleGrpc.CallCredentials.access_token",
    "envoy.config.core.v3.GrpcService.GoogleGrpc.CallCredentials.google_refresh_token",
    "envoy.config.core.v3.GrpcService.GoogleGrpc.CallCredentials.GoogleIAMCredentials.authorization_token",
    "envoy.config.core.v3.GrpcService.GoogleGrpc.CallCredentials.ServiceAccountJWTAccessCredentials.json_key",
    "envoy.config.trace.v3.LightstepConfig.access_token",
    "envoy.extensions.filters.http.aws_lambda.v3.Credentials.secret_access_key",
    "envoy.extensions.filters.http.aws_lambda.v3.Credentials.session_token",
    "envoy.extensions.grpc_service.call_credentials.access_token.v3.AccessTokenCredentials.token",
    "envoy.extensions.grpc_service.call_credentials.google_iam.v3.GoogleIamCredentials.authorization_token",
    "envoy.extensions.grpc_service.call_credentials.google_refresh_token.v3.GoogleRefreshTokenCredentials.token",
    "envoy.extensions.grpc_service.call_credentials.service_account_jwt_access.v3.ServiceAccountJwtAccessCredentials"
    ".json_key",
};
const char kRedacted[] = "[redacted]";
const int kDepthMax = 100;

char *copy(const std::string &text) {
    char *result = static_cast<char *>(std::malloc(text.size() + 1));
    if (result != nullptr) {
        std::memcpy(result, text.c_str(), text.size() + 1);
    }
    return result;
}

int fail(char **error, const std::string &text) {
    *error = copy(text);
    return 0;
}

// Collects what libprotobuf says while a pool is built, which it would print otherwise.
class Errors : public pb::DescriptorPool::ErrorCollector {
  public:
    std::string text;
    void AddError(
        const std::string &file, const std::string &element, const pb::Message *, ErrorLocation,
        const std::string &message) override {
        if (text.empty()) {
            text = file + ": " + element + ": " + message;
        }
    }
};

}  // namespace

struct weir_pb_descriptors {
    pb::DescriptorPool pool;
    std::unique_ptr<pb::util::TypeResolver> resolver;
    // Fields that Envoy's API marks as sensitive, and those of kSensitiveAlways, by full name.
    std::set<std::string> sensitive{std::begin(kSensitiveAlways), std::end(kSensitiveAlways)};

    void note(const pb::Descriptor *message) {
        for (int i = 0; i < message->field_count(); i++) {
            const pb::FieldDescriptor *field = message->field(i);
            const pb::UnknownFieldSet &unknown = field->options().GetReflection()->GetUnknownFields(field->options());
            for (int j = 0; j < unknown.field_count(); j++) {
                const pb::UnknownField &option = unknown.field(j);
                if (option.number() == kSensitiveOption && option.type() == pb::UnknownField::TYPE_VARINT
                    && option.varint() != 0) {
                    sensitive.insert(field->full_name());
                }
            }
        }
        for (int i = 0; i < message->nested_type_count(); i++) {
            note(message->nested_type(i));
        }
    }

    // Replaces what is sensitive, at any depth. With `all`, every value is: text and bytes by a mark, others by their
    // default. Throws where it cannot look into an Any, as what is not understood cannot be shown safely.
    void redact(pb::Message *message, bool all, int depth) const {
        if (depth > kDepthMax) {
            message->Clear();
            return;
        }
        if (message->GetDescriptor()->full_name() == "google.protobuf.Any") {
            redact_any(message, all, depth);
            return;
        }
        const pb::Reflection *reflection = message->GetReflection();
        std::vector<const pb::FieldDescriptor *> fields;
        reflection->ListFields(*message, &fields);
        for (const pb::FieldDescriptor *field : fields) {
            bool hide = all || sensitive.count(field->full_name()) > 0;
            redact_field(message, reflection, field, hide, depth);
        }
    }

    void redact_field(
        pb::Message *message, const pb::Reflection *reflection, const pb::FieldDescriptor *field, bool hide,
        int depth) const {
        if (field->is_map()) {
            // Keys are names and stay: replaced, they would all be the same one.
            const pb::FieldDescriptor *value = field->message_type()->map_value();
            int size = reflection->FieldSize(*message, field);
            for (int i = 0; i < size; i++) {
                pb::Message *entry = reflection->MutableRepeatedMessage(message, field, i);
                redact_field(entry, entry->GetReflection(), value, hide, depth + 1);
            }
            return;
        }
        if (field->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE) {
            if (field->is_repeated()) {
                int size = reflection->FieldSize(*message, field);
                for (int i = 0; i < size; i++) {
                    redact(reflection->MutableRepeatedMessage(message, field, i), hide, depth + 1);
                }
            } else {
                redact(reflection->MutableMessage(message, field), hide, depth + 1);
            }
            return;
        }
        if (!hide) {
            return;
        }
        if (field->cpp_type() != pb::FieldDescriptor::CPPTYPE_STRING) {
            reflection->ClearField(message, field);
            return;
        }
        if (field->is_repeated()) {
            int size = reflection->FieldSize(*message, field);
            for (int i = 0; i < size; i++) {
                reflection->SetRepeatedString(message, field, i, kRedacted);
            }
        } else {
            reflection->SetString(message, field, kRedacted);
        }
    }

    // A message without what is sensitive in it. Throws where it cannot be read.
    std::string redacted(const char *name, const std::string &binary) const {
        const pb::Descriptor *type = pool.FindMessageTypeByName(name);
        if (type == nullptr) {
            throw std::runtime_error(std::string("unknown message type ") + name);
        }
        pb::DynamicMessageFactory factory;
        std::unique_ptr<pb::Message> message(factory.GetPrototype(type)->New());
        if (!message->ParsePartialFromString(binary)) {
            throw std::runtime_error(std::string("the bytes are no ") + name);
        }
        redact(message.get(), false, 0);
        // Nobody knows what fields hold that are not known.
        message->DiscardUnknownFields();
        return message->SerializePartialAsString();
    }

    void redact_any(pb::Message *any, bool all, int depth) const {
        const pb::Reflection *reflection = any->GetReflection();
        const pb::FieldDescriptor *url = any->GetDescriptor()->FindFieldByNumber(1);
        const pb::FieldDescriptor *value = any->GetDescriptor()->FindFieldByNumber(2);
        std::string name = reflection->GetString(*any, url);
        size_t slash = name.rfind('/');
        if (slash != std::string::npos) {
            name = name.substr(slash + 1);
        }
        std::string content = reflection->GetString(*any, value);
        if (name.empty() && content.empty()) {
            return;
        }
        const pb::Descriptor *type = pool.FindMessageTypeByName(name);
        if (type == nullptr) {
            throw std::runtime_error("an Any inside holds the unknown message type \"" + name + "\"");
        }
        pb::DynamicMessageFactory factory;
        std::unique_ptr<pb::Message> inner(factory.GetPrototype(type)->New());
        // Partially, as a required field that is missing does not make the rest less secret.
        if (!inner->ParsePartialFromString(content)) {
            throw std::runtime_error("an Any inside is no valid " + name);
        }
        redact(inner.get(), all, depth + 1);
        inner->DiscardUnknownFields();
        reflection->SetString(any, value, inner->SerializePartialAsString());
    }
};

extern "C" {

weir_pb_descriptors *weir_pb_descriptors_load(const uint8_t *bytes, size_t count, char **error) try {
    // What is wrong is told by errors; libprotobuf would write about other people's bytes to stderr too. Once, and
    // before anything else of it is used, as the handler is a plain global.
    static pb::LogHandler *const former = pb::SetLogHandler(nullptr);
    static_cast<void>(former);
    pb::FileDescriptorSet set;
    if (count > INT_MAX) {
        fail(error, "a FileDescriptorSet of more than 2 GiB");
        return nullptr;
    }
    if (!set.ParseFromArray(bytes, static_cast<int>(count))) {
        fail(error, "the bytes are no FileDescriptorSet");
        return nullptr;
    }
    std::unique_ptr<weir_pb_descriptors> result(new weir_pb_descriptors());
    for (const pb::FileDescriptorProto &file : set.file()) {
        Errors errors;
        const pb::FileDescriptor *built = result->pool.BuildFileCollectingErrors(file, &errors);
        if (built == nullptr) {
            fail(error, errors.text.empty() ? file.name() + ": cannot be built" : errors.text);
            return nullptr;
        }
        for (int i = 0; i < built->message_type_count(); i++) {
            result->note(built->message_type(i));
        }
    }
    result->resolver.reset(pb::util::NewTypeResolverForDescriptorPool(kPrefix, &result->pool));
    return result.release();
} catch (const std::exception &exception) {
    fail(error, exception.what());
    return nullptr;
} catch (...) {
    fail(error, "an unknown exception");
    return nullptr;
}

void weir_pb_descriptors_free(weir_pb_descriptors *descriptors) { delete descriptors; }

int weir_pb_knows(const weir_pb_descriptors *descriptors, const char *name) {
    return descriptors->pool.FindMessageTypeByName(name) != nullptr;
}

int weir_pb_encode(
    const weir_pb_descriptors *descriptors, const char *name, const char *json, size_t json_count, uint8_t **bytes,
    size_t *count, char **error) try {
    std::string binary;
    pb::util::JsonParseOptions options;
    pb::util::Status status = pb::util::JsonToBinaryString(
        descriptors->resolver.get(), std::string(kPrefix) + "/" + name,
        pb::StringPiece(json, static_cast<ptrdiff_t>(json_count)), &binary, options);
    if (!status.ok()) {
        return fail(error, std::string(status.message()));
    }
    *bytes = static_cast<uint8_t *>(std::malloc(binary.size() + 1));
    if (*bytes == nullptr) {
        return fail(error, "out of memory");
    }
    std::memcpy(*bytes, binary.data(), binary.size());
    *count = binary.size();
    return 1;
} catch (const std::exception &exception) {
    return fail(error, exception.what());
} catch (...) {
    return fail(error, "an unknown exception");
}

int weir_pb_json(
    const weir_pb_descriptors *descriptors, const char *name, const uint8_t *bytes, size_t count, int redact,
    char **json, size_t *json_count, char **error) try {
    std::string binary(reinterpret_cast<const char *>(bytes), count);
    if (redact) {
        binary = descriptors->redacted(name, binary);
    }
    std::string text;
    pb::util::JsonPrintOptions options;
    options.preserve_proto_field_names = true;
    pb::util::Status status = pb::util::BinaryToJsonString(
        descriptors->resolver.get(), std::string(kPrefix) + "/" + name, binary, &text, options);
    if (!status.ok()) {
        return fail(error, std::string(status.message()));
    }
    *json = copy(text);
    *json_count = text.size();
    return *json != nullptr;
} catch (const std::exception &exception) {
    return fail(error, exception.what());
} catch (...) {
    return fail(error, "an unknown exception");
}

int weir_pb_check(
    const weir_pb_descriptors *descriptors, const char *name, const uint8_t *bytes, size_t count, char **error) try {
    const pb::Descriptor *type = descriptors->pool.FindMessageTypeByName(name);
    if (type == nullptr) {
        return fail(error, std::string("unknown message type ") + name);
    }
    pb::DynamicMessageFactory factory;
    std::unique_ptr<pb::Message> message(factory.GetPrototype(type)->New());
    if (count > INT_MAX || !message->ParsePartialFromArray(bytes, static_cast<int>(count))) {
        return fail(error, std::string("the bytes are no ") + name);
    }
    return 1;
} catch (const std::exception &exception) {
    return fail(error, exception.what());
} catch (...) {
    return fail(error, "an unknown exception");
}

int weir_pb_redact(
    const weir_pb_descriptors *descriptors, const char *name, const uint8_t *bytes, size_t count, uint8_t **redacted,
    size_t *redacted_count, char **error) try {
    std::string binary =
        descriptors->redacted(name, std::string(reinterpret_cast<const char *>(bytes), count));
    *redacted = static_cast<uint8_t *>(std::malloc(binary.size() + 1));
    if (*redacted == nullptr) {
        return fail(error, "out of memory");
    }
    std::memcpy(*redacted, binary.data(), binary.size());
    *redacted_count = binary.size();
    return 1;
} catch (const std::exception &exception) {
    return fail(error, exception.what());
} catch (...) {
    return fail(error, "an unknown exception");
}

void weir_pb_free(void *buffer) { std::free(buffer); }

}  // extern "C"
