#pragma once
// A C face of what weir needs of libprotobuf: JSON views of messages that are known only by their descriptors.
// Every function that can fail returns 0 and leaves a text in *error; every buffer handed out is freed by weir_pb_free.
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weir_pb_descriptors weir_pb_descriptors;

/// Reads a google.protobuf.FileDescriptorSet. Null on failure.
weir_pb_descriptors *weir_pb_descriptors_load(const uint8_t *bytes, size_t count, char **error);
void weir_pb_descriptors_free(weir_pb_descriptors *descriptors);

/// Whether a message of this full name is known.
int weir_pb_knows(const weir_pb_descriptors *descriptors, const char *name);

/// JSON of a message to its encoding, deterministic.
int weir_pb_encode(
    const weir_pb_descriptors *descriptors, const char *name, const char *json, size_t json_count, uint8_t **bytes,
    size_t *count, char **error);

/// The encoding of a message to JSON with proto field names; with `redact` sensitive fields are replaced.
int weir_pb_json(
    const weir_pb_descriptors *descriptors, const char *name, const uint8_t *bytes, size_t count, int redact,
    char **json, size_t *json_count, char **error);

/// Whether the bytes are the encoding of a message of this name.
int weir_pb_check(
    const weir_pb_descriptors *descriptors, const char *name, const uint8_t *bytes, size_t count, char **error);

/// The encoding of a message with its sensitive fields replaced.
int weir_pb_redact(
    const weir_pb_descriptors *descriptors, const char *name, const uint8_t *bytes, size_t count, uint8_t **redacted,
    size_t *redacted_count, char **error);

void weir_pb_free(void *buffer);

#ifdef __cplusplus
}
#endif
