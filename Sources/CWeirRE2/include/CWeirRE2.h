#pragma once
#ifdef __cplusplus
extern "C" {
#endif
int weir_re2_placeholder(void);
#ifdef __cplusplus
}
#endif
