#include "CWeirShims.h"
