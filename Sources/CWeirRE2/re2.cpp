#include "CWeirRE2.h"
#include <re2/re2.h>
int weir_re2_placeholder(void) { return RE2("a").ok() ? 1 : 0; }
