#pragma once
#include <uv.h>

#ifdef __linux__
#include <sys/prctl.h>
/* prctl is variadic, which Swift does not import. */
static inline void cuv_name_current_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }
#endif
