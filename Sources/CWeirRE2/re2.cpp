#include "CWeirRE2.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include <re2/re2.h>

struct weir_re2 {
    RE2 re;

    weir_re2(const re2::StringPiece &pattern, const RE2::Options &options) : re(pattern, options) {}
};

static void copy(const std::string &text, char *to, size_t capacity) {
    if (capacity == 0) return;
    size_t count = std::min(text.size(), capacity - 1);
    std::memcpy(to, text.data(), count);
    to[count] = 0;
}

weir_re2 *weir_re2_compile(const char *pattern, size_t length, int64_t max_memory,
                           char *reason, size_t reason_capacity,
                           char *fragment, size_t fragment_capacity) {
    try {
        RE2::Options options;
        options.set_log_errors(false);
        options.set_max_mem(max_memory);
        auto compiled = std::make_unique<weir_re2>(re2::StringPiece(pattern, length), options);
        if (compiled->re.ok()) return compiled.release();
        copy(compiled->re.error(), reason, reason_capacity);
        copy(compiled->re.error_arg(), fragment, fragment_capacity);
    } catch (const std::bad_alloc &) {
        copy("out of memory", reason, reason_capacity);
        copy("", fragment, fragment_capacity);
    }
    return nullptr;
}

void weir_re2_free(weir_re2 *pattern) { delete pattern; }

int weir_re2_group_count(const weir_re2 *pattern) { return pattern->re.NumberOfCapturingGroups(); }

const char *weir_re2_group_name(const weir_re2 *pattern, int group) {
    const auto &names = pattern->re.CapturingGroupNames();
    auto found = names.find(group);
    return found == names.end() ? nullptr : found->second.c_str();
}

int weir_re2_match(const weir_re2 *pattern, const char *text, size_t length, size_t start, int anchor,
                   ptrdiff_t *offsets, int spans) {
    constexpr int usual = 8;
    re2::StringPiece few[usual];
    std::vector<re2::StringPiece> many(spans > usual ? spans : 0);
    re2::StringPiece *pieces = spans > usual ? many.data() : few;
    // A null pointer would make an empty match look like a group that took no part.
    const char *base = text == nullptr ? "" : text;
    const auto mode = anchor == WEIR_RE2_FULL ? RE2::ANCHOR_BOTH : RE2::UNANCHORED;
    if (!pattern->re.Match(re2::StringPiece(base, length), start, length, mode, pieces, spans)) return 0;
    for (int i = 0; i < spans; i++) {
        const bool took_part = pieces[i].data() != nullptr;
        offsets[2 * i] = took_part ? pieces[i].data() - base : -1;
        offsets[2 * i + 1] = took_part ? offsets[2 * i] + static_cast<ptrdiff_t>(pieces[i].size()) : -1;
    }
    return 1;
}
