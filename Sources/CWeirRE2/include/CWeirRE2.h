#pragma once

#include <stddef.h>
#include <stdint.h>

/* A C face for RE2, which is C++. Only what WeirRegex needs; no logic of its own. */

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weir_re2 weir_re2;

enum { WEIR_RE2_SEARCH = 0, WEIR_RE2_FULL = 1 };

/* Compiles a pattern of `length` bytes within about `max_memory` bytes. NULL if it is not acceptable; then `reason` and
 * `fragment` hold why and the offending part as text cut to their capacities and ended by a zero byte. */
weir_re2 *weir_re2_compile(const char *pattern, size_t length, int64_t max_memory,
                           char *reason, size_t reason_capacity,
                           char *fragment, size_t fragment_capacity);

void weir_re2_free(weir_re2 *pattern);

/* Number of capturing groups, the whole match not counted. */
int weir_re2_group_count(const weir_re2 *pattern);

/* Name of a group counted from one, or NULL; valid as long as the pattern. */
const char *weir_re2_group_name(const weir_re2 *pattern, int group);

/* Matches `text` from byte `start` on; what stands before is looked at by `^` and `\b`. Writes begin and end of the
 * whole match and of the groups after it, `spans` pairs in all, -1 for a group that took no part. 1 if it matches.
 * May be called from any thread at any time. */
int weir_re2_match(const weir_re2 *pattern, const char *text, size_t length, size_t start, int anchor,
                   ptrdiff_t *offsets, int spans);

#ifdef __cplusplus
}
#endif
