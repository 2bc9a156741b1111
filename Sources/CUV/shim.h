#pragma once
#include <uv.h>

#ifdef __linux__
#include <sys/timerfd.h>
#include <sys/prctl.h>
/* prctl is variadic, which Swift does not import. */
static inline void cuv_name_current_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }
#endif

#include <pthread.h>
/* What tells a thread from all others that run, as pthread_self() does, without a call; never 0. With glibc the two are the same.
   Source: THREAD_SELF in its tls.h. */
static inline uintptr_t cuv_current_thread(void) {
#if defined(__linux__) && defined(__x86_64__) && __has_builtin(__builtin_thread_pointer)
    return (uintptr_t)__builtin_thread_pointer();
#else
    return (uintptr_t)pthread_self();
#endif
}

#include <time.h>
/* CLOCK_MONOTONIC in nanoseconds as of the kernel's last tick, which costs less to read; without it, as of now. */
static inline uint64_t cuv_coarse_time(void) {
#ifdef CLOCK_MONOTONIC_COARSE
    struct timespec time;
    if (clock_gettime(CLOCK_MONOTONIC_COARSE, &time) == 0)
        return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
#endif
    return uv_hrtime();
}
/* How far that time moves at once, in nanoseconds. */
static inline uint64_t cuv_coarse_step(void) {
#ifdef CLOCK_MONOTONIC_COARSE
    struct timespec step;
    if (clock_getres(CLOCK_MONOTONIC_COARSE, &step) == 0)
        return (uint64_t)step.tv_sec * 1000000000 + (uint64_t)step.tv_nsec;
#endif
    return 0;
}
/* Whether a Swift task, given by its object, has been cancelled; it may be asked on any thread. */
__attribute__((swiftcall)) _Bool swift_task_isCancelled(const void *task);
static inline _Bool cuv_is_task_cancelled(const void *task) { return swift_task_isCancelled(task); }
/* Does nothing that a compiler could see. */
static inline void cuv_do_nothing(void) { __asm__ volatile("" ::: "memory"); }
/* Has the current Swift task prefer an executor, a `TaskExecutorRef`, until the record that this returns is popped. The Swift runtime
   exports both for its `withTaskExecutorPreference`. Source: `Concurrency.h` in the runtime. */
__attribute__((swiftcall)) void *swift_task_pushTaskExecutorPreference(uintptr_t identity, uintptr_t implementation);
__attribute__((swiftcall)) void swift_task_popTaskExecutorPreference(void *record);
static inline void *cuv_push_preference(uintptr_t identity, uintptr_t implementation) {
    return swift_task_pushTaskExecutorPreference(identity, implementation);
}
static inline void cuv_pop_preference(void *record) { swift_task_popTaskExecutorPreference(record); }
