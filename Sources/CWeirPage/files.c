#include "CWeirPage.h"

// #embed is of C23; clang takes it in every C, and notes the files for incremental builds.
#pragma clang diagnostic ignored "-Wc23-extensions"

// Each file of `files/`, as it is. A test finds one that was forgotten here.
static const unsigned char page_html[] = {
#embed "files/page.html"
};
static const unsigned char page_css[] = {
#embed "files/page.css"
};
static const unsigned char icon_svg[] = {
#embed "files/icon.svg"
};
static const unsigned char page_js[] = {
#embed "files/page.js"
};
static const unsigned char dom_js[] = {
#embed "files/dom.js"
};
static const unsigned char api_js[] = {
#embed "files/api.js"
};
static const unsigned char format_js[] = {
#embed "files/format.js"
};
static const unsigned char parts_js[] = {
#embed "files/parts.js"
};
static const unsigned char plots_js[] = {
#embed "files/plots.js"
};
static const unsigned char json_js[] = {
#embed "files/json.js"
};
static const unsigned char dialogs_js[] = {
#embed "files/dialogs.js"
};
static const unsigned char overview_js[] = {
#embed "files/overview.js"
};
static const unsigned char groups_js[] = {
#embed "files/groups.js"
};
static const unsigned char group_js[] = {
#embed "files/group.js"
};
static const unsigned char clients_js[] = {
#embed "files/clients.js"
};
static const unsigned char resources_js[] = {
#embed "files/resources.js"
};
static const unsigned char changes_js[] = {
#embed "files/changes.js"
};
static const unsigned char events_js[] = {
#embed "files/events.js"
};
static const unsigned char explain_js[] = {
#embed "files/explain.js"
};

#define NAMED(name, bytes) {name, bytes, sizeof bytes}

static const weir_page_file files[] = {
    NAMED("page.html", page_html),
    NAMED("page.css", page_css),
    NAMED("icon.svg", icon_svg),
    NAMED("page.js", page_js),
    NAMED("dom.js", dom_js),
    NAMED("api.js", api_js),
    NAMED("format.js", format_js),
    NAMED("parts.js", parts_js),
    NAMED("plots.js", plots_js),
    NAMED("json.js", json_js),
    NAMED("dialogs.js", dialogs_js),
    NAMED("overview.js", overview_js),
    NAMED("groups.js", groups_js),
    NAMED("group.js", group_js),
    NAMED("clients.js", clients_js),
    NAMED("resources.js", resources_js),
    NAMED("changes.js", changes_js),
    NAMED("events.js", events_js),
    NAMED("explain.js", explain_js),
};

const weir_page_file *weir_page_file_at(size_t index) {
    return index < sizeof files / sizeof files[0] ? &files[index] : NULL;
}
