#pragma once

#include <stddef.h>

/* The files of the page for people, as they lie in `files/`, put into the program by the compiler. No logic. */

typedef struct {
    const char *name;
    const unsigned char *bytes;
    size_t count;
} weir_page_file;

/* NULL beyond the last one. Constant. */
const weir_page_file *weir_page_file_at(size_t index);
