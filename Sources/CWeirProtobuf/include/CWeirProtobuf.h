#pragma once
#ifdef __cplusplus
extern "C" {
#endif
int weir_pb_placeholder(void);
#ifdef __cplusplus
}
#endif
